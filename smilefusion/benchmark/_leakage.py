"""Who was trained on, used for early stopping and tested, and whether anyone was twice."""

import os
import textwrap

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from smilefusion.benchmark._store import read_cells
from smilefusion.benchmark.run._fitted_networks import (
    describe_splits,
    in_same_model,
    name_subjects,
)
from smilefusion.benchmark.run._protocols import PROTOCOLS
from smilefusion.exceptions import LeakageError

_PAIRS = {
    "train_test": "training and test",
    "train_stop": "training and early stopping",
    "stop_test": "early stopping and test",
}
_MOST_LETTERS = 200  # of names in an error
SHARED = tuple(f"n_shared_{pair}" for pair in _PAIRS)
_COUNTS = ("n_train_subjects", "n_early_stopping_subjects", "n_test_subjects", *SHARED)


def leakage_report(results, groups=None, *, on_leak="raise"):
    """Tell of every fit how many subjects it was trained on, stopped by and tested on.

    Parameters
    ----------
    results : str, path-like or estimator
        A folder given to `run_benchmark` as ``results``, or a fitted estimator.
    groups : array-like of shape (n_clips,), default=None
        Subjects of the test clips of a fitted estimator.
    on_leak : {"raise", "report"}, default="raise"
        Whether a subject on two sides is an error; of the protocol "published", which allows it,
        it never is.

    Returns
    -------
    report : pandas.DataFrame
        One row per cell of a folder, or per network of an estimator: ``protocol``, ``dataset``,
        ``estimator``, ``repeat`` and ``fold`` of a cell, ``network`` of an estimator;
        ``n_train_subjects``, ``n_early_stopping_subjects`` and ``n_test_subjects``;
        ``n_shared_train_test``, ``n_shared_train_stop`` and ``n_shared_stop_test``, numbers of
        subjects on two sides; ``shared_subjects``, their names, as one text; ``early_stopping``:
        "subjects" where whole subjects were set aside, "rows" where clips were, without regard to
        whose, "none", or "unknown"; and ``epoch_chosen_by_test``, whether the test clips chose
        the epoch. Numbers that are not known are missing.

    Raises
    ------
    LeakageError
        If a subject is on two sides.
    InvalidDataError
        If the folder holds no finished cell, or a file was changed.
    ValueError
        If no network in an estimator records its split.

    Notes
    -----
    Networks are found by their attribute ``split_``, also inside pipelines, unions, searches,
    calibrated and frozen estimators. A subject is also shared if one network of a model was
    trained on it and another used it for early stopping; members of an ensemble count as separate
    models. An estimator without a network counts as trained on all training clips of its cell.
    "rows" means that `fit` got no ``groups``. The early-stopping clips may then show people in the
    training set, so training stops too late. The origin of initial weights is not traced.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from smilefusion import FusionClassifier
    >>> from smilefusion.benchmark import leakage_report
    >>> X, y = make_classification(n_samples=60, n_features=10, random_state=0)
    >>> people = [f"person {i // 4}" for i in range(60)]
    >>> model = FusionClassifier(hidden_dim=8, max_epochs=1, early_stopping=True, random_state=0)
    >>> model = model.fit(X[:40], y[:40], groups=people[:40])
    >>> report = leakage_report(model, people[40:])
    >>> report[["n_train_subjects", "n_early_stopping_subjects", "n_test_subjects"]].to_numpy()
    array([[9, 1, 5]], dtype=object)
    >>> leakage_report(model, people[36:])
    Traceback (most recent call last):
    smilefusion.exceptions.LeakageError: FusionClassifier has subjects on two sides, ...
    """
    if on_leak not in ("raise", "report"):
        raise ValueError(f"on_leak must be 'raise' or 'report'; got {on_leak!r}.")
    if isinstance(results, (str, os.PathLike)):
        if groups is not None:
            raise ValueError(
                "groups are the test subjects of a fitted estimator, and a results folder knows "
                "its own; got both. Leave groups out."
            )
        report = tabulate_subjects([record for record, _ in read_cells(results)])
    else:
        report = _describe_estimator(results, groups)
    if on_leak == "raise":
        _refuse_leaks(report)
    return report


