"""Interpolation of clips in time, and gaps of missing frames."""

import numpy as np

_CLOCK_TOLERANCE = 0.05  # of a frame step; containers often round times to milliseconds
_MAX_GAP_S = 0.25


def resample_by_time(
    clip: np.ndarray, times_s: np.ndarray, fps: float, *, max_gap_s: float = _MAX_GAP_S
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate a clip linearly at equally spaced times; return the frames and their times."""
    # A frame is NaN if one of its two neighbours has no face, or if they are more than `max_gap_s`
    # apart. A neighbour with a face less than a twentieth of a step away is copied instead.
    # Nothing is averaged: from 50 to 25 frames per second, every other frame is dropped. The
    # result may end up to a twentieth of a step after the clip.
    step = 1 / fps
    n_resampled = count_resampled(times_s[-1] - times_s[0], fps)
    grid = times_s[0] + np.arange(n_resampled) * step
    inside = np.minimum(grid, times_s[-1])
    after = np.clip(np.searchsorted(times_s, inside, side="right"), 1, len(times_s) - 1)
    before = after - 1
    gap = times_s[after] - times_s[before]
    weight = ((inside - times_s[before]) / gap).astype(clip.dtype)[:, None, None]
    resampled = _interpolate(clip[before], clip[after], weight)
    resampled[gap > max_gap_s] = np.nan
    nearest = np.where(inside - times_s[before] <= times_s[after] - inside, before, after)
    near = np.abs(times_s[nearest] - inside) <= _CLOCK_TOLERANCE * step
    alone = near & np.isnan(resampled[:, 0, 0])
    resampled[alone] = clip[nearest[alone]]
    return resampled, grid


def resample_clip(clip: np.ndarray, fps: float, new_fps: float) -> np.ndarray:
    """Interpolate a clip from one frame rate to another."""
    if len(clip) == 1 or fps == new_fps:
        return clip
    return resample_by_time(clip, np.arange(len(clip)) / fps, new_fps)[0]


def count_resampled(seconds: float, fps: float) -> int:
    """Return the number of frames of a resampled clip from its length in seconds."""
    return int(seconds * fps + _CLOCK_TOLERANCE) + 1


def nearest_frames(times_s: np.ndarray, grid_s: np.ndarray) -> np.ndarray:
    """Return the frame nearest to each time of a grid; the earlier one in a tie."""
    middles = (times_s[:-1] + times_s[1:]) / 2
    return np.searchsorted(middles, grid_s, side="left")


def mean_rate(times_s: np.ndarray) -> tuple[float, bool]:
    """Return the mean frame rate, and whether a step is off by over 10 % and a clock tick."""
    steps = np.diff(times_s)
    mean = (times_s[-1] - times_s[0]) / len(steps)
    stray = np.abs(steps - mean)
    return float(1 / mean), bool((stray > np.maximum(0.1 * mean, 0.00101)).any())


def find_gaps(has_face: np.ndarray, *, max_gap: int) -> tuple[np.ndarray, ...]:
    """Return clip, frame and both nearest frames with a face for each frame of a short gap."""
    clips, frames = np.nonzero(~has_face)
    before, after = (known[clips, frames] for known in nearest_known(has_face))
    short = (before >= 0) & (after < has_face.shape[1]) & (after - before - 1 <= max_gap)
    return clips[short], frames[short], before[short], after[short]


def nearest_known(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the last known frame up to each frame (else −1), and the next one (else n_frames)."""
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
    paths[..., clips, frames] = _interpolate(left, right, weight)


def _interpolate(start: np.ndarray, end: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Interpolate linearly; exact if both ends are equal."""
    return start + weight * (end - start)


def run_lengths(holds: np.ndarray) -> np.ndarray:
    """Return, for each column, the length of the run of true values that ends there."""
    columns = np.arange(holds.shape[-1])
    return columns - np.maximum.accumulate(np.where(holds, -1, columns), axis=-1)


def longest_runs(holds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and stop of the first longest run of true values in every row, or 0 and 0."""
    lengths = run_lengths(holds)
    last = lengths.argmax(axis=1)
    longest = lengths[np.arange(len(holds)), last]
    stops = np.where(longest > 0, last + 1, 0)
    return stops - longest, stops
