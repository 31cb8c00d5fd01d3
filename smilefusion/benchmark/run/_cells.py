"""Cells of a run (protocol × data set × estimator × repeat × fold) and checked data sets."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from smilefusion._messages import count
from smilefusion.benchmark.stats._subgroups import METADATA_PREFIX, to_texts
from smilefusion.clips._rates import check_fps
from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.exceptions import InvalidDataError

KEY = ("protocol", "dataset", "estimator", "repeat", "fold")  # identifies a cell in a folder
_PLAIN = ("string", "integer", "floating", "boolean")  # types that CSV restores


@dataclass(frozen=True)
class DataSet:
    """A checked data set of n clips."""

    name: str
    clips: Any
    target: np.ndarray  # (n,)
    groups: np.ndarray  # (n,)
    rows: pd.DataFrame  # clip, group, target and metadata, in plain types (n rows)
    folds: Any = None  # the data set's own splitter
    fps: Any = None  # (n,), frames per second, NaN if unknown
    durations: Any = None  # (n,), s, if known


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
    rank: tuple[int, int]  # positions of data set and estimator in the call
    seed: int  # of the repeat

    @property
    def key(self) -> dict[str, Any]:
        """The values that identify the cell in a results folder."""
        return {name: getattr(self, name) for name in KEY}

    def __str__(self) -> str:
        return describe_cell(self.key)


def describe_cell(key: Any) -> str:
    """Describe a cell in words; `key` is a mapping or a row with its values."""
    return (
        f"estimator {key['estimator']!r}, repeat {key['repeat']}, fold {key['fold']} of data set "
        f"{key['dataset']!r}, protocol {key['protocol']!r}"
    )


def check_datasets(data: Any, *, needs_groups: bool = True) -> list[DataSet]:
    """Check data sets given as a Bunch, a list of Bunches, or a dict by name."""
    if isinstance(data, Mapping) and data and all(isinstance(v, Mapping) for v in data.values()):
        named = list(data.items())
    else:
        several = data if isinstance(data, (list, tuple)) else [data]
        named = [(each.get("name") or "data", each) for each in several]
    if not named:
        raise InvalidDataError(
            "data contains no data set, but a run needs at least one. Pass a Bunch."
        )
    name, n_times = Counter(name for name, _ in named).most_common(1)[0]
    if n_times > 1:
        raise InvalidDataError(
            f"{n_times} data sets are named {name!r}, but names must be unique. Pass a "
            "dict that maps names to data sets."
        )
    return [_check_data(str(name), each, needs_groups) for name, each in named]


def make_cells(
    arranged: list, estimators: Mapping, protocol: str, seeds: list[int]
) -> list[tuple[Cell, DataSet]]:
    """Return pairs of cell and data set in the order of the result table."""
    return [
        (Cell(protocol, dataset.name, name, repeat, fold, train, test, (i, j), seed), dataset)
        for i, repeats in enumerate(arranged)
        for j, name in enumerate(estimators)
        for repeat, ((dataset, folds), seed) in enumerate(zip(repeats, seeds, strict=True))
        for fold, (train, test) in enumerate(folds)
    ]


def label_rows(whose: str, files: Any, groups: Any, target: Any) -> pd.DataFrame:
    """Return clip, group and target of the rows of a result in plain types."""
    return pd.DataFrame(
        {
            "clip": plain(files, f"The files of {whose}"),
            "group": plain(groups, f"The groups of {whose}"),
            "target": plain(target, f"The labels of {whose}"),
        }
    )


def plain_metadata(table: pd.DataFrame) -> pd.DataFrame:
    """Return metadata as numbers and text that CSV files preserve; missing text is empty."""
    columns: dict[Any, Any] = {}
    for name, column in table.items():
        is_number = pd.api.types.is_numeric_dtype(column) and not column.empty
        if is_number and not column.isna().any():
            columns[name] = column.to_numpy()
        elif is_number and not pd.api.types.is_bool_dtype(column):
            columns[name] = column.to_numpy(dtype=float, na_value=np.nan)
        else:
            columns[name] = to_texts(column).fillna("").tolist()
    return pd.DataFrame(columns, index=range(len(table)))


def plain(values: Any, what: str) -> list:
    """Return values as a list of one Python type: str, int, float or bool."""
    values = [each.item() if isinstance(each, np.generic) else each for each in values]
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind not in _PLAIN:
        raise InvalidDataError(
            f"{what} have the type {kind!r}, but they must be all text, all integers, all floats "
            "or all booleans. Convert them."
        )
    return values


def _check_data(name: str, data: Mapping, needs_groups: bool) -> DataSet:
    """Check that labels, groups and files match the clips; return the data set."""
    needed = ("clips", "target", "groups")[: 2 + needs_groups]
    missing = [field for field in needed if data.get(field) is None]
    if missing:
        raise InvalidDataError(
            f"Data set {name!r} has no {', '.join(missing)}, but a benchmark needs clips, target "
            f"and groups (the subject of each clip). If every clip shows a different person, set "
            f"groups=range(n_clips)."
        )
    n_clips = len(data["clips"])
    files = range(n_clips) if data.get("files") is None else data["files"]
    files = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in files]
    # If groups are neither needed nor known, each clip counts as a subject.
    groups = range(n_clips) if data.get("groups") is None else data["groups"]
    target, groups = np.asarray(data["target"]), np.asarray(groups)
    shapes = {"target": target.shape, "groups": groups.shape, "files": (len(files),)}
    for field, shape in shapes.items():
        if shape != (n_clips,):
            raise InvalidDataError(
                f"{field} of data set {name!r} has shape {shape} for {n_clips} clips, but it must "
                f"have one entry per clip. Pass {n_clips} entries."
            )
    classes = np.unique(target)
    if len(classes) < 2:
        raise InvalidDataError(
            f"All {n_clips} clips of data set {name!r} have the label {classes[0]}, but at least "
            f"two classes are needed. Add clips of another class."
        )
    rows = label_rows(f"data set {name!r}", files, groups, target)
    rows = pd.concat([rows, _collect_metadata(name, data, n_clips)], axis=1)
    clips, fps = data["clips"], data.get("fps")
    if isinstance(clips, ClipSequence):
        clips = clips.replace(fps=fps)
    elif fps is not None and np.ndim(clips[0]) != 1:  # not the rows of a table
        clips = check_clips(clips, fps=fps)
    return DataSet(
        name,
        clips,
        target,
        groups,
        rows,
        data.get("folds"),
        clips.fps if isinstance(clips, ClipSequence) else check_fps(fps, n_clips),
        data.get("durations"),
    )


def _collect_metadata(name: str, data: Mapping, n_clips: int) -> pd.DataFrame:
    """Return the metadata as columns of the result; raise if there is not one row per clip."""
    given = data.get("metadata")
    table = pd.DataFrame(index=range(n_clips)) if given is None else pd.DataFrame(given)
    if len(table) != n_clips:
        raise InvalidDataError(
            f"metadata of data set {name!r} has {count(len(table), 'row')} for "
            f"{count(n_clips, 'clip')}, but it must have one row per clip. Select the same clips."
        )
    return plain_metadata(table.set_axis([f"{METADATA_PREFIX}{each}" for each in table], axis=1))
