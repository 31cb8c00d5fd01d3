"""Classifier that gives intervals for probabilities and abstains on unusual clips."""

from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import Tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from smilefusion._documentation import DocumentedEstimator
from smilefusion._training._trainer import check_labels
from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.dmarkers._markers import ignoring_data_warnings
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.reliability._abstention import check_abstain_label
from smilefusion.reliability._distribution import DistributionChecker
from smilefusion.reliability._out_of_fold import check_sample
from smilefusion.tags import ClipInputTags

_SURE = 1e-6  # probabilities are clipped to this distance from 0 and 1
_MAX_STEPS = 100
_MIN_QUALITY = 0.5  # lowest phase quality; 0.7 % of the simulated training clips have less


class CheckedClassifier(MetaEstimatorMixin, ClassifierMixin, DocumentedEstimator, BaseEstimator):
    """Give an interval for each probability, and abstain on out-of-distribution clips.

    The classifier also abstains if a clip shows no clear smile. `smilefusion.load_pretrained`
    returns a fitted instance, and `smilefusion.adapt` adapts it to labelled clips.

    Parameters
    ----------
    estimator : estimator instance
        Classifier of clips that has `predict_proba` and two classes.
    checker : DistributionChecker or None, default=None
        Detects out-of-distribution clips. None uses a `DistributionChecker` with its defaults.
    prior_strength : float, default=20.0
        Precision (inverse variance) of the normal prior on the intercept, with mean 0, and on the
        slope, with mean 1. Higher values keep the probabilities closer to those of the
        classifier and make the intervals narrower.
    level : float, default=0.9
        Nominal probability of the interval, between 0 and 1.
    abstain_label : int, float, str or "auto", default="auto"
        Label that `predict` returns if it abstains. "auto" means -1 if the classes are numbers
        and "cannot tell" if they are text.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The class labels, without the abstention label.
    abstain_label_ : int, float or str
        Label that `predict` returns if it abstains.
    estimator_ : estimator
        The fitted classifier.
    checker_ : DistributionChecker
        The fitted checker.
    calibration_ : ndarray of shape (2,)
        Intercept and slope of the recalibration. They are 0 and 1 after `fit`.
    covariance_ : ndarray of shape (2, 2)
        Covariance of the intercept and slope.

    Notes
    -----
    The returned probability is sigmoid(a + b z), where z is the logit of the probability that the
    classifier predicts. The intercept a and the slope b have the prior
    N((0, 1), I / prior_strength). The interval reflects only the uncertainty of a and b, which
    describes how much the calibration varies between people and recordings. It does not include
    errors of the landmarks.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from smilefusion import CheckedClassifier, DMarkerTransformer
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(60, fps=25, random_state=0)
    >>> linear = make_pipeline(DMarkerTransformer(), StandardScaler(), LogisticRegression(C=0.01))
    >>> model = CheckedClassifier(linear).fit(smiles.clips[:56], smiles.target[:56])
    >>> list(model.answer(smiles.clips[56:]))
    ['class', 'probability', 'low', 'high', 'reason']
    """

    __metadata_request__fit = {"groups": True}

    _parameter_constraints: dict[str, Any] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "checker": [DistributionChecker, None],
        "prior_strength": [Interval(Real, 0, None, closed="neither")],
        "level": [Interval(Real, 0, 1, closed="neither")],
        "abstain_label": [Real, str],
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        checker: DistributionChecker | None = None,
        prior_strength: float = 20.0,
        level: float = 0.9,
        abstain_label: Any = "auto",
    ) -> None:
        self.estimator = estimator
        self.checker = checker
        self.prior_strength = prior_strength
        self.level = level
        self.abstain_label = abstain_label

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the classifier and the checker.

        Parameters
        ----------
        X : sequence of clips
            Clips in a form that `smilefusion.clips.check_clips` accepts.
        y : array-like of shape (n_clips,)
            Labels of two classes.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. It is passed to the classifier.

        Returns
        -------
        self : CheckedClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If inputs are inconsistent, if `y` does not have two classes, or if `abstain_label` is
            one of the classes.
        """
        sample = check_sample(X, y, groups, None, self)
        if len(sample.classes) != 2:
            raise ValueError(
                f"Only binary classification is supported: CheckedClassifier needs two classes, "
                f"but y has {len(sample.classes)}. Use another classifier for more classes."
            )
        label = check_abstain_label(self.abstain_label, sample.classes)
        estimator = sample.fit(self.estimator)
        checker = DistributionChecker() if self.checker is None else clone(self.checker)
        self.checker_ = checker.fit(sample.X)
        self.estimator_, self.classes_, self.abstain_label_ = estimator, sample.classes, label
        self.calibration_ = np.array([0.0, 1.0])
        self.covariance_ = np.eye(2) / self.prior_strength
        return self

    def recalibrate(self, X: Any, y: ArrayLike) -> Self:
        """Fit the intercept and slope to labelled clips.

        Parameters
        ----------
        X : sequence of clips
            Labelled clips of similar people, recorded under the same conditions as the clips to
            predict.
        y : array-like of shape (n_clips,)
            Label of each clip, one of `classes_`. All clips may have the same label.

        Returns
        -------
        self : CheckedClassifier
            The classifier with new `calibration_` and `covariance_`. They do not depend on
            earlier recalibrations.

        Raises
        ------
        ValueError
            If inputs are inconsistent or a label is not in `classes_`.
        """
        check_is_fitted(self)
        clips = check_clips(X)
        labels = np.asarray(check_labels(y, len(clips), self))
        unknown = sorted(set(labels.tolist()) - set(self.classes_.tolist()))
        if unknown:
            raise ValueError(
                f"y has the labels {unknown}, but the classes of the model are "
                f"{self.classes_.tolist()}. Rename the labels."
            )
        design, is_second = self._design(clips), labels == self.classes_[1]
        self.calibration_, self.covariance_ = calibrate_logits(
            design, is_second, self.prior_strength
        )
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class probabilities, also for clips on which `predict` abstains.

        Parameters
        ----------
        X : sequence of clips
            Clips in a form that `smilefusion.clips.check_clips` accepts.

        Returns
        -------
        probability : ndarray of shape (n_clips, 2)
            Columns in the order of `classes_`.
        """
        check_is_fitted(self)
        probability = expit(self._design(X) @ self.calibration_)
        return np.column_stack([1 - probability, probability])

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each clip, or the abstention label.

        Parameters
        ----------
        X : sequence of clips
            Clips in a form that `smilefusion.clips.check_clips` accepts.

        Returns
        -------
        y : ndarray of shape (n_clips,)
            Classes or `abstain_label_`.
        """
        answers = self.answer(X)
        return self._label(answers["probability"] > 0.5, answers["reason"] != "")

    def answer(self, X: Any) -> pd.DataFrame:
        """Return the class and probability of each clip, with an interval, or a reason to abstain.

        Parameters
        ----------
        X : sequence of clips
            Clips in a form that `smilefusion.clips.check_clips` accepts.

        Returns
        -------
        answers : DataFrame with n_clips rows
            ``class``, the class or `abstain_label_`; ``probability`` of the second class;
            ``low`` and ``high``, the bounds of its interval; ``reason`` for abstaining, which is
            empty if there is a class. The probability is given in both cases.
        """
        check_is_fitted(self)
        clips = check_clips(X)
        with ignoring_data_warnings():  # the reasons name the same clips
            design, reasons = self._design(clips), self._find_reasons(clips)
        middle = design @ self.calibration_
        margin = np.sqrt(np.einsum("ij,jk,ik->i", design, self.covariance_, design))
        margin *= norm.ppf((1 + self.level) / 2)
        values = {
            "class": self._label(middle > 0, np.array(reasons) != ""),
            "probability": expit(middle),
            "low": expit(middle - margin),
            "high": expit(middle + margin),
            "reason": reasons,
        }
        return pd.DataFrame(values)

    def _label(self, is_second: ArrayLike, is_unlike: ArrayLike) -> np.ndarray:
        """Return the class of each clip, or the abstention label."""
        labels = self.classes_[np.asarray(is_second, dtype=int)]
        if labels.dtype.kind == "O":
            labels[np.asarray(is_unlike)] = self.abstain_label_
            return labels
        return np.where(is_unlike, np.asarray(self.abstain_label_), labels)

    def _find_reasons(self, clips: ClipSequence) -> list[str]:
        """Return the reasons for abstaining on each clip, or an empty text."""
        phases = DMarkerTransformer().phases(clips).to_dict("records")
        found = []
        for reason, row in zip(self.checker_.reasons(clips), phases, strict=True):
            reasons = [reason] if reason else []
            quality = row["phase_quality"]
            if row["no_smile"] and "no smile" not in reason:
                reasons.append("no smile found")
            elif quality < _MIN_QUALITY:
                reasons.append(f"no clear smile (phase quality {quality:.2f})")
            if row["cut"]:
                reasons.append("a long gap without a face, or a jump in its position")
            found.append("; ".join(reasons))
        return found

    def _design(self, X: Any) -> np.ndarray:
        """Return a column of ones and a column with the logits, (n_clips, 2)."""
        clips = check_clips(X)
        self.checker_.check_landmarks(clips)
        probability = np.asarray(self.estimator_.predict_proba(clips)[:, 1], dtype=np.float64)
        logits = logit(np.clip(probability, _SURE, 1 - _SURE))
        return np.column_stack([np.ones(len(logits)), logits])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags = ClipInputTags()
        return tags


def calibrate_logits(
    design: np.ndarray, y: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior mode of the intercept and slope, and their Laplace covariance."""
    prior = np.array([0.0, 1.0])
    found = prior
    for _ in range(_MAX_STEPS):
        p = expit(design @ found)
        precision = (design.T * (p * (1 - p))) @ design + strength * np.eye(2)
        step = np.linalg.solve(precision, design.T @ (y - p) - strength * (found - prior))
        found = found + step
        if np.abs(step).max() < 1e-10:
            break
    return found, np.linalg.inv(precision)
