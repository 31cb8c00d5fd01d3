"""A classifier of known accuracy that knows nothing."""

import joblib
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Coin(ClassifierMixin, BaseEstimator):
    """Guess again in every epoch; above chance, the first column of X holds the labels."""

    def __init__(self, accuracy=0.5, *, n_epochs=30, random_state=0):
        self.accuracy = accuracy
        self.n_epochs = n_epochs
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def staged_predict_proba(self, X):
        truth = X[:, 0] == 1
        rng = np.random.default_rng([self.random_state, int(joblib.hash(X), 16)])
        for _ in range(self.n_epochs):
            second = truth ^ (rng.random(len(X)) >= self.accuracy)
            chance = np.where(second, 0.75, 0.25)
            yield np.column_stack([1 - chance, chance])

    def predict_proba(self, X):
        *_, last = self.staged_predict_proba(X)
        return last

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
