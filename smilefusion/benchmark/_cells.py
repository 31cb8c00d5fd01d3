"""The cells of a run, data set × estimator × repeat × fold: checked data and outer folds."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, check_cv

from smilefusion.exceptions import InvalidDataError

N_FOLDS = 5
_PLAIN = ("string", "integer", "floating", "boolean")  # what CSV gives back as it was


@dataclass(frozen=True)
class DataSet:
    """A checked data set of n clips."""

    name: str
    clips: Any
    target: np.ndarray  # (n,)
    groups: np.ndarray  # (n,)
    rows: pd.DataFrame  # clip, group and target of the n rows of a result, in plain types


@dataclass(frozen=True)
class Cell:
    """One estimator's fit and test on one fold."""

    dataset: str
    estimator: str
    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray
    rank: tuple[int, int]  # of the data set and of the estimator in the order of the call
    seed: int  # of the folds

    @property
    def key(self):
        """Return what tells the cells of a results folder apart."""
        return {name: getattr(self, name) for name in ("dataset", "estimator", "repeat", "fold")}

    def __str__(self):
        return (
            f"estimator {self.estimator!r}, repeat {self.repeat}, fold {self.fold} of data set "
            f"{self.dataset!r}"
        )


def check_datasets(data):
    """Return the data sets of a run: of one Bunch, a list of them, or a dict by name."""
    if isinstance(data, Mapping) and data and all(isinstance(v, Mapping) for v in data.values()):
        named = list(data.items())
    else:
        several = data if isinstance(data, (list, tuple)) else [data]
        named = [(each.get("name") or "data", each) for each in several]
    if not named:
        raise InvalidDataError("data holds no data set; at least one is needed. Give a Bunch.")
    name, n_times = Counter(name for name, _ in named).most_common(1)[0]
    if n_times > 1:
        raise InvalidDataError(
            f"{n_times} data sets are named {name!r}; names must differ. Give a dict of names to "
            "data sets."
        )
    return [_check_data(str(name), each) for name, each in named]


def make_cells(datasets, estimators, cv, n_repeats, random_state):
    """Return the cells of a run in the order of its table, their folds checked."""
    cells = []
    for i_dataset, dataset in enumerate(datasets):
        splits = _make_splits(cv, dataset.target, dataset.groups, n_repeats, random_state)
        cells += [
            Cell(
                dataset.name, name, *split, (i_dataset, i_estimator), int(random_state + split[0])
            )
            for i_estimator, name in enumerate(estimators)
            for split in splits
        ]
    return cells


def plain(values, what):
    """Return values as a list of Python's strings, integers, floats or booleans, of one kind."""
    values = [each.item() if isinstance(each, np.generic) else each for each in values]
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind not in _PLAIN:
        raise InvalidDataError(
            f"{what} are {kind}; they must be all text, all whole numbers, all numbers or all "
            "booleans. Convert them."
        )
    return values


def _check_data(name, data):
    """Return a data set whose labels, groups and names fit the clips."""
    missing = [field for field in ("clips", "target", "groups") if data.get(field) is None]
    if missing:
        raise InvalidDataError(
            f"The data lack {missing}; a benchmark needs clips, target and groups (the subject "
            f"of each clip). Where every clip shows another person, groups=range(n_clips). The "
            f"data set is {name!r}."
        )
    n_clips = len(data["clips"])
    files = range(n_clips) if data.get("files") is None else data["files"]
    files = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in files]
    target, groups = np.asarray(data["target"]), np.asarray(data["groups"])
    for field, shape in (
        ("target", target.shape),
        ("groups", groups.shape),
        ("files", (len(files),)),
    ):
        if shape != (n_clips,):
            raise InvalidDataError(
                f"{field} has shape {shape} for {n_clips} clips; it must hold one entry per clip. "
                f"Correct it in data set {name!r}."
            )
    classes = np.unique(target)
    if len(classes) < 2:
        raise InvalidDataError(
            f"All {n_clips} clips are labelled {classes[0]}; at least two classes are needed. "
            f"Add clips of another class to data set {name!r}."
        )
    rows = {
        "clip": plain(files, f"The files of data set {name!r}"),
        "group": plain(groups, f"The groups of data set {name!r}"),
        "target": plain(target, f"The labels of data set {name!r}"),
    }
    return DataSet(name, data["clips"], target, groups, pd.DataFrame(rows))


def _make_splits(cv, target, groups, n_repeats, random_state):
    """Return the checked outer folds: tuples of repeat, fold, train and test indices."""
    splits = []
    for repeat in range(n_repeats):
        splitter = _make_splitter(cv, target, groups, n_repeats, random_state + repeat)
        folds = splitter.split(np.zeros(len(target)), target, groups)
        for fold, (train, test) in enumerate(folds):
            _check_fold(fold, train, test, target, groups)
            splits.append((repeat, fold, train, test))
    return splits


def _make_splitter(cv, target, groups, n_repeats, seed):
    """Return the outer splitter of one repeat."""
    if cv is None or isinstance(cv, (int, np.integer)):
        n_folds = N_FOLDS if cv is None else cv
        _check_enough_groups(n_folds, groups)
        return StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    splitter = check_cv(cv)
    if n_repeats == 1:
        return splitter
    if getattr(splitter, "random_state", None) is None:
        raise ValueError(
            f"n_repeats={n_repeats} draws the folds anew, but cv={cv!r} has no random_state to "
            "vary; give one with random_state=0, or n_repeats=1."
        )
    splitter = clone(splitter, safe=False)
    splitter.random_state = seed
    return splitter


def _check_enough_groups(n_folds, groups):
    """Raise where the subjects are too few for the folds."""
    if n_folds < 2:
        raise ValueError(f"cv must be at least 2 folds; got {n_folds}.")
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InvalidDataError(
            f"The clips come from {n_groups} subjects; {n_folds} subject-disjoint folds need at "
            f"least {n_folds}. Lower the number of folds or add subjects."
        )


def _check_fold(fold, train, test, target, groups):
    """Raise where a fold is empty, its subjects overlap or its training part lacks a class."""
    if len(test) == 0:
        raise InvalidDataError(
            f"Fold {fold} has no test clip; every fold needs one. Lower the number of folds."
        )
    shared = np.intersect1d(groups[train], groups[test])
    if len(shared):
        raise ValueError(
            f"Fold {fold} of cv has subject {shared[0]} in both training and test; folds must "
            "be subject-disjoint. Use StratifiedGroupKFold or GroupKFold."
        )
    missing = np.setdiff1d(target, target[train])
    if len(missing):
        raise InvalidDataError(
            f"Fold {fold} has no training clip of class {missing[0]}; each class must be in "
            "every training part. Lower the number of folds or add subjects of that class."
        )
