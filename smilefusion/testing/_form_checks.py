"""Checks of the accepted forms of clips, labels, groups and weights."""

import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn

from smilefusion.clips._sequence import check_clips
from smilefusion.testing._data import (
    N_SHOWN,
    TOLERANCE,
    TRAINED_TOLERANCE,
    Outputs,
    complete_clips,
    ensure,
    ensure_accepted,
    ensure_close,
    ensure_equal,
    ensure_methods_refuse,
    ensure_refused,
    ensure_same,
    fit,
    fitted,
    fresh,
    make_data,
    object_array,
    outputs,
    reference,
    set_nested,
    shown,
)


def check_forms_of_sequences(estimator: Any) -> None:
    """Check that lists, tuples, object arrays, Series and checked clips are equivalent."""
    clips = make_data().clips
    for form, sequence in (
        ("a tuple", tuple(clips)),
        ("an object array", object_array(clips)),
        ("a Series", pd.Series(clips, index=np.arange(len(clips))[::-1])),
        ("the result of check_clips", check_clips(clips)),
    ):
        ensure_same(estimator, f"{form} gives the same as a list", sequence)


def check_array_of_equal_clips(estimator: Any) -> None:
    """Check that an array with four axes gives the same as the list of its clips."""
    clips = complete_clips(n_frames=40)
    expected = outputs(fit(estimator, clips), clips[:N_SHOWN])
    array = np.stack(clips)
    rule = "an array (n_clips, n_frames, n_landmarks, n_dims) gives the same as a list"
    ensure_equal(outputs(fit(estimator, array), array[:N_SHOWN]), expected, estimator, rule)


def check_paths(estimator: Any) -> None:
    """Check that paths of .npy and .npz files, as Path or str, give the same as arrays."""
    clips, expected = make_data().clips, reference(estimator)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        paths = [Path(folder, f"{number}.npy") for number in range(len(clips))]
        for path, clip in zip(paths, clips, strict=True):
            np.save(path, clip)
            np.savez(path.with_suffix(".npz"), landmarks=clip)
        trained, paths = fit(estimator, paths), paths[:N_SHOWN]
        ensure_equal(outputs(trained, paths), expected, estimator, "paths give the same as arrays")
        packed = [str(path.with_suffix(".npz")) for path in paths]
        rule = "paths of .npz files, as str, give the same as arrays"
        ensure_equal(outputs(trained, packed), expected, estimator, rule)


def check_missing_file_is_refused(estimator: Any) -> None:
    """Check that the path of a missing file is refused by an error that names it."""
    paths = [Path("no_such_folder", "smile.npz")]
    what = "a path without a file"
    ensure_methods_refuse(fitted(estimator), paths, estimator, what, words=r"smile\.npz")


def check_dtypes(estimator: Any) -> None:
    """Check that float32, float64 and the other byte order, mixed, give the same."""
    clips = [
        clip.astype(dtype)
        for clip, dtype in zip(make_data().clips, cycle((np.float64, ">f4", ">f8")), strict=False)
    ]
    rule = "clips of dtypes float64, >f4 and >f8 give the same as float32"
    ensure_same(estimator, rule, clips, tolerance=TRAINED_TOLERANCE)


def check_integer_clips(estimator: Any) -> None:
    """Check that integer clips, such as pixels, give the same as floating point."""
    floating = [np.rint(5000 * clip) for clip in complete_clips()]
    expected = outputs(fit(estimator, floating), floating[:N_SHOWN])
    whole = [clip.astype(np.int32) for clip in floating]
    rule = "integer clips give the same as floating point"
    got = outputs(fit(estimator, whole), whole[:N_SHOWN])
    # Integers become single precision. Training amplifies the rounding, most if it is repeated.
    ensure_close(got, expected, estimator, rule, tolerance=5 * TRAINED_TOLERANCE)


def check_memory_layouts(estimator: Any) -> None:
    """Check that Fortran order and strides, mixed, do not matter."""
    layouts: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
        np.asfortranarray,
        lambda clip: np.repeat(clip, 2, axis=0)[::2],
        lambda clip: clip[::-1].copy()[::-1],
    )
    clips = [lay(clip) for clip, lay in zip(make_data().clips, cycle(layouts), strict=False)]
    rule = "clips in Fortran order or with strides give the same as contiguous ones"
    ensure_same(estimator, rule, clips, tolerance=TOLERANCE)


def check_missing_frames(estimator: Any) -> None:
    """Check that results are finite if frames are missing at the start, middle and end."""
    data = make_data()
    for clip in data.clips[::2]:
        clip[:2] = clip[20:23] = clip[-2:] = np.nan
    with ensure_accepted(estimator, "clips may have missing frames"):
        found = outputs(fit(estimator, data.clips, data.y), data.clips[:N_SHOWN])
    for method, values in found.items():
        ensure(len(values) == N_SHOWN, estimator, f"{method} returns a row per clip")
        finite = values.dtype.kind not in "fc" or np.isfinite(values).all()
        ensure(finite, estimator, f"{method} is finite for clips with missing frames")


