"""GroupCalibratedClassifier: probabilities that hold for subjects who were not trained on."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from smilefusion.estimators._out_of_fold import OUT_OF_FOLD_CONSTRAINTS, OutOfFoldClassifier

_TINY = np.finfo(np.float32).tiny  # probabilities in single precision may be 0
_N_REPEATS = 2  # folds of a table of scores; what they say does not depend on the fold


class _ScoreClassifier(ClassifierMixin, BaseEstimator):
    """Take the columns of a table for the decision function, so that they can be calibrated.

    Two classes have one column, the log-odds of the second; more have one column each.
    """

    __metadata_request__fit = {"sample_weight": True}

    def fit(self, X, y, sample_weight=None):
        """Learn the classes; weights are the calibration's."""
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        """Return the table, of two classes its only column."""
        return X[:, 0] if len(self.classes_) == 2 else X

    def predict(self, X):
        """Return the class of the greatest score."""
        scores = np.hstack([0 * X, X]) if len(self.classes_) == 2 else X
        return self.classes_[scores.argmax(axis=1)]


def class_scores(estimator, X, n_classes):
    """Return log-odds of the second class, (n, 1), or a score of each of more classes, (n, K).

    It is the decision function where a *fitted* estimator has one, else the logarithm of its
    probabilities.
    """
    if hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(X), dtype=np.float64)
        scores = scores.reshape(len(scores), -1)
        n_columns = 1 if n_classes == 2 else n_classes
        if scores.shape[1] != n_columns:
            raise ValueError(
                f"decision_function of {type(estimator).__name__} has {scores.shape[1]} columns "
                f"for {n_classes} classes; calibration needs {n_columns}. Choose "
                f"decision_function_shape='ovr', where there is such a parameter."
            )
        return scores
    probability = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    logs = np.log(np.maximum(probability, _TINY))
    return logs[:, 1:] - logs[:, :1] if n_classes == 2 else logs


class _ScoreCalibrator(BaseEstimator):
    """Map scores (n, n_columns) to the probabilities of classes 0 to K - 1.

    scikit-learn's calibration does it, on a classifier whose decision function the scores are.
    Isotonic regression says 0 of the m lowest clips where none of them is of the class; a next
    one may be all the same, so that 1 / (m + 2) is said, Laplace's rule of succession, and of
    the highest ones likewise. Else one such clip makes the log loss infinite.
    """

    def __init__(self, method="temperature"):
        self.method = method

    def fit(self, scores, indices, sample_weight=None):
        """Learn the map from clips whose classes have the given indices."""
        self.calibrator_ = CalibratedClassifierCV(
            _ScoreClassifier(), method=self.method, cv=_N_REPEATS, ensemble=False
        ).fit(scores, indices, sample_weight=sample_weight)
        probability = self.calibrator_.predict_proba(scores)
        weight = np.ones(len(indices)) if sample_weight is None else sample_weight
        n_zeros, n_ones = weight @ (probability == 0), weight @ (probability == 1)
        self.lowest_ = np.where(n_zeros > 0, 1 / (n_zeros + 2), 0)
        self.highest_ = np.where(n_ones > 0, 1 - 1 / (n_ones + 2), 1)
        return self

    def predict_proba(self, scores):
        """Return the probability of each class, (n, K)."""
        probability = self.calibrator_.predict_proba(scores)
        probability = np.clip(probability, self.lowest_, self.highest_)
        return probability / probability.sum(axis=1, keepdims=True)


