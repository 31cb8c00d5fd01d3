"""Read tables, check their columns, and assemble their rows into clips."""

import csv
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from smilefusion._messages import abridge, plural, printable
from smilefusion.clips._clip_files import check_values
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.exceptions import FrameRateWarning, InvalidClipError

# Column names in lower case.
FRAME = ("frame", "frame_id", "frame_idx", "frame_index", "frame_no", "frame_num", "frame_number")
SECONDS = ("timestamp", "timestamp_s", "time", "time_s")
MILLISECONDS = ("timestamp_ms", "time_ms")

_NAN_OF_WINDOWS = ["nan(ind)", "-nan(ind)"]  # in addition to the ones that pandas knows
_MIN_SHARE = 0.01  # minimum share of the frames, from first to last, that have a row
_STEP_TOLERANCE = 0.05  # of the mean step
_CLOCK_TICK = 1e-3  # seconds; OpenFace rounds times to milliseconds


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table that belong to one clip, in any order."""

    frames: np.ndarray  # (n_rows,), int64
    times: np.ndarray | None  # (n_rows,), seconds
    faces: np.ndarray | None = None  # (n_rows, n_landmarks, n_dims)
    signals: pd.DataFrame | None = None  # (n_rows, n_signals), float64
    unit: str = ""  # of the coordinates
    note: str = ""  # why coordinates were not read
    remark: str = ""  # other information for the user
    used: frozenset[str] = frozenset()  # columns that were read


class Options(NamedTuple):
    """Arguments of `read_clips`."""

    face_id: int | str | None = None
    image_size: tuple[float, float] | None = None
    fps: float | None = None


def read_table(path: str | os.PathLike) -> tuple[pd.DataFrame, str]:
    """Return the table in a file, and its name in messages."""
    path = Path(path)
    name = clip_label(path.name)
    if not os.path.isfile(path):  # unlike Path.is_file, no error if the name is too long
        raise InvalidClipError(
            f"{name} cannot be read: the file {str(path)!r} does not exist. Correct the path."
        )
    if path.suffix.lower() == ".parquet":
        return _check_not_empty(_read_parquet(path, name), name), name
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream, warnings.catch_warnings():
            # If a row is too long, pandas warns and drops the surplus or reads it as row names.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            n_comments, delimiter, header = _find_header(stream)
            twice = [column for column, n in Counter(header).items() if n > 1]
            if twice:
                raise ValueError(f"column names that occur more than once: {abridge(twice)}")
            stream.seek(0)  # so that line numbers in pandas' messages match the file
            table = pd.read_csv(
                stream,
                sep=delimiter,
                skiprows=n_comments,
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
            f"{name} cannot be read from {str(path)!r} ({reason}). It must be text in UTF-8, "
            "separated by commas, tabs or semicolons. Column names must be unique, and rows must "
            "match the header. Save it in this format."
        ) from error
    return _check_not_empty(table, name), name


def _check_not_empty(table: pd.DataFrame, name: str) -> pd.DataFrame:
    if table.empty:
        raise InvalidClipError(
            f"{name} has no rows below its header, but each frame needs at least one. Export "
            "the table again."
        )
    return table


def check_parquet(path: Path) -> None:
    """Raise if pandas cannot read and write Parquet files."""
    if find_spec("pyarrow") is None:
        raise ImportError(
            f"{printable(path.name)} is a Parquet file, which needs pyarrow. Run pip install "
            "pyarrow, or use a CSV file."
        )


def _read_parquet(path: Path, name: str) -> pd.DataFrame:
    """Return the table in a Parquet file with the types that a CSV file would have."""
    check_parquet(path)
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidClipError(
            f"{name} cannot be read from {str(path)!r} ({printable(str(error).strip())}). It must "
            "be a complete Parquet file. Export it again."
        ) from error
    table = table.reset_index(drop=table.index.names == [None])
    table = table.rename(columns=lambda column: str(column).strip())
    return table.apply(_as_in_csv)


def _as_in_csv(column: pd.Series) -> pd.Series:
    """Convert a column to float64 or to text; missing values become NaN."""
    if pd.api.types.is_numeric_dtype(column):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), name=column.name)
    return column.astype(object).map(_as_text, na_action="ignore")


def _as_text(value: object) -> str:
    """Convert a cell to text. Lists become JSON, as in CSV files of OpenFace 3."""
    is_list = isinstance(value, (list, np.ndarray))
    return json.dumps(value, default=np.ndarray.tolist) if is_list else str(value)


def _find_header(lines: Iterable[str]) -> tuple[int, str, list[str]]:
    """Return the number of lines above the header, the delimiter and the column names."""
    for n_comments, line in enumerate(lines):
        if line.strip() and not line.startswith("#"):
            delimiter = max((",", "\t", ";"), key=line.count)
            header = next(csv.reader([line], delimiter=delimiter))
            return n_comments, delimiter, [column.strip() for column in header]
    return 0, ",", []


def clip_label(name: object) -> str:
    """Return the name of a clip at the start of a message."""
    return f"The clip {printable(name)}"


def check_columns(
    table: pd.DataFrame,
    columns: Sequence[str],
    name: str,
    remedy: str = "Export the table again with these columns.",
) -> None:
    """Check that a table has these columns."""
    absent = [column for column in columns if column not in table]
    if absent:
        raise InvalidClipError(
            f"{name} has no {plural(len(absent), 'column')} {abridge(absent)}, only "
            f"{abridge(table.columns)}. All of {abridge(columns)} are needed. {remedy}"
        )


def read_numbers(table: pd.DataFrame, columns: list[str], name: str) -> np.ndarray:
    """Return a copy of columns as float64 (n_rows, n_columns); empty cells are NaN."""
    values = table[columns]
    text = values.select_dtypes(exclude=["number", "bool"])
    read = text.apply(_read_column)
    for row, column in np.argwhere((read.isna() & text.notna()).to_numpy())[:1]:
        raise InvalidClipError(
            f"{name} has {printable(repr(text.iloc[row, column]))} in row {row + 1} of the column "
            f"{printable(text.columns[column])}, but a cell must be empty or contain a number "
            "with a decimal point. Correct or empty the cell."
        )
    return values.assign(**read).to_numpy(dtype=np.float64, copy=True)


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
    """Return the column with one of these names, ignoring case, or None."""
    found = [str(column) for column in table if str(column).lower() in names]
    if len(found) > 1:
        raise InvalidClipError(
            f"{name} has the columns {' and '.join(map(printable, found))}, but only one of them "
            "can be used. Remove or rename the others."
        )
    return found[0] if found else None


def match_columns(table: pd.DataFrame, pattern: str | re.Pattern) -> list[str]:
    """Return the columns whose full name matches a pattern."""
    matches = re.compile(pattern).fullmatch
    return [str(column) for column in table if matches(str(column))]


def read_signals(
    table: pd.DataFrame, columns: list[str], name: str, is_missing: np.ndarray | None = None
) -> pd.DataFrame | None:
    """Return signals as float64, NaN in missing rows; None if `columns` is empty."""
    if not columns:
        return None
    values = read_numbers(table, columns, name)
    if is_missing is not None:
        values[is_missing] = np.nan
    return pd.DataFrame(values, columns=columns)


def choose_face(
    table: pd.DataFrame,
    column: str | None,
    face_id: int | str | None,
    name: str,
    is_missing: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the rows of one face; labels in rows without a face (`is_missing`) do not count."""
    if column is None and face_id is None:
        return table
    if column is None:
        raise InvalidClipError(
            f"{name} has no column of faces, but face_id={face_id} requires one. Remove the "
            "argument face_id, or add the column face_id to the table."
        )
    labels = table[column].map(_as_label, na_action="ignore")
    known = pd.unique((labels if is_missing is None else labels[~is_missing]).dropna())
    if face_id is None and len(known) > 1:
        raise InvalidClipError(
            f"{name} shows the faces {abridge(known)}, but a clip shows one face. Choose one with "
            "face_id."
        )
    if face_id is not None and str(face_id) not in known:
        raise InvalidClipError(
            f"{name} shows the faces {abridge(known)}, but not face_id={face_id}. Choose one of "
            "these."
        )
    if face_id is None:
        return table
    return table[labels.isna() | (labels == str(face_id))].reset_index(drop=True)