def _check_labels(estimator: Any, labels: list) -> None:
    """Check labels, one per class, against the numbers 0 and 1."""
    y, expected = np.asarray(labels)[make_data().y], reference(estimator)
    if "predict" in expected:
        expected["predict"] = np.asarray(labels)[expected["predict"]]
    trained = fit(estimator, y=y)
    rule = f"labels {list(labels)} give the same as 0 and 1"
    ensure_equal(outputs(trained, shown()), expected, estimator, rule)
    if hasattr(trained, "classes_"):
        same = list(trained.classes_) == list(labels)
        ensure(same, estimator, f"classes_ are the labels {list(labels)}; got {trained.classes_}")


def check_string_labels(estimator: Any) -> None:
    """Check that labels may be text."""
    _check_labels(estimator, ["posed", "spontaneous"])


def check_boolean_labels(estimator: Any) -> None:
    """Check that labels may be False and True."""
    _check_labels(estimator, [False, True])


def check_forms_of_labels(estimator: Any) -> None:
    """Check that labels in a list and in a Series give the same as an array."""
    y = make_data().y
    series = pd.Series(y, index=np.arange(len(y))[::-1])
    for form, labels in (("list", y.tolist()), ("Series", series)):
        ensure_same(estimator, f"labels in a {form} give the same as an array", y=labels)


def check_three_classes(estimator: Any) -> None:
    """Check that three classes are accepted."""
    data = make_data()
    y = np.array(["mixed", "posed", "spontaneous"])[np.arange(len(data.y)) % 3]
    found = outputs(fit(estimator, y=y), shown())
    if "predict" in found:
        ensure(set(found["predict"]) <= set(y), estimator, "predictions are labels of y")
    if "predict_proba" in found:
        rule = "predict_proba has a column for each of three classes"
        ensure(found["predict_proba"].shape == (N_SHOWN, 3), estimator, rule)


def _fit_with_groups(estimator: Any, groups: Any, **params: Any) -> Outputs:
    """Return the outputs of a copy that is fitted with groups."""
    data = make_data()
    with sklearn.config_context(enable_metadata_routing=True):
        copy = fresh(estimator)
        for name, value in params.items():
            set_nested(copy, name, value)
        copy.fit(data.clips, data.y, groups=groups)
        return outputs(copy, data.clips[:N_SHOWN])


def check_forms_of_groups(estimator: Any) -> None:
    """Check that groups may be numbers or text, in an array, a list or a Series."""
    groups = make_data().groups
    kept = groups.copy()
    expected = _fit_with_groups(estimator, groups)
    ensure(np.array_equal(groups, kept), estimator, "fit does not change the groups")
    numbers = np.unique(groups, return_inverse=True)[1]
    names = [f"subject {number:02d}" for number in numbers]
    for form, given in (
        ("of numbers in a list", numbers.tolist()),
        ("of text in a Series", pd.Series(names, index=np.arange(len(names))[::-1])),
    ):
        rule = f"groups {form} give the same as an array"
        ensure_equal(_fit_with_groups(estimator, given), expected, estimator, rule)


def check_groups_of_another_length_are_refused(estimator: Any) -> None:
    """Check that groups that are not one per clip are refused."""
    groups = make_data().groups[:-1]
    call = lambda: _fit_with_groups(estimator, groups)  # noqa: E731
    ensure_refused(call, estimator, "groups that are not one per clip", words="groups")


def check_early_stopping_keeps_groups_whole(estimator: Any) -> None:
    """Check that early stopping on clips of one subject is refused."""
    one = np.zeros(len(make_data().y), dtype=int)
    call = lambda: _fit_with_groups(estimator, one, patience=10)  # noqa: E731
    ensure_refused(call, estimator, "early stopping on clips of one group", words="groups")


def check_uniform_sample_weight(estimator: Any) -> None:
    """Check that weights of 1, in an array or a list, give the same as no weights."""
    ones = np.ones(len(make_data().y))
    for form, weights in (("an array", ones), ("a list", ones.tolist())):
        rule = f"weights of 1 in {form} give the same as no weights"
        ensure_same(estimator, rule, tolerance=TOLERANCE, sample_weight=weights)


def check_sample_weight_counts(estimator: Any) -> None:
    """Check that different weights change the model and are not changed themselves."""
    plain = reference(estimator)
    weights = np.where(np.arange(len(make_data().y)) < 10, 1.0, 0.1)
    kept = weights.copy()
    weighted = outputs(fit(estimator, sample_weight=weights), shown())
    ensure(np.array_equal(weights, kept), estimator, "fit does not change the weights")
    differs = any(not np.array_equal(plain[method], weighted[method]) for method in plain)
    ensure(differs, estimator, "different weights change the model")


def check_bad_sample_weight_is_refused(estimator: Any) -> None:
    """Check that negative or missing weights, or weights of the wrong length, are refused."""
    ones = np.ones(len(make_data().y))
    for what, weights in (
        ("negative weights", -ones),
        ("weights of NaN", ones * np.nan),
        ("weights of the wrong length", ones[:-1]),
    ):
        call = lambda w=weights: fit(estimator, sample_weight=w)  # noqa: E731
        ensure_refused(call, estimator, what, words="sample_weight|weights")
