"""Checks that invalid clips and labels are refused by errors that name the problem."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from smilefusion.testing._data import (
    ensure_methods_refuse,
    ensure_refused,
    fit,
    fitted,
    fresh,
    make_data,
)
from smilefusion.testing._traits import is_composite


def _ensure_clips_refused(estimator: Any, clips: Any, what: str, words: str = r"clip 1\b") -> None:
    """Fail if fit, or a method after it, accepts invalid clips."""
    y = np.resize([0, 1], max(len(clips), 2))
    # An estimator that contains others may split clips before one of ours sees them.
    fit_words = None if is_composite(estimator) else words
    copy = fresh(estimator)
    ensure_refused(lambda: copy.fit(clips, y), estimator, f"{what}, in fit,", words=fit_words)
    ensure_methods_refuse(fitted(estimator), clips, estimator, what, words=words)


def _replace_second(change: Callable) -> list[np.ndarray]:
    """Return the clips with a changed second clip."""
    clips = make_data().clips
    clips[1] = change(clips[1])
    return clips


def _corrupt(clip: np.ndarray, value: Any) -> np.ndarray:
    """Return a clip with one landmark replaced in its first frame with a face."""
    clip = clip.copy()
    clip[np.isfinite(clip[:, 0, 0]).argmax(), 3] = value
    return clip


def check_one_clip_is_refused(estimator: Any) -> None:
    """Check that a single clip or a single path instead of a sequence is refused."""
    _ensure_clips_refused(estimator, make_data().clips[0], "one clip", words=r"clips?\b")
    _ensure_clips_refused(estimator, "smile.npz", "one path", words=r"clips?\b")


def check_no_clips_are_refused(estimator: Any) -> None:
    """Check that an empty list is refused."""
    _ensure_clips_refused(estimator, [], "an empty list", words=r"clips?\b")


def check_wrong_axes_are_refused(estimator: Any) -> None:
    """Check that a clip without three axes is refused by a message that names it."""
    clips = _replace_second(lambda clip: clip[:, 0])
    _ensure_clips_refused(estimator, clips, "a clip of two axes")


def check_infinite_values_are_refused(estimator: Any) -> None:
    """Check that a clip with an infinite coordinate is refused by a message that names it."""
    clips = _replace_second(lambda clip: _corrupt(clip, np.inf))
    _ensure_clips_refused(estimator, clips, "an infinite coordinate")


def check_partial_frames_are_refused(estimator: Any) -> None:
    """Check that a frame with missing landmarks is refused by a message that names the clip."""
    clips = _replace_second(lambda clip: _corrupt(clip, np.nan))
    _ensure_clips_refused(estimator, clips, "a frame without one of its landmarks")


def check_clips_without_face_are_refused(estimator: Any) -> None:
    """Check that a clip whose frames are all missing is refused by a message that names it."""
    clips = _replace_second(lambda clip: np.full_like(clip, np.nan))
    _ensure_clips_refused(estimator, clips, "a clip without a face")


def check_text_is_refused(estimator: Any) -> None:
    """Check that a clip of text is refused by a message that names it."""
    clips = _replace_second(lambda clip: clip.astype(str))
    _ensure_clips_refused(estimator, clips, "a clip of text")


def check_mixed_landmarks_are_refused(estimator: Any) -> None:
    """Check that a mixture of 478 and 68 landmarks is refused by a message that names a clip."""
    clips = _replace_second(lambda clip: clip[:, :68])
    _ensure_clips_refused(estimator, clips, "clips of other landmarks")


def check_other_landmarks_than_fitted_are_refused(estimator: Any) -> None:
    """Check that clips with other landmarks than in fit are refused."""
    clips = [clip[:, :68] for clip in make_data().clips]
    what = "other landmarks than in fit"
    ensure_methods_refuse(fitted(estimator), clips, estimator, what, words="landmarks")


def check_labels_of_another_length_are_refused(estimator: Any) -> None:
    """Check that labels that are not one per clip are refused."""
    data = make_data()
    call = lambda: fit(estimator, data.clips, data.y[:-1])  # noqa: E731
    words = "labels|inconsistent numbers of samples"
    ensure_refused(call, estimator, "labels that are not one per clip", words=words)


def check_one_class_is_refused(estimator: Any) -> None:
    """Check that labels of one class are refused by a message that says so."""
    y = np.zeros(len(make_data().y), dtype=int)
    ensure_refused(lambda: fit(estimator, y=y), estimator, "labels of one class", words="class")


def check_bad_labels_are_refused(estimator: Any) -> None:
    """Check that labels that are missing, continuous or in two columns are refused."""
    y = make_data().y
    missing = y.astype(float)
    missing[3] = np.nan
    without = y.astype(object)
    without[3] = None
    for what, labels in (
        ("a label that is NaN", missing),
        ("a label that is None", without),
        ("continuous labels", y + np.linspace(0.1, 0.9, len(y))),
        ("labels in two columns", np.column_stack([y, y])),
    ):
        with warnings.catch_warnings():
            # scikit-learn checks NaN labels with a cast before they are refused.
            warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
            ensure_refused(lambda given=labels: fit(estimator, y=given), estimator, what)
