"""Read tables of MediaPipe landmarks in the two layouts that scripts write, wide and long."""

import re

import numpy as np
import pandas as pd

from smilefusion._messages import abridge
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.readers._csv_tables import (
    check_columns,
    choose_face,
    find_column,
    read_numbers,
    read_whole_numbers,
)

N_MESH = 468  # landmarks without those of the irises

# Column names in lower case.
_FRAME = ("frame", "frame_id", "frame_idx", "frame_index", "frame_no", "frame_num", "frame_number")
_FACE = ("face_id", "face_idx", "face_index")
_SECONDS = ("timestamp", "timestamp_s", "time", "time_s")
_MILLISECONDS = ("timestamp_ms", "time_ms")
_LANDMARK = (
    *("landmark", "landmark_id", "landmark_idx", "landmark_index"),
    *("id", "idx", "index", "point", "point_id"),
)
_WIDE = re.compile(
    r"(?:(?:face|landmarks?|face_landmarks?|lm|point)[_. ]?)?"
    r"(?:(?P<axis>[xyz])[_. ]?(?P<number>\d+)|(?P<number_>\d+)[_. ]?(?P<axis_>[xyz]))"
)


def read_layout(
    table: pd.DataFrame, face_id: int | None, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Read faces (n_rows, n_landmarks, n_dims), frames (n_rows,) and times (n_rows,) or None."""
    table = table.rename(columns=str.lower)
    _check_names(table, name)
    table = choose_face(table, find_column(table, _FACE, name), face_id, name)
    wide = _find_wide_columns(table, name)
    return _read_wide(table, wide, name) if wide else _read_long(table, name)


def _check_names(table: pd.DataFrame, name: str) -> None:
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise InvalidClipError(
            f"{name} has the column {twice[0]!r} twice, because case is ignored. Rename one "
            "of them, or read a table of OpenFace with read_openface_csv."
        )


def _find_wide_columns(table: pd.DataFrame, name: str) -> dict[tuple[str, int], str]:
    """Return the columns of coordinates by axis and number; empty for a long table."""
    found: dict[tuple[str, int], str] = {}
    for column in map(str, table):
        match = _WIDE.fullmatch(column)
        if match is None:
            continue
        axis = match["axis"] or match["axis_"]
        number = int(match["number"] or match["number_"])
        if (axis, number) in found:
            raise InvalidClipError(
                f"{name} has the columns {found[axis, number]} and {column}, but only one column "
                f"can contain {axis} of landmark {number}. Remove or rename the other."
            )
        found[axis, number] = column
    return found


def _read_wide(
    table: pd.DataFrame, columns: dict[tuple[str, int], str], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    axes = "xyz" if any(axis == "z" for axis, _ in columns) else "xy"
    points = np.unique([point for _, point in columns])
    _check_points(points, name)
    wanted = [columns.get((axis, point), f"{axis}{point}") for point in points for axis in axes]
    check_columns(table, wanted, name)
    faces = read_numbers(table, wanted, name).reshape(len(table), len(points), len(axes))
    return faces, *_read_frames(table, name)


def _read_long(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    column = find_column(table, _LANDMARK, name)
    if column is None:
        raise InvalidClipError(
            f"{name} has the columns {abridge(table.columns)}, but a table needs coordinates "
            "named like x_0 and y_0, or the columns 'landmark', 'x' and 'y'. Rename its columns."
        )
    axes = "xyz" if "z" in table else "xy"
    check_columns(table, list(axes), name)
    values, labels = read_numbers(table, list(axes), name), read_whole_numbers(table, column, name)
    frames, times = _read_frames(table, name)
    points = np.unique(labels)
    _check_points(points, name)
    order = np.lexsort((labels, frames))
    _check_complete(frames[order], labels[order], points, name)
    faces = values[order].reshape(-1, len(points), len(axes))
    first_rows = order[:: len(points)]
    return faces, frames[first_rows], None if times is None else times[first_rows]


def _read_frames(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Read frame numbers (n_rows,) and times (n_rows,) in seconds, or None."""
    column = find_column(table, _FRAME, name)
    if column is None:
        raise InvalidClipError(
            f"{name} has no column of frame numbers, such as 'frame', which is needed to detect "
            "missing frames. Add one. If every frame has a row, use range(n_rows)."
        )
    clock = find_column(table, _SECONDS + _MILLISECONDS, name)
    frames = read_whole_numbers(table, column, name)
    if clock is None:
        return frames, None
    unit = 1e-3 if clock in _MILLISECONDS else 1.0
    return frames, read_numbers(table, [clock], name)[:, 0] * unit


def _check_points(points: np.ndarray, name: str) -> None:
    known = len(points) in (N_MESH, MEDIAPIPE_478.n_landmarks) and points[0] in (0, 1)
    if not (known and points[-1] - points[0] == len(points) - 1):
        raise InvalidClipError(
            f"{name} has landmarks {points[0]} to {points[-1]}, {len(points)} in total, but a "
            f"face mesh has {MEDIAPIPE_478.n_landmarks} landmarks, or {N_MESH} without the "
            "irises, numbered from 0 or from 1. Write all of them, and no others."
        )


def _check_complete(frames: np.ndarray, labels: np.ndarray, points: np.ndarray, name: str) -> None:
    present, n_rows = np.unique(frames, return_counts=True)
    uneven = n_rows != len(points)
    if not uneven.any():
        uneven = (labels.reshape(-1, len(points)) != points).any(axis=1)
    for frame, count in zip(present[uneven][:1], n_rows[uneven][:1], strict=True):
        raise InvalidClipError(
            f"{name} has {count} rows for frame {frame}, but one row for each of the landmarks "
            f"{points[0]} to {points[-1]} is needed. Write all landmarks of a face, no rows for "
            "a frame without a face, and one clip per table."
        )
