"""Whom the networks inside a fitted estimator were trained on, as the estimators tell it."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import _CalibratedClassifier
from sklearn.frozen import FrozenEstimator

_PARTS = {"train", "early_stopping", "n_train", "n_early_stopping"}  # of a `split_`
_STEPS = ("steps", "transformer_list")  # parameters that hold what was fitted, not templates


def describe_splits(estimator):
    """Return whom the networks in a fitted estimator were trained on, a dict for each.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator; networks are looked for in its steps, in the best estimator of a
        search, in calibrated and in frozen ones, and in other fitted attributes.

    Returns
    -------
    networks : list of dict
        ``network``, place and class; ``train`` and ``early_stopping``, names of subjects or None
        where they are not known; ``n_train`` and ``n_early_stopping``, numbers of clips.
    """
    return [
        {
            "network": f"{place}: {type(network).__name__}" if place else type(network).__name__,
            "train": name_subjects(network.split_["train"]),
            "early_stopping": name_subjects(network.split_["early_stopping"]),
            "n_train": network.split_["n_train"],
            "n_early_stopping": network.split_["n_early_stopping"],
        }
        for place, network in _find_networks(estimator, "")
    ]


def name_subjects(labels):
    """Return distinct labels of subjects as sorted text; None of None."""
    return None if labels is None else sorted({str(label) for label in np.asarray(labels)})


def _find_networks(part, place):
    """Yield place and estimator of everything inside that tells of its split."""
    held = getattr(part, "__dict__", {})  # not what a FrozenEstimator passes on
    split = held.get("split_")
    if isinstance(split, dict) and split.keys() >= _PARTS:
        yield place, part
        return
    for name, inner in _fitted_parts(part, held):
        yield from _find_networks(inner, f"{place}.{name}" if place else name)


def _fitted_parts(part, held):
    """Yield name and value of the estimators that a part holds and that may be fitted."""
    if "best_estimator_" in held:  # the others were tried and dropped
        held = {"best_estimator_": part.best_estimator_}
    for name, value in held.items():
        is_learned = name.endswith("_") and not name.startswith("_")
        if is_learned or name in _STEPS or isinstance(part, FrozenEstimator):
            yield from _entries(name, value)


def _entries(name, value):
    """Yield the estimators that an attribute holds, also in a list of named ones."""
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist() if value.dtype == object else ()
    if isinstance(value, _CalibratedClassifier):  # no estimator itself
        value = value.estimator
    if isinstance(value, BaseEstimator):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _entries(str(key), each)
    elif isinstance(value, (list, tuple)):
        for i, each in enumerate(value):
            named = isinstance(each, tuple) and len(each) > 1 and isinstance(each[0], str)
            yield from _entries(*(each[:2] if named else (f"{name}.{i}", each)))
