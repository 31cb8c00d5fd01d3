"""Clips that checks use, what estimators give for them, and how results are compared."""

import pickle
import re
import zlib
from functools import cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

import joblib
import numpy as np
from sklearn.base import clone

from smilefusion.datasets.simulated._smiles import make_smiles

FPS = 25
METHODS = ("predict", "predict_proba", "decision_function", "transform")
# Relative to a column's largest value. Sums of another order differ by less in float32.
TOLERANCE = 1e-4
TRAINED_TOLERANCE = 1e-3  # where a training started from rounded clips: it makes more of them


N_SHOWN = 6  # clips for which methods are called where all would take long
# Estimator -> hash of its parameters and pickle of its fitted copy.
_SHARED: WeakKeyDictionary = WeakKeyDictionary()


class Smiles(NamedTuple):
    """Simulated clips with labels and subjects."""

    clips: list
    y: np.ndarray
    groups: np.ndarray


@cache
def _simulate():
    return make_smiles(16, n_subjects=8, fps=FPS, random_state=0)


def make_data():
    """Return 16 clips of 8 subjects, which the caller may change."""
    smiles = _simulate()
    clips = [clip.copy() for clip in smiles.clips]
    return Smiles(clips, np.array(smiles.target), np.array(smiles.groups))


def complete_clips(n_frames=None):
    """Return the clips without their missing frames, float64; the first frames of each."""
    return [
        clip[~np.isnan(clip[:, 0, 0])][:n_frames].astype(np.float64) for clip in make_data()[0]
    ]


def object_array(items):
    """Return a one-dimensional object array."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def name_of(estimator):
    """Return the name of an estimator in messages."""
    return type(estimator).__name__


def set_everywhere(estimator, parameter, value):
    """Set a parameter of an estimator and of those inside it; return the estimator."""
    names = [
        name
        for name in estimator.get_params()
        if name == parameter or name.endswith(f"__{parameter}")
    ]
    return estimator.set_params(**dict.fromkeys(names, value))


def fresh(estimator, seed=0):
    """Return an unfitted copy with a fixed seed."""
    return set_everywhere(clone(estimator), "random_state", seed)


def fit(estimator, clips=None, y=None, **metadata):
    """Return a copy that is fitted to clips, by default those of `make_data`."""
    data = make_data()
    clips, y = (data.clips if clips is None else clips), (data.y if y is None else y)
    copy = fresh(estimator)
    copy.fit(clips, y, **metadata)
    return copy


def fitted(estimator):
    """Return a copy fitted to the clips of `make_data`, fitted once for all checks."""
    key = joblib.hash(estimator.get_params())
    if _SHARED.get(estimator, (None,))[0] != key:
        copy = fit(estimator)
        try:
            _SHARED[estimator] = key, pickle.dumps(copy)
        except Exception:  # `check_pickle` tells of it
            return copy
    return pickle.loads(_SHARED[estimator][1])


def reference(estimator):
    """Return what the methods of the fitted estimator give for the first clips."""
    return outputs(fitted(estimator), shown())


def shown():
    """Return the first clips of `make_data`."""
    return make_data().clips[:N_SHOWN]


def outputs(estimator, clips):
    """Return what each method of a fitted estimator gives for clips."""
    return {
        method: np.asarray(getattr(estimator, method)(clips))
        for method in METHODS
        if hasattr(estimator, method)
    }


def digest(estimator, X, y=None):
    """Score an estimator by a checksum of what it gives; a scorer of scikit-learn."""
    arrays = outputs(estimator, X).values()
    return float(zlib.crc32(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)))


def ensure(condition, estimator, rule):
    """Fail a check whose rule does not hold."""
    if not condition:
        raise AssertionError(f"{name_of(estimator)} breaks a rule: {rule}")


def ensure_equal(actual, expected, estimator, rule):
    """Fail a check where what methods give is not the same bit for bit."""
    for method, values in expected.items():
        got = actual[method]
        same = got.shape == values.shape and got.dtype.kind == values.dtype.kind
        nan = {"equal_nan": True} if values.dtype.kind in "fc" else {}
        ensure(same and np.array_equal(got, values, **nan), estimator, f"{rule} ({method})")


def ensure_close(actual, expected, estimator, rule, *, tolerance=TOLERANCE):
    """Fail a check where what methods give differs by more than rounding."""
    graded = set(expected) & {"predict_proba", "decision_function"}
    for method, values in expected.items():
        if method == "predict" and graded:  # a rounding may decide between two classes
            continue
        got = actual[method]
        ensure(got.shape == values.shape, estimator, f"{rule} ({method}, shape {got.shape})")
        if values.dtype.kind not in "fc":
            ensure(np.array_equal(got, values), estimator, f"{rule} ({method})")
            continue
        scale = np.nanmax(np.abs(values), axis=0, initial=0)
        scale = np.maximum(scale, np.median(scale))  # columns that are zero but for rounding
        absent = np.isnan(values)
        ensure(np.array_equal(np.isnan(got), absent), estimator, f"{rule} ({method}, NaN)")
        excess = np.where(absent, 0, np.abs(got - values) - tolerance * scale)
        ensure(
            (excess <= 0).all(),
            estimator,
            f"{rule} ({method}, difference {np.nanmax(np.abs(got - values)):.3g}, "
            f"tolerance {tolerance:g} of a column's largest value)",
        )


def ensure_refused(call, estimator, what, words=None, error=ValueError):
    """Fail a check where a call does not raise an error whose message has certain words."""
    rule = f"{what} must raise {error.__name__}"
    try:
        call()
    except error as refusal:
        named = words is None or re.search(words, str(refusal), re.IGNORECASE)
        message = f"{rule} with a message that names {words!r}; got {str(refusal)!r}"
        ensure(named, estimator, message)
    except Exception as other:
        message = f"{name_of(estimator)} breaks a rule: {rule}; got {type(other).__name__}"
        raise AssertionError(f"{message}: {other}") from other
    else:
        ensure(False, estimator, f"{rule}; it was accepted")
