"""Overlap between the subjects of training, early stopping and test."""

import os
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from smilefusion.benchmark.run._cells import describe_cell
from smilefusion.benchmark.run._fitted_networks import (
    describe_splits,
    in_same_model,
    name_subjects,
)
from smilefusion.benchmark.run._protocols import PROTOCOLS
from smilefusion.benchmark.run._store import read_cells
from smilefusion.exceptions import LeakageError

_PAIRS = {
    "train_test": "training and test",
    "train_stop": "training and early stopping",
    "stop_test": "early stopping and test",
}
_MOST_LETTERS = 200  # length of the list of names in an error
SHARED = tuple(f"n_shared_{pair}" for pair in _PAIRS)
_COUNTS = ("n_train_subjects", "n_early_stopping_subjects", "n_test_subjects", *SHARED)


def leakage_report(results: Any, groups: Any = None, *, on_leak: str = "raise") -> pd.DataFrame:
    """Report the training, early-stopping and test subjects of every fit and their overlap.

    Parameters
    ----------
    results : str, path-like or estimator
        A folder that was passed to `run_benchmark` as ``results``, or a fitted estimator.
    groups : array-like of shape (n_clips,), default=None
        Subjects of the test clips of a fitted estimator.
    on_leak : {"raise", "report"}, default="raise"
        Whether to raise an error if a subject is in two parts. The protocol "published" allows
        this and never raises.

    Returns
    -------
    report : pandas.DataFrame
        One row per cell of a folder, or per network of an estimator: ``protocol``, ``dataset``,
        ``estimator``, ``repeat`` and ``fold`` of a cell, or ``network``; the numbers of subjects
        in each part, ``n_train_subjects``, ``n_early_stopping_subjects`` and ``n_test_subjects``,
        and in two parts, ``n_shared_train_test``, ``n_shared_train_stop`` and
        ``n_shared_stop_test``; ``shared_subjects``, their names, separated by commas;
        ``early_stopping``: "subjects" (whole subjects were set aside), "folds" (each member of
        a `FusionClassifier` left out one fold of whole subjects), "rows" (clips were set aside
        regardless of their subject), "none" or "unknown"; and ``epoch_chosen_by_test``, whether
        the epoch was selected on the test clips. Unknown counts are missing.

    Raises
    ------
    LeakageError
        If a subject is in two parts.
    InvalidDataError
        If the folder has no finished cell, or a file was changed.
    ValueError
        If no network in an estimator records its split.

    Notes
    -----
    The report finds networks by their attribute ``split_``, including those inside pipelines,
    unions, searches, voting classifiers, and calibrated or frozen estimators. A subject is also
    shared if one network of a model was trained on it and another used it for early stopping;
    members of an ensemble count as separate models. An estimator without a network counts as
    trained on all training clips of its cell. The origin of initial weights is not traced.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from smilefusion import FusionClassifier
    >>> from smilefusion.benchmark import leakage_report
    >>> X, y = make_classification(n_samples=60, n_features=10, random_state=0)
    >>> people = [f"person {i // 4}" for i in range(60)]
    >>> model = FusionClassifier(hidden_dim=8, max_epochs=1, n_members=1, random_state=0)
    >>> model = model.fit(X[:40], y[:40], groups=people[:40])
    >>> report = leakage_report(model, people[40:])
    >>> report[["n_train_subjects", "n_early_stopping_subjects", "n_test_subjects"]].to_numpy()
    array([[8, 2, 5]], dtype=object)
    >>> leakage_report(model, people[36:])
    Traceback (most recent call last):
    smilefusion.exceptions.LeakageError: FusionClassifier has subjects in two parts, ...
    """
    if on_leak not in ("raise", "report"):
        raise ValueError(f"on_leak must be 'raise' or 'report'; got {on_leak!r}.")
    if isinstance(results, (str, os.PathLike)):
        if groups is not None:
            raise ValueError(
                "groups are the test subjects of a fitted estimator, but results is a folder, "
                "which already stores them. Omit groups."
            )
        report = tabulate_subjects([record for record, _ in read_cells(results)])
    else:
        report = _describe_estimator(results, groups)
    if on_leak == "raise":
        _refuse_leaks(report)
    return report


def tabulate_subjects(records: list[dict]) -> pd.DataFrame:
    """Return the rows of `leakage_report` for the records of cells."""
    rows = []
    for record in records:
        subjects = record["subjects"]
        counts = _count(subjects["train"], record["networks"], subjects["test"])
        chose = pd.notna(record["figures"]["epoch"])
        rows.append(record["cell"] | counts | {"epoch_chosen_by_test": chose})
    return _typed(rows)


