"""What an estimator says of test clips after every epoch of its training."""

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

OWN_METHOD, STAGED_METHOD = "fit_predict_epochs", "staged_predict_proba"


def takes_groups(estimator):
    """Whether groups can be passed to an estimator's `fit`."""
    return has_fit_parameter(estimator, "groups") or get_routing_for_object(estimator).consumes(
        "fit", ["groups"]
    )


def groups_for(estimator, groups):
    """Return the groups as keyword arguments of an estimator's `fit`, none where it takes none."""
    return {"groups": groups} if takes_groups(estimator) else {}


def fit_predict_epochs(estimator, X, y, X_test, groups):
    """Fit an estimator; return the probabilities after each epoch, (n_epochs, n_test, n_classes).

    An estimator without epochs counts as having one.
    """
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


def _has_epochs(estimator):
    """Whether an estimator predicts after each epoch; a frozen one must not be trained."""
    return hasattr(estimator, OWN_METHOD) and not isinstance(estimator, FrozenEstimator)


def choose_epoch(probability, right):
    """Return the first epoch, counted from 1, with the highest accuracy on the test clips.

    `right` (n_test,) is the position of each clip's class among the columns.
    """
    accuracy = (probability.argmax(axis=2) == right).mean(axis=1)
    return int(accuracy.argmax()) + 1
