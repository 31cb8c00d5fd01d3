"""Smoothing of signals over time: Savitzky-Golay, running median and Tukey's 4253H, twice."""

from functools import cache

import numpy as np
from scipy.ndimage import correlate1d, median_filter

STEP_S = 0.02  # between neighbours in 4253H: one frame at the 50 per second of the literature


def smooth(signals, lengths, *, method, window, fps):
    """Smooth the signals of a batch of clips along time.

    Parameters
    ----------
    signals : ndarray of shape (..., n_clips, n_frames)
        Signals, float64. Frames from a clip's length on are padding, of any finite values.
    lengths : ndarray of int of shape (n_clips,)
        Number of frames of each clip.
    method : {"savgol", "median", "4253h_twice"} or None
        Savitzky-Golay filter of second order, running median, Tukey's compound smoother, or no
        smoothing.
    window : float
        Width of "savgol" and "median" in seconds; in frames it is the nearest odd number.
        "savgol" cuts it to the shortest clip, so that clips shorter than it must come in
        batches of one length; below four frames it changes nothing.
    fps : float
        Frames per second of the clips.

    Returns
    -------
    smoothed : ndarray of shape (..., n_clips, n_frames)
        The smoothed signals, `signals` itself for None. Padding stays without meaning.

    Notes
    -----
    "savgol" replaces each frame by the value of a parabola, fitted to the window around the
    frame or to the first or last window of the clip. "median" repeats the end values. All
    methods keep lines and commute with shifts, factors of either sign and reversal of time.

    "4253h_twice" takes running medians of 4, of 2 (which centres them again), of 5 and of 3
    frames, then hanning, [y(t-1) + 2 y(t) + y(t+1)] / 4; what this leaves of the signal is
    smoothed alike and added. At the ends it follows the programs of Velleman and Hoaglin: where
    a median of 4 or 5 does not fit, it is one of 2 or 3; end values are kept, but before hanning
    y(1) becomes the median of y(1), y(2) and 3 y(2) - 2 y(3), and likewise the last.

    The spans of "4253h_twice" count steps of 0.02 s, of one frame at least. From 75 frames per
    second on, where a step is k > 1 frames, medians are of frames k apart; hanning, the mean of
    2 frames twice, becomes that of 2 k frames twice, without which a ripple would stay between
    frames that share no median. Near the ends it takes the signal mirrored at its end point.

    References
    ----------
    A. Savitzky, M. J. E. Golay, "Smoothing and Differentiation of Data by Simplified Least
    Squares Procedures", Analytical Chemistry 36(8), 1964.

    J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977.

    P. F. Velleman, "Definition and Comparison of Robust Nonlinear Data Smoothing Algorithms",
    Journal of the American Statistical Association 75(371), 1980.

    P. F. Velleman, D. C. Hoaglin, "Applications, Basics, and Computing of Exploratory Data
    Analysis", Duxbury Press, 1981.
    """
    return signals if method is None else SMOOTHINGS[method](signals, lengths, window, fps)


def _savgol(signals, lengths, window, fps):
    """Fit parabolas to windows of frames."""
    width = _nearest_odd(min(window * fps, lengths.min() - 1))
    if width < 5:  # three points lie on a parabola
        return signals
    half, fit = width // 2, _parabola_fit(width)
    smoothed = correlate1d(signals, fit[half])
    smoothed[..., :half] = _apply(fit[:half], signals[..., :width])
    clips = np.arange(len(lengths))[:, None]
    last = lengths[:, None] + np.arange(-width, 0)
    smoothed[..., clips, last[:, half + 1 :]] = _apply(fit[half + 1 :], signals[..., clips, last])
    return smoothed


def _apply(weights, windows):
    """Return weights times windows, summed in one order whatever the batch, unlike BLAS."""
    total = np.zeros((*windows.shape[:-1], len(weights)))
    for column, values in zip(weights.T, np.moveaxis(windows, -1, 0), strict=True):
        total += values[..., None] * column
    return total


@cache
def _parabola_fit(width):
    """Return the matrix that maps the values of a window to those of their parabola."""
    powers = np.linspace(-1, 1, width)[:, None] ** np.arange(3)
    basis, _ = np.linalg.qr(powers)
    return basis @ basis.T


