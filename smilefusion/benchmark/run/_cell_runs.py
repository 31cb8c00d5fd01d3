"""One cell of a benchmark: fit, predict, and the record of it."""

import time
import traceback
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.utils import _safe_indexing

from smilefusion.benchmark._store import FIGURES
from smilefusion.benchmark.run._cells import Cell, DataSet
from smilefusion.benchmark.run._fitted_networks import describe_splits, name_subjects
from smilefusion.benchmark.run._provenance import (
    describe_device,
    read_peak_memory,
    reset_peak_memory,
)
from smilefusion.benchmark.run._staged import choose_epoch, fit_predict_epochs, groups_for
from smilefusion.benchmark.stats._scores import PROBABILITY_PREFIX


@dataclass(frozen=True)
class Job:
    """What a process needs to run a cell."""

    cell: Cell
    estimator: Any
    dataset: DataSet
    chooses_epoch: bool = False
    settings: dict = field(default_factory=dict)  # text and digests, for the results folder
    failed: str | None = None  # when the cell failed in an earlier run


def run_cell(job):
    """Fit and test one estimator on one fold; return record, rows, error and warnings."""
    cell, classes, caught_error = job.cell, np.unique(job.dataset.target), None
    tells_memory = reset_peak_memory()
    with (
        sklearn.config_context(enable_metadata_routing=True),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            columns, record = _fit_and_predict(job, classes)
        except Exception as error:
            error.add_note(f"In {cell}.")
            columns, record = _missing(classes, error)
            caught_error = error
    messages = [
        (warning.category, str(warning.message))
        for warning in caught
        if not issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning)
    ]
    subjects = [job.dataset.rows["group"].iloc[part] for part in (cell.train, cell.test)]
    record |= {
        "cell": cell.key,
        "subjects": {"train": name_subjects(subjects[0]), "test": name_subjects(subjects[1])},
        "peak_memory_bytes": read_peak_memory() if tells_memory else None,
        "warnings": sorted({f"{category.__name__}: {text}" for category, text in messages}),
    }
    rows = job.dataset.rows.iloc[cell.test].rename_axis("position").reset_index()
    return record, rows.assign(**columns), caught_error, messages


def _fit_and_predict(job, classes):
    """Return the columns that one fitted estimator gives for the test clips, and its record."""
    if not hasattr(job.estimator, "predict_proba"):
        raise ValueError(
            f"{type(job.estimator).__name__} has no predict_proba, which ROC AUC and log loss "
            "need; wrap it in sklearn.calibration.CalibratedClassifierCV."
        )
    dataset, train, test = job.dataset, job.cell.train, job.cell.test
    model = _reseed(clone(job.estimator), job.cell.repeat)
    X, X_test = (_safe_indexing(dataset.clips, part) for part in (train, test))
    y, groups = dataset.target[train], dataset.groups[train]
    start, epoch = time.perf_counter(), np.nan
    if job.chooses_epoch:
        by_epoch = fit_predict_epochs(model, X, y, X_test, groups)
        fitted = time.perf_counter()
        epoch = choose_epoch(by_epoch, np.searchsorted(classes, dataset.target[test]))
        probability = by_epoch[epoch - 1]
        abstains = _abstain_label(model) is not None
        prediction = model.predict(X_test) if abstains else classes[probability.argmax(axis=1)]
    else:
        model.fit(X, y, **groups_for(model, groups))
        fitted = time.perf_counter()
        probability = np.asarray(model.predict_proba(X_test), dtype=float)
        prediction = model.predict(X_test)
    seconds = fitted - start, time.perf_counter() - fitted
    figures = (*seconds, count_parameters(model), len(train), float(epoch))
    columns = {f"{PROBABILITY_PREFIX}{k}": probability[:, i] for i, k in enumerate(classes)}
    record = {
        "figures": dict(zip(FIGURES, figures, strict=True)),
        "device": describe_device(model),
        "networks": describe_splits(model),
        "error": None,
    }
    labels = _as_classes(prediction, classes, _abstain_label(model))
    return {"prediction": labels, **columns}, record


def _reseed(model, repeat):
    """Give a model the seeds of a repeat: those that it was given, plus its number."""
    seeds = {
        name: value + repeat
        for name, value in model.get_params().items()
        if name.rpartition("__")[2] == "random_state" and isinstance(value, (int, np.integer))
    }
    return model.set_params(**seeds) if repeat and seeds else model


def _abstain_label(model):
    """Return the label that a fitted model predicts if it abstains; None if it never does."""
    while not hasattr(model, "abstain_label_"):
        model = getattr(model, "best_estimator_", getattr(model, "_final_estimator", None))
        if model is None:
            return None
    return model.abstain_label_


def _as_classes(prediction, classes, abstain_label):
    """Return predictions in the type of the labels; abstentions keep their own label."""
    prediction = np.asarray(prediction)
    places = {label: place for place, label in enumerate(classes.tolist())}
    index = np.array([places.get(label, -1) for label in prediction.tolist()])
    unknown = index < 0
    if abstain_label is not None:
        unknown &= prediction != abstain_label
    if unknown.any():
        raise ValueError(
            f"The estimator predicts {prediction[unknown][:1].tolist()[0]!r}, which is not one "
            f"of the classes {classes.tolist()}. predict must return labels that fit has seen."
        )
    answers = np.array([*classes.tolist(), abstain_label], dtype=object)[index]
    if len(set(map(type, answers))) == 1:
        return answers.tolist()
    return pd.Series(answers)  # of dtype object: a list of 1 and 0.5 would become 1.0 and 0.5


def _missing(classes, error):
    """Return the empty columns of a failed cell, and its record."""
    names = [f"{PROBABILITY_PREFIX}{k}" for k in classes]
    failure = {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    record = {
        "figures": dict.fromkeys(FIGURES, np.nan),
        "device": None,
        "networks": [],
        "error": failure,
    }
    return {"prediction": None} | dict.fromkeys(names, np.nan), record


def count_parameters(estimator):
    """Count the trained parameters of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator: one with a skorch net ``net_``, a linear model, or a pipeline,
        feature union or search of such.

    Returns
    -------
    n_parameters : float
        Number of trainable weights of its networks and of coefficients and intercepts of its
        linear models, summed over its steps; NaN where the predictor is of another kind.
        Scalers and other steps without gradients count nothing.
    """
    if hasattr(estimator, "best_estimator_"):
        return count_parameters(estimator.best_estimator_)
    if hasattr(estimator, "net_"):
        weights = estimator.net_.module_.parameters()
        return float(sum(weight.numel() for weight in weights if weight.requires_grad))
    if hasattr(estimator, "coef_"):
        return float(np.size(estimator.coef_) + np.size(getattr(estimator, "intercept_", ())))
    steps = getattr(estimator, "steps", None) or getattr(estimator, "transformer_list", None)
    if steps is not None:
        return sum(count_parameters(step) for _, step in steps if isinstance(step, BaseEstimator))
    return 0.0 if hasattr(estimator, "transform") else float("nan")
