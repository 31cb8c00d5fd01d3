"""Checks that wrong clips and labels are refused, by errors that name what is wrong."""

import warnings

import numpy as np

from smilefusion.testing._data import METHODS, ensure_refused, fit, fitted, fresh, make_data
from smilefusion.testing._traits import is_composite


def _ensure_clips_refused(estimator, clips, what, words):
    """Fail where fit, or a method after it, takes wrong clips."""
    y = np.resize([0, 1], max(len(clips), 2))
    copy = fresh(estimator)
    # What holds other estimators may split clips before one of ours sees them.
    fit_words = None if is_composite(estimator) else words
    call = lambda: copy.fit(clips, y)  # noqa: E731
    ensure_refused(call, estimator, f"{what}, in fit,", words=fit_words)
    trained = fitted(estimator)
    for method in METHODS:
        if hasattr(trained, method):
            call = lambda m=method: getattr(trained, m)(clips)  # noqa: E731
            ensure_refused(call, estimator, f"{what}, in {method},", words=words)


def _with_second(clip):
    """Return clips of which the second is the given one, made from it."""
    clips = make_data().clips
    clips[1] = clip(clips[1])
    return clips


def _spoil(clip, value):
    """Return a clip with another value for one landmark of its first frame with a face."""
    clip = clip.copy()
    clip[np.isfinite(clip[:, 0, 0]).argmax(), 3] = value
    return clip


def check_one_clip_is_refused(estimator):
    """Check that one clip in place of a sequence of clips is refused, and one path too."""
    _ensure_clips_refused(estimator, make_data().clips[0], "one clip", words=r"clips?\b")
    _ensure_clips_refused(estimator, "smile.npz", "one path", words=r"clips?\b")


def check_no_clips_are_refused(estimator):
    """Check that an empty list is refused."""
    _ensure_clips_refused(estimator, [], "an empty list", words=r"clips?\b")


def check_wrong_axes_are_refused(estimator):
    """Check that a clip without three axes is refused by a message that names it."""
    clips = _with_second(lambda clip: clip[:, 0])
    _ensure_clips_refused(estimator, clips, "a clip of two axes", words=r"clip 1\b")


def check_infinite_values_are_refused(estimator):
    """Check that a clip with an infinite coordinate is refused by a message that names it."""
    clips = _with_second(lambda clip: _spoil(clip, np.inf))
    _ensure_clips_refused(estimator, clips, "an infinite coordinate", words=r"clip 1\b")


def check_partial_frames_are_refused(estimator):
    """Check that a frame with some of its landmarks is refused, the clip named."""
    clips = _with_second(lambda clip: _spoil(clip, np.nan))
    what = "a frame without one of its landmarks"
    _ensure_clips_refused(estimator, clips, what, words=r"clip 1\b")


def check_clips_without_face_are_refused(estimator):
    """Check that a clip whose frames are all missing is refused by a message that names it."""
    clips = _with_second(lambda clip: np.full_like(clip, np.nan))
    _ensure_clips_refused(estimator, clips, "a clip without a face", words=r"clip 1\b")


def check_text_is_refused(estimator):
    """Check that a clip that holds no numbers is refused by a message that names it."""
    clips = _with_second(lambda clip: clip.astype(str))
    _ensure_clips_refused(estimator, clips, "a clip of text", words=r"clip 1\b")


def check_mixed_landmarks_are_refused(estimator):
    """Check that clips of 478 and 68 landmarks together are refused, one named."""
    clips = _with_second(lambda clip: clip[:, :68])
    _ensure_clips_refused(estimator, clips, "clips of other landmarks", words=r"clip 1\b")


def check_other_landmarks_than_fitted_are_refused(estimator):
    """Check that clips with other landmarks than in fit are refused."""
    trained, clips = fitted(estimator), [clip[:, :68] for clip in make_data().clips]
    for method in METHODS:
        if hasattr(trained, method):
            call = lambda m=method: getattr(trained, m)(clips)  # noqa: E731
            what = f"other landmarks than in fit, in {method},"
            ensure_refused(call, estimator, what, words="landmarks")


def check_labels_of_another_length_are_refused(estimator):
    """Check that labels that are not one per clip are refused."""
    data = make_data()
    call = lambda: fit(estimator, data.clips, data.y[:-1])  # noqa: E731
    words = "labels|inconsistent numbers of samples"
    ensure_refused(call, estimator, "labels of another length than the clips", words=words)


def check_one_class_is_refused(estimator):
    """Check that labels of one class are refused by a message that says so."""
    y = np.zeros(len(make_data().y), dtype=int)
    ensure_refused(lambda: fit(estimator, y=y), estimator, "labels of one class", words="class")


def check_bad_labels_are_refused(estimator):
    """Check that labels that are missing, continuous or of two columns are refused."""
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
            # NumPy's, in scikit-learn's own look at labels that are NaN, before they are refused.
            warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
            ensure_refused(lambda given=labels: fit(estimator, y=given), estimator, what)