def _median(signals, lengths, window, fps):
    """Take running medians, with the end values repeated."""
    half = _nearest_odd(window * fps) // 2
    n_frames = signals.shape[-1]
    frames = np.clip(np.arange(-half, n_frames + half), 0, lengths[:, None] - 1)
    padded = signals[..., np.arange(len(lengths))[:, None], frames]
    # In one row, for which SciPy has its fast filter; no window of a kept frame spans two clips.
    medians = median_filter(padded.ravel(), size=2 * half + 1).reshape(padded.shape)
    return medians[..., half : half + n_frames]


def _nearest_odd(width):
    return 2 * int(width / 2) + 1


def _tukey_4253h_twice(signals, lengths, window, fps):
    """Smooth by 4253H, and once more what it leaves; its spans are fixed, `window` unused."""
    step = max(1, round(STEP_S * fps))
    smoothed = _tukey_4253h(signals, lengths, step)
    return smoothed + _tukey_4253h(signals - smoothed, lengths, step)


def _tukey_4253h(signals, lengths, step):
    """Take running medians of 4, 2, 5 and 3, replace the ends, and take hanning means."""
    frames = np.arange(signals.shape[-1])
    before, after = frames // step, (lengths[:, None] - 1 - frames) // step  # steps to the ends
    depth = np.minimum(before, after)
    a, b, c, d = _neighbours(signals, -2, 1, step)  # the gap before a frame is between b and c
    gaps = np.where((before > 1) & (after > 0), _median_of_4(a, b, c, d), (b + c) / 2)
    earlier, later = _neighbours(gaps, 0, 1, step)
    centred = np.where(depth > 0, (earlier + later) / 2, signals)
    a, b, c, d, e = _neighbours(centred, -2, 2, step)
    medians = np.where(depth > 1, _median_of_5(a, b, c, d, e), _median_of_3(b, c, d))
    medians = np.where(depth > 0, medians, centred)
    medians = np.where(depth > 0, _median_of_3(*_neighbours(medians, -1, 1, step)), medians)
    return _hann(_replace_ends(medians, before, after, step), lengths, step)


def _replace_ends(signals, before, after, step):
    """Apply Tukey's end-point rule."""
    replaced = signals.copy()
    for inward, is_end in ((step, before == 0), (-step, after == 0)):
        clips, frames = np.nonzero(is_end & (before + after > 1))
        end, near, far = (signals[..., clips, frames + steps * inward] for steps in range(3))
        replaced[..., clips, frames] = _median_of_3(end, near, 3 * near - 2 * far)
    return replaced


def _hann(signals, lengths, step):
    """Take means over two steps, twice; the signal is continued by its point reflection."""
    reach, last = 2 * step - 1, lengths[:, None] - 1
    frames = np.arange(-reach, signals.shape[-1] + reach)
    inside = np.clip(frames, 0, last)
    clips, mirrored = np.arange(len(lengths))[:, None], np.clip(2 * inside - frames, 0, last)
    continued = 2 * signals[..., clips, inside] - signals[..., clips, mirrored]
    mean = np.full(2 * step, 0.5 / step)
    return correlate1d(continued, np.convolve(mean, mean))[..., reach:-reach]


def _neighbours(signals, first, last, step):
    """Return the signals `first` to `last` steps later, an array for each step."""
    n_frames, margin = signals.shape[-1], max(-first, last) * step
    padded = np.pad(signals, [*[(0, 0)] * (signals.ndim - 1), (margin, margin)], mode="edge")
    starts = range(margin + first * step, margin + last * step + 1, step)
    return [padded[..., start : start + n_frames] for start in starts]


def _median_of_3(a, b, c):
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _median_of_4(a, b, c, d):
    lower, upper = _middle_of_4(a, b, c, d)
    return (lower + upper) / 2


def _median_of_5(a, b, c, d, e):
    return _median_of_3(*_middle_of_4(a, b, c, d), e)


def _middle_of_4(a, b, c, d):
    """Return the second and the third of four values in order."""
    lower = np.maximum(np.minimum(a, b), np.minimum(c, d))
    upper = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return lower, upper


SMOOTHINGS = {"savgol": _savgol, "median": _median, "4253h_twice": _tukey_4253h_twice}
