"""Read tables of OpenFace 2 and 3."""

import json
import re

import numpy as np
import pandas as pd

from smilefusion._messages import printable
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import IBUG_68
from smilefusion.readers._csv_tables import (
    Options,
    Rows,
    check_columns,
    choose_face,
    find_column,
    match_columns,
    read_clock,
    read_numbers,
    read_signals,
    read_whole_numbers,
)

# OpenFace 2: https://github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format
_OPTIONS = {"xy": "-2Dfp", "XYZ": "-3Dfp"}
_ACTION_UNIT = re.compile(r"AU(\d\d)_[rc]")
_ACTION_UNITS = {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45}

# OpenFace 3: `process_video` and `process_image` in openface/demo.py of the package openface-test.
_N_ACTION_UNITS = 8
_N_WFLW = 98
# Indices of the iBUG points among the 98 points of WFLW (Wu et al., "Look at Boundary", CVPR
# 2018): jaw, brows, nose, eyes without the midpoints of the lids, and lips.
_IBUG_IN_WFLW = (
    *range(0, 33, 2),
    *(*range(33, 38), *range(42, 47)),
    *range(51, 60),
    *(60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75),
    *range(76, 96),
)


def read_openface_2(
    table: pd.DataFrame,
    name: str,
    options: Options,
    *,
    axes: str | None = None,
    min_confidence: float = 0.0,
) -> Rows:
    """Read a table of OpenFace 2; `axes` None reads xy, or XYZ if there is no xy, or neither."""
    asked = ["confidence"] if min_confidence > 0 else []
    if axes is None:
        axes = next((each for each in _OPTIONS if match_columns(table, rf"[{each}]_\d+")), "")
    columns = [f"{axis}_{point}" for point in range(IBUG_68.n_landmarks) for axis in axes]
    option = f", with {_OPTIONS[axes]}" if axes else ""
    remedy = f"Run FeatureExtraction on the video{option}."
    check_columns(table, ["frame", "success", *asked, *columns], name, remedy)
    missing = _is_missing(table, name, min_confidence)
    face = "face_id" if "face_id" in table else None
    table = choose_face(table, face, options.face_id, name, missing)
    missing = _is_missing(table, name, min_confidence)
    faces = read_numbers(table, columns, name).reshape(len(table), -1, max(len(axes), 1))
    faces[missing] = np.nan
    signals = match_columns(table, _ACTION_UNIT)
    _check_action_units(signals, name)
    times = read_numbers(table, ["timestamp"], name)[:, 0] if "timestamp" in table else None
    return Rows(
        frames=read_whole_numbers(table, "frame", name),
        times=times,
        faces=faces if axes else None,
        signals=read_signals(table, signals, name, missing),
        unit="millimetres" if axes == "XYZ" else "pixels",
        used=frozenset(
            (*columns, *signals, "frame", "success", "face_id", "timestamp", "confidence")
        ),
    )


def _check_action_units(signals: list[str], name: str) -> None:
    for column in signals:
        if int(column[2:4]) not in _ACTION_UNITS:
            raise InvalidClipError(
                f"{name} has the column {column}, which OpenFace 2 does not write. Some scripts "
                "name the eight outputs of OpenFace 3 AU01_r to AU08_r, but these numbers are not "
                "those of the action units. Rename or remove such columns."
            )


def _is_missing(table: pd.DataFrame, name: str, min_confidence: float) -> np.ndarray:
    missing = read_numbers(table, ["success"], name)[:, 0] != 1
    if min_confidence > 0:
        missing |= ~(read_numbers(table, ["confidence"], name)[:, 0] >= min_confidence)
    return missing


def read_openface_3(table: pd.DataFrame, name: str, options: Options) -> Rows:
    """Read a table of OpenFace 3; cells contain lists, and timestamps are times of processing."""
    check_columns(table, ["action_units"], name, "Save the whole table of OpenFace 3.")
    face = find_column(table, ["face_id"], name)
    table = choose_face(table, face, options.face_id, name)
    frames, _, used = read_clock(table, name, seconds=())
    units = _read_lists(table, "action_units", (_N_ACTION_UNITS,), name)
    signals = pd.DataFrame(units, columns=[f"action_unit_{i}" for i in range(_N_ACTION_UNITS)])
    faces = None
    if "landmarks" in table and table["landmarks"].notna().any():
        faces = _read_lists(table, "landmarks", (_N_WFLW, 2), name)[:, _IBUG_IN_WFLW]
        used.append("landmarks")
    return Rows(
        frames=frames,
        times=None,
        faces=faces,
        signals=signals,
        unit="pixels",
        remark="OpenFace 3 does not document which action units its eight outputs measure.",
        used=frozenset((*used, "action_units", "face_id")),
    )


def _read_lists(table: pd.DataFrame, column: str, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Read a column of lists in brackets as float64 (n_rows, *shape); empty cells are NaN."""
    values = np.full((len(table), *shape), np.nan)
    for row, cell in enumerate(table[column]):
        if pd.isna(cell):
            continue
        try:
            array = np.array(json.loads(cell), dtype=np.float64)
            values[row] = array.reshape(shape)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidClipError(
                f"{name} has {printable(repr(cell))} in row {row + 1} of the column {column}, but "
                f"OpenFace 3 writes {' × '.join(map(str, shape))} numbers in brackets there. "
                "Correct or empty the cell."
            ) from error
    return values
