"""Checks of the outputs of estimators."""

from collections.abc import Callable
from typing import Any

import numpy as np

from smilefusion.clips._sequence import check_clips
from smilefusion.landmarks import face_geometry
from smilefusion.testing._data import (
    FPS,
    N_SHOWN,
    ensure,
    ensure_close,
    ensure_equal,
    ensure_refused,
    fit,
    fitted,
    fresh,
    make_data,
    outputs,
    set_nested,
    shown,
)


def check_order_of_clips(estimator: Any) -> None:
    """Check that rows follow the order of the clips."""
    trained, clips = fitted(estimator), shown()
    expected = outputs(trained, clips)
    order = np.random.default_rng(0).permutation(len(clips))
    shuffled = outputs(trained, [clips[number] for number in order])
    moved = {method: values[order] for method, values in expected.items()}
    ensure_close(shuffled, moved, estimator, "rows follow the order of the clips")


def check_clip_alone(estimator: Any) -> None:
    """Check that the output for a clip does not depend on the other clips."""
    trained, clips = fitted(estimator), shown()
    single = [outputs(trained, [clip]) for clip in clips]
    together = {method: np.concatenate([each[method] for each in single]) for method in single[0]}
    rule = "a single clip gives the same as a clip among others"
    ensure_close(together, outputs(trained, clips), estimator, rule)


def check_longer_neighbours(estimator: Any) -> None:
    """Check that a much longer clip in the same call, which causes padding, changes nothing."""
    trained, clips = fitted(estimator), shown()
    expected = outputs(trained, clips)
    long = np.concatenate([clips[0], clips[0][::-1]] * 4)
    found = outputs(trained, [*clips, long])
    kept = {method: values[:-1] for method, values in found.items()}
    ensure_close(kept, expected, estimator, "a longer clip in the same call changes nothing")


def check_classifier_outputs(estimator: Any) -> None:
    """Check that classes, probabilities, predictions and score are consistent."""
    data = make_data()
    trained = fitted(estimator)
    found = outputs(trained, data.clips)
    classes = trained.classes_
    ensure(list(classes) == [0, 1], estimator, f"classes_ are the sorted labels; got {classes}")
    predicted = found["predict"]
    ensure(set(predicted) <= {0, 1}, estimator, "predictions are labels seen in fit")
    if "predict_proba" in found:
        probability = found["predict_proba"]
        shape = (len(data.y), 2)
        ensure(probability.shape == shape, estimator, f"predict_proba has shape {shape}")
        is_share = (probability >= 0).all() and np.allclose(probability.sum(axis=1), 1, atol=1e-5)
        ensure(is_share, estimator, "probabilities are not negative and sum to 1")
        likeliest = classes[probability.argmax(axis=1)]
        agree = np.array_equal(likeliest, predicted)
        ensure(agree, estimator, "predict returns the class with the highest probability")
    score = trained.score(data.clips, data.y)
    accuracy = np.mean(predicted == data.y)
    ensure(np.isclose(score, accuracy), estimator, "score is the share of correct predictions")


def check_feature_names(estimator: Any) -> None:
    """Check that get_feature_names_out names every column, each once."""
    trained = fitted(estimator)
    names = np.asarray(trained.get_feature_names_out())
    n_columns = trained.transform(shown()).shape[1]
    ensure(names.shape == (n_columns,), estimator, f"{n_columns} columns have {n_columns} names")
    texts = all(isinstance(name, str) for name in names)
    ensure(texts, estimator, "feature names are text")
    ensure(len(set(names)) == len(names), estimator, "feature names are unique")


def check_set_output(estimator: Any) -> None:
    """Check that set_output returns the same numbers with the feature names."""
    data, expected = make_data(), fitted(estimator)
    table = fresh(estimator).set_output(transform="pandas").fit(data.clips, data.y)
    frame = table.transform(shown())
    names = list(expected.get_feature_names_out())
    ensure(hasattr(frame, "columns"), estimator, 'set_output(transform="pandas") returns a table')
    ensure(list(frame.columns) == names, estimator, "its columns are the feature names")
    values = {"transform": expected.transform(shown())}
    rule = "set_output does not change values"
    ensure_equal({"transform": frame.to_numpy()}, values, estimator, rule)


