"""Benchmark of estimators under a protocol: cells of fold and estimator → tidy predictions."""

import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import delayed
from tqdm import tqdm

from smilefusion._parallel import run_unordered
from smilefusion.benchmark._store import CellStore, tidy
from smilefusion.benchmark.run._cell_runs import Job, run_cell
from smilefusion.benchmark.run._cells import check_datasets, make_cells
from smilefusion.benchmark.run._protocols import check_protocol
from smilefusion.benchmark.run._provenance import (
    describe_estimator,
    digest_clips,
    digest_split,
)
from smilefusion.exceptions import FailedCellWarning

_MAPPED_BYTES = 100_000  # larger clips reach the workers through one memory-mapped file


def run_benchmark(
    estimators,
    data,
    *,
    protocol="honest",
    cv=None,
    n_repeats=1,
    n_jobs=1,
    random_state=0,
    progress=False,
    on_error="raise",
    results=None,
):
    """Test estimators on the same clips and folds and collect their predictions.

    Parameters
    ----------
    estimators : dict of str to estimator
        The classifiers under their names in the result. Each needs `predict_proba`. Whatever
        is chosen from the data must be chosen inside the estimator, for instance by
        `GridSearchCV` with a group-disjoint splitter.
    data : Bunch, list of Bunch or dict of str to Bunch
        ``clips`` (n_clips clips, or the rows of any other X), ``target`` (n_clips class
        labels), ``groups`` (the subject of each clip); optional are ``files`` (n_clips names)
        and ``name``, which name the clips and the data set in the result, ``folds``, ``fps``
        and ``durations`` (s), which some protocols need. Of several data sets the names, or
        else the keys of the dict, must differ.
    protocol : str or Protocol, default="honest"
        Who is trained on and tested: "honest" (`HonestProtocol`), "published"
        (`PublishedProtocol`; its figures are optimistic), "cross-dataset"
        (`CrossDatasetProtocol`), "duration-matched" (`DurationMatchedProtocol`) or
        "permuted-labels" (`PermutedLabelsProtocol`).
    cv : int, splitter or None, default=None
        Outer folds: a number of `StratifiedGroupKFold`'s folds (None: 5), shuffled by
        `random_state`, or a splitter whose folds are subject-disjoint. Of protocol "published"
        None means the data's own folds.
    n_repeats : int, default=1
        How often all is repeated with other folds and seeds: those of `random_state` + 0, 1, 2 …
    n_jobs : int, default=1
        Number of cells that run at the same time, as in joblib.
    random_state : int, default=0
        Seed of the folds. Estimators have the seeds that they were given, plus 0, 1, 2 … in the
        repeats; one without a seed is not reproducible.
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
        One row per data set, estimator, repeat and clip, in this order: ``protocol``,
        ``dataset``, ``estimator``, ``repeat``, ``fold``, ``clip`` (file name or position),
        ``group``, ``target``, ``prediction`` (a class, or the abstention label of an
        estimator such as `AbstainingClassifier`), ``probability_<class>`` for each class,
        ``fit_seconds`` and ``predict_seconds`` (wall time of the cell; the latter for all clips
        of the fold),
        ``n_parameters`` (trained parameters, NaN where unknown), ``n_train`` (clips), and
        ``epoch`` (the one reported, counted from 1, where test clips chose it, else NaN).

    Raises
    ------
    InvalidDataError
        Where clips, labels and groups do not fit together, or do not allow such folds; where
        the results folder holds cells of another setting of an estimator, other data or folds.
    BrokenExecutor
        Where a process ended by itself; on a cluster, where a cell ended several.
    ValueError
        Where a parameter is out of range, or subjects of a fold overlap where the protocol
        forbids it.

    Notes
    -----
    Groups reach every estimator whose ``fit`` takes ``groups`` or whose metadata routing asks
    for them, such as a `GridSearchCV` with `StratifiedGroupKFold`. Cells run estimator by
    estimator, each over all folds, so that a step which pipelines share through
    ``memory=`` is ready when the second pipeline reaches a fold; the first one's
    ``fit_seconds`` hold the time of that step.

    The results folder holds, in its subfolder ``cells``, a CSV file of the predictions of each
    cell and a JSON file of what they came from: class and parameters of the estimator, digests of
    clips and fold, subjects, seconds, peak memory of the process (bytes, Linux only), parameters,
    device, seed of the folds, warnings, versions of the packages, and machine. A failed cell has a
    JSON file with the error and its traceback; the next run tries it again. Parameters are
    compared as text, functions by their name; ``cache``, ``memory``, ``n_jobs`` and ``verbose``
    may change. Several runners may share a folder: each runs unclaimed cells, then waits for the
    rest. If a runner is stopped, the others compute its unfinished cells.

    Where joblib is told to use a Dask cluster, the cells run there, see :doc:`the guide
    </user_guide/clusters>`; `n_jobs` does not count then, and the results folder must be one that
    all workers see.

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
    seeds = [random_state + repeat for repeat in range(n_repeats)]
    datasets = check_datasets(data, needs_groups=protocol.needs_groups)
    arranged = protocol.arrange(datasets, cv, seeds)
    placed = make_cells(arranged, estimators, protocol.name, seeds)
    cells = [cell for cell, _ in placed]
    jobs = [
        Job(cell, estimators[cell.estimator], dataset, protocol.chooses_epoch)
        for cell, dataset in placed
    ]
    store = None if results is None else CellStore(results)
    if store is not None:
        jobs = _prepare(store, jobs, estimators, protocol)
    run = partial(run_unordered, n_jobs=n_jobs, max_nbytes=_MAPPED_BYTES)
    bar = tqdm(total=len(cells), disable=not progress, file=sys.stderr, unit="fit")
    with bar, warnings.catch_warnings():
        # joblib replaces a worker whose memory grows by 300 MB, for example when it loads torch.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        outcomes = _run_jobs(jobs, store, on_error, run, bar)
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
class CellOutcome:
    """What a process has to say of a finished cell: its result, unless that is in the folder."""

    messages: list
    result: tuple | None = None


def _prepare(store, jobs, estimators, protocol):
    """Return the jobs with their settings, which must be those of the folder's cells."""
    models = {name: describe_estimator(each) for name, each in estimators.items()}
    held = {id(job.dataset.clips): job.dataset.clips for job in jobs}
    clips = {key: digest_clips(each) for key, each in held.items()}
    folds = {(job.cell.dataset, job.cell.repeat, job.cell.fold): job for job in jobs}
    splits = {fold: digest_split(job.cell, job.dataset) for fold, job in folds.items()}
    store.sweep()
    prepared = []
    for job in jobs:
        cell = job.cell
        settings = models[cell.estimator] | {
            "protocol": repr(protocol),
            "data": clips[id(job.dataset.clips)],
            "split": splits[cell.dataset, cell.repeat, cell.fold],
        }
        record = store.check(cell, settings)
        failed = record["finished"] if record and record["error"] else None
        prepared.append(replace(job, settings=settings, failed=failed))
    return prepared


def _run_jobs(jobs, store, on_error, run, bar):
    """Run all jobs that nobody has done; return the outcomes of those run here, by position."""
    outcomes = {}
    pending = {i: job for i, job in enumerate(jobs) if not _is_done(job, store, on_error)}
    bar.update(len(jobs) - len(pending))
    while pending:
        tasks = [delayed(_run_job)(i, job, store, on_error) for i, job in pending.items()]
        for i, outcome in run(tasks):
            if outcome is not None:
                outcomes[i] = outcome
                bar.set_postfix_str(pending.pop(i).cell.estimator)
                bar.update()
        if pending:
            store.wait([job.cell for job in pending.values()])
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
        record, rows, error, messages = run_cell(job)
    else:
        with store.locked(job.cell) as mine:
            if not mine:
                return i, None
            if _is_done(job, store, on_error):
                return i, CellOutcome([])
            record, rows, error, messages = run_cell(job)
            store.write(job.cell, job.settings, record, rows)
    if error is not None and on_error == "raise":
        raise error
    return i, CellOutcome(messages, (record, rows) if store is None else None)


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
