"""Fit and test one cell of a benchmark and record it."""

import time
import traceback
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from smilefusion.benchmark._shifts import check_probabilities, naming_shift
from smilefusion.benchmark.run._cells import Cell, DataSet
from smilefusion.benchmark.run._fitted_networks import (
    count_parameters,
    describe_splits,
    find_abstain_label,
    name_subjects,
)
from smilefusion.benchmark.run._provenance import (
    describe_device,
    read_peak_memory,
    reset_peak_memory,
)
from smilefusion.benchmark.run._staged import best_epoch, fit_predict_epochs, groups_for
from smilefusion.benchmark.run._store import FIGURES
from smilefusion.benchmark.stats._scores import PROBABILITY_PREFIX
from smilefusion.benchmark.stats._shift_scores import AS_RECORDED
from smilefusion.clips._sequence import ClipSequence
from smilefusion.exceptions import SmileFusionWarning


@dataclass(frozen=True)
class Job:
    """A cell with everything that a process needs to run it."""

    cell: Cell
    estimator: Any
    dataset: DataSet
    chooses_epoch: bool = False
    settings: dict = field(default_factory=dict)  # text and digests, for the results folder
    failed: str | None = None  # time of failure in an earlier run
    shifts: dict[str, ClipSequence] = field(default_factory=dict)  # of the test clips


def run_cell(job: Job) -> tuple[dict, pd.DataFrame, Exception | None, list[tuple]]:
    """Fit and test an estimator on a fold; return record, rows, error and warnings."""
    cell, classes, caught_error = job.cell, np.unique(job.dataset.target), None
    measures_memory = reset_peak_memory()
    with (
        sklearn.config_context(enable_metadata_routing=True),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            columns, record = _fit_and_predict(job, classes)
        except Exception as error:
            error.add_note(f"In {cell}.")
            columns, record = _missing(job, classes, error)
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
        "peak_memory_bytes": read_peak_memory() if measures_memory else None,
        "warnings": sorted({f"{category.__name__}: {text}" for category, text in messages}),
    }
    rows = job.dataset.rows.iloc[cell.test].rename_axis("position").reset_index()
    rows = pd.concat([rows.assign(shift=shift, **each) for shift, each in columns.items()])
    return record, rows, caught_error, messages


def _fit_and_predict(
    job: Job, classes: np.ndarray
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the predictions for the test clips as columns by shift, and the record of the fit."""
    check_probabilities(job.estimator)
    dataset, train, test = job.dataset, job.cell.train, job.cell.test
    model = _reseed(clone(job.estimator), job.cell.repeat)
    X, X_test = (_safe_indexing(dataset.clips, part) for part in (train, test))
    y, groups = dataset.target[train], dataset.groups[train]
    start, epoch = time.perf_counter(), np.nan
    if job.chooses_epoch:
        by_epoch = fit_predict_epochs(model, X, y, X_test, groups)
        fitted = time.perf_counter()
        epoch = best_epoch(by_epoch, np.searchsorted(classes, dataset.target[test]))
        probability = by_epoch[epoch - 1]
        abstains = find_abstain_label(model) is not None
        prediction = model.predict(X_test) if abstains else classes[probability.argmax(axis=1)]
    else:
        model.fit(X, y, **groups_for(model, groups))
        fitted = time.perf_counter()
        probability = np.asarray(model.predict_proba(X_test), dtype=float)
        prediction = model.predict(X_test)
    seconds = fitted - start, time.perf_counter() - fitted
    figures = (*seconds, count_parameters(model), len(train), float(epoch))
    record = {
        "figures": dict(zip(FIGURES, figures, strict=True)),
        "device": describe_device(model),
        "networks": describe_splits(model),
        "error": None,
    }
    labels = _as_classes(prediction, classes, find_abstain_label(model))
    columns = {AS_RECORDED: _make_columns(labels, probability, classes)}
    return columns | _predict_shifts(model, job.shifts, classes), record


def _predict_shifts(
    model: Any, shifts: dict[str, ClipSequence], classes: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Return probabilities and most probable classes under each shift as columns."""
    columns = {}
    for name, clips in shifts.items():
        with naming_shift(name), warnings.catch_warnings():
            # Warnings about clips that the user has never seen would only confuse.
            warnings.simplefilter("ignore", SmileFusionWarning)
            probability = np.asarray(model.predict_proba(clips), dtype=float)
        labels = classes[probability.argmax(axis=1)].tolist()
        columns[name] = _make_columns(labels, probability, classes)
    return columns


def _make_columns(labels: Any, probability: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Return predicted labels and probabilities as columns."""
    columns = {f"{PROBABILITY_PREFIX}{k}": probability[:, i] for i, k in enumerate(classes)}
    return {"prediction": labels, **columns}


def _reseed(model: Any, repeat: int) -> Any:
    """Add the repeat number to all seeds of a model."""
    seeds = {
        name: value + repeat
        for name, value in model.get_params().items()
        if name.rpartition("__")[2] == "random_state" and isinstance(value, (int, np.integer))
    }
    return model.set_params(**seeds) if repeat and seeds else model


def _as_classes(prediction: Any, classes: np.ndarray, abstain_label: Any) -> list | pd.Series:
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
            f"of the classes {classes.tolist()}. predict must return labels from y."
        )
    answers = np.array([*classes.tolist(), abstain_label], dtype=object)[index]
    if len(set(map(type, answers))) == 1:
        return answers.tolist()
    return pd.Series(answers)  # dtype object, so that 1 and 0.5 do not become 1.0 and 0.5


def _missing(
    job: Job, classes: np.ndarray, error: Exception
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return empty columns and the record of a failed cell."""
    names = [f"{PROBABILITY_PREFIX}{k}" for k in classes]
    record: dict[str, Any] = {
        "figures": dict.fromkeys(FIGURES, np.nan),
        "device": None,
        "networks": [],
        "error": {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
        },
    }
    columns = {"prediction": None} | dict.fromkeys(names, np.nan)
    return dict.fromkeys([AS_RECORDED, *job.shifts], columns), record
