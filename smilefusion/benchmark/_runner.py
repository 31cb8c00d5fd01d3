"""Subject-disjoint benchmark of estimators: cells of fold and estimator → tidy predictions."""

import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter
from tqdm import tqdm

from smilefusion.benchmark._cells import Cell, DataSet, check_datasets, make_cells
from smilefusion.benchmark._provenance import (
    describe_device,
    describe_estimator,
    digest_clips,
    digest_split,
    read_peak_memory,
    reset_peak_memory,
)
from smilefusion.benchmark._statistics import PROBABILITY_PREFIX
from smilefusion.benchmark._store import FIGURES, CellStore, tidy
from smilefusion.exceptions import FailedCellWarning

_MAPPED_BYTES = 100_000  # larger clips reach the workers through one memory-mapped file


def run_benchmark(
    estimators,
    data,
    *,
    cv=None,
    n_repeats=1,
    n_jobs=1,
    random_state=0,
    progress=False,
    on_error="raise",
    results=None,
):
    """Test estimators on the same subject-disjoint folds and collect their predictions.

    Parameters
    ----------
    estimators : dict of str to estimator
        The classifiers under their names in the result. Each needs `predict_proba`. Whatever
        is chosen from the data must be chosen inside the estimator, for instance by
        `GridSearchCV` with a group-disjoint splitter.
    data : Bunch, list of Bunch or dict of str to Bunch
        ``clips`` (n_clips clips, or the rows of any other X), ``target`` (n_clips class
        labels), ``groups`` (the subject of each clip); optional are ``files`` (n_clips names)
        and ``name``, which name the clips and the data set in the result. Of several data
        sets the names, or else the keys of the dict, must differ.
    cv : int, splitter or None, default=None
        Outer folds: a number of `StratifiedGroupKFold`'s folds (None: 5), shuffled by
        `random_state`, or a splitter whose folds are subject-disjoint.
    n_repeats : int, default=1
        How often all folds are drawn anew, from `random_state` + 0, 1, 2 …
    n_jobs : int, default=1
        Number of cells that run at the same time, as in joblib.
    random_state : int, default=0
        Seed of the folds. Estimators keep the seeds that they were given; one without a seed
        is not reproducible.
    progress : bool, default=False
        Whether to show a progress bar on stderr.
    on_error : {"raise", "warn"}, default="raise"
        Whether an error in a cell ends the run, or becomes a warning and missing predictions.
    results : str, path-like or None, default=None
        A folder in which every cell is stored as it is finished. A run that was stopped, even
        killed, and is started again with the same folder runs only what is missing, and
        returns the table of an undisturbed run, times apart. None stores nothing.

    Returns
    -------
    predictions : pandas.DataFrame
        One row per data set, estimator, repeat and clip, in this order: ``dataset``,
        ``estimator``, ``repeat``, ``fold``, ``clip`` (file name or position), ``group``,
        ``target``, ``prediction``, ``probability_<class>`` for each class, ``fit_seconds`` and
        ``predict_seconds`` (wall time of the cell; the latter for all clips of the fold),
        ``n_parameters`` (trained parameters, NaN where unknown) and ``n_train`` (clips).

    Raises
    ------
    InvalidDataError
        Where clips, labels and groups do not fit together, or do not allow such folds; where
        the results folder holds cells of another setting of an estimator, other data or folds.
    ValueError
        Where a parameter is out of range or a folds' subjects overlap.

    Notes
    -----
    Groups reach every estimator whose ``fit`` takes ``groups`` or whose metadata routing asks
    for them, such as a `GridSearchCV` with `StratifiedGroupKFold`. Cells run estimator by
    estimator, each over all folds, so that a step which pipelines share through
    ``memory=`` is ready when the second pipeline reaches a fold; the first one's
    ``fit_seconds`` hold the time of that step.

    The results folder holds, in its subfolder ``cells``, a CSV file of the predictions of each
    cell and a JSON file of what they came from: class and parameters of the estimator, digests
    of clips and fold, seconds, peak memory of the process (bytes, Linux only), parameters,
    device, seed of the folds, warnings, versions of the packages, and machine. A failed cell
    has a JSON file with the error and its traceback; the next run tries it again. Parameters
    are compared as text, functions by their name; ``memory``, ``n_jobs`` and ``verbose`` may
    change. Several runners may share a folder: each runs what no other has in work, and waits
    in the end for what others have. What a stopped runner had in work is taken over, unless it
    ran on another host: then a warning names the lock file to delete.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.utils import Bunch
    >>> from smilefusion.benchmark import run_benchmark
    >>> X, y = load_iris(return_X_y=True)
    >>> data = Bunch(clips=X, target=y, groups=[i // 3 for i in range(150)], name="iris")
    >>> predictions = run_benchmark({"logistic": LogisticRegression(max_iter=500)}, data)
    >>> len(predictions)
    150
    """
    _check_run(estimators, n_repeats, on_error)
    datasets = {dataset.name: dataset for dataset in check_datasets(data)}
    cells = make_cells(datasets.values(), estimators, cv, n_repeats, random_state)
    jobs = [Job(cell, estimators[cell.estimator], datasets[cell.dataset]) for cell in cells]
    store = None if results is None else CellStore(results)
    if store is not None:
        jobs = _prepare(store, jobs, estimators, datasets)
    pool = Parallel(
        n_jobs, return_as="generator_unordered", batch_size=1, max_nbytes=_MAPPED_BYTES
    )
    with tqdm(total=len(cells), disable=not progress, file=sys.stderr, unit="fit") as bar:
        outcomes = _run_jobs(jobs, store, on_error, pool, bar)
    done = [
        outcomes[i].result if store is None else store.read(cell) for i, cell in enumerate(cells)
    ]
    if store is not None:
        store.sweep()
    messages = [message for i in sorted(outcomes) for message in outcomes[i].messages]
    failures = [_failures(cell, record) for cell, (record, _) in zip(cells, done, strict=True)]
    _warn_once_per_kind(sum(failures, messages))
    return tidy(done)


