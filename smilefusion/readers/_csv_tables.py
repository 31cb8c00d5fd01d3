"""Read CSV tables, check their columns, and assemble their rows into a clip."""

import csv
import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smilefusion._messages import abridge, plural, printable
from smilefusion.clips._clip_files import HeldFile, check_values
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._sequence import ClipSequence
from smilefusion.exceptions import FrameRateWarning, InvalidClipError

_NAN_OF_WINDOWS = ["nan(ind)", "-nan(ind)"]  # in addition to the ones that pandas knows
_MIN_SHARE = 0.01  # share of the frames between first and last that a table must have
_STEP_TOLERANCE = 0.05  # of the mean step
_CLOCK_TICK = 1e-3  # seconds; OpenFace rounds times to this


def read_table(path: str | os.PathLike) -> tuple[pd.DataFrame, str]:
    """Return the table in a CSV file, and its name in messages."""
    path, name = Path(path), _name(path)
    if not os.path.isfile(path):  # unlike Path.is_file, no error if the name is too long
        raise InvalidClipError(
            f"{name} cannot be read: the file {str(path)!r} does not exist. Correct the path."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream, warnings.catch_warnings():
            # If a row is too long, pandas warns and drops the surplus or reads it as row names.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            first_row = next(filter(None, csv.reader(stream)), [])
            header = [column.strip() for column in first_row]
            stream.seek(0)  # so that line numbers in pandas' messages match the file
            table = pd.read_csv(
                stream,
                header=0,
                names=header,
                index_col=False,
                skipinitialspace=True,
                na_values=_NAN_OF_WINDOWS,
                low_memory=False,
            )
    except (OSError, ValueError, csv.Error, pd.errors.ParserWarning) as error:
        reason = printable(str(error).strip())
        raise InvalidClipError(
            f"{name} cannot be read from {str(path)!r} ({reason}). It must be comma-separated "
            "text in UTF-8 whose rows match its header. Save it in this format."
        ) from error
    if table.empty:
        raise InvalidClipError(
            f"{name} has no rows below its header, but each frame needs at least one. Extract "
            "the landmarks again."
        )
    return table, name


def _name(path: str | os.PathLike) -> str:
    return f"The clip {printable(Path(path).name)}"


def check_columns(
    table: pd.DataFrame,
    columns: Sequence[str],
    name: str,
    remedy: str = "Write them, separated by commas.",
) -> None:
    """Check that a table has these columns."""
    absent = [column for column in columns if column not in table]
    if absent:
        raise InvalidClipError(
            f"{name} has no {plural(len(absent), 'column')} {abridge(absent)}, only "
            f"{abridge(table.columns)}. All of {abridge(columns)} are needed. {remedy}"
        )


def read_numbers(table: pd.DataFrame, columns: list[str], name: str) -> np.ndarray:
    """Return columns as float64 of shape (n_rows, n_columns); empty cells are NaN."""
    values = table[columns]
    text = values.select_dtypes(exclude=["number", "bool"])
    read = text.apply(_read_column)
    for row, column in np.argwhere((read.isna() & text.notna()).to_numpy())[:1]:
        raise InvalidClipError(
            f"{name} has {printable(repr(text.iloc[row, column]))} in row {row + 1} of the column "
            f"{printable(text.columns[column])}, but a cell must be empty or contain a number "
            "with a decimal point. Correct or empty the cell."
        )
    return values.assign(**read).to_numpy(dtype=np.float64)


def _read_column(column: pd.Series) -> pd.Series:
    """Convert a column of text to numbers; other text becomes NaN."""
    try:
        return pd.to_numeric(column, errors="coerce")
    except OverflowError:  # a whole number beyond float64
        return pd.to_numeric(column.map(str), errors="coerce")


def read_whole_numbers(table: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """Return a column as int64 of shape (n_rows,)."""
    values = read_numbers(table, [column], name)[:, 0]
    whole = (np.abs(values) < 2**53) & (values == np.rint(values))
    for row in np.flatnonzero(~whole)[:1]:
        raise InvalidClipError(
            f"{name} has {values[row]:g} in row {row + 1} of the column {column}, but each row "
            "needs a whole number there. Correct the cell."
        )
    return values.astype(np.int64)


def find_column(table: pd.DataFrame, names: Collection[str], name: str) -> str | None:
    """Return the column that has one of these names, or None."""
    found = [str(column) for column in table if column in names]
    if len(found) > 1:
        raise InvalidClipError(
            f"{name} has the columns {' and '.join(map(printable, found))}, but only one of them "
            "can be used. Remove or rename the others."
        )
    return found[0] if found else None


def choose_face(
    table: pd.DataFrame, column: str | None, face_id: int | None, name: str
) -> pd.DataFrame:
    """Return the rows of one face."""
    if column is None and face_id is None:
        return table
    if column is None:
        raise InvalidClipError(
            f"{name} has no column of faces, but face_id={face_id} needs one. Remove the "
            "argument face_id, or add the column face_id to the table."
        )
    faces = read_whole_numbers(table, column, name)
    known = np.unique(faces)
    if face_id is None and len(known) > 1:
        raise InvalidClipError(
            f"{name} shows the faces {abridge(known)}, but a clip shows one face. Choose one with "
            "face_id."
        )
    if face_id is not None and face_id not in known:
        raise InvalidClipError(
            f"{name} shows the faces {abridge(known)}, but not face_id={face_id}. Choose one of "
            "these."
        )
    return table if face_id is None else table[faces == face_id].reset_index(drop=True)


def assemble(
    faces: np.ndarray,
    frames: np.ndarray,
    times: np.ndarray | None,
    path: str | os.PathLike,
) -> ClipSequence:
    """Sort faces (n_rows, n_landmarks, n_dims) into the frames of a clip and check it."""
    name = _name(path)
    order = np.argsort(frames, kind="stable")
    frames = frames[order]
    _check_frames(frames, name)
    with np.errstate(over="ignore"):  # values beyond float32 are reported as infinite
        faces = faces[order].astype(np.float32)
    _check_faces(faces, frames, name)
    clip = np.full((frames[-1] - frames[0] + 1, *faces.shape[1:]), np.nan, dtype=np.float32)
    clip[frames - frames[0]] = faces
    item = HeldFile(Path(path), check_values(clip, name))
    fps = None if times is None else _frame_rate(frames, times[order], name)
    return ClipSequence([item], [clip.shape], fps=fps)


def _check_frames(frames: np.ndarray, name: str) -> None:
    for row in np.flatnonzero(np.diff(frames) == 0)[:1]:
        raise InvalidClipError(
            f"{name} has frame {frames[row]} twice, but a table must show one face of one video. "
            "Choose a face with face_id, or split the table."
        )
    n_frames = frames[-1] - frames[0] + 1
    if len(frames) < _MIN_SHARE * n_frames:
        raise InvalidClipError(
            f"{name} has {len(frames)} of the frames {frames[0]} to {frames[-1]}, but at least "
            f"{_MIN_SHARE:.0%} are needed. Number the frames in steps of one, or keep only the "
            "part with a face."
        )


def _check_faces(faces: np.ndarray, frames: np.ndarray, name: str) -> None:
    empty = np.isnan(faces).all(axis=(1, 2))
    partial = ~np.isfinite(faces).all(axis=(1, 2)) & ~empty
    for frame in frames[partial][:1]:
        raise InvalidClipError(
            f"{name} has empty or infinite coordinates for some landmarks of frame {frame}, but a "
            "frame must have all of them, or none if it shows no face. Complete or empty it."
        )
    for frame in frames[(faces == faces[:, :1]).all(axis=(1, 2))][:1]:
        raise InvalidClipError(
            f"{name} has all landmarks of frame {frame} at one point, which cannot be a face. "
            "Empty the coordinates of frames without a face."
        )


def _frame_rate(frames: np.ndarray, times: np.ndarray, name: str) -> float | None:
    """Return the frame rate of sorted frames with times in seconds; None if all are equal."""
    for row in np.flatnonzero(~np.isfinite(times))[:1]:
        raise InvalidClipError(
            f"{name} has the time {times[row]:g} s at frame {frames[row]}, but each frame of the "
            "table needs a time. Correct or remove the column of times."
        )
    if (times == times[0]).all():
        return None
    for row in np.flatnonzero(np.diff(times) <= 0)[:1]:
        raise InvalidClipError(
            f"{name} has the times {times[row]:g} and {times[row + 1]:g} s at the frames "
            f"{frames[row]} and {frames[row + 1]}, but times must increase with the frame number. "
            "Correct or remove the column of times."
        )
    centred = frames - frames.mean()
    fps = round(float(centred @ centred / (centred @ (times - times[0]))), 2)
    slowest, fastest = FPS_RANGE
    if not slowest <= fps <= fastest:
        raise InvalidClipError(
            f"{name} has times that imply {fps:g} frames per second, but only {slowest:g} to "
            f"{fastest:g} are plausible. Write times in seconds. For read_mediapipe_csv, you can "
            "write milliseconds in a column 'timestamp_ms'."
        )
    n_steps = np.diff(frames)
    stray = np.abs(np.diff(times) - n_steps / fps)
    if (stray > np.maximum(_STEP_TOLERANCE * n_steps / fps, 1.01 * _CLOCK_TICK)).any():
        steps = 1e3 * np.diff(times) / n_steps
        warnings.warn(
            f"{name} has frames {steps.min():.0f} to {steps.max():.0f} ms apart, but D-Markers "
            f"treat them as equally spaced, at fps={fps}. Durations and speeds are therefore "
            "inexact. Extract the landmarks at a constant frame rate.",
            FrameRateWarning,
            stacklevel=5,
        )
    return fps
