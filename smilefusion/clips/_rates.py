"""Frame rates of clips."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import InvalidParameterError

FPS_RANGE = (1.0, 1000.0)  # plausible frames per second; other values may exhaust the memory
NOMINAL_FPS = 30.0  # assumed by filters if the rate is unknown
RATE_TOLERANCE = 0.01  # smaller relative differences of frame rates are ignored


def check_fps(fps: ArrayLike | None, n_clips: int) -> np.ndarray:
    """Check frame rates and return one per clip.

    Parameters
    ----------
    fps : float, array-like of shape (n_clips,) or None
        Frames per second of all clips, or of each clip. NaN and None mean unknown.
    n_clips : int
        Number of clips.

    Returns
    -------
    rates : ndarray of shape (n_clips,)
        Frames per second of each clip, NaN if unknown.

    Raises
    ------
    InvalidParameterError
        If a frame rate is not a number between 1 and 1000, or if there is not one rate per
        clip. This error is a ValueError.

    Examples
    --------
    >>> from smilefusion.clips import check_fps
    >>> check_fps(25, 2).tolist()
    [25.0, 25.0]
    """
    if fps is None:
        return np.full(n_clips, np.nan)
    try:
        rates = np.asarray(fps)
    except ValueError:  # lists of different lengths
        rates = np.asarray("")
    if rates.dtype.kind not in "fiu":
        raise InvalidParameterError(
            f"fps must be a number, one number per clip, or None; got {fps!r}."
        )
    if rates.ndim > 1 or (rates.ndim == 1 and len(rates) != n_clips):
        raise InvalidParameterError(
            f"fps must be one number or one per clip; got shape {rates.shape} for {n_clips} "
            "clips. Pass a single number if all clips have the same rate."
        )
    slowest, fastest = FPS_RANGE
    bad = ~((rates >= slowest) & (rates <= fastest))
    if rates.ndim:
        bad &= ~np.isnan(rates)
    for index in np.flatnonzero(bad)[:1]:
        clip = f" for clip {index}" if rates.ndim else ""
        raise InvalidParameterError(
            f"fps must be between {slowest:g} and {fastest:g} frames per second; got "
            f"{rates.flat[index]:g}{clip}. Correct it, or pass None if it is unknown."
        )
    return np.broadcast_to(rates, n_clips).astype(np.float64)


def differ(rates: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """Return where frame rates differ from a reference by more than the tolerance."""
    return np.abs(np.asarray(rates) / reference - 1) > RATE_TOLERANCE


def describe_rates(rates: np.ndarray) -> str:
    """Describe frame rates, such as "25 fps", "25–30 fps" or "unknown fps"."""
    known = rates[~np.isnan(rates)]
    if not known.size:
        return "unknown fps"
    slowest, fastest = known.min(), known.max()
    text = f"{slowest:.4g}"
    if differ(fastest, slowest):
        text += f"–{fastest:.4g}"
    return f"{text} fps" if known.size == rates.size else f"{text} or unknown fps"
