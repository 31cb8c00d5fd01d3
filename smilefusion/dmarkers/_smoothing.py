"""Smooth signals over time: Savitzky-Golay, running median, Tukey's 4253H twice."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.ndimage import correlate1d, median_filter

STEP_S = 0.02  # between neighbours in 4253H: one frame at the literature's 50 frames per second


def smooth(
    signals: np.ndarray, lengths: np.ndarray, *, method: str | None, window: float, fps: float
) -> np.ndarray:
    """Smooth signals (..., n_clips, n_frames) along time; `window` is in seconds."""
    return signals if method is None else SMOOTHINGS[method](signals, lengths, window, fps)


def smooth_each(
    signals: np.ndarray,
    lengths: np.ndarray,
    windows_s: Sequence[float],
    *,
    method: str | None,
    fps: float,
) -> np.ndarray:
    """Smooth signals (..., n_signals, n_clips, n_frames), each over its own window."""
    smoothed = [
        smooth(signals[..., row, :, :], lengths, method=method, window=window, fps=fps)
        for row, window in enumerate(windows_s)
    ]
    return np.stack(smoothed, axis=-3)


def _savgol(signals: np.ndarray, lengths: np.ndarray, window: float, fps: float) -> np.ndarray:
    """Fit parabolas to windows of frames; the first and last parabola also give the ends."""
    # The window is shortened for the shortest clip, so shorter clips must have the same length.
    width = _nearest_odd(min(window * fps, lengths.min() - 1))
    if width < 5:  # a parabola goes through any three points
        return signals
    half, fit = width // 2, _parabola_fit(width)
    smoothed = correlate1d(signals, fit[half])
    smoothed[..., :half] = _apply(fit[:half], signals[..., :width])
    clips = np.arange(len(lengths))[:, None]
    last = lengths[:, None] + np.arange(-width, 0)
    smoothed[..., clips, last[:, half + 1 :]] = _apply(fit[half + 1 :], signals[..., clips, last])
    return smoothed


def _apply(weights: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Multiply windows by weights; unlike BLAS, the order of sums never depends on the batch."""
    total = np.zeros((*windows.shape[:-1], len(weights)))
    for column, values in zip(weights.T, np.moveaxis(windows, -1, 0), strict=True):
        total += values[..., None] * column
    return total


@cache
def _parabola_fit(width: int) -> np.ndarray:
    """Return the matrix that maps the values of a window to those of their parabola."""
    powers = np.linspace(-1, 1, width)[:, None] ** np.arange(3)
    basis, _ = np.linalg.qr(powers)
    return basis @ basis.T


def _median(signals: np.ndarray, lengths: np.ndarray, window: float, fps: float) -> np.ndarray:
    """Take running medians of the signals, padded with their end values."""
    half = _nearest_odd(window * fps) // 2
    n_frames = signals.shape[-1]
    frames = np.clip(np.arange(-half, n_frames + half), 0, lengths[:, None] - 1)
    padded = signals[..., np.arange(len(lengths))[:, None], frames]
    # SciPy's filter is fast for one row only. Windows that span two clips are cut off below.
    medians = median_filter(padded.ravel(), size=2 * half + 1).reshape(padded.shape)
    return medians[..., half : half + n_frames]


def _nearest_odd(width: float) -> int:
    return 2 * int(width / 2) + 1


def _tukey_4253h_twice(
    signals: np.ndarray, lengths: np.ndarray, window: float, fps: float
) -> np.ndarray:
    """Smooth by 4253H and add the smoothed residuals; the spans are fixed, `window` is unused."""
    step = max(1, round(STEP_S * fps))
    smoothed = _tukey_4253h(signals, lengths, step)
    return smoothed + _tukey_4253h(signals - smoothed, lengths, step)


def _tukey_4253h(signals: np.ndarray, lengths: np.ndarray, step: int) -> np.ndarray:
    """Take running medians of 4, 2, 5 and 3 frames, replace the ends, and take hanning means."""
    # At the ends, medians of 4 and 5 become those of 2 and 3, as in Velleman and Hoaglin (1981).
    frames = np.arange(signals.shape[-1])
    before, after = frames // step, (lengths[:, None] - 1 - frames) // step  # steps to the ends
    depth = np.minimum(before, after)
    a, b, c, d = _neighbours(signals, -2, 1, step)  # the gap before a frame is between b and c
    lower, upper = _middle_of_4(a, b, c, d)
    gaps = np.where((before > 1) & (after > 0), (lower + upper) / 2, (b + c) / 2)
    earlier, later = _neighbours(gaps, 0, 1, step)
    centred = np.where(depth > 0, (earlier + later) / 2, signals)
    a, b, c, d, e = _neighbours(centred, -2, 2, step)
    median_of_5 = _median_of_3(*_middle_of_4(a, b, c, d), e)
    medians = np.where(depth > 1, median_of_5, _median_of_3(b, c, d))
    medians = np.where(depth > 0, medians, centred)
    medians = np.where(depth > 0, _median_of_3(*_neighbours(medians, -1, 1, step)), medians)
    return _hann(_replace_ends(medians, before, after, step), lengths, step)


def _replace_ends(
    signals: np.ndarray, before: np.ndarray, after: np.ndarray, step: int
) -> np.ndarray:
    """Apply Tukey's end-point rule: y(1) becomes the median of y(1), y(2) and 3 y(2) - 2 y(3)."""
    replaced = signals.copy()
    for inward, is_end in ((step, before == 0), (-step, after == 0)):
        clips, frames = np.nonzero(is_end & (before + after > 1))
        end, near, far = (signals[..., clips, frames + steps * inward] for steps in range(3))
        replaced[..., clips, frames] = _median_of_3(end, near, 3 * near - 2 * far)
    return replaced


def _hann(signals: np.ndarray, lengths: np.ndarray, step: int) -> np.ndarray:
    """Take means over two steps, twice; point reflections continue the signal at its ends."""
    # For a step of one frame this is hanning, [y(t-1) + 2 y(t) + y(t+1)] / 4. Longer steps need
    # means of all frames: otherwise a ripple remains between frames that share no median.
    reach, last = 2 * step - 1, lengths[:, None] - 1
    frames = np.arange(-reach, signals.shape[-1] + reach)
    inside = np.clip(frames, 0, last)
    clips, mirrored = np.arange(len(lengths))[:, None], np.clip(2 * inside - frames, 0, last)
    continued = 2 * signals[..., clips, inside] - signals[..., clips, mirrored]
    mean = np.full(2 * step, 0.5 / step)
    return correlate1d(continued, np.convolve(mean, mean))[..., reach:-reach]


def _neighbours(signals: np.ndarray, first: int, last: int, step: int) -> list[np.ndarray]:
    """Return the signals `first` to `last` steps later, an array for each step."""
    n_frames, margin = signals.shape[-1], max(-first, last) * step
    padded = np.pad(signals, [*[(0, 0)] * (signals.ndim - 1), (margin, margin)], mode="edge")
    starts = range(margin + first * step, margin + last * step + 1, step)
    return [padded[..., start : start + n_frames] for start in starts]


def _median_of_3(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _middle_of_4(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the second and the third smallest of four values."""
    lower = np.maximum(np.minimum(a, b), np.minimum(c, d))
    upper = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return lower, upper


# All preserve straight lines and commute with shifts, scaling of either sign and time reversal.
SMOOTHINGS = {"savgol": _savgol, "median": _median, "4253h_twice": _tukey_4253h_twice}