def may_share(protocol: str) -> bool:
    """Whether a protocol allows subjects in both training and test."""
    return protocol in PROTOCOLS and not PROTOCOLS[protocol].needs_groups


def has_leak(report: pd.DataFrame) -> pd.Series:
    """Return a mask of the rows of a report with a subject in two parts."""
    return (report[list(SHARED)].fillna(0) > 0).any(axis=1)


def _describe_estimator(estimator: Any, groups: Any) -> pd.DataFrame:
    """Return the report of an estimator's networks."""
    check_is_fitted(estimator)
    networks, test = describe_splits(estimator), name_subjects(groups)
    if not networks:
        raise ValueError(
            f"{type(estimator).__name__} contains no network that records its training subjects. "
            "Pass a fitted smilefusion estimator that trains a network, or one that contains it."
        )
    names = [{"network": network["network"]} for network in networks]
    counts = [_count(each["train"], [each], test, networks) for each in networks]
    rows = [name | each for name, each in zip(names, counts, strict=True)]
    return _typed([row | {"epoch_chosen_by_test": False} for row in rows])


def _count(
    train: list[str] | None,
    networks: Sequence[dict],
    test: list[str] | None,
    others: Sequence[dict] = (),
) -> dict[str, Any]:
    """Return the subject counts of some networks as one row; unknown counts are None."""
    kind = _early_stopping(networks)
    stop = _union(network["early_stopping"] for network in networks)
    learned = _union([train, *(network["train"] for network in networks)])
    shared = {
        "train_test": learned & set(test or ()),
        "train_stop": _union(
            set(trained["train"] or ()) & _stopped(stopped, trained)
            for one in networks
            for other in others or networks
            if in_same_model(one, other)
            for trained, stopped in ((one, other), (other, one))
        ),
        "stop_test": stop & set(test or ()),
    }
    known = {
        "train_test": None not in (train, test),
        "train_stop": kind in ("subjects", "folds", "none"),
        "stop_test": kind in ("subjects", "folds", "none") and test is not None,
    }
    return {
        "n_train_subjects": None if train is None else len(train),
        "n_early_stopping_subjects": len(stop) if known["train_stop"] else None,
        "n_test_subjects": None if test is None else len(test),
        **{
            f"n_shared_{pair}": len(each) if each or known[pair] else None
            for pair, each in shared.items()
        },
        "shared_subjects": ", ".join(sorted(_union(shared.values()))),
        "early_stopping": kind,
    }


def _stopped(network: dict, trained: dict) -> set[str]:
    """Return the subjects that one network stopped on and another must not be trained on."""
    part = "train" if network["n_folds"] and trained["learns"] else "early_stopping"
    return set() if part == "train" and network is trained else set(network[part] or ())


def _early_stopping(networks: Sequence[dict]) -> str:
    """Return the kind of early stopping: subjects, folds, rows, none or unknown."""
    stopped = [each for each in networks if each["n_early_stopping"] or each["n_folds"]]
    if not stopped:
        return "none" if networks else "unknown"
    if any(each["early_stopping"] is None for each in stopped):
        return "rows"
    return "subjects" if any(each["n_early_stopping"] for each in stopped) else "folds"


def _union(parts: Iterable[Iterable[str] | None]) -> set[str]:
    """Return the union of several collections; None counts as empty."""
    return set().union(*(part for part in parts if part is not None))


def _typed(rows: list[dict]) -> pd.DataFrame:
    """Return rows as a table whose counts can be missing."""
    return pd.DataFrame(rows).astype(dict.fromkeys(_COUNTS, "Int64"))


def _refuse_leaks(report: pd.DataFrame) -> None:
    """Raise if a subject is in two parts and the protocol forbids it."""
    forbidden = has_leak(report)
    if "protocol" in report:
        forbidden &= ~report["protocol"].map(may_share)
    leaks = report[forbidden]
    if leaks.empty:
        return
    first = leaks.iloc[0]
    who = first["network"] if "network" in first else f"A fit of {describe_cell(first)},"
    found = ", ".join(
        f"{first[f'n_shared_{pair}']} in {words}"
        for pair, words in _PAIRS.items()
        if first[f"n_shared_{pair}"] is not pd.NA and first[f"n_shared_{pair}"]
    )
    more = f" In total, {len(leaks)} rows have shared subjects." if len(leaks) > 1 else ""
    raise LeakageError(
        f"{who} has subjects in two parts, {found}: "
        f"{textwrap.shorten(first['shared_subjects'], _MOST_LETTERS)}.{more} Scores must come "
        "from subjects who were not used for training. Fit without them, or list all rows with "
        "on_leak='report'."
    )
