"""What a stream demands of its frames and of its classifier."""

import warnings

import numpy as np

from smilefusion._clip_files import as_floating, as_item
from smilefusion.exceptions import FrameRateWarning, InvalidClipError

_RATE_TOLERANCE = 0.01  # frame rates that differ by less count as equal


def check_frame(landmarks, name, layout):
    """Return a frame as an own array, or None where it shows no face.

    Parameters
    ----------
    landmarks : array-like of shape (n_landmarks, n_dims) or None
        The frame.
    name : str
        Its name in messages.
    layout : tuple of int or None
        Shape of the frames before; None if there was no face.

    Returns
    -------
    frame : ndarray of shape (n_landmarks, n_dims) or None
        A copy, float32 or float64.

    Raises
    ------
    InvalidClipError
        If the frame breaks a rule.
    """
    if landmarks is None:
        return None
    frame = as_item(landmarks, name)
    if frame.ndim != 2 or frame.shape[1] not in (2, 3) or frame.dtype.kind not in "fiu":
        raise InvalidClipError(
            f"{name} has shape {frame.shape} and dtype {frame.dtype}; a frame holds real numbers "
            "(n_landmarks, n_dims) with 2 or 3 dimensions. Push one face at a time, or None."
        )
    finite = np.isfinite(frame)
    if not finite.all():
        if np.isnan(frame).all():
            return None
        raise InvalidClipError(
            f"{name} has {(~finite).sum()} coordinates that are not finite; a frame has all its "
            "landmarks or, without a face, none. Push None, or complete it."
        )
    if layout is not None and frame.shape != layout:
        raise InvalidClipError(
            f"{name} has shape {frame.shape}, frames before it have {layout}; all share one "
            "landmark scheme. Flush before another recording."
        )
    return as_floating(frame).copy()


def check_classifier(classifier):
    """Return the classes of a fitted classifier, or None for None.

    Parameters
    ----------
    classifier : estimator or None
        A classifier of clips.

    Returns
    -------
    classes : ndarray of shape (n_classes,) or None
        Their labels.

    Raises
    ------
    ValueError
        If the classifier is not fitted.
    """
    if classifier is None:
        return None
    classes = getattr(classifier, "classes_", None)
    if classes is None:
        raise ValueError(
            f"The classifier, a {type(classifier).__name__}, has no classes_; a stream takes a "
            "fitted one. Fit it first."
        )
    return classes


def warn_of_rate(classifier, fps):
    """Warn where a classifier states another frame rate than the stream's.

    Parameters
    ----------
    classifier : estimator or None
        The classifier; its parameters, if it tells any, are looked through for ``fps``.
    fps : float
        Frames per second of the stream.
    """
    params = classifier.get_params() if hasattr(classifier, "get_params") else {}
    rates = {v for k, v in params.items() if k.split("__")[-1] == "fps" and np.isscalar(v)}
    other = [rate for rate in rates if abs(fps / rate - 1) > _RATE_TOLERANCE]
    if other:
        warnings.warn(
            f"The stream has {fps:g} frames per second, the classifier takes clips for "
            f"{other[0]:g}: it reads durations and speeds wrongly. Give one that was trained at "
            "this rate, or bring the stream to its rate.",
            FrameRateWarning,
            stacklevel=2,
        )
