"""Probabilities from logits, also after every training epoch."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax
from sklearn.base import _fit_context

from smilefusion._training._callbacks import EpochRecorder
from smilefusion._training._trainer import restored_on_error, run_network, run_settings


def class_probability(logits):
    """Return the probabilities (..., n_classes) of logits (..., 1) of two classes, or of more."""
    if logits.shape[-1] == 1:
        return expit(np.concatenate([-logits, logits], axis=-1))
    return softmax(logits, axis=-1)


def class_scores(logits):
    """Return scores of the mean over views: log-odds (n_clips,), or (n_clips, n_classes)."""
    is_binary = logits.shape[-1] == 1
    if len(logits) > 1:
        two = np.concatenate([-logits, logits], axis=-1)
        logs = log_expit(two) if is_binary else log_softmax(logits, axis=-1)
        scores = logsumexp(logs, axis=0) - np.log(len(logs)).astype(logs.dtype)
        return scores[:, 1] - scores[:, 0] if is_binary else scores
    return logits[0, :, 0] if is_binary else logits[0]


class EpochPredictions:
    """Mixin for classifiers with methods ``_fit`` (with callbacks) and ``_test_views``."""

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
        """Train as `fit` does, and predict other clips after every epoch.

        The predictions show how a training proceeds. Do not choose an epoch by them and report
        the same predictions, as the published protocol does (see
        `smilefusion.benchmark.PublishedProtocol`): such scores are too good.

        Parameters
        ----------
        X, y : sequence of clips or table, array-like
            The training clips and their labels, as `fit` takes them.
        X_test : sequence of clips or table
            The other clips, as `predict_proba` takes them.
        groups, sample_weight, early_stopping_mask : array-like of shape (n_clips,), default=None
            Subjects, weights and early-stopping mask, as `fit` takes them.

        Returns
        -------
        probability : ndarray of shape (n_epochs, n_test_clips, n_classes)
            The result of `predict_proba` after each epoch, with columns in the order of
            `classes_`. The estimator is then fitted exactly as by `fit`.
        """
        views = []

        def predict(net):
            if not views:  # only now are the scaling and the columns known
                views.extend(self._test_views(X_test))
            return self._mean_probability(net, views)

        recorder = EpochRecorder(predict)
        self._fit(X, y, groups, sample_weight, early_stopping_mask, callbacks=[recorder])
        return np.stack(recorder.close())

    def _mean_probability(self, net, views):
        """Return the mean probability over views, (n_clips, n_classes)."""
        logits = [run_network(net, "forward", view, **run_settings(self)) for view in views]
        return class_probability(np.stack(logits)).mean(axis=0)
