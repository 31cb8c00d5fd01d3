"""Run estimators on data sets under a protocol and return tidy predictions."""

import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed, effective_n_jobs

from smilefusion._storage._parallel import run_unordered
from smilefusion.benchmark.run._cell_runs import Job, run_cell
from smilefusion.benchmark.run._cells import Cell, check_datasets, make_cells
from smilefusion.benchmark.run._progress import RunProgress
from smilefusion.benchmark.run._protocols import Protocol, arrange_folds, check_protocol
from smilefusion.benchmark.run._provenance import (
    describe_estimator,
    digest_clips,
    digest_split,
)
from smilefusion.benchmark.run._shifted_cells import add_shifts, check_shifts
from smilefusion.benchmark.run._store import CellStore, tidy
from smilefusion.exceptions import SmileFusionWarning

_MAPPED_BYTES = 100_000  # larger clips are passed to workers as one memory-mapped file


def run_benchmark(
    estimators: dict[str, Any],
    data: Any,
    *,
    protocol: str | Protocol = "honest",
    cv: Any = None,
    n_repeats: int = 1,
    n_jobs: int = 1,
    random_state: int = 0,
    progress: bool = False,
    on_error: str = "raise",
    results: str | os.PathLike | None = None,
    shifts: bool | Mapping[str, Callable] | None = None,
) -> pd.DataFrame:
    """Test estimators on the same clips and folds and collect their predictions.

    Parameters
    ----------
    estimators : dict of str to estimator
        Classifiers by name. Each needs `predict_proba`. Any selection based on data must happen
        inside the estimator, for example by `GridSearchCV` with a group-disjoint splitter.
    data : Bunch, list of Bunch or dict of str to Bunch
        Data sets with ``clips`` (n_clips clips, or the rows of any other X), ``target`` (n_clips
        class labels) and ``groups`` (the subject of each clip). Optional entries are ``files``
        (n_clips names) and ``name``, which identify clips and data set in the result,
        ``metadata`` (a table with one row per clip and columns such as ``sex``), which is copied
        to the result, and ``folds``, ``fps`` and ``durations`` (s), which some protocols need. The
        names of several data sets, or the keys of the dict, must differ.
    protocol : str or Protocol, default="honest"
        How training and test clips are selected: "honest" (`HonestProtocol`), "published"
        (`PublishedProtocol`; its scores are optimistic), "cross-dataset"
        (`CrossDatasetProtocol`), "duration-matched" (`DurationMatchedProtocol`) or
        "permuted-labels" (`PermutedLabelsProtocol`).
    cv : int, splitter or None, default=None
        Outer folds: the number of folds (None: 5) of a `StratifiedGroupKFold` shuffled with
        `random_state`, or a splitter with subject-disjoint folds. With the protocol "published",
        None selects the data's own folds.
    n_repeats : int, default=1
        Number of repeats, each with its own folds and seeds: `random_state` + 0, 1, 2 …
    n_jobs : int, default=1
        Number of cells that run in parallel, as in joblib.
    random_state : int, default=0
        Seed of the folds. Repeats add 0, 1, 2 … to the seeds of the estimators; an estimator
        without a seed is not reproducible.
    progress : bool, default=False
        Whether to show a progress bar with the estimated remaining time.
    on_error : {"raise", "warn"}, default="raise"
        Whether an error in a cell stops the run, or gives a warning and missing predictions.
    results : str, path-like or None, default=None
        Folder that stores every finished cell. If the run is interrupted or killed, run it again
        with the same folder to compute the missing cells only. The table is the same, except for
        times. None stores nothing.
    shifts : bool or dict of str to callable, default=None
        Recording shifts under which each cell also predicts its test clips: True for all
        `recording_shifts`, or functions by name that take a `ClipSequence` and return the changed
        clips. None and False mean none. These predictions are only stored in the results folder.
        `load_results` loads them with ``shifts=True``, and `score_shifts` scores them.

    Returns
    -------
    predictions : pandas.DataFrame
        One row per data set, estimator, repeat and clip, in this order: ``protocol``,
        ``dataset``, ``estimator``, ``repeat``, ``fold``, ``clip`` (file name or position),
        ``group``, ``target``, ``prediction`` (a class, or the abstention label of an
        estimator such as `AbstainingClassifier`), ``probability_<class>`` for each class,
        ``fit_seconds`` and ``predict_seconds`` (wall time of the cell; the latter for all clips
        of the fold), ``n_parameters`` (trained parameters, NaN if unknown), ``n_train`` (clips),
        ``epoch`` (the reported epoch, counted from 1, if it was selected on test clips; otherwise
        NaN), and ``metadata_<column>`` for each column of the metadata.

    Raises
    ------
    InvalidDataError
        If clips, labels, groups and metadata do not match or cannot be split into such folds, or
        if the results folder contains cells with other settings of an estimator, other data or
        other folds.
    BrokenExecutor
        If a worker process ends unexpectedly.
    LeakageError
        If a subject is in both parts of a fold and the protocol forbids it.
    ValueError
        If a parameter is out of range, or shifts are requested without a results folder, with
        the protocol "published", or for an estimator with a fixed frame rate that a shift changes.

    Notes
    -----
    Groups reach every estimator whose ``fit`` accepts ``groups`` or whose metadata routing
    requests them, such as a `GridSearchCV` with `StratifiedGroupKFold`. Cells run fold by fold:
    if pipelines share a step through ``memory=``, the ``fit_seconds`` of the first one include it.

    For each cell, the subfolder ``cells`` of the results folder contains a CSV file of the
    predictions, also under recording shifts if requested, and a JSON file of their provenance:
    class and parameters of the estimator, digests of clips and fold, subjects, seconds, peak
    memory of the process (bytes, Linux only), number of parameters, device, seed of the folds,
    warnings, package versions and machine. A failed cell has a JSON file with the error and its
    traceback; the next run retries it. Parameters are compared as text and functions by their
    name; ``cache``, ``memory``, ``n_jobs`` and ``verbose`` may change. Several runs may share a
    folder: each runs unclaimed cells, then waits for the rest. If one run ends early, the others
    compute its unfinished cells.

    To run cells on a Dask cluster, see :doc:`the guide </guide/clusters>`. `n_jobs` is then
    ignored, and all workers must see the results folder.

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
    protocol = check_protocol(protocol)
    check_shifts(shifts, protocol, results)
    seeds = [int(random_state) + repeat for repeat in range(n_repeats)]
    datasets = check_datasets(data, needs_groups=protocol.needs_groups)
    arranged = arrange_folds(protocol, datasets, cv, seeds)
    placed = make_cells(arranged, estimators, protocol.name, seeds)
    cells = [cell for cell, _ in placed]
    jobs = [
        Job(cell, estimators[cell.estimator], dataset, protocol.chooses_epoch)
        for cell, dataset in placed
    ]
    if shifts:
        jobs = add_shifts(jobs, shifts)
    store = None if results is None else CellStore(results)
    if store is not None:
        jobs = _prepare(store, jobs, estimators, protocol)
    run = partial(run_unordered, n_jobs=n_jobs, max_nbytes=_MAPPED_BYTES)
    names = [cell.estimator for cell in cells]
    with (
        RunProgress(names, effective_n_jobs(n_jobs), shown=progress) as bar,
        warnings.catch_warnings(),
    ):
        # joblib replaces a worker whose memory grows by 300 MB, for example when it loads torch.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        outcomes = _run_jobs(jobs, store, on_error, run, bar)
    done = [
        outcomes[i].result if store is None else store.read(cell) for i, cell in enumerate(cells)
    ]
    if store is not None:
        store.sweep()
    seen = [message for i in sorted(outcomes) for message in outcomes[i].messages]
    for cell, (record, _) in zip(cells, done, strict=True):
        if record["error"]:
            seen.append((SmileFusionWarning, _describe_failure(cell, record["error"])))
    _warn_once_per_kind(seen)
    return tidy(done)


@dataclass(frozen=True)
class CellOutcome:
    """Warnings and, without a results folder, record and rows of a finished cell."""

    messages: list
    result: Any = None
    seconds: float = math.nan  # wall time, if the cell ran here


def _prepare(
    store: CellStore, jobs: list[Job], estimators: dict[str, Any], protocol: Protocol
) -> list[Job]:
    """Add settings to the jobs; raise if the folder has a cell with other settings."""
    models = {name: describe_estimator(each) for name, each in estimators.items()}
    held = {id(job.dataset.clips): job.dataset.clips for job in jobs}
    clips = {key: digest_clips(each) for key, each in held.items()}
    folds = {(job.cell.dataset, job.cell.repeat, job.cell.fold): job for job in jobs}
    splits = {fold: digest_split(job.cell, job.dataset) for fold, job in folds.items()}
    store.sweep()
    prepared = []
    for job in jobs:
        cell = job.cell
        settings = (
            job.settings
            | models[cell.estimator]
            | {
                "protocol": repr(protocol),
                "data": clips[id(job.dataset.clips)],
                "split": splits[cell.dataset, cell.repeat, cell.fold],
            }
        )
        record = store.check(cell, settings)
        failed = record["finished"] if record and record["error"] else None
        prepared.append(replace(job, settings=settings, failed=failed))
    return prepared


def _run_jobs(
    jobs: list[Job], store: CellStore | None, on_error: str, run: Callable, bar: RunProgress
) -> dict[int, CellOutcome]:
    """Run all unfinished jobs; return the outcomes of those that ran here, by position."""
    outcomes, pending = {}, {}
    # Fold by fold, so that the remaining time can be estimated after the first fold.
    by_fold = sorted(enumerate(jobs), key=lambda pair: (pair[1].cell.repeat, pair[1].cell.fold))
    for i, job in by_fold:
        record = store.record(job.cell) if store else None
        if record and _is_done(job, record, on_error):
            figures = record["figures"]
            bar.finish(job.cell.estimator, figures["fit_seconds"] + figures["predict_seconds"])
        else:
            pending[i] = job
    while pending:
        tasks = [delayed(_run_job)(i, job, store, on_error) for i, job in pending.items()]
        for i, outcome in run(tasks):
            if outcome is not None:
                outcomes[i] = outcome
                bar.finish(pending.pop(i).cell.estimator, outcome.seconds)
        if pending and store is not None:
            store.wait([job.cell for job in pending.values()])
    return outcomes


def _is_done(job: Job, record: dict[str, Any], on_error: str) -> bool:
    """Whether a record has the result of a cell, or its failure in a current run."""
    return record["error"] is None or (on_error == "warn" and record["finished"] != job.failed)


def _run_job(
    i: int, job: Job, store: CellStore | None, on_error: str
) -> tuple[int, CellOutcome | None]:
    """Run a cell; return its position and outcome (None if another process runs it)."""
    start = time.perf_counter()
    if store is None:
        record, rows, error, messages = run_cell(job)
    else:
        with store.locked(job.cell) as mine:
            if not mine:
                return i, None
            stored = store.record(job.cell)
            if stored and _is_done(job, stored, on_error):
                return i, CellOutcome([])
            record, rows, error, messages = run_cell(job)
            store.write(job.cell, job.settings, record, rows)
    if error is not None and on_error == "raise":
        raise error
    result = (record, rows) if store is None else None
    return i, CellOutcome(messages, result, time.perf_counter() - start)


def _describe_failure(cell: Cell, error: dict[str, str]) -> str:
    """Return the warning for a failed cell."""
    return (
        f"A fit of {cell}, failed ({error['type']}: {error['message']}). Its predictions are "
        "missing, and the estimator is not scored. Fix or remove it."
    )


def _check_run(estimators: Any, n_repeats: Any, on_error: str) -> None:
    """Raise if a parameter of the run is out of range."""
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(
            "estimators must be a non-empty dict that maps names to estimators; got "
            f"{type(estimators).__name__}. Pass {{'my model': model}}."
        )
    if not (isinstance(n_repeats, (int, np.integer)) and n_repeats >= 1):
        raise ValueError(f"n_repeats must be an integer of at least 1; got {n_repeats!r}.")
    if on_error not in ("raise", "warn"):
        raise ValueError(f"on_error must be 'raise' or 'warn'; got {on_error!r}.")


def _warn_once_per_kind(seen: list[tuple[type[Warning], str]]) -> None:
    """Issue the first warning of each category, with the number of the others."""
    firsts: dict[type[Warning], str] = {}
    for category, message in seen:
        firsts.setdefault(category, message)
    n_seen = Counter(category for category, _ in seen)
    for category, message in firsts.items():
        n_more = n_seen[category] - 1
        more = f" ({n_more} more such warnings from this run)" if n_more else ""
        warnings.warn(f"{message}{more}", category, stacklevel=3)
