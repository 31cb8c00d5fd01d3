"""CoinFlipper: a classifier of known accuracy, to see what a protocol makes of it."""

from numbers import Integral, Real

import joblib
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted


class CoinFlipper(ClassifierMixin, BaseEstimator):
    """Guess between two classes, anew in every epoch.

    A baseline that knows nothing: what a protocol reports of it beyond chance, the protocol has
    made up.

    Parameters
    ----------
    accuracy : float, default=0.5
        Probability that a guess is right. At 0.5 the clips are not looked at. Any other value
        needs to be told the truth: X is then a table whose first column holds the labels.
    n_epochs : int, default=300
        Number of epochs, whose guesses are independent.
    random_state : int, default=0
        Seed of the guesses. Other test clips get other guesses from the same seed.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The class labels.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.benchmark import CoinFlipper
    >>> X, y = np.zeros((1000, 1)), np.arange(1000) % 2
    >>> coin = CoinFlipper().fit(X, y)
    >>> bool(0.45 < coin.score(X, y) < 0.55)
    True
    >>> hits = [guess.argmax(axis=1) == y for guess in coin.staged_predict_proba(X)]
    >>> bool(max(hit[:10].mean() for hit in hits) >= 0.8)  # the best epoch on ten clips
    True
    """

    _parameter_constraints: dict = {
        "accuracy": [Interval(Real, 0, 1, closed="both")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, accuracy=0.5, *, n_epochs=300, random_state=0):
        self.accuracy = accuracy
        self.n_epochs = n_epochs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Note the classes.

        Parameters
        ----------
        X : sequence of length n_clips
            Not looked at.
        y : array-like of shape (n_clips,)
            Labels of two classes.

        Returns
        -------
        self : CoinFlipper
            The fitted classifier.

        Raises
        ------
        ValueError
            Where there are not two classes.
        """
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            raise ValueError(f"CoinFlipper guesses between 2 classes; y holds {self.classes_}.")
        return self

    def staged_predict_proba(self, X):
        """Yield the guesses of every epoch.

        Parameters
        ----------
        X : sequence of length n_clips
            The clips; or a table whose first column holds the labels, see `accuracy`.

        Yields
        ------
        probability : ndarray of shape (n_clips, 2)
            0.75 for the class that was guessed, else 0.25.
        """
        check_is_fitted(self)
        n_clips = len(X)
        if self.accuracy == 0.5:
            truth = np.zeros(n_clips, dtype=bool)
        else:
            truth = np.asarray(_safe_indexing(X, 0, axis=1)) == self.classes_[1]
        entropy = [self.random_state, int(joblib.hash(X), 16)]
        rng = np.random.default_rng(np.random.SeedSequence(entropy))
        for _ in range(self.n_epochs):
            second = truth ^ (rng.random(n_clips) >= self.accuracy)
            chance = np.where(second, 0.75, 0.25)
            yield np.column_stack([1 - chance, chance])

    def predict_proba(self, X):
        """Return the guesses of the last epoch.

        Parameters
        ----------
        X : sequence of length n_clips
            The clips, as in `staged_predict_proba`.

        Returns
        -------
        probability : ndarray of shape (n_clips, 2)
            0.75 for the class that was guessed, else 0.25.
        """
        *_, last = self.staged_predict_proba(X)
        return last

    def predict(self, X):
        """Return the classes guessed in the last epoch.

        Parameters
        ----------
        X : sequence of length n_clips
            The clips, as in `staged_predict_proba`.

        Returns
        -------
        y : ndarray of shape (n_clips,)
            Class labels.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