@dataclass(frozen=True)
class Job:
    """What a process needs to run a cell."""

    cell: Cell
    estimator: Any
    dataset: DataSet
    settings: dict = field(default_factory=dict)  # text and digests, for the results folder
    failed: str | None = None  # when the cell failed in an earlier run


@dataclass(frozen=True)
class Outcome:
    """What a process has to say of a finished cell: its result, unless that is in the folder."""

    messages: list
    result: tuple | None = None


def _prepare(store, jobs, estimators, datasets):
    """Return the jobs with their settings, which must be those of the folder's cells."""
    models = {name: describe_estimator(each) for name, each in estimators.items()}
    clips = {name: digest_clips(each.clips) for name, each in datasets.items()}
    folds = {(job.cell.dataset, job.cell.repeat, job.cell.fold): job for job in jobs}
    splits = {fold: digest_split(job.cell, job.dataset) for fold, job in folds.items()}
    store.sweep()
    prepared = []
    for job in jobs:
        cell = job.cell
        split = splits[cell.dataset, cell.repeat, cell.fold]
        settings = models[cell.estimator] | {"data": clips[cell.dataset], "split": split}
        record = store.check(cell, settings)
        failed = record["finished"] if record and record["error"] else None
        prepared.append(replace(job, settings=settings, failed=failed))
    return prepared


def _run_jobs(jobs, store, on_error, pool, bar):
    """Run all jobs that nobody has done; return the outcomes of those run here, by position."""
    outcomes = {}
    pending = {i: job for i, job in enumerate(jobs) if not _is_done(job, store, on_error)}
    bar.update(len(jobs) - len(pending))
    warned = False
    while pending:
        tasks = [delayed(_run_job)(i, job, store, on_error) for i, job in pending.items()]
        for i, outcome in pool(tasks):
            if outcome is not None:
                outcomes[i] = outcome
                bar.set_postfix_str(pending.pop(i).cell.estimator)
                bar.update()
        if pending:
            others = [job.cell for job in pending.values()]
            warned = warned or store.warn_of_other_hosts(others)
            store.wait(others)
    return outcomes


