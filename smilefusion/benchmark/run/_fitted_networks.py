"""Training and early-stopping subjects of the networks inside a fitted estimator."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import _CalibratedClassifier
from sklearn.frozen import FrozenEstimator

_PARTS = {"train", "early_stopping", "n_train", "n_early_stopping"}  # of a `split_`
_STEPS = ("steps", "transformer_list")  # parameters that hold what was fitted, not templates


def describe_splits(estimator):
    """Return the subjects that the networks in a fitted estimator were trained on.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator; networks are looked for in its steps, in the best estimator of a
        search, in calibrated and in frozen ones, and in other fitted attributes.

    Returns
    -------
    networks : list of dict
        ``network``, place and class; ``train`` and ``early_stopping``, names of subjects or None
        if unknown; ``n_train`` and ``n_early_stopping``, numbers of clips; and ``member``, the
        place of the ensemble member that contains the network, or "" outside an ensemble.
    """
    return [
        {
            "network": f"{place}: {type(network).__name__}" if place else type(network).__name__,
            "train": name_subjects(network.split_["train"]),
            "early_stopping": name_subjects(network.split_["early_stopping"]),
            "n_train": network.split_["n_train"],
            "n_early_stopping": network.split_["n_early_stopping"],
            "member": member,
        }
        for place, member, network in find_networks(estimator)
    ]


def name_subjects(labels):
    """Return distinct labels of subjects as sorted text; None for None."""
    return None if labels is None else sorted({str(label) for label in np.asarray(labels)})


def in_same_model(one, other):
    """Whether two networks are part of one model, not of different ensemble members."""
    if one is other:
        return True
    if "member" not in one or "member" not in other:  # records of earlier versions
        return False
    places = [f"{network['member']}." if network["member"] else "" for network in (one, other)]
    return places[0].startswith(places[1]) or places[1].startswith(places[0])


def find_networks(part, place="", member=""):
    """Yield place, ensemble member and estimator of every network that records its split."""
    held = getattr(part, "__dict__", {})  # not the attributes that a FrozenEstimator forwards
    split = held.get("split_")
    if isinstance(split, dict) and split.keys() >= _PARTS:
        yield place, member, part
        return
    for name, inner, is_member in _fitted_parts(part, held):
        inside = f"{place}.{name}" if place else name
        yield from find_networks(inner, inside, inside if is_member else member)


def _fitted_parts(part, held):
    """Yield name, value and ensemble membership of the fitted estimators in a part."""
    if "best_estimator_" in held:  # the other candidates were discarded
        held = {"best_estimator_": part.best_estimator_}
    for name, value in held.items():
        is_learned = name.endswith("_") and not name.startswith("_")
        if is_learned or name in _STEPS or isinstance(part, FrozenEstimator):
            yield from _entries(name, value)


def _entries(name, value, is_member=False):
    """Yield the estimators in an attribute; those in unnamed lists form an ensemble."""
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist() if value.dtype == object else ()
    if isinstance(value, _CalibratedClassifier):  # no estimator itself
        value = value.estimator
    if isinstance(value, BaseEstimator):
        yield name, value, is_member
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _entries(str(key), each, is_member)
    elif isinstance(value, (list, tuple)):
        for i, each in enumerate(value):
            if isinstance(each, tuple) and len(each) > 1 and isinstance(each[0], str):
                yield from _entries(*each[:2], is_member)
            else:
                yield from _entries(f"{name}.{i}", each, is_member=True)