class GroupCalibratedClassifier(OutOfFoldClassifier):
    r"""Calibrate the probabilities of a classifier on subjects that it was not fitted to.

    A network that was trained to the end says 0.99 and is right in 0.8 of the cases. The
    classifier is fitted once for each fold, to the subjects outside of it; what it says of those
    inside is set against their true classes; and a map that corrects it is learned. No subject
    is trained on and used for calibration by the same fit, and `groups` reach the early stopping
    of the classifier too.

    Parameters
    ----------
    estimator : estimator instance
        Classifier of clips or of a table, with `predict_proba` or `decision_function`: one of
        this package or of scikit-learn, a Pipeline, or a search.
    method : {"temperature", "sigmoid", "isotonic"}, default="temperature"
        "temperature" divides the log-odds by one number and changes no prediction (scikit-learn
        1.8 or later); "sigmoid" shifts them too; "isotonic" learns any rising function and
        wants more clips.
    cv : int, splitter or iterable, default=5
        Number of folds, or a splitter. Folds that cut through a group are refused.
    ensemble : bool, default=True
        Whether the classifiers of the folds predict, each with a map of its own, and their
        probabilities are averaged, which on simulated smiles is the better. False fits the
        classifier once more, to all clips, and learns one map from all folds: one model to keep,
        where networks are large or there are few clips.
    n_jobs : int or None, default=None
        Number of folds fitted at the same time.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    estimators_ : list of estimators
        The fitted classifiers: one, or one for each fold with ``ensemble=True``.
    calibrators_ : list
        The map of each; its `predict_proba` takes a table of log-odds.
    n_features_in_ : int
        Number of columns seen in `fit`, where X was a table.
    feature_names_in_ : ndarray of str
        Names of the columns seen in `fit`, where X had names.

    See Also
    --------
    AbstainingClassifier : Answer only where the answer is right often enough.
    smilefusion.inspection.ReliabilityDisplay : How far probabilities are off.

    Notes
    -----
    `sklearn.calibration.CalibratedClassifierCV` with ``cv=StratifiedGroupKFold()`` and metadata
    routing gives the same result. This class takes groups without routing.

    With log-odds :math:`z` of two classes, "temperature" gives :math:`1 / (1 + e^{-\beta z})`
    and "sigmoid" :math:`1 / (1 + e^{a z + b})`; of more classes, "temperature" gives
    :math:`\mathrm{softmax}(\beta z)`, and the others calibrate each class against the rest and
    divide by the sum.

    Of a classifier that sets clips aside by itself and takes no groups, such as
    `sklearn.neural_network.MLPClassifier`, only the folds keep subjects apart.

    References
    ----------
    Platt: Probabilistic outputs for support vector machines, Advances in Large Margin
    Classifiers, 1999.

    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from smilefusion import GroupCalibratedClassifier
    >>> X, y = make_classification(n_samples=200, n_features=20, random_state=0)
    >>> subjects = np.arange(200) // 4
    >>> model = GroupCalibratedClassifier(GaussianNB(), method="sigmoid")
    >>> model.fit(X, y, groups=subjects).predict_proba(X).shape
    (200, 2)
    """

    _parameter_constraints = {
        **OUT_OF_FOLD_CONSTRAINTS,
        "method": [StrOptions({"temperature", "sigmoid", "isotonic"})],
    }

    def __init__(self, estimator, *, method="temperature", cv=5, ensemble=True, n_jobs=None):
        self.estimator = estimator
        self.method = method
        self.cv = cv
        self.ensemble = ensemble
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None, sample_weight=None):
        """Fit the classifier to folds, learn the map, and fit the classifier that predicts.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.
        y : array-like of shape (n_clips,)
            Class labels.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. None takes every clip for a subject of its own: where people
            have several clips, the probabilities are then too confident.
        sample_weight : array-like of shape (n_clips,), default=None
            Weights of the clips, in the classifier and in the map.

        Returns
        -------
        self : GroupCalibratedClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If inputs do not fit together, there are too few subjects or clips of a class, a fold
            cuts through a group, or weights do not reach the classifier.
        """
        sample, classes = self._check_sample(X, y, groups, sample_weight)
        folds = self._fit_folds(sample, classes, class_scores)
        parts = [(fold.response, fold.test) for fold in folds]
        if not self.ensemble:
            parts = [tuple(map(np.concatenate, zip(*parts, strict=True)))]
        self.calibrators_ = [self._learn_map(sample, classes, *part) for part in parts]
        self._keep(sample, classes, folds)
        return self

    def predict_proba(self, X):
        """Return the calibrated probability of each class.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.

        Returns
        -------
        probability : ndarray of shape (n_clips, n_classes)
            Columns in the order of `classes_`.
        """
        check_is_fitted(self)
        n_classes = len(self.classes_)
        pairs = zip(self.estimators_, self.calibrators_, strict=True)
        found = [
            calibrator.predict_proba(class_scores(estimator, X, n_classes))
            for estimator, calibrator in pairs
        ]
        return np.mean(found, axis=0)

    def predict(self, X):
        """Return the class of the greatest calibrated probability.

        Parameters
        ----------
        X : sequence of clips or table of n_clips rows
            What the classifier takes.

        Returns
        -------
        y : ndarray of shape (n_clips,)
            Class labels.
        """
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]

    def _learn_map(self, sample, classes, scores, rows):
        """Return the map from scores of some clips to their classes."""
        indices, weight = sample.indices[rows], sample.sample_weight
        counts = np.bincount(indices, minlength=len(classes))
        if counts.min() < _N_REPEATS:
            raise ValueError(
                f"Calibration needs at least {_N_REPEATS} clips of every class; of class "
                f"{classes[counts.argmin()]} there are {counts.min()} "
                f"{'in a fold' if self.ensemble else 'in all folds'}. Lower cv, add subjects"
                f"{', or use ensemble=False' if self.ensemble else ''}."
            )
        weight = None if weight is None else weight[rows]
        return _ScoreCalibrator(self.method).fit(scores, indices, weight)