def check_forms_of_fps(estimator: Any) -> None:
    """Check that a frame rate stored with the clips gives the same as the parameter."""
    clips = make_data().clips
    expected = outputs(fit(set_nested(fresh(estimator), "fps", float(FPS))), clips)
    stated = check_clips(clips, fps=FPS)
    trained = fit(set_nested(fresh(estimator), "fps", None), stated)
    rule = "fps=None uses the rate stored with the clips"
    ensure_equal(outputs(trained, stated), expected, estimator, rule)


def check_bad_fps_is_refused(estimator: Any) -> None:
    """Check that frame rates that are not positive, or not one per clip, are refused."""
    for fps in (0, -25.0, np.nan, np.inf, "fast", [25.0, 50.0]):
        copy = set_nested(fresh(estimator), "fps", fps)
        ensure_refused(lambda e=copy: fit(e), estimator, f"fps={fps!r}", words="fps")


def _smile_clip() -> np.ndarray:
    """Return a noise-free clip of a face that smiles for a few seconds."""
    face = face_geometry()
    shape = np.interp(np.arange(200), [30, 70, 120, 170], [0, 1, 1, 0])
    smile = np.sin(np.pi / 2 * shape) ** 2 * 0.3
    return face["neutral"] + smile[:, None, None] * face["smile"]


def check_durations_follow_fps(estimator: Any) -> None:
    """Check that durations are in seconds: half the frame rate doubles them."""
    total = {}
    for fps in (60.0, 30.0):
        trained = fit(set_nested(fresh(estimator), "fps", fps), [_smile_clip()] * 2, [0, 1])
        is_duration = [name.endswith("duration") for name in trained.get_feature_names_out()]
        total[fps] = np.asarray(trained.transform([_smile_clip()]))[0, is_duration].sum()
    ratio = total[30.0] / total[60.0] if total[60.0] else np.nan
    doubled = 1.8 < ratio < 2.2  # filters, whose width is in seconds, shift limits slightly
    ensure(doubled, estimator, f"half the fps doubles durations; their ratio is {ratio:.3g}")


def _mirror(clip: np.ndarray) -> np.ndarray:
    """Return the mirror image of a clip of 478 landmarks."""
    return clip[:, face_geometry()["mirror"]] * [-1.0, 1.0, 1.0]


def check_mirrored_clips(estimator: Any) -> None:
    """Check that mirrored clips are accepted and give finite outputs."""
    clips = [_mirror(clip) for clip in make_data().clips]
    for method, values in outputs(fit(estimator, clips), clips[:N_SHOWN]).items():
        finite = values.dtype.kind not in "fc" or np.isfinite(values).all()
        ensure(finite, estimator, f"{method} is finite for mirrored clips")


def _turn(clip: np.ndarray) -> np.ndarray:
    """Return a clip rotated in the image plane by 20 degrees."""
    angle = np.deg2rad(20)
    turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    return clip @ np.transpose(turn)


def _ensure_invariant(
    estimator: Any, change: Callable[[np.ndarray], np.ndarray], what: str
) -> None:
    """Fail if transformed clips change the outputs."""
    clips = [clip.astype(np.float64) for clip in shown()]
    trained = fitted(estimator)
    expected = outputs(trained, clips)
    changed = outputs(trained, [change(clip) for clip in clips])
    rule = f"its tags claim invariance to {what}"
    ensure_close(changed, expected, estimator, rule, tolerance=1e-3)


def check_translation(estimator: Any) -> None:
    """Check the invariance to translation that the tags claim."""
    _ensure_invariant(estimator, lambda clip: clip + np.array([0.3, -0.2, 0.1]), "translation")


def check_scale(estimator: Any) -> None:
    """Check the invariance to scale that the tags claim."""
    _ensure_invariant(estimator, lambda clip: 720.0 * clip, "scale")


def check_rotation(estimator: Any) -> None:
    """Check the invariance to rotation in the image plane that the tags claim."""
    _ensure_invariant(estimator, _turn, "rotation")


def check_mirror(estimator: Any) -> None:
    """Check the invariance to mirroring that the tags claim."""
    _ensure_invariant(estimator, _mirror, "mirror")
