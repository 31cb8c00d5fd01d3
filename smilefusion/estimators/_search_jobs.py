"""The fits of a search: tables of a fold, trainings of one form in stacks, scores."""

import time
from dataclasses import dataclass
from traceback import format_exception
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.model_selection._validation import _score
from sklearn.utils import _safe_indexing
from sklearn.utils.metaestimators import _safe_split

from smilefusion.estimators._out_of_fold import takes_metadata
from smilefusion.estimators._stacked_training import form_of, train_together, why_alone
from smilefusion.estimators._torch_state import resolve_device

# Parameters of a FusionClassifier in which the members of a stack may differ.
_FREE_PARAMETERS = (
    *("lr", "weight_decay", "max_epochs", "class_weight", "early_stopping", "gradient_clip"),
    *("validation_fraction", "patience", "warmup_epochs", "lr_schedule", "random_state"),
    "verbose",
)
_STACK_SIZES = {"cpu": 6, "cuda": 60}
# On the CPU: a larger stack outgrows the caches, and a larger network gains nothing in a stack.
_STACKED_WEIGHTS, _LARGE_NETWORK = 4_000_000, 400_000


@dataclass
class Fold:
    """Rows of a split, and what the steps before the classifier made of them."""

    train: np.ndarray
    test: np.ndarray
    tables: tuple | None = None  # of the training and the test clips; None: those of X
    seconds: float = 0.0  # that this took, for each fit that uses it

    def split(self, X, y, groups):
        """Return tables, labels and groups of both parts."""
        tables = self.tables or (_safe_indexing(X, self.train), _safe_indexing(X, self.test))
        labels = _safe_indexing(y, self.train), _safe_indexing(y, self.test)
        return tables, labels, None if groups is None else groups[self.train]


@dataclass
class SearchJob:
    """One fit of a search."""

    place: int  # in the order of candidates, then splits
    classifier: Any
    fold: Fold
    error: Exception | None = None
    fit_seconds: float = 0.0


def make_fold(steps, X, y, groups, train, test):
    """Fit the steps before the classifier on a training part.

    Parameters
    ----------
    steps : Pipeline
        The unfitted steps.
    X, y, groups : sequence, array-like and ndarray or None
        All clips or rows, labels and subjects.
    train, test : ndarray
        Positions of both parts.

    Returns
    -------
    fold : Fold
        The split with its tables.
    """
    began = time.perf_counter()
    X_train, y_train = _safe_split(steps, X, y, train)
    X_test, _ = _safe_split(steps, X, y, test, train)
    with sklearn.config_context(enable_metadata_routing=True):
        asks = groups is not None and takes_metadata(steps, "fit_transform")
        params = {"groups": groups[train]} if asks else {}
        tables = steps.fit_transform(X_train, y_train, **params), steps.transform(X_test)
    return Fold(train, test, tables, time.perf_counter() - began)


def plan_stacks(jobs, stack_size):
    """Put fits of one form together.

    Parameters
    ----------
    jobs : list of SearchJob
        All fits.
    stack_size : int or None
        Greatest number of fits in a stack; None: 6 on the CPU, 60 on a GPU.

    Returns
    -------
    stacks : list of list of SearchJob
        The fits of each stack.
    """
    alike = {}
    for job in jobs:
        given = job.classifier.get_params(deep=False)
        form = [(name, given[name]) for name in sorted(given) if name not in _FREE_PARAMETERS]
        alike.setdefault(repr(form), []).append(job)
    stacks = []
    for group in alike.values():
        size = stack_size or _STACK_SIZES[_likely_device(group[0].classifier.device)]
        stacks += [group[start : start + size] for start in range(0, len(group), size)]
    return stacks


def _likely_device(device):
    """Return "cuda" or "cpu": where a `device` parameter lets train; a worker may have another."""
    if device == "auto":
        return resolve_device(device)
    return "cuda" if device.startswith("cuda") else "cpu"


def run_stack(jobs, X, y, groups, scorer, *, error_score, return_train_score):
    """Fit and score the jobs of a stack.

    Parameters
    ----------
    jobs : list of SearchJob
        Fits of one form.
    X, y, groups : sequence, array-like and ndarray or None
        All clips or rows, labels and subjects.
    scorer : callable
        A scorer of scikit-learn, of one metric or several.
    error_score : number or "raise"
        The score of a failed fit.
    return_train_score : bool
        Whether to score the training part too.

    Returns
    -------
    results : list of tuple of int and dict
        The place of each job, and what scikit-learn's searches record of it.
    """
    data = [job.fold.split(X, y, groups) for job in jobs]
    _fit_stack(jobs, data, error_score)
    results = []
    for job, (tables, labels, _) in zip(jobs, data, strict=True):
        began = time.perf_counter()
        result = {"fit_error": None, "fit_time": job.fit_seconds + job.fold.seconds}
        parts = {"test_scores": 1} | ({"train_scores": 0} if return_train_score else {})
        for name, part in parts.items():
            if job.error is None:
                given = job.classifier, tables[part], labels[part], scorer, {}, error_score
                result[name] = _score(*given)
            else:
                result["fit_error"] = "".join(format_exception(job.error))
                names = getattr(scorer, "_scorers", None)
                result[name] = error_score if names is None else dict.fromkeys(names, error_score)
        result["score_time"] = time.perf_counter() - began
        results.append((job.place, result))
    return results


def _fit_stack(jobs, data, error_score):
    """Fit classifiers to their training parts, together where their networks allow it."""
    alike = {}
    for job, (tables, labels, groups) in zip(jobs, data, strict=True):
        began = time.perf_counter()
        try:
            if why_alone(job.classifier) is None:
                training = job.classifier._prepare(tables[0], labels[0], groups)
                alike.setdefault(form_of(training), []).append((job, training))
            else:
                job.classifier.fit(tables[0], labels[0], groups=groups)
        except Exception as error:
            if error_score == "raise":
                raise
            job.error = error
        job.fit_seconds = time.perf_counter() - began
    for group in alike.values():
        size = _most_stacked(group[0][1])
        for start in range(0, len(group), size):
            _train(group[start : start + size], error_score)


def _most_stacked(training):
    """Return how many networks of a form are stacked at most, by their size."""
    with torch.device("meta"):
        module = training.module(**training.module_params)
    n_weights = sum(weight.numel() for weight in module.parameters())
    if torch.device(training.device).type == "cpu" and n_weights > _LARGE_NETWORK:
        return 1
    return max(1, _STACKED_WEIGHTS // n_weights)


def _train(group, error_score):
    """Train the networks of jobs; note errors and seconds."""
    began = time.perf_counter()
    outcomes = train_together([training for _, training in group])
    seconds = (time.perf_counter() - began) / len(group)
    for (job, _), outcome in zip(group, outcomes, strict=True):
        job.fit_seconds += seconds
        if not isinstance(outcome, Exception):
            job.classifier.net_ = outcome
        elif error_score == "raise":
            raise outcome
        else:
            job.error = outcome
