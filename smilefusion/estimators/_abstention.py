"""AbstainingClassifier: answers where they are right often enough, and "cannot tell" elsewhere."""

import warnings
from numbers import Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from smilefusion.estimators._out_of_fold import OUT_OF_FOLD_CONSTRAINTS, OutOfFoldClassifier
from smilefusion.estimators._training import check_labels
from smilefusion.exceptions import NoAnswerWarning

_AUTOMATIC = {"number": -1, "text": "cannot tell"}
_ROUNDING = 1e-12  # of sums of weights


def class_probability(estimator, X, n_classes):
    """Return the probabilities (n, n_classes) that a classifier states."""
    return np.asarray(estimator.predict_proba(X), dtype=np.float64)


def least_answered(confidence, is_wrong, groups, error_rate):
    """Return the least probability to answer at; infinity where nothing can be answered.

    Of the thresholds at which the answers of the clips, and of one more subject who is always
    wrong, are wrong in at most `error_rate`, it is the least one.
    """
    order = np.argsort(-confidence, kind="stable")
    confidence, is_wrong, groups = confidence[order], is_wrong[order], groups[order]
    is_new = np.zeros(len(order))
    is_new[np.unique(groups, return_index=True)[1]] = 1
    n_answered = np.arange(1, len(order) + 1)
    n_more = n_answered / np.cumsum(is_new)  # answers of the further subject
    rate = (np.cumsum(is_wrong) + n_more) / (n_answered + n_more)
    is_last = np.append(confidence[1:] < confidence[:-1], True)  # of clips equally sure
    allowed = np.flatnonzero(is_last & (rate <= error_rate))
    return float(confidence[allowed[-1]]) if allowed.size else np.inf


def conformal_bound(nonconformity, groups, error_rate):
    """Return the bound that the nonconformity of a new subject's clip keeps; infinity if none.

    It is the 1 - error_rate quantile of the clips, those of each of the G subjects sharing the
    weight 1 / (G + 1), and of infinity with the weight 1 / (G + 1).
    """
    position, counts = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    weight = 1 / ((len(counts) + 1) * counts[position])
    order = np.argsort(nonconformity, kind="stable")
    reached = np.cumsum(weight[order]) >= 1 - error_rate - _ROUNDING
    return float(nonconformity[order][reached.argmax()]) if reached.any() else np.inf


