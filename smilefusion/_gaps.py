"""Gaps of missing frames, and runs of frames, in many clips at once."""

import numpy as np


def find_gaps(has_face, *, max_gap):
    """Find the frames of short gaps and the faces on both sides of them.

    Parameters
    ----------
    has_face : bool ndarray of shape (n_clips, n_frames)
        False in frames without a face.
    max_gap : int
        Longest gap that is taken, in frames.

    Returns
    -------
    clips, frames, before, after : ndarray of shape (n_missing,)
        Clip and frame of each missing frame that lies in a short gap, and the nearest frames
        of that clip with a face.
    """
    clips, frames = np.nonzero(~has_face)
    n_frames = has_face.shape[1]
    every = np.arange(n_frames)
    before = np.maximum.accumulate(np.where(has_face, every, -1), axis=1)[clips, frames]
    after = np.where(has_face, every, n_frames)[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1][clips, frames]
    short = (before >= 0) & (after < n_frames) & (after - before - 1 <= max_gap)
    return clips[short], frames[short], before[short], after[short]


def fill_gaps(paths, gaps):
    """Interpolate over gaps, in place.

    Parameters
    ----------
    paths : ndarray of shape (..., n_clips, n_frames)
        Coordinates over time.
    gaps : tuple of four ndarray
        As `find_gaps` returns them.
    """
    clips, frames, before, after = gaps
    weight = ((frames - before) / (after - before)).astype(paths.dtype)
    left, right = paths[..., clips, before], paths[..., clips, after]
    paths[..., clips, frames] = left + weight * (right - left)  # exact where both are equal


def longest_runs(holds):
    """Find the longest run of true values in every row.

    Parameters
    ----------
    holds : bool ndarray of shape (n_rows, n_columns)
        Values.

    Returns
    -------
    starts, stops : ndarray of shape (n_rows,)
        First column of the run, the first one among equally long runs, and the column after
        its last; both 0 where no value is true.
    """
    columns = np.arange(holds.shape[1])
    last_false = np.maximum.accumulate(np.where(holds, -1, columns), axis=1)
    lengths = np.where(holds, columns - last_false, 0)
    stops = lengths.argmax(axis=1)
    longest = lengths[np.arange(len(holds)), stops]
    stops = np.where(longest > 0, stops + 1, 0)
    return stops - longest, stops
