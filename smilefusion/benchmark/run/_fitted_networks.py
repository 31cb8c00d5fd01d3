"""Networks inside a fitted estimator: their training subjects, devices and parameters."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import _CalibratedClassifier
from sklearn.frozen import FrozenEstimator

_SPLIT_KEYS = {"train", "early_stopping", "n_train", "n_early_stopping"}
_STEPS = ("steps", "transformer_list")  # parameters that hold fitted estimators


class _FittedPart(NamedTuple):
    """A fitted estimator inside another one."""

    place: str
    estimator: Any
    member: str  # place of the ensemble member that contains it, or ""


def describe_splits(estimator: Any) -> list[dict[str, Any]]:
    """Return the name, training and early-stopping subjects of each network."""
    return [
        {
            "network": f"{place}: {type(network).__name__}" if place else type(network).__name__,
            "train": name_subjects(network.split_["train"]),
            "early_stopping": name_subjects(network.split_["early_stopping"]),
            "n_train": network.split_["n_train"],
            "n_early_stopping": network.split_["n_early_stopping"],
            "n_folds": network.split_.get("n_folds", 0),
            "learns": getattr(network, "objective", None) != "frozen",
            "member": member,
        }
        for place, network, member in find_networks(estimator)
    ]


def name_subjects(labels: Any) -> list[str] | None:
    """Return the sorted names of distinct subjects, or None if they are unknown."""
    return None if labels is None else sorted({str(label) for label in np.asarray(labels)})


def in_same_model(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two networks belong to one model and not to different ensemble members."""
    places = [f"{network['member']}." if network["member"] else "" for network in (one, other)]
    return places[0].startswith(places[1]) or places[1].startswith(places[0])


def find_networks(estimator: Any) -> list[_FittedPart]:
    """Return the distinct networks in an estimator that record their split."""
    networks: dict[int, _FittedPart] = {}
    for part in _walk(_FittedPart("", estimator, "")):
        if _records_split(part.estimator):
            networks.setdefault(id(part.estimator), part)
    return list(networks.values())


def count_parameters(estimator: Any) -> float:
    """Count the trained parameters of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator: one with a skorch net ``net_``, a linear model, or a pipeline,
        feature union, search or ensemble of these.

    Returns
    -------
    n_parameters : float
        Number of trainable weights of its networks and of coefficients and intercepts of its
        linear models, summed over its parts. NaN for other kinds of predictors. Scalers and other
        transformers without gradients count as 0.
    """
    if hasattr(estimator, "net_"):
        weights = estimator.net_.module_.parameters()
        return float(sum(weight.numel() for weight in weights if weight.requires_grad))
    if hasattr(estimator, "coef_"):
        return float(np.size(estimator.coef_) + np.size(getattr(estimator, "intercept_", ())))
    held = _inner_parts(_FittedPart("", estimator, ""))
    parts = {id(part.estimator): part.estimator for part in held}
    if parts:
        return float(sum(map(count_parameters, parts.values())))
    return 0.0 if hasattr(estimator, "transform") else float("nan")


def find_abstain_label(estimator: Any) -> Any:
    """Return the label that a fitted estimator predicts if it abstains, or None."""
    if hasattr(estimator, "abstain_label_"):
        return estimator.abstain_label_
    last = getattr(estimator, "best_estimator_", getattr(estimator, "_final_estimator", None))
    return None if last is None else find_abstain_label(last)


def _records_split(estimator: Any) -> bool:
    split = getattr(estimator, "__dict__", {}).get("split_")
    return isinstance(split, dict) and split.keys() >= _SPLIT_KEYS


def _walk(part: _FittedPart) -> Iterator[_FittedPart]:
    """Yield an estimator and the fitted estimators inside it, but not inside networks."""
    yield part
    if not _records_split(part.estimator):
        for inner in _inner_parts(part):
            yield from _walk(inner)


def _inner_parts(part: _FittedPart) -> Iterator[_FittedPart]:
    """Yield the fitted estimators that an estimator holds directly."""
    held = getattr(part.estimator, "__dict__", {})  # excludes what a FrozenEstimator forwards
    if "best_estimator_" in held:  # the other candidates were discarded
        held = {"best_estimator_": held["best_estimator_"]}
    for name, value in held.items():
        is_learned = name.endswith("_") and not name.startswith("_")
        if is_learned or name in _STEPS or isinstance(part.estimator, FrozenEstimator):
            for inner, estimator, is_member in _entries(name, value):
                place = f"{part.place}.{inner}" if part.place else inner
                yield _FittedPart(place, estimator, place if is_member else part.member)


def _entries(
    name: str, value: Any, is_member: bool = False
) -> Iterator[tuple[str, BaseEstimator, bool]]:
    """Yield the estimators in an attribute; those in unnamed lists form an ensemble."""
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist() if value.dtype == object else ()
    if isinstance(value, _CalibratedClassifier):  # not itself an estimator
        value = value.estimator
    if isinstance(value, BaseEstimator):
        yield name, value, is_member
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _entries(str(key), each, is_member)
    elif isinstance(value, (list, tuple)):
        for i, each in enumerate(value):
            if isinstance(each, tuple) and len(each) > 1 and isinstance(each[0], str):
                yield from _entries(each[0], each[1], is_member)
            else:
                yield from _entries(f"{name}.{i}", each, is_member=True)
