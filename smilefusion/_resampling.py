"""One constant frame rate from the times at which frames were taken."""

import numpy as np

# Share of a step by which a clock may be off: containers often count whole milliseconds.
_CLOCK_TOLERANCE = 0.05
_MAX_GAP_S = 0.25


def resample_by_time(clip, times_s, fps, *, max_gap_s=_MAX_GAP_S):
    """Interpolate a clip linearly in time at equally spaced times.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates, NaN throughout frames without a face.
    times_s : ndarray of shape (n_frames,)
        Strictly increasing times of the frames, in seconds.
    fps : float
        Frames per second of the result, which starts at the first frame.
    max_gap_s : float, default=0.25
        Longest time between two neighbouring frames that is interpolated, in seconds.

    Returns
    -------
    resampled : ndarray of shape (n_resampled, n_landmarks, n_dims)
        Coordinates of the dtype of the clip. A frame is NaN where one of its two neighbours in
        the clip has no face, or where they lie further apart than `max_gap_s`; but a neighbour
        within a twentieth of a step, and with a face, speaks for itself.
    resampled_times_s : ndarray of shape (n_resampled,)
        Times of the frames, in seconds.

    Notes
    -----
    The result ends where the clip does, a twentieth of a step allowed. Nothing is averaged: from
    50 to 25 frames per second, every other frame is dropped.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion._resampling import resample_by_time
    >>> times = np.array([0.0, 0.1, 0.4])
    >>> resampled, _ = resample_by_time(times.reshape(3, 1, 1), times, 10, max_gap_s=0.5)
    >>> resampled.ravel().round(3).tolist()
    [0.0, 0.1, 0.2, 0.3, 0.4]
    """
    step = 1 / fps
    n_resampled = int((times_s[-1] - times_s[0]) * fps + _CLOCK_TOLERANCE) + 1
    grid = times_s[0] + np.arange(n_resampled) * step
    inside = np.minimum(grid, times_s[-1])
    after = np.clip(np.searchsorted(times_s, inside, side="right"), 1, len(times_s) - 1)
    before = after - 1
    gap = times_s[after] - times_s[before]
    weight = ((inside - times_s[before]) / gap).astype(clip.dtype)[:, None, None]
    resampled = clip[before] + weight * (clip[after] - clip[before])
    resampled[gap > max_gap_s] = np.nan
    nearest = np.where(inside - times_s[before] <= times_s[after] - inside, before, after)
    near = np.abs(times_s[nearest] - inside) <= _CLOCK_TOLERANCE * step
    alone = near & np.isnan(resampled[:, 0, 0])
    resampled[alone] = clip[nearest[alone]]
    return resampled, grid


def nearest_frames(times_s, grid_s):
    """Return the number of the frame whose time is nearest to each time of a grid.

    Parameters
    ----------
    times_s : ndarray of shape (n_frames,)
        Strictly increasing times of at least two frames, in seconds.
    grid_s : ndarray of shape (n_times,)
        Times, in seconds.

    Returns
    -------
    frames : ndarray of shape (n_times,)
        Frame numbers; the earlier of two that are equally near.
    """
    middles = (times_s[:-1] + times_s[1:]) / 2
    return np.searchsorted(middles, grid_s, side="left")


def mean_rate(times_s):
    """Return the mean frame rate, and whether steps differ from it by a tenth and a clock tick.

    Parameters
    ----------
    times_s : ndarray of shape (n_frames,)
        Strictly increasing times of at least two frames, in seconds.

    Returns
    -------
    fps : float
        Frames per second.
    is_uneven : bool
        Whether a frame lies at another time than this rate says.
    """
    steps = np.diff(times_s)
    mean = (times_s[-1] - times_s[0]) / len(steps)
    stray = np.abs(steps - mean)
    return float(1 / mean), bool((stray > np.maximum(0.1 * mean, 0.00101)).any())
