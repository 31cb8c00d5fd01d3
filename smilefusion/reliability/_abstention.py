"""Selective classification: predict only above a confidence threshold."""

import warnings
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, _fit_context
from sklearn.utils import Tags, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from smilefusion._documentation import DocumentedEstimator
from smilefusion._training._trainer import check_labels
from smilefusion.exceptions import TrainingWarning
from smilefusion.reliability._out_of_fold import check_sample, fit_folds

_ROUNDING = 1e-12  # of sums of weights


class AbstainingClassifier(
    MetaEstimatorMixin, ClassifierMixin, DocumentedEstimator, BaseEstimator
):
    r"""Predict only above a confidence threshold, and abstain on all other clips.

    The threshold is chosen on out-of-fold predictions to limit the error to `error_rate`.

    Parameters
    ----------
    estimator : estimator instance
        Classifier of clips or of a table, with `predict_proba`. Its probabilities need not be
        calibrated.
    error_rate : float, default=0.1
        Target error, between 0 and 1. For "threshold", the share of wrong answers among the
        answers; for "conformal", the share of clips whose set misses the true class.
    method : {"threshold", "conformal"}, default="threshold"
        "threshold" answers if the largest probability reaches `threshold_`. "conformal" returns
        the set of classes whose probability reaches it, and answers if the set has one class.
    cv : int, splitter or iterable, default=5
        Number of folds, or a splitter. Folds that split a group raise an error.
    ensemble : bool, default=False
        If True, the classifiers of all folds predict, and their probabilities are averaged. If
        False, the classifier is fitted once more, on all clips. The guarantee of "conformal" is
        exact for True and a `cv` of one fold.
    abstain_label : int, float, str or "auto", default="auto"
        Label that `predict` returns if it abstains: a number if the classes are numbers, text if
        they are text. "auto" means -1 or "cannot tell".
    n_jobs : int or None, default=None
        Number of folds fitted in parallel.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, without the abstention label.
    abstain_label_ : int, float or str
        Label that `predict` returns if it abstains.
    threshold_ : float
        Smallest probability of an answer, or of a class in a set. It is infinite if no clip can
        be answered, and 0 or less if every set contains every class.
    estimators_ : list of estimators
        The fitted classifiers: one, or one for each fold with ``ensemble=True``.
    n_features_in_ : int
        Number of columns seen in `fit` if X is a table.
    feature_names_in_ : ndarray of str
        Names of the columns seen in `fit` if X has names.

    Notes
    -----
    New subjects must be exchangeable with the training subjects: sampled, filmed and labelled in
    the same way. Subjects are counted, not clips, because clips of one subject are alike. Without
    `groups`, the guarantees fail if people have several clips.

    "conformal" with ``ensemble=True`` and a `cv` of one fold: the set for a clip of a new subject
    contains its true class with a probability of at least 1 - `error_rate`, over draws of the
    training and the new subjects together [1]_ [2]_. This guarantee does not hold for each class,
    for each subject, or among the answered clips. With several folds, it holds approximately.

    "threshold" keeps the share of wrong answers at `error_rate` after adding one more subject who
    is always wrong. The rate holds approximately in simulations; no theorem covers it.
    :doc:`The guide </guide/calibration>` has details.

    References
    ----------
    .. [1] Vovk, Gammerman, Shafer: Algorithmic learning in a random world, Springer, 2005.

    .. [2] Lee, Barber, Willett: Distribution-free inference with hierarchical data,
       arXiv 2306.06342, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from smilefusion import AbstainingClassifier
    >>> X, y = make_classification(400, class_sep=0.7, random_state=0)
    >>> model = AbstainingClassifier(LogisticRegression(), error_rate=0.05)
    >>> model = model.fit(X, y, groups=np.arange(400) // 4)
    >>> model.predict(X[:8]).tolist()
    [...]
    """

    __metadata_request__fit = {"groups": True}

    _parameter_constraints: dict[str, Any] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "error_rate": [Interval(Real, 0, 1, closed="neither")],
        "method": [StrOptions({"threshold", "conformal"})],
        "cv": ["cv_object"],
        "ensemble": ["boolean"],
        "abstain_label": [Real, str],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        error_rate: float = 0.1,
        method: str = "threshold",
        cv: Any = 5,
        ensemble: bool = False,
        abstain_label: float | str = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.error_rate = error_rate
        self.method = method
        self.cv = cv
        self.ensemble = ensemble
        self.abstain_label = abstain_label
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose the threshold on out-of-fold predictions and fit the final classifier.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            Input of the classifier.
        y : array-like of shape (n_clips,)
            Class labels.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. None treats every clip as its own subject.
        sample_weight : array-like of shape (n_clips,), default=None
            Weights of the clips in the classifier.

        Returns
        -------
        self : AbstainingClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If inputs are inconsistent, there are too few subjects or clips of a class, a fold
            splits a group, or `abstain_label` is a class or not of the type of the classes.

        Warns
        -----
        TrainingWarning
            If no clip can be answered at the target error rate.
        """
        sample = check_sample(X, y, groups, sample_weight, self)
        label = check_abstain_label(self.abstain_label, sample.classes)
        folds = fit_folds(self.estimator, sample, self.cv, self.n_jobs)
        probability = np.concatenate([fold.probability for fold in folds])
        rows = np.concatenate([fold.test for fold in folds])
        subjects = rows if sample.groups is None else sample.groups[rows]
        threshold = self._choose_threshold(probability, sample.indices[rows], subjects)
        if self.ensemble:
            estimators = [fold.estimator for fold in folds]
        else:
            estimators = [sample.fit(self.estimator)]
        self.classes_, self.abstain_label_ = sample.classes, label
        self.threshold_, self.estimators_ = threshold, estimators
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimators[0], name):
                setattr(self, name, getattr(estimators[0], name))
            elif hasattr(self, name):  # of an earlier fit
                delattr(self, name)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class probabilities of the classifier.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            Input of the classifier.

        Returns
        -------
        probability : ndarray of shape (n_clips, n_classes)
            Columns in the order of `classes_`. Clips without an answer have probabilities too.
        """
        check_is_fitted(self)
        stated = [estimator.predict_proba(X) for estimator in self.estimators_]
        return np.mean(np.asarray(stated, dtype=np.float64), axis=0)

    def predict_set(self, X: Any) -> np.ndarray:
        """Return the classes that each clip may belong to.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            Input of the classifier.

        Returns
        -------
        contains : bool ndarray of shape (n_clips, n_classes)
            Columns in the order of `classes_`. For "threshold", one class if the clip is
            answered and all classes if not. For "conformal", any number of classes; a set is
            empty if no class reaches the threshold.
        """
        probability = self.predict_proba(X)
        if self.method == "conformal":
            return probability >= self.threshold_ - _ROUNDING
        is_answered = probability.max(axis=1) >= self.threshold_ - _ROUNDING
        best = np.eye(probability.shape[1], dtype=bool)[probability.argmax(axis=1)]
        return best | ~is_answered[:, None]

    def predict(self, X: Any) -> np.ndarray:
        """Return the class, or the abstention label.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            Input of the classifier.

        Returns
        -------
        y : ndarray of shape (n_clips,)
            The class if the set has one class, else `abstain_label_`. Booleans become numbers.
        """
        contains = self.predict_set(X)
        answers = self.classes_[contains.argmax(axis=1)]
        if answers.dtype.kind == "O":
            answers[contains.sum(axis=1) != 1] = self.abstain_label_
            return answers
        return np.where(contains.sum(axis=1) == 1, answers, np.asarray(self.abstain_label_))

    def rate_answers(self, X: Any, y: ArrayLike) -> dict[str, float]:
        """Measure how often clips are answered, and how often answers are wrong.

        `score` counts a clip without an answer as wrong. These values do not.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            Input of the classifier.
        y : array-like of shape (n_clips,)
            True class labels.

        Returns
        -------
        rates : dict of str to float
            ``answered``, the share of clips answered (in selective classification called
            coverage); ``error``, the share of wrong answers among the answers, NaN if there are
            none; ``coverage``, the share of sets that contain the true class (conformal
            coverage); ``set_size``, the mean number of classes in a set.
        """
        contains = self.predict_set(X)
        y = check_labels(y, len(contains), self)
        is_answered = contains.sum(axis=1) == 1
        is_true = np.asarray(y)[:, None] == self.classes_
        is_covered = (contains & is_true).any(axis=1)
        n_answered = is_answered.sum()
        n_wrong = (is_answered & ~is_covered).sum()
        return {
            "answered": float(is_answered.mean()),
            "error": float(n_wrong / n_answered) if n_answered else np.nan,
            "coverage": float(is_covered.mean()),
            "set_size": float(contains.sum(axis=1).mean()),
        }

    def _choose_threshold(
        self, probability: np.ndarray, indices: np.ndarray, groups: np.ndarray
    ) -> float:
        """Return the threshold for the target error rate; warn if no clip can be answered."""
        if self.method == "threshold":
            is_wrong = probability.argmax(axis=1) != indices
            threshold = _confidence_threshold(
                probability.max(axis=1), is_wrong, groups, self.error_rate
            )
        else:
            nonconformity = 1 - probability[np.arange(len(indices)), indices]
            threshold = 1 - _conformal_quantile(nonconformity, groups, self.error_rate)
        if np.isinf(threshold):
            warnings.warn(
                f"At error_rate={self.error_rate} no clip can be answered with "
                f"{len(np.unique(groups))} subjects, so AbstainingClassifier abstains on every "
                f"clip. Add subjects, raise error_rate, or use a better classifier.",
                TrainingWarning,
                stacklevel=4,
            )
        return threshold

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _confidence_threshold(
    confidence: np.ndarray, is_wrong: np.ndarray, groups: np.ndarray, error_rate: float
) -> float:
    """Return the smallest threshold that keeps the error rate; infinite if none does."""
    # One more subject is added who answers as often as the average one and is always wrong.
    order = np.argsort(-confidence, kind="stable")
    confidence, is_wrong, groups = confidence[order], is_wrong[order], groups[order]
    is_new = np.zeros(len(order))
    is_new[np.unique(groups, return_index=True)[1]] = 1
    n_answered = np.arange(1, len(order) + 1)
    n_more = n_answered / np.cumsum(is_new)  # answers of the additional subject
    rate = (np.cumsum(is_wrong) + n_more) / (n_answered + n_more)
    is_last = np.append(confidence[1:] < confidence[:-1], True)  # of equally confident clips
    allowed = np.flatnonzero(is_last & (rate <= error_rate))
    return float(confidence[allowed[-1]]) if allowed.size else np.inf


def _conformal_quantile(nonconformity: np.ndarray, groups: np.ndarray, error_rate: float) -> float:
    """Return the 1 - error_rate quantile, with the same weight for each subject."""
    # Each of the G subjects and an infinite score have the weight 1 / (G + 1).
    position, counts = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    weight = 1 / ((len(counts) + 1) * counts[position])
    order = np.argsort(nonconformity, kind="stable")
    is_reached = np.cumsum(weight[order]) >= 1 - error_rate - _ROUNDING
    return float(nonconformity[order][is_reached.argmax()]) if is_reached.any() else np.inf


def check_abstain_label(label: Any, classes: np.ndarray) -> Any:
    """Return the abstention label; raise if its type does not match the classes."""
    is_text = isinstance(classes[0], str)
    if label == "auto":
        label = "cannot tell" if is_text else -1
    if isinstance(label, str) != is_text:
        kind = "text" if is_text else "a number"
        raise ValueError(
            f"abstain_label must be {kind}, like the classes; got {label!r}. Pass another label, "
            f"or 'auto'."
        )
    if label in classes.tolist():
        raise ValueError(
            f"abstain_label must not be a class; got {label!r}, and the classes are "
            f"{classes.tolist()}. Pass another label."
        )
    return label