def label_rows(table: pd.DataFrame, column: str, name: str) -> pd.Series:
    """Return the text in each row of a column that must not be empty."""
    for row in np.flatnonzero(table[column].isna())[:1]:
        raise InvalidClipError(
            f"{name} has an empty cell in row {row + 1} of the column {printable(column)}, but "
            "this column must name the clip or the person of each row. Fill in the cell, or "
            "remove the column."
        )
    return table[column].map(_as_label)


def _as_label(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def read_clock(
    table: pd.DataFrame,
    name: str,
    *,
    frame: Collection[str] = FRAME,
    seconds: Collection[str] = SECONDS,
    milliseconds: Collection[str] = MILLISECONDS,
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Read frame numbers (n_rows,) and times (n_rows,) in seconds, or None, and their columns."""
    number = find_column(table, frame, name)
    clock = find_column(table, (*seconds, *milliseconds), name)
    used = [column for column in (number, clock) if column is not None]
    times = None
    if clock is not None:
        unit = 1e-3 if clock.lower() in milliseconds else 1.0
        times = read_numbers(table, [clock], name)[:, 0] * unit
    if number is not None:
        return read_whole_numbers(table, number, name), times, used
    if times is None:
        raise InvalidClipError(
            f"{name} has no column of frame numbers, such as 'frame', or of times, such as "
            "'timestamp'. One of them is needed to detect missing frames. Add one. If every frame "
            "has a row, add a column 'frame' with the values range(n_rows)."
        )
    return number_frames(times, name), times, used


def number_frames(times: np.ndarray, name: str) -> np.ndarray:
    """Compute frame numbers from times; a gap in the times becomes a gap in the numbers."""
    if not np.isfinite(times).all():
        raise InvalidClipError(
            f"{name} has no time in row {np.isfinite(times).argmin() + 1}, but without frame "
            "numbers, each row needs a time. Add a column 'frame', or complete the times."
        )
    steps = np.diff(np.sort(times))
    if (len(times) > 1 and steps.min() < 0.5 * np.median(steps)) or not np.all(steps):
        raise InvalidClipError(
            f"{name} has no frame numbers, and its times are too uneven to number the frames. Add "
            "a column 'frame'."
        )
    step = np.median(steps) if len(steps) else 1.0
    numbers = np.rint((times - times.min()) / step)
    return np.minimum(numbers, 2.0**53).astype(np.int64)


def assemble(rows: Rows, name: str) -> tuple[np.ndarray | None, pd.DataFrame | None, float | None]:
    """Sort rows by frame; return the clip, its signals and its frame rate."""
    order = np.argsort(rows.frames, kind="stable")
    frames = rows.frames[order]
    _check_frames(frames, name)
    places, n_frames = frames - frames[0], frames[-1] - frames[0] + 1
    clip = signals = None
    if rows.faces is not None:
        with np.errstate(over="ignore"):  # values beyond float32 are reported as infinite
            faces = rows.faces[order].astype(np.float32)
        _check_faces(faces, frames, name)
        clip = np.full((n_frames, *faces.shape[1:]), np.nan, dtype=np.float32)
        clip[places] = faces
        clip = check_values(clip, name)
    if rows.signals is not None:
        values = np.full((n_frames, rows.signals.shape[1]), np.nan)
        values[places] = rows.signals.to_numpy()[order]
        signals = pd.DataFrame(values, columns=rows.signals.columns)
    fps = None if rows.times is None else _frame_rate(frames, rows.times[order], name)
    return clip, signals, fps


def _check_frames(frames: np.ndarray, name: str) -> None:
    for row in np.flatnonzero(np.diff(frames) == 0)[:1]:
        raise InvalidClipError(
            f"{name} has frame {frames[row]} twice, but a clip shows one face of one video. "
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
            "frame must have all of them, or none if it shows no face. Fill in or empty all "
            "coordinates of the frame."
        )
    for frame in frames[(faces == faces[:, :1]).all(axis=(1, 2))][:1]:
        raise InvalidClipError(
            f"{name} has all landmarks of frame {frame} at one point, which cannot be a face. "
            "If a frame shows no face, empty its coordinates."
        )


def _frame_rate(frames: np.ndarray, times: np.ndarray, name: str) -> float | None:
    """Return the frame rate of sorted frames from times in seconds; None if all are equal."""
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
            f"{fastest:g} are plausible. Use times in seconds. For tables of MediaPipe, you can "
            "also use milliseconds in a column 'timestamp_ms'."
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
