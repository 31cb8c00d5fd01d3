"""Restore an estimator whose fit fails or is interrupted."""

from functools import wraps

from sklearn.base import BaseEstimator


def restored_on_error(fit):
    """Decorate a method so that an exception restores the estimator and its nested estimators."""

    @wraps(fit)
    def fit_or_restore(estimator, *args, **kwargs):
        before = [(part, _state(part)) for part in _parts(estimator)]
        try:
            return fit(estimator, *args, **kwargs)
        except BaseException:
            for part, state in before:
                vars(part).clear()
                vars(part).update(state)
            raise

    return fit_or_restore


def _parts(estimator):
    """Return an estimator and all estimators in its parameters."""
    nested = estimator.get_params(deep=True).values()
    return [estimator, *(part for part in nested if isinstance(part, BaseEstimator))]


def _state(part):
    """Return the attributes of an estimator; lists are copied because `fit` may change them."""
    return {k: list(value) if type(value) is list else value for k, value in vars(part).items()}
