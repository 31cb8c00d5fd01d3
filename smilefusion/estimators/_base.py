"""Mixins for estimators that train a network: history, prediction by epoch, probabilities."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax
from sklearn.base import _fit_context
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.callbacks import Callback

from smilefusion._training._batches import Arrays
from smilefusion._training._callbacks import EpochRecorder
from smilefusion._training._trainer import network_on_device, restored_on_error, tabulate_history


def class_probability(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities (..., n_classes) of logits, (..., 1) for two classes."""
    if logits.shape[-1] == 1:
        return expit(np.concatenate([-logits, logits], axis=-1))
    return softmax(logits, axis=-1)


def class_scores(logits: np.ndarray) -> np.ndarray:
    """Return log-odds (n_clips,), or scores (n_clips, n_classes), of the mean over views."""
    is_binary = logits.shape[-1] == 1
    if len(logits) > 1:
        two = np.concatenate([-logits, logits], axis=-1)
        logs = log_expit(two) if is_binary else log_softmax(logits, axis=-1)
        scores = logsumexp(logs, axis=0) - np.log(len(logs)).astype(logs.dtype)
        return scores[:, 1] - scores[:, 0] if is_binary else scores
    return logits[0, :, 0] if is_binary else logits[0]


class TrainedEstimator:
    """Mixin for estimators that train a network."""

    __metadata_request__fit = {"groups": True, "early_stopping_mask": True}

    net_: NeuralNet

    @property
    def history_(self) -> pd.DataFrame:
        """Training history: the losses and seconds of each epoch."""
        check_is_fitted(self)
        return tabulate_history(self.net_)


class TrainedClassifier(TrainedEstimator):
    """Mixin for classifiers that train a network."""

    classes_: np.ndarray

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of the second class, or one score per class if there are more.

        Parameters
        ----------
        X : sequence of clips or table
            Clips or rows, as in `fit`.

        Returns
        -------
        scores : ndarray of shape (n_clips,) or (n_clips, n_classes)
            For two classes, positive if `classes_[1]` is more probable. For more classes, scores
            whose softmax gives the probabilities.

        Raises
        ------
        InvalidClipError
            If a clip is invalid, or its landmarks differ from those of the training clips.
        """
        return class_scores(self._logits(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : sequence of clips or table
            Clips or rows, as in `fit`.

        Returns
        -------
        probability : ndarray of shape (n_clips, n_classes)
            Columns in the order of `classes_`: the mean over the members of an ensemble, or over
            the windows of a clip, if there are several.

        Raises
        ------
        InvalidClipError
            If a clip is invalid, or its landmarks differ from those of the training clips.
        """
        return class_probability(self._logits(X)).mean(axis=0)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class.

        Parameters
        ----------
        X : sequence of clips or table
            Clips or rows, as in `fit`.

        Returns
        -------
        y : ndarray of shape (n_clips,)
            Class labels.

        Raises
        ------
        InvalidClipError
            If a clip is invalid, or its landmarks differ from those of the training clips.
        """
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]

    @restored_on_error
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict_epochs(
        self,
        X: Any,
        y: ArrayLike,
        X_test: Any,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        early_stopping_mask: ArrayLike | None = None,
    ) -> np.ndarray:
        """Train like `fit`, and predict other clips after every epoch.

        The predictions show the progress of training. Do not select an epoch by its predictions
        and then report its score, as the published protocol does (see
        `smilefusion.benchmark.PublishedProtocol`): such scores are optimistic.

        Parameters
        ----------
        X, y : sequence of clips or table, array-like
            The training clips and their labels, as in `fit`.
        X_test : sequence of clips or table
            The other clips, as in `predict_proba`.
        groups, sample_weight, early_stopping_mask : array-like of shape (n_clips,), default=None
            Subjects, weights and early-stopping mask, as in `fit`.

        Returns
        -------
        probability : ndarray of shape (n_epochs, n_test_clips, n_classes)
            The result of `predict_proba` after each epoch, with columns in the order of
            `classes_`. Afterwards, the estimator is fitted exactly as after `fit`.
        """
        views: list[Arrays] = []

        def predict(net: NeuralNet) -> np.ndarray:
            if not views:  # the scaling and the columns are known only after the first epoch
                views.extend(self._test_views(X_test))
            with network_on_device(self, net) as run:
                found = np.stack([run("forward", view) for view in views])
            logits = found.reshape(-1, *found.shape[-2:])
            return class_probability(logits).mean(axis=0)

        recorder = EpochRecorder(predict)
        self._fit(X, y, groups, sample_weight, early_stopping_mask, callbacks=[recorder])
        return np.stack(recorder.close())

    def _fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None,
        sample_weight: ArrayLike | None,
        early_stopping_mask: ArrayLike | None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train the network with additional callbacks."""
        raise NotImplementedError

    def _test_views(self, X: Any) -> Sequence[Arrays]:
        """Return the network's inputs, a dict for each view of the samples."""
        raise NotImplementedError

    def _logits(self, X: Any) -> np.ndarray:
        """Return the network's outputs, (n_views, n_clips, n_outputs)."""
        raise NotImplementedError