def tabulate_subjects(records):
    """Return the rows of `leakage_report` of the records of cells."""
    rows = []
    for record in records:
        told = record.get("subjects")  # None of cells that earlier versions computed
        figures = (
            _count(told["train"], record["networks"], told["test"])
            if told
            else dict.fromkeys(_COUNTS) | {"shared_subjects": "", "early_stopping": "unknown"}
        )
        chose = pd.notna(record["figures"]["epoch"])
        rows.append(record["cell"] | figures | {"epoch_chosen_by_test": chose})
    return _typed(rows)


def may_share(protocol):
    """Whether a protocol lets a subject be trained on and tested."""
    return protocol in PROTOCOLS and not PROTOCOLS[protocol].needs_groups


def has_leak(report):
    """Return which rows of a report have a subject on two sides."""
    return (report[list(SHARED)].fillna(0) > 0).any(axis=1)


def _describe_estimator(estimator, groups):
    """Return the rows of an estimator's networks."""
    check_is_fitted(estimator)
    networks, test = describe_splits(estimator), name_subjects(groups)
    if not networks:
        raise ValueError(
            f"{type(estimator).__name__} contains no network that records its training subjects. "
            "Pass a fitted smilefusion estimator that trains a network, or one that contains it."
        )
    names = [{"network": network["network"]} for network in networks]
    figures = [_count(each["train"], [each], test, networks) for each in networks]
    rows = [name | each for name, each in zip(names, figures, strict=True)]
    return _typed([row | {"epoch_chosen_by_test": False} for row in rows])


def _count(train, networks, test, others=()):
    """Return the counts of a row for some networks; unknown counts are None."""
    kind = _early_stopping(networks)
    stop = _union(network["early_stopping"] for network in networks)
    learned = _union([train, *(network["train"] for network in networks)])
    shared = {
        "train_test": learned & set(test or ()),
        "train_stop": _union(
            set(one[trained] or ()) & set(other[stopped] or ())
            for one in networks
            for other in others or networks
            if in_same_model(one, other)
            for trained, stopped in (
                ("train", "early_stopping"),
                ("early_stopping", "train"),
            )
        ),
        "stop_test": stop & set(test or ()),
    }
    known = {
        "train_test": None not in (train, test),
        "train_stop": kind in ("subjects", "none"),
        "stop_test": kind in ("subjects", "none") and test is not None,
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


def _early_stopping(networks):
    """Return what networks set aside for early stopping: subjects, rows, none or unknown."""
    stopped = [network for network in networks if network["n_early_stopping"]]
    if not stopped:
        return "none" if networks else "unknown"
    return "rows" if any(each["early_stopping"] is None for each in stopped) else "subjects"


def _union(parts):
    """Return all entries of several collections, None being an empty one."""
    return set().union(*(part for part in parts if part is not None))


def _typed(rows):
    """Return rows as a table whose counts may be missing."""
    return pd.DataFrame(rows).astype(dict.fromkeys(_COUNTS, "Int64"))


def _refuse_leaks(report):
    """Raise where a subject is on two sides and the protocol forbids it."""
    forbidden = has_leak(report)
    if "protocol" in report:
        forbidden &= ~report["protocol"].map(may_share)
    leaks = report[forbidden]
    if leaks.empty:
        return
    first = leaks.iloc[0]
    who = first["network"] if "network" in first else _name_cell(first)
    found = ", ".join(
        f"{first[f'n_shared_{pair}']} in {words}"
        for pair, words in _PAIRS.items()
        if first[f"n_shared_{pair}"] is not pd.NA and first[f"n_shared_{pair}"]
    )
    more = f" {len(leaks) - 1} more rows have some too." if len(leaks) > 1 else ""
    raise LeakageError(
        f"{who} has subjects on two sides, {found}: "
        f"{textwrap.shorten(first['shared_subjects'], _MOST_LETTERS)}.{more} Figures must come "
        "from people whom nothing was learned from: fit without them, or see all rows with "
        "on_leak='report'."
    )


def _name_cell(row):
    """Return the name of a cell in a sentence."""
    return (
        f"Estimator {row['estimator']!r}, repeat {row['repeat']}, fold {row['fold']} of data set "
        f"{row['dataset']!r}, protocol {row['protocol']!r},"
    )
