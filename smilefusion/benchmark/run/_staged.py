"""Predictions for the test clips after every training epoch."""

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

OWN_METHOD, STAGED_METHOD = "fit_predict_epochs", "staged_predict_proba"


def groups_for(estimator: Any, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Return groups as keyword arguments of an estimator's `fit`, if it accepts them."""
    takes_groups = has_fit_parameter(estimator, "groups") or get_routing_for_object(
        estimator
    ).consumes("fit", ["groups"])
    return {"groups": groups} if takes_groups else {}


def fit_predict_epochs(
    estimator: Any, X: Any, y: np.ndarray, X_test: Any, groups: np.ndarray
) -> np.ndarray:
    """Fit and return probabilities by epoch (one if none), (n_epochs, n_test, n_classes)."""
    if _has_epochs(estimator):
        return estimator.fit_predict_epochs(X, y, X_test, groups=groups)
    if isinstance(estimator, Pipeline) and _has_epochs(estimator.steps[-1][1]):
        head, last = estimator[:-1], estimator.steps[-1][1]
        if len(head):
            X = head.fit_transform(X, y, **groups_for(head, groups))
            X_test = head.transform(X_test)
        return fit_predict_epochs(last, X, y, X_test, groups)
    estimator.fit(X, y, **groups_for(estimator, groups))
    if hasattr(estimator, STAGED_METHOD):
        return np.stack(list(estimator.staged_predict_proba(X_test)))
    return np.asarray(estimator.predict_proba(X_test), dtype=float)[None]


def _has_epochs(estimator: Any) -> bool:
    """Whether an estimator predicts after each epoch; a frozen one must not be trained."""
    return hasattr(estimator, OWN_METHOD) and not isinstance(estimator, FrozenEstimator)


def best_epoch(probability: np.ndarray, target: np.ndarray) -> int:
    """Return the first epoch (from 1) with the highest accuracy; `target` holds class indices."""
    accuracy = (probability.argmax(axis=2) == target).mean(axis=1)
    return int(accuracy.argmax()) + 1
