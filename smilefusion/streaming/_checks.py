"""Checks of the frames and the classifier of a stream."""

import warnings
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from smilefusion.clips._clip_files import as_array, as_floating
from smilefusion.clips._rates import differ
from smilefusion.exceptions import FrameRateWarning, InvalidClipError


def check_frame(
    landmarks: ArrayLike | None, name: str, layout: tuple[int, ...] | None
) -> np.ndarray | None:
    """Return a copy of a frame as an array, or None if it shows no face."""
    if landmarks is None:
        return None
    frame = as_array(landmarks, name)
    if frame.ndim != 2 or frame.shape[1] not in (2, 3) or frame.dtype.kind not in "fiu":
        raise InvalidClipError(
            f"{name} has shape {frame.shape} and dtype {frame.dtype}; a frame holds real numbers "
            "of shape (n_landmarks, n_dims) with n_dims 2 or 3. Push one face at a time, or None."
        )
    finite = np.isfinite(frame)
    if not finite.all():
        if np.isnan(frame).all():
            return None
        raise InvalidClipError(
            f"{name} has {(~finite).sum()} coordinates that are not finite; a frame needs all "
            "its landmarks, or none if it shows no face. Complete the frame, or push None."
        )
    if layout is not None and frame.shape != layout:
        raise InvalidClipError(
            f"{name} has shape {frame.shape}, but earlier frames have {layout}; all frames "
            "need the same landmarks. Call flush() before another recording."
        )
    return as_floating(frame).copy()


def check_classifier(classifier: Any) -> np.ndarray | None:
    """Return the classes of a fitted classifier, or None for None."""
    if classifier is None:
        return None
    classes = getattr(classifier, "classes_", None)
    if classes is None:
        raise ValueError(
            f"The classifier, a {type(classifier).__name__}, has no classes_; a stream needs a "
            "fitted classifier. Fit it before you create the stream."
        )
    return classes


def warn_of_rate(classifier: Any, fps: float) -> None:
    """Warn if the frame rate of a classifier differs from that of the stream."""
    params = classifier.get_params() if hasattr(classifier, "get_params") else {}
    stated = [value for key, value in params.items() if key.split("__")[-1] == "fps"]
    rates = [float(value) for value in stated if isinstance(value, Real)]
    other = [rate for rate in rates if differ(fps, rate)]
    if other:
        warnings.warn(
            f"The stream has {fps:g} frames per second, but the classifier has the parameter "
            f"fps={other[0]:g}, so its durations and speeds are wrong. Train the classifier with "
            "fps=None, or resample the stream to its rate.",
            FrameRateWarning,
            stacklevel=2,
        )