def _is_done(job, store, on_error):
    """Whether the folder has the result of a cell; of failures, one of the present runs."""
    record = store.record(job.cell) if store else None
    if record is None or record["error"] is None:
        return record is not None
    return on_error == "warn" and record["finished"] != job.failed


def _run_job(i, job, store, on_error):
    """Run a cell; return its position and outcome, None where another process has it in work."""
    if store is None:
        record, rows, error, messages = _run_cell(job)
    else:
        with store.locked(job.cell) as mine:
            if not mine:
                return i, None
            if _is_done(job, store, on_error):
                return i, Outcome([])
            record, rows, error, messages = _run_cell(job)
            store.write(job.cell, job.settings, record, rows)
    if error is not None and on_error == "raise":
        raise error
    return i, Outcome(messages, (record, rows) if store is None else None)


def _run_cell(job):
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
    record |= {
        "cell": cell.key,
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
    dataset, train, model = job.dataset, job.cell.train, clone(job.estimator)
    takes_groups = has_fit_parameter(model, "groups") or get_routing_for_object(model).consumes(
        "fit", ["groups"]
    )
    start = time.perf_counter()
    model.fit(
        _safe_indexing(dataset.clips, train),
        dataset.target[train],
        **({"groups": dataset.groups[train]} if takes_groups else {}),
    )
    fitted = time.perf_counter()
    tested = _safe_indexing(dataset.clips, job.cell.test)
    probability = np.asarray(model.predict_proba(tested), dtype=float)
    prediction = model.predict(tested)
    figures = (fitted - start, time.perf_counter() - fitted, count_parameters(model), len(train))
    columns = {f"{PROBABILITY_PREFIX}{k}": probability[:, i] for i, k in enumerate(classes)}
    record = {
        "figures": dict(zip(FIGURES, figures, strict=True)),
        "device": describe_device(model),
        "error": None,
    }
    return {"prediction": _as_classes(prediction, classes), **columns}, record


def _as_classes(prediction, classes):
    """Return predictions in the type of the labels."""
    index = pd.Index(classes).get_indexer(np.asarray(prediction))
    if (index < 0).any():
        raise ValueError(
            f"The estimator predicts {prediction[np.argmin(index)]!r}, which is none of the "
            f"classes {classes.tolist()}; predict must return the labels that fit was given."
        )
    return classes[index].tolist()


def _missing(classes, error):
    """Return the columns of a failed cell, which hold nothing, and its record."""
    names = [f"{PROBABILITY_PREFIX}{k}" for k in classes]
    failure = {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    record = {"figures": dict.fromkeys(FIGURES, np.nan), "device": None, "error": failure}
    return {"prediction": None} | dict.fromkeys(names, np.nan), record


def _failures(cell, record):
    """Return the warning of a cell, if it failed, as a list."""
    error = record["error"]
    if error is None:
        return []
    text = (
        f"A fit of {cell}, failed ({error['type']}: {error['message']}); its predictions are "
        "missing and the estimator will not be scored. Mend it or leave it out."
    )
    return [(FailedCellWarning, text)]


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


def _check_run(estimators, n_repeats, on_error):
    """Raise where a parameter of the run is out of range."""
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(
            "estimators must be a non-empty dict of names to estimators; got "
            f"{type(estimators).__name__}. Write {{'my model': model}}."
        )
    if not (isinstance(n_repeats, (int, np.integer)) and n_repeats >= 1):
        raise ValueError(f"n_repeats must be an integer of at least 1; got {n_repeats!r}.")
    if on_error not in ("raise", "warn"):
        raise ValueError(f"on_error must be 'raise' or 'warn'; got {on_error!r}.")


def _warn_once_per_kind(seen):
    """Issue the first warning of each category that the cells gave, with their number."""
    firsts = {}
    for category, message in seen:
        firsts.setdefault(category, message)
    n_seen = Counter(category for category, _ in seen)
    for category, message in firsts.items():
        n_more = n_seen[category] - 1
        more = f" ({n_more} more such warnings from this run)" if n_more else ""
        warnings.warn(f"{message}{more}", category, stacklevel=3)
