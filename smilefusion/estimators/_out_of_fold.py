"""Fits to some subjects, and what they say of the others, for classifiers that hold another."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_sample_weight, _num_samples, has_fit_parameter

from smilefusion._lazy_clips import PooledClips
from smilefusion.clips import ClipSequence
from smilefusion.estimators._splits import check_groups
from smilefusion.estimators._training import check_labels, encode_labels

OUT_OF_FOLD_CONSTRAINTS = {
    "estimator": [HasMethods(["fit", "predict_proba"]), HasMethods(["fit", "decision_function"])],
    "cv": ["cv_object"],
    "ensemble": ["boolean"],
    "n_jobs": [Integral, None],
}
_N_FOLDS = 5  # of cv=None, as in scikit-learn


class Sample(NamedTuple):
    """Checked training data of a classifier that holds another one."""

    X: object
    y: np.ndarray  # (n,) labels as given
    indices: np.ndarray  # (n,) position of each label among the classes
    groups: np.ndarray | None  # (n,)
    sample_weight: np.ndarray | None  # (n,)

    def take(self, rows):
        """Return some of the samples; clips on the disk are not read."""
        groups, weight = (None if each is None else each[rows] for each in self[3:])
        X = _safe_indexing(self.X, rows)
        return Sample(X, self.y[rows], self.indices[rows], groups, weight)

    def train(self, estimator):
        """Fit an estimator to the samples, and return it."""
        return fit_with_metadata(estimator, self.X, self.y, self.groups, self.sample_weight)


class Fold(NamedTuple):
    """An estimator that was fitted without the subjects of a fold, and what it says of them."""

    estimator: object
    test: np.ndarray  # (n_test,) rows of the fold
    response: np.ndarray  # (n_test, n_columns)


def takes_metadata(consumer, method, names=("groups",)):
    """Return which metadata an estimator or splitter takes by routing."""
    return get_routing_for_object(consumer).consumes(method, names)


def fit_with_metadata(estimator, X, y, groups, sample_weight=None):
    """Fit an estimator; hand it groups and weights in the way that it takes them.

    A Pipeline or a search takes them by metadata routing, which is switched on for this call
    where the user has not done so: groups that did not arrive would let a subject be trained on
    and used for early stopping.
    """
    given = {"groups": groups, "sample_weight": sample_weight}
    by_name = {name for name in given if has_fit_parameter(estimator, name)}
    routed = takes_metadata(estimator, "fit", given.keys() - by_name)
    if sample_weight is not None and "sample_weight" not in by_name | routed:
        raise ValueError(
            f"sample_weight does not reach the fit of {type(estimator).__name__}. Give an "
            f"estimator whose fit takes it, request it with set_fit_request(sample_weight=True) "
            f"on the steps that shall have it, or leave it out."
        )
    metadata = {
        name: value
        for name, value in given.items()
        if value is not None and name in by_name | routed
    }
    switched = {"enable_metadata_routing": True} if routed & metadata.keys() else {}
    with sklearn.config_context(**switched):
        return estimator.fit(X, y, **metadata)


def split_by_subject(cv, sample, classes):
    """Return the rows of training and test part of each fold; no group lies in both.

    Parameters
    ----------
    cv : int, splitter, iterable of two arrays of rows, or None
        Number of folds, or the folds.
    sample : Sample
        The training data.
    classes : ndarray of shape (n_classes,)
        The class labels.

    Returns
    -------
    folds : list of (ndarray, ndarray)
        The rows.

    Raises
    ------
    ValueError
        If there are too few groups or clips, or a fold breaks a rule.
    """
    n_samples, groups = len(sample.y), sample.groups
    if cv is None or isinstance(cv, Integral):
        cv = _N_FOLDS if cv is None else cv
        _check_enough(cv, sample, classes)
        cv = StratifiedKFold(cv) if groups is None else StratifiedGroupKFold(cv)
    splitter = check_cv(cv, sample.indices, classifier=True)
    if hasattr(splitter, "get_metadata_routing") and not takes_metadata(splitter, "split"):
        groups = None  # scikit-learn's other splitters warn of them
    rows = np.arange(n_samples)
    parts = splitter.split(np.zeros((n_samples, 1)), sample.indices, groups)
    folds = [(rows[train], rows[test]) for train, test in parts]  # masks become rows
    for number, (train, test) in enumerate(folds):
        _check_fold(number, sample, train, test, classes)
    return folds


def _check_enough(n_folds, sample, classes):
    """Check that there are as many clips of each class, and groups, as folds."""
    counts = np.bincount(sample.indices)
    if counts.min() < n_folds:
        raise ValueError(
            f"cv={n_folds} needs at least {n_folds} clips of every class; class "
            f"{classes[counts.argmin()]} has {counts.min()}. Lower cv or add clips."
        )
    n_groups = n_folds if sample.groups is None else len(np.unique(sample.groups))
    if n_groups < n_folds:
        raise ValueError(
            f"cv={n_folds} needs at least {n_folds} groups, one for each fold; got {n_groups}. "
            f"Lower cv or add subjects."
        )


def _check_fold(number, sample, train, test, classes):
    """Check that a fold's parts share no group and that every class is trained on."""
    whose = np.arange(len(sample.y)) if sample.groups is None else sample.groups
    shared = np.intersect1d(whose[train], whose[test])
    if shared.size:
        what = "row" if sample.groups is None else "group"
        raise ValueError(
            f"Fold {number} of cv has {what} {shared[0]} in its training and in its test part; "
            f"what is learned from predictions of known subjects does not hold for others. Give "
            f"cv a number or a splitter that keeps groups together, such as StratifiedGroupKFold."
        )
    absent = np.setdiff1d(np.arange(len(classes)), sample.indices[train])
    if absent.size or not test.size:
        lack = f"class {classes[absent[0]]} in its training part" if absent.size else "test clips"
        raise ValueError(
            f"Fold {number} of cv lacks {lack}. Lower cv, or add subjects that show every class."
        )


class OutOfFoldClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Base of classifiers that hold another one and learn from what it says of left-out subjects.

    Subclasses have the parameters ``estimator, cv, ensemble, n_jobs``.
    """

    __metadata_request__fit = {"groups": True}

    def _check_sample(self, X, y, groups, sample_weight):
        """Return checked training data and the classes."""
        X = PooledClips([X]) if isinstance(X, ClipSequence) else X  # subsets of it stay unread
        (X,) = indexable(X)
        n_samples = _num_samples(X)
        if n_samples == 0:
            raise ValueError("X holds no clips; give at least one of each class.")
        y = check_labels(y, n_samples, self)
        classes, indices = encode_labels(y, self)
        groups = check_groups(groups, n_samples)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
        return Sample(X, y, indices, groups, sample_weight), classes

    def _fit_folds(self, sample, classes, respond):
        """Return the folds, each with a fitted estimator and what it says of its test part."""
        rows = split_by_subject(self.cv, sample, classes)
        return Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_fold)(clone(self.estimator), sample, classes, train, test, respond)
            for train, test in rows
        )

    def _keep(self, sample, classes, folds):
        """Set the classes and the estimators that predict: those of the folds, or one of all."""
        self.classes_ = classes
        if self.ensemble:
            self.estimators_ = [fold.estimator for fold in folds]
        else:
            self.estimators_ = [sample.train(clone(self.estimator))]
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)  # of an earlier fit
            if hasattr(self.estimators_[0], name):
                setattr(self, name, getattr(self.estimators_[0], name))

    def __sklearn_tags__(self):
        """Declare the inputs of the estimator that is held."""
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _fit_fold(estimator, sample, classes, train, test, respond):
    """Fit an estimator to a training part and ask it about the test part."""
    sample.take(train).train(estimator)
    response = respond(estimator, _safe_indexing(sample.X, test), len(classes))
    return Fold(estimator, test, response)
