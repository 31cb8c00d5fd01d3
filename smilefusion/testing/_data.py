"""Clips for the checks, outputs of estimators, and their comparison."""

import pickle
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import joblib
import numpy as np
from sklearn.base import clone

from smilefusion.datasets._data_set import ClipBunch
from smilefusion.datasets.simulated._smiles import make_smiles

FPS = 25
METHODS = ("predict", "predict_proba", "decision_function", "transform")
# Relative to the largest value of a column. Another summation order differs by less in float32.
TOLERANCE = 1e-4
TRAINED_TOLERANCE = 1e-3  # after training on rounded clips, which amplifies differences
N_SHOWN = 4  # clips passed to methods, to save time
Outputs = dict[str, np.ndarray]
# Estimator → hash of its parameters, pickle of its fitted copy, and outputs of the copy.
_SHARED: WeakKeyDictionary = WeakKeyDictionary()


class Smiles(NamedTuple):
    """Simulated clips with labels and subjects."""

    clips: list
    y: np.ndarray
    groups: np.ndarray


@cache
def _simulate() -> ClipBunch:
    return make_smiles(16, n_subjects=8, fps=FPS, jitter=0.0075, random_state=0)


def make_data() -> Smiles:
    """Return copies of 16 clips of 8 subjects."""
    smiles = _simulate()
    clips = [clip.copy() for clip in smiles.clips]
    return Smiles(clips, np.array(smiles.target), np.array(smiles.groups))


def complete_clips(n_frames: int | None = None) -> list[np.ndarray]:
    """Return the clips in float64 without missing frames, cut to `n_frames` if given."""
    return [
        clip[~np.isnan(clip[:, 0, 0])][:n_frames].astype(np.float64) for clip in make_data()[0]
    ]


