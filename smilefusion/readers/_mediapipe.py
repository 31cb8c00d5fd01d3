"""Read tables of MediaPipe landmarks in the two common layouts, wide and long."""

import re

import numpy as np
import pandas as pd

from smilefusion._messages import abridge
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import BLENDSHAPE_NAMES, MEDIAPIPE_478, face_geometry
from smilefusion.readers._csv_tables import (
    FRAME,
    MILLISECONDS,
    SECONDS,
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

# Blendshapes of MediaPipe and ARKit, and rotations of Live Link Face, in lower case.
_ANGLES = ("yaw", "pitch", "roll")
_BLENDSHAPES = frozenset(
    (
        *(name.lower() for name in BLENDSHAPE_NAMES),
        "tongueout",
        *(f"{part}{angle}" for part in ("head", "lefteye", "righteye") for angle in _ANGLES),
    )
)
N_MESH = 468  # landmarks without those of the irises
_EYE_ENDS = ("outer", "inner")
_MAX_FRACTION = 2.0  # of the image size; detected faces are mostly within the image
_MIN_DEPTH = 0.02  # of a face's width; the depth of a real face is near 0.7

# Column names in lower case.
FACE = ("face_id", "face_idx", "face_index")
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
    table = choose_face(table, find_column(table, FACE, name), face_id, name)
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
    """Return the coordinate columns by axis and landmark number; empty for a long table."""
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
    frames, times, _ = read_clock(table, name)
    return faces, frames, times


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
    frames, times, _ = read_clock(table, name)
    points = np.unique(labels)
    _check_points(points, name)
    order = np.lexsort((labels, frames))
    _check_complete(frames[order], labels[order], points, name)
    faces = values[order].reshape(-1, len(points), len(axes))
    first_rows = order[:: len(points)]
    return faces, frames[first_rows], None if times is None else times[first_rows]


def _check_points(points: np.ndarray, name: str) -> None:
    known = len(points) in (N_MESH, MEDIAPIPE_478.n_landmarks) and points[0] in (0, 1)
    if not (known and points[-1] - points[0] == len(points) - 1):
        raise InvalidClipError(
            f"{name} has landmarks {points[0]} to {points[-1]}, {len(points)} in total, but a "
            f"face mesh has {MEDIAPIPE_478.n_landmarks} landmarks, or {N_MESH} without the "
            "irises, numbered from 0 or from 1. Export all of them, and no others."
        )


def _check_complete(frames: np.ndarray, labels: np.ndarray, points: np.ndarray, name: str) -> None:
    present, n_rows = np.unique(frames, return_counts=True)
    uneven = n_rows != len(points)
    if not uneven.any():
        uneven = (labels.reshape(-1, len(points)) != points).any(axis=1)
    for frame, count in zip(present[uneven][:1], n_rows[uneven][:1], strict=True):
        raise InvalidClipError(
            f"{name} has {count} rows for frame {frame}, but one row for each of the landmarks "
            f"{points[0]} to {points[-1]} is needed. Export all landmarks of each face, no rows "
            "for frames without a face, and one clip per table."
        )


def read_mediapipe(table: pd.DataFrame, name: str, options: Options) -> Rows:
    """Read a table of landmarks, of blendshapes, or of both."""
    table = choose_face(table, find_column(table, FACE, name), options.face_id, name)
    lower = table.rename(columns=str.lower)
    is_long = _is_long(table)
    signals = [] if is_long else blendshape_columns(table)
    faces, unit, note = None, "", ""
    used: list[str] = []
    if is_long or match_columns(lower, _WIDE):
        kept = lower.drop(columns=[column for column in FACE if column in lower])
        faces, frames, times = read_layout(kept, None, name)
        faces, unit, note = to_isotropic(faces, options.image_size, name)
        used = [column for column in map(str, table) if _is_read(column.lower(), is_long)]
    else:
        frames, times, used = read_clock(table, name)
    return Rows(
        frames=frames,
        times=times,
        faces=faces,
        signals=read_signals(table, signals, name),
        unit=unit,
        note=note,
        used=frozenset((*signals, *used)),
    )


def has_mediapipe_columns(table: pd.DataFrame) -> bool:
    """Return whether a table has landmarks in one of the two layouts, or blendshapes."""
    lower = table.rename(columns=str.lower)
    return _is_long(table) or bool(match_columns(lower, _WIDE) or blendshape_columns(table))


def blendshape_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of blendshapes and rotations, ignoring case."""
    return [str(column) for column in table if str(column).lower() in _BLENDSHAPES]


def _is_long(table: pd.DataFrame) -> bool:
    columns = {str(column).lower() for column in table}
    return {"x", "y"} <= columns and not columns.isdisjoint(_LANDMARK)


def _is_read(column: str, is_long: bool) -> bool:
    """Return whether `read_layout` reads a column."""
    if column in (*FRAME, *SECONDS, *MILLISECONDS, *FACE):
        return True
    return column in (*_LANDMARK, "x", "y", "z") if is_long else bool(_WIDE.fullmatch(column))


def to_isotropic(
    faces: np.ndarray, image_size: tuple[float, float] | None, name: str
) -> tuple[np.ndarray | None, str, str]:
    """Return faces in isotropic units, their unit, and a note if they cannot be converted."""
    if faces.shape[1] == N_MESH:
        faces = add_iris(faces, "required", name)
    far = is_beyond_image(faces)
    if 2 * far.sum() > np.isfinite(faces[..., :2]).sum():
        check_depth(faces, name)
        return faces, "pixels", ""
    if far.any():
        raise InvalidClipError(
            f"{name} has the coordinate {faces[..., :2][far][0]:g} among fractions of the image "
            "size, which must be roughly between 0 and 1. Correct this coordinate, or empty all "
            "coordinates of its frame."
        )
    if image_size is None:
        note = (
            f"{name} has landmarks in fractions of the image size, which are not read because the "
            "shape of the image is unknown. Pass image_size=(width, height), or image_size=(1, 1) "
            "if x, y and z already share one unit."
        )
        return None, "", note
    width, height = image_size
    faces[..., ::2] *= width / height  # z is in units of the image width, too
    return faces, "image heights", ""


def is_beyond_image(faces: np.ndarray) -> np.ndarray:
    """Return a mask of x and y that cannot be fractions of an image: (n_rows, n_landmarks, 2)."""
    return np.abs(faces[..., :2]) > _MAX_FRACTION


def check_depth(faces: np.ndarray, name: str) -> None:
    """Check that z has the same unit as x and y."""
    seen = faces[np.isfinite(faces).all(axis=(1, 2))]
    if faces.shape[2] == 2 or len(seen) == 0:
        return
    width, _, depth = np.median(np.ptp(seen, axis=1), axis=0)
    if depth < _MIN_DEPTH * width:
        raise InvalidClipError(
            f"{name} has faces {width:g} wide and {depth:g} deep, but x, y and z must share one "
            "unit. Multiply MediaPipe's z by the image width, like x, or remove z."
        )


def add_iris(faces: np.ndarray, iris: str, name: str) -> np.ndarray:
    """Add irises at the eye centres to faces (n_rows, 468, n_dims)."""
    if iris == "required":
        raise InvalidClipError(
            f"{name} has {N_MESH} landmarks, without the irises, but a clip has "
            f"{MEDIAPIPE_478.n_landmarks}. Extract the landmarks with refine_landmarks=True or "
            "with FaceLandmarker. For D-Markers, which do not use irises, you can call "
            "read_mediapipe_csv with iris='eye_centre'."
        )
    right, left = (
        np.mean([MEDIAPIPE_478.locate(faces, f"{side}_eye_{end}") for end in _EYE_ENDS], axis=0)
        for side in ("right", "left")
    )
    is_right = face_geometry()["neutral"][N_MESH:, :1] < 0  # the subject's right, image left
    irises = np.where(is_right, right[:, None], left[:, None])
    return np.concatenate([faces, irises], axis=1)
