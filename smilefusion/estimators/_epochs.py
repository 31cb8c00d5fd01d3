"""Probabilities from logits, also after every epoch of a training."""

import numpy as np
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax
from sklearn.base import _fit_context

from smilefusion.estimators._callbacks import EpochRecorder
from smilefusion.estimators._training import restored_on_error, run_network, run_settings


def class_probability(logits):
    """Return the probabilities (..., n_classes) of logits (..., 1) of two classes, or of more."""
    if logits.shape[-1] == 1:
        return expit(np.concatenate([-logits, logits], axis=-1))
    return softmax(logits, axis=-1)


def class_scores(logits):
    """Return log-odds (n_clips,) for two classes, or scores (n_clips, n_classes) for more.

    They correspond to the mean probability over views of logits (n_views, n_clips, n_outputs).
    """
    is_binary = logits.shape[-1] == 1
    if len(logits) > 1:
        two = np.concatenate([-logits, logits], axis=-1)
        logs = log_expit(two) if is_binary else log_softmax(logits, axis=-1)
        scores = logsumexp(logs, axis=0) - np.log(len(logs)).astype(logs.dtype)
        return scores[:, 1] - scores[:, 0] if is_binary else scores
    return logits[0, :, 0] if is_binary else logits[0]


class EpochPredictions:
    """Mixin for classifiers that predict other clips after every training epoch.

    The classifier needs two methods: ``_fit(X, y, groups, sample_weight, early_stopping_mask,
    callbacks)`` trains the network with additional callbacks, and ``_test_views`` returns the
    network's inputs for clips, one dict per view. The probabilities of the views are averaged.
    """

    @restored_on_error
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict_epochs(
        self, X, y, X_test, groups=None, sample_weight=None, early_stopping_mask=None
    ):
        """Train as `fit` does, and predict other clips after every epoch.

        Choosing an epoch by these predictions and reporting them too is what the published
        protocol does, see `smilefusion.benchmark.PublishedProtocol`; they are for looking at the
        course of a training, not for scores.

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
            After each epoch, what `predict_proba` would give; columns in the order of
            `classes_`. The estimator is fitted as by `fit`, bit for bit.
        """
        views = []

        def predict(net):
            if not views:  # now that scaling and the like are learned
                views.extend(self._test_views(X_test))
            return self._mean_probability(net, views)

        recorder = EpochRecorder(predict)
        self._fit(X, y, groups, sample_weight, early_stopping_mask, callbacks=[recorder])
        return np.stack(recorder.close())

    def _mean_probability(self, net, views):
        """Return the mean probability over views, (n_clips, n_classes)."""
        logits = [run_network(net, "forward", view, **run_settings(self)) for view in views]
        return class_probability(np.stack(logits)).mean(axis=0)
