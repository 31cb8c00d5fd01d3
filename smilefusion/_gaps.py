"""Gaps of missing frames, and runs of frames, in many clips at once."""

import numpy as np


def find_gaps(has_face: np.ndarray, *, max_gap: int) -> tuple[np.ndarray, ...]:
    """Return clips, frames, and the nearest frames with a face before and after, of short gaps.

    `has_face` has shape (n_clips, n_frames); each result has one entry per missing frame.
    """
    clips, frames = np.nonzero(~has_face)
    before, after = (known[clips, frames] for known in nearest_known(has_face))
    short = (before >= 0) & (after < has_face.shape[1]) & (after - before - 1 <= max_gap)
    return clips[short], frames[short], before[short], after[short]


def nearest_known(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the last known frame up to every frame, or −1, and the next one, or n_frames."""
    n_frames = known.shape[1]
    every = np.arange(n_frames)
    before = np.maximum.accumulate(np.where(known, every, -1), axis=1)
    after = np.where(known, every, n_frames)[:, ::-1]
    return before, np.minimum.accumulate(after, axis=1)[:, ::-1]


def fill_gaps(paths: np.ndarray, gaps: tuple[np.ndarray, ...]) -> None:
    """Interpolate linearly over gaps in place, in coordinates (..., n_clips, n_frames)."""
    clips, frames, before, after = gaps
    weight = ((frames - before) / np.maximum(after - before, 1)).astype(paths.dtype)
    left, right = paths[..., clips, before], paths[..., clips, after]
    paths[..., clips, frames] = left + weight * (right - left)  # exact where both are equal


def run_lengths(holds: np.ndarray) -> np.ndarray:
    """Return, for every column, the length of the run of true values that ends there."""
    columns = np.arange(holds.shape[-1])
    return columns - np.maximum.accumulate(np.where(holds, -1, columns), axis=-1)


def longest_runs(holds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and stop of the first longest run of true values in every row, or 0 and 0."""
    lengths = run_lengths(holds)
    last = lengths.argmax(axis=1)
    longest = lengths[np.arange(len(holds)), last]
    stops = np.where(longest > 0, last + 1, 0)
    return stops - longest, stops
