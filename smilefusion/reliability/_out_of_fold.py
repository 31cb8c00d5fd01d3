"""Out-of-fold predictions, with folds of whole subjects."""

from collections.abc import Collection
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_sample_weight, _num_samples, has_fit_parameter

from smilefusion._training._splits import check_groups
from smilefusion._training._trainer import check_labels, encode_labels
from smilefusion.clips._sequence import ClipSequence

_N_FOLDS = 5  # of cv=None, as in scikit-learn


@dataclass(frozen=True)
class Sample:
    """Checked training data of a classifier that wraps another one."""

    X: Any
    y: np.ndarray  # (n,) labels as given
    classes: np.ndarray  # (n_classes,) sorted labels
    indices: np.ndarray  # (n,) position of each label among the classes
    groups: np.ndarray | None  # (n,)
    sample_weight: np.ndarray | None  # (n,)

    def fit(self, estimator: BaseEstimator, rows: np.ndarray | None = None) -> BaseEstimator:
        """Fit a clone of an estimator to all samples, or to some rows."""
        data: tuple[Any, ...] = (self.X, self.y, self.groups, self.sample_weight)
        if rows is not None:
            data = tuple(None if part is None else _safe_indexing(part, rows) for part in data)
        return fit_with_metadata(clone(estimator), *data)


@dataclass(frozen=True)
class FittedFold:
    """An estimator fitted without the subjects of a fold, and its predictions for them."""

    estimator: BaseEstimator
    test: np.ndarray  # (n_test,) rows of the fold
    probability: np.ndarray  # (n_test, n_classes)


def check_sample(
    X: Any,
    y: Any,
    groups: Any,
    sample_weight: Any,
    estimator: BaseEstimator,
) -> Sample:
    """Validate the training data that the fit of an estimator receives."""
    if groups is None and isinstance(X, ClipSequence):
        groups = X.subjects
    (X,) = indexable(X)
    n_samples = _num_samples(X)
    if n_samples == 0:
        raise ValueError("X holds no clips. Pass at least one clip of each class.")
    y = check_labels(y, n_samples, estimator)
    classes, indices = encode_labels(y, estimator)
    groups = check_groups(groups, n_samples)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
    return Sample(X, y, classes, indices, groups, sample_weight)


def takes_metadata(consumer: Any, method: str, names: Collection[str] = ("groups",)) -> set[str]:
    """Return the metadata that metadata routing passes to an estimator or splitter."""
    return set(get_routing_for_object(consumer).consumes(method, names))


def fit_with_metadata(
    estimator: BaseEstimator,
    X: Any,
    y: np.ndarray,
    groups: np.ndarray | None,
    sample_weight: np.ndarray | None = None,
) -> BaseEstimator:
    """Fit an estimator; pass groups and weights by name or by metadata routing."""
    # Routing is switched on during this call, because otherwise early stopping inside pipelines
    # and searches would not know the subjects.
    given = {"groups": groups, "sample_weight": sample_weight}
    by_name = {name for name in given if has_fit_parameter(estimator, name)}
    routed = takes_metadata(estimator, "fit", given.keys() - by_name)
    if sample_weight is not None and "sample_weight" not in by_name | routed:
        raise ValueError(
            f"sample_weight does not reach the fit of {type(estimator).__name__}. Use an "
            f"estimator whose fit accepts it, call set_fit_request(sample_weight=True) on the "
            f"steps that need it, or omit sample_weight."
        )
    metadata = {
        name: value
        for name, value in given.items()
        if value is not None and name in by_name | routed
    }
    switched = {"enable_metadata_routing": True} if routed & metadata.keys() else {}
    with sklearn.config_context(**switched):
        return estimator.fit(X, y, **metadata)


def fit_folds(
    estimator: BaseEstimator, sample: Sample, cv: Any, n_jobs: int | None
) -> list[FittedFold]:
    """Fit a clone of an estimator for each fold and predict the rest of the samples."""
    return Parallel(n_jobs=n_jobs)(
        delayed(_fit_fold)(estimator, sample, train, test)
        for train, test in _split_by_subject(cv, sample)
    )


def _fit_fold(
    estimator: BaseEstimator, sample: Sample, train: np.ndarray, test: np.ndarray
) -> FittedFold:
    fitted = sample.fit(estimator, train)
    probability = fitted.predict_proba(_safe_indexing(sample.X, test))
    return FittedFold(fitted, test, np.asarray(probability, dtype=np.float64))


def _split_by_subject(cv: Any, sample: Sample) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the training and test rows of each fold; no group lies in both."""
    n_samples, groups = len(sample.y), sample.groups
    if cv is None or isinstance(cv, Integral):
        n_folds = _N_FOLDS if cv is None else int(cv)
        _check_enough(n_folds, sample)
        cv = StratifiedKFold(n_folds) if groups is None else StratifiedGroupKFold(n_folds)
    splitter = check_cv(cv, sample.indices, classifier=True)
    if hasattr(splitter, "get_metadata_routing") and not takes_metadata(splitter, "split"):
        groups = None  # other splitters of scikit-learn warn if they get groups
    rows = np.arange(n_samples)
    parts = splitter.split(np.zeros((n_samples, 1)), sample.indices, groups)
    folds = [(rows[train], rows[test]) for train, test in parts]  # masks become rows
    for number, (train, test) in enumerate(folds):
        _check_fold(number, sample, train, test)
    return folds


def _check_enough(n_folds: int, sample: Sample) -> None:
    counts = np.bincount(sample.indices)
    if counts.min() < n_folds:
        raise ValueError(
            f"cv={n_folds} needs at least {n_folds} clips of every class; class "
            f"{sample.classes[counts.argmin()]} has {counts.min()}. Lower cv or add clips."
        )
    n_groups = n_folds if sample.groups is None else len(np.unique(sample.groups))
    if n_groups < n_folds:
        raise ValueError(
            f"cv={n_folds} needs at least {n_folds} groups, one for each fold; got {n_groups}. "
            f"Lower cv or add subjects."
        )


def _check_fold(number: int, sample: Sample, train: np.ndarray, test: np.ndarray) -> None:
    groups = np.arange(len(sample.y)) if sample.groups is None else sample.groups
    shared = np.intersect1d(groups[train], groups[test])
    if shared.size:
        kind = "row" if sample.groups is None else "group"
        raise ValueError(
            f"Fold {number} of cv has {kind} {shared[0]} in its training part and in its test "
            f"part, but predictions for known subjects say nothing about new ones. Pass a number "
            f"of folds, or a splitter that keeps groups together, such as StratifiedGroupKFold."
        )
    absent = np.setdiff1d(np.arange(len(sample.classes)), sample.indices[train])
    if absent.size or not test.size:
        missing = (
            f"clips of class {sample.classes[absent[0]]} in its training part"
            if absent.size
            else "test clips"
        )
        raise ValueError(
            f"Fold {number} of cv has no {missing}. Lower cv, or add subjects of every class."
        )