class AbstainingClassifier(OutOfFoldClassifier):
    r"""Answer where a classifier is right often enough, and abstain elsewhere.

    The classifier is fitted once for each fold, to the subjects outside of it. From what it says
    of those inside follows how sure it must be for its answers to be wrong no more often than
    wanted.

    Parameters
    ----------
    estimator : estimator instance
        Classifier of clips or of a table, with `predict_proba`. Its probabilities need not be
        calibrated, only to rise with how often it is right; `GroupCalibratedClassifier` may be
        inside.
    error_rate : float, default=0.1
        Wanted error, above 0 and below 1: of "threshold" the share of wrong answers among the
        answers, of "conformal" the share of clips whose set lacks the true class.
    method : {"threshold", "conformal"}, default="threshold"
        "threshold" answers where the greatest probability reaches `threshold_`; "conformal"
        gives the set of classes whose probability reaches it and answers where that is one
        class.
    cv : int, splitter or iterable, default=5
        Number of folds, or a splitter. Folds that cut through a group are refused.
    ensemble : bool, default=False
        Whether the classifiers of the folds predict, by the mean of their probabilities. False
        fits the classifier once more, to all clips. True with a `cv` of one fold is the split
        that the guarantee of "conformal" is exact for.
    abstain_label : int, float, str or "auto", default="auto"
        What `predict` gives where it does not answer: a number where classes are numbers, text
        where they are text. "auto" takes -1 or "cannot tell".
    n_jobs : int or None, default=None
        Number of folds fitted at the same time.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, without that of abstention.
    abstain_label_ : int, float or str
        What `predict` gives where it does not answer.
    threshold_ : float
        Least probability of an answer, or of a class in a set; infinity where nothing can be
        answered, 0 or less where every set holds every class.
    estimators_ : list of estimators
        The fitted classifiers: one, or one for each fold with ``ensemble=True``.
    n_features_in_ : int
        Number of columns seen in `fit`, where X was a table.
    feature_names_in_ : ndarray of str
        Names of the columns seen in `fit`, where X had names.

    See Also
    --------
    GroupCalibratedClassifier : Probabilities that hold for new subjects.

    Notes
    -----
    **What holds, and when.** Everything rests on one assumption: a new subject is exchangeable
    with those of the training, that is, drawn like them, filmed like them, with labels found
    alike. Another camera, country or instruction breaks it, and nothing here notices;
    `DistributionChecker` notices a part. Clips of one subject are alike, so that subjects are
    counted and not clips: 400 clips of 20 subjects tell as much as 20 subjects can. Without
    `groups` every clip is taken for a subject of its own, and what is promised is not kept.

    "conformal": with G subjects in the only fold of ``cv`` and ``ensemble=True``, the set of one
    clip of a new subject holds its true class with a probability of at least 1 - `error_rate`,
    over draws of training and new subject together [1]_ [2]_. Not promised is this rate for the
    given training subjects, for each class, for each subject, or among the clips that are
    answered: where sets of one class are wrong, those of two make up for it. With several folds,
    the classifiers that are asked are not the one that predicts, and the rate holds about, not
    exactly.

    "threshold": wrong answers among answers are held to `error_rate` with one more subject added
    who is always wrong. The rate holds about and on average over training sets, as simulations
    show (the user guide has the figures); there is no theorem, and with fewer than 20 subjects
    in the folds it may be off.

    Weights of clips reach the classifier only; rates are of clips as they come.

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

    _parameter_constraints = {
        **OUT_OF_FOLD_CONSTRAINTS,
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "error_rate": [Interval(Real, 0, 1, closed="neither")],
        "method": [StrOptions({"threshold", "conformal"})],
        "abstain_label": [Real, str],
    }

    def __init__(
        self,
        estimator,
        *,
        error_rate=0.1,
        method="threshold",
        cv=5,
        ensemble=False,
        abstain_label="auto",
        n_jobs=None,
    ):
        self.estimator = estimator
        self.error_rate = error_rate
        self.method = method
        self.cv = cv
        self.ensemble = ensemble
        self.abstain_label = abstain_label
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None, sample_weight=None):
        """Fit the classifier to folds, choose the threshold, and fit the one that predicts.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.
        y : array-like of shape (n_clips,)
            Class labels.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. None takes every clip for a subject of its own.
        sample_weight : array-like of shape (n_clips,), default=None
            Weights of the clips in the classifier.

        Returns
        -------
        self : AbstainingClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If inputs do not fit together, there are too few subjects or clips of a class, a fold
            cuts through a group, or `abstain_label` is a class or of another kind than they.

        Warns
        -----
        NoAnswerWarning
            If no clip can be answered at the wanted rate.
        """
        sample, classes = self._check_sample(X, y, groups, sample_weight)
        label = check_abstain_label(self.abstain_label, classes)
        folds = self._fit_folds(sample, classes, class_probability)
        probability = np.concatenate([fold.response for fold in folds])
        rows = np.concatenate([fold.test for fold in folds])
        whose = rows if sample.groups is None else sample.groups[rows]
        self.threshold_ = self._choose(probability, sample.indices[rows], whose)
        self.abstain_label_ = label
        self._keep(sample, classes, folds)
        return self

    def predict_proba(self, X):
        """Return the probability of each class as the classifier states it.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.

        Returns
        -------
        probability : ndarray of shape (n_clips, n_classes)
            Columns in the order of `classes_`, of the clips that are not answered too.
        """
        check_is_fitted(self)
        n_classes = len(self.classes_)
        return np.mean(
            [class_probability(each, X, n_classes) for each in self.estimators_], axis=0
        )

    def predict_set(self, X):
        """Return which classes each clip may belong to.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.

        Returns
        -------
        holds : bool ndarray of shape (n_clips, n_classes)
            Columns in the order of `classes_`. Of "threshold", one class where it answers and
            all where it does not; of "conformal", any number of classes, none of a clip that
            is like neither.
        """
        return self._sets(self.predict_proba(X))

    def predict(self, X):
        """Return the class, or the label of abstention.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.

        Returns
        -------
        y : ndarray of shape (n_clips,)
            The class of sets of one class, else `abstain_label_`. Booleans become numbers.
        """
        holds = self.predict_set(X)
        answers = self.classes_[holds.argmax(axis=1)]
        if answers.dtype.kind == "O":
            answers[holds.sum(axis=1) != 1] = self.abstain_label_
            return answers
        return np.where(holds.sum(axis=1) == 1, answers, np.asarray(self.abstain_label_))

    def rate_answers(self, X, y):
        """Measure how often clips are answered, and how often wrongly.

        `score` counts a clip that is not answered as wrong; these figures do not.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.
        y : array-like of shape (n_clips,)
            True class labels.

        Returns
        -------
        figures : dict of str to float
            ``answered``, the share of clips that are answered; ``error``, the share of wrong
            answers among the answers, NaN where there are none; ``coverage``, the share of sets
            that hold the true class; ``set_size``, the mean number of classes in a set.
        """
        holds = self.predict_set(X)
        y = check_labels(y, len(holds), self)
        is_answered = holds.sum(axis=1) == 1
        is_true = np.asarray(y)[:, None] == self.classes_
        covered = (holds & is_true).any(axis=1)
        n_answered = is_answered.sum()
        n_wrong = (is_answered & ~covered).sum()
        return {
            "answered": float(is_answered.mean()),
            "error": float(n_wrong / n_answered) if n_answered else np.nan,
            "coverage": float(covered.mean()),
            "set_size": float(holds.sum(axis=1).mean()),
        }

    def _choose(self, probability, indices, groups):
        """Return the threshold for the wanted rate; warn where nothing reaches it."""
        if self.method == "threshold":
            is_wrong = probability.argmax(axis=1) != indices
            found = least_answered(probability.max(axis=1), is_wrong, groups, self.error_rate)
            is_empty = np.isinf(found)
        else:
            nonconformity = 1 - probability[np.arange(len(indices)), indices]
            found = 1 - conformal_bound(nonconformity, groups, self.error_rate)
            is_empty = np.isinf(found)
        if is_empty:
            warnings.warn(
                f"At error_rate={self.error_rate} no clip can be answered with "
                f"{len(np.unique(groups))} subjects: AbstainingClassifier abstains from all. Add "
                f"subjects, allow more errors, or take a better classifier.",
                NoAnswerWarning,
                stacklevel=4,
            )
        return found

    def _sets(self, probability):
        """Return which classes each row of probabilities may mean."""
        if self.method == "conformal":
            return probability >= self.threshold_ - _ROUNDING
        answered = probability.max(axis=1) >= self.threshold_ - _ROUNDING
        best = np.eye(probability.shape[1], dtype=bool)[probability.argmax(axis=1)]
        return best | ~answered[:, None]


def check_abstain_label(label, classes):
    """Return the label of abstention; refuse one that is a class or of another kind."""
    is_text = isinstance(classes[0], str)
    kind = "text" if is_text else "number"
    if label == "auto":
        label = _AUTOMATIC[kind]
    if isinstance(label, str) != is_text:
        raise ValueError(
            f"abstain_label must be a {kind}, as the classes are; got {label!r}. Give another, or "
            f"'auto'."
        )
    if label in classes.tolist():
        raise ValueError(
            f"abstain_label must not be a class; got {label!r}, and the classes are "
            f"{classes.tolist()}. Give another."
        )
    return label
