"""The cells of a run, protocol × data set × estimator × repeat × fold, and its checked data."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from smilefusion.exceptions import InvalidDataError

KEY = ("protocol", "dataset", "estimator", "repeat", "fold")  # tells the cells of a folder apart
_PLAIN = ("string", "integer", "floating", "boolean")  # what CSV gives back as it was


@dataclass(frozen=True)
class DataSet:
    """A checked data set of n clips."""

    name: str
    clips: Any
    target: np.ndarray  # (n,)
    groups: np.ndarray  # (n,)
    rows: pd.DataFrame  # clip, group and target of the n rows of a result, in plain types
    folds: Any = None  # a splitter of the data set's own
    fps: Any = None  # frames per second, of all clips or of each
    durations: Any = None  # (n,), s, where the data tell them


@dataclass(frozen=True)
class Cell:
    """One estimator's fit and test on one fold."""

    protocol: str
    dataset: str
    estimator: str
    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray
    rank: tuple[int, int]  # of the data set and of the estimator in the order of the call
    seed: int  # of the repeat

    @property
    def key(self):
        """Return what tells the cells of a results folder apart."""
        return {name: getattr(self, name) for name in KEY}

    def __str__(self):
        return (
            f"estimator {self.estimator!r}, repeat {self.repeat}, fold {self.fold} of data set "
            f"{self.dataset!r}, protocol {self.protocol!r}"
        )


def check_datasets(data, *, needs_groups=True):
    """Return the data sets of a run: of one Bunch, a list of them, or a dict by name.

    Where groups are not needed and not known, each clip counts as a subject of its own.
    """
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
    return [_check_data(str(name), each, needs_groups) for name, each in named]


def make_cells(arranged, estimators, protocol, seeds):
    """Return the cells of a run in the order of its table, each with its data set."""
    return [
        (
            Cell(protocol, dataset.name, name, repeat, fold, *parts, (i, j), int(seeds[repeat])),
            dataset,
        )
        for i, repeats in enumerate(arranged)
        for j, name in enumerate(estimators)
        for repeat, (dataset, folds) in enumerate(repeats)
        for fold, parts in enumerate(folds)
    ]


def label_rows(whose, files, groups, target):
    """Return clip, group and target of the rows of a result in plain types."""
    return pd.DataFrame(
        {
            "clip": plain(files, f"The files of {whose}"),
            "group": plain(groups, f"The groups of {whose}"),
            "target": plain(target, f"The labels of {whose}"),
        }
    )


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


def _check_data(name, data, needs_groups):
    """Return a data set whose labels, groups and names fit the clips."""
    needed = ("clips", "target", "groups")[: 2 + needs_groups]
    missing = [field for field in needed if data.get(field) is None]
    if missing:
        raise InvalidDataError(
            f"The data lack {missing}; a benchmark needs clips, target and groups (the subject "
            f"of each clip). Where every clip shows another person, groups=range(n_clips). The "
            f"data set is {name!r}."
        )
    n_clips = len(data["clips"])
    files = range(n_clips) if data.get("files") is None else data["files"]
    files = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in files]
    groups = range(n_clips) if data.get("groups") is None else data["groups"]
    target, groups = np.asarray(data["target"]), np.asarray(groups)
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
    return DataSet(
        name,
        data["clips"],
        target,
        groups,
        label_rows(f"data set {name!r}", files, groups, target),
        *(data.get(field) for field in ("folds", "fps", "durations")),
    )
