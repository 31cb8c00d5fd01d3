"""Estimators and runs that worker processes import without torch."""

import os
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch

from smilefusion.benchmark import run_benchmark


class Slow(LogisticRegression):
    """Fit slowly, so that a kill hits a fit, and note each fit in a folder."""

    def __init__(self, pause=0.0, notes=None, C=1.0):
        super().__init__(C=C)
        self.pause = pause
        self.notes = notes

    def fit(self, X, y):
        time.sleep(self.pause)
        if self.notes is not None:
            Path(self.notes, f"{time.time_ns()}-{os.getpid()}").touch()
        return super().fit(X, y)


class Growing(DummyClassifier):
    """Let the worker's memory grow by 400 MB, as the import of torch does."""

    def fit(self, X, y):
        time.sleep(1.1)  # joblib looks once a second
        sys.grown = np.ones(5 * 10**7) if hasattr(sys, "grown") else None
        return super().fit(X, y)


class Fragile(DummyClassifier):
    """Fail until a file exists."""

    def __init__(self, cure=None, strategy="prior"):
        super().__init__(strategy=strategy)
        self.cure = cure

    def fit(self, X, y):
        if not Path(self.cure).exists():
            raise ArithmeticError("not cured")
        return super().fit(X, y)


def is_mapped(clips):
    """Return whether clips are views of mapped files."""
    return all(isinstance(clip, np.memmap) for clip in clips)


class MappedProbe(ClassifierMixin, BaseEstimator):
    """Score 1 where the clips of `fit` and `score` are views of mapped files."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.mapped_ = is_mapped(X)
        return self

    def score(self, X, y):
        return float(self.mapped_ and is_mapped(X))


def make_data(n_clips=40, seed=0, **changes):
    rng = np.random.default_rng(seed)
    target = np.arange(n_clips) % 2
    groups = np.array([f"person {i // 2}" for i in range(n_clips)])
    X = np.column_stack([rng.normal(size=n_clips) + target, rng.normal(size=n_clips)])
    return Bunch(**({"clips": X, "target": target, "groups": groups, "name": "toy"} | changes))


def make_estimators(pause=0.0):
    return {"prior": DummyClassifier(), "slow": Slow(pause), "sl/ow": Slow(pause, C=0.1)}


def run(folder, pause=0.0, **settings):
    return run_benchmark(make_estimators(pause), make_data(), cv=4, results=folder, **settings)