def object_array(items: list) -> np.ndarray:
    """Return a one-dimensional object array."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def set_nested(estimator: Any, parameter: str, value: Any) -> Any:
    """Set a parameter of an estimator and of all estimators inside it."""
    names = [
        name
        for name in estimator.get_params()
        if name == parameter or name.endswith(f"__{parameter}")
    ]
    return estimator.set_params(**dict.fromkeys(names, value))


def fresh(estimator: Any, seed: Any = 0) -> Any:
    """Return an unfitted copy with a fixed seed."""
    return set_nested(clone(estimator), "random_state", seed)


def fit(estimator: Any, clips: Any = None, y: Any = None, **metadata: Any) -> Any:
    """Return a copy fitted to clips, by default those of `make_data`."""
    data = make_data()
    clips, y = (data.clips if clips is None else clips), (data.y if y is None else y)
    copy = fresh(estimator)
    copy.fit(clips, y, **metadata)
    return copy


def fitted(estimator: Any) -> Any:
    """Return a copy fitted to the clips of `make_data`; all checks share one fit."""
    key = joblib.hash(estimator.get_params())
    if _SHARED.get(estimator, (None,))[0] != key:
        copy = fit(estimator)
        try:
            _SHARED[estimator] = key, pickle.dumps(copy), {}
        except Exception:  # `check_pickle` reports it
            _SHARED.pop(estimator, None)
            return copy
    return pickle.loads(_SHARED[estimator][1])


def reference(estimator: Any) -> Outputs:
    """Return the outputs of the fitted estimator for the first clips; all checks share them."""
    trained = fitted(estimator)
    known = _SHARED[estimator][2] if estimator in _SHARED else {}
    if not known:
        known.update(outputs(trained, shown()))
    return {method: values.copy() for method, values in known.items()}


def shown() -> list[np.ndarray]:
    """Return the first clips of `make_data`."""
    return make_data().clips[:N_SHOWN]


def outputs(estimator: Any, clips: Any) -> Outputs:
    """Return the output of each method of a fitted estimator."""
    return {
        method: np.asarray(getattr(estimator, method)(clips))
        for method in METHODS
        if hasattr(estimator, method)
    }


def digest(estimator: Any, X: Any, y: Any = None) -> float:
    """Return a checksum of the outputs; a scorer for scikit-learn."""
    arrays = outputs(estimator, X).values()
    return float(zlib.crc32(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)))


def ensure(condition: Any, estimator: Any, rule: str) -> None:
    """Fail if a rule does not hold."""
    if not condition:
        raise AssertionError(f"{type(estimator).__name__} breaks a rule: {rule}")


@contextmanager
def ensure_accepted(
    estimator: Any, rule: str, error: type[Exception] = ValueError
) -> Iterator[None]:
    """Fail if the block raises an error."""
    try:
        yield
    except error as refusal:
        raise AssertionError(
            f"{type(estimator).__name__} breaks a rule: {rule} ({refusal})"
        ) from refusal


def ensure_equal(actual: Outputs, expected: Outputs, estimator: Any, rule: str) -> None:
    """Fail if outputs are not identical."""
    for method, values in expected.items():
        got = actual[method]
        same = got.shape == values.shape and got.dtype.kind == values.dtype.kind
        nan = {"equal_nan": True} if values.dtype.kind in "fc" else {}
        ensure(same and np.array_equal(got, values, **nan), estimator, f"{rule} ({method})")


def ensure_close(
    actual: Outputs, expected: Outputs, estimator: Any, rule: str, *, tolerance: float = TOLERANCE
) -> None:
    """Fail if outputs differ by more than rounding."""
    graded = set(expected) & {"predict_proba", "decision_function"}
    for method, values in expected.items():
        if method == "predict" and graded:  # rounding may decide between two classes
            continue
        got = actual[method]
        ensure(got.shape == values.shape, estimator, f"{rule} ({method}, shape {got.shape})")
        if values.dtype.kind not in "fc":
            ensure(np.array_equal(got, values), estimator, f"{rule} ({method})")
            continue
        scale = np.nanmax(np.abs(values), axis=0, initial=0)
        scale = np.maximum(scale, np.median(scale))  # columns that are zero except for rounding
        absent = np.isnan(values)
        ensure(np.array_equal(np.isnan(got), absent), estimator, f"{rule} ({method}, NaN)")
        excess = np.where(absent, 0, np.abs(got - values) - tolerance * scale)
        ensure(
            (excess <= 0).all(),
            estimator,
            f"{rule} ({method}, difference {np.nanmax(np.abs(got - values)):.3g}, "
            f"tolerance {tolerance:g} of a column's largest value)",
        )


def ensure_same(
    estimator: Any,
    rule: str,
    clips: Any = None,
    y: Any = None,
    *,
    tolerance: float = 0,
    **metadata: Any,
) -> None:
    """Fail if a fit to other forms of clips, labels or metadata changes the outputs."""
    trained = fit(estimator, clips, y, **metadata)
    got = outputs(trained, shown() if clips is None else clips[:N_SHOWN])
    if tolerance:
        ensure_close(got, reference(estimator), estimator, rule, tolerance=tolerance)
    else:
        ensure_equal(got, reference(estimator), estimator, rule)


def ensure_refused(
    call: Callable,
    estimator: Any,
    what: str,
    words: str | None = None,
    error: type[Exception] = ValueError,
) -> None:
    """Fail if a call does not raise an error whose message matches `words`."""
    rule = f"{what} must raise {error.__name__}"
    try:
        call()
    except error as refusal:
        named = words is None or re.search(words, str(refusal), re.IGNORECASE)
        message = f"{rule} with a message that matches {words!r}; got {str(refusal)!r}"
        ensure(named, estimator, message)
    except Exception as other:
        message = f"{type(estimator).__name__} breaks a rule: {rule}; got {type(other).__name__}"
        raise AssertionError(f"{message}: {other}") from other
    else:
        ensure(False, estimator, f"{rule}; it was accepted")


def ensure_methods_refuse(
    trained: Any, clips: Any, estimator: Any, what: str, **kwargs: Any
) -> None:
    """Fail if a method accepts invalid clips, see `ensure_refused`."""
    for method in METHODS:
        if hasattr(trained, method):
            call = partial(getattr(trained, method), clips)
            ensure_refused(call, estimator, f"{what}, in {method},", **kwargs)
