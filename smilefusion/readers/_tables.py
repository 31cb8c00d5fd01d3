"""Tables of landmarks: reading CSV, checking columns, putting rows into the frames of a clip."""

import csv
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from smilefusion._messages import abridge, plural, printable
from smilefusion.clips._files import check_values
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.exceptions import FrameRateWarning, InvalidClipError

_NAN_OF_WINDOWS = ["nan(ind)", "-nan(ind)"]  # in addition to those that pandas knows
_MIN_SHARE = 0.01  # of the frame numbers that are in the table
_STEP_TOLERANCE = 0.05  # of the mean step
_CLOCK_TICK = 1e-3  # seconds; OpenFace rounds times to it


def read_table(path):
    """Read a CSV file and return it with its name in messages."""
    path = Path(path)
    name = f"The clip {printable(path.name)}"
    if not os.path.isfile(path):  # unlike Path.is_file, no error if the name is too long
        raise InvalidClipError(
            f"{name} cannot be read: there is no file {str(path)!r}. Correct the path."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream, warnings.catch_warnings():
            # pandas drops the surplus of long rows, or takes it for row names, with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            first_row = next(filter(None, csv.reader(stream)), [])
            header = [column.strip() for column in first_row]
            stream.seek(0)  # so that pandas counts lines as an editor does
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
            f"{name} cannot be read from {str(path)!r} ({reason}); it must be "
            "comma-separated text in UTF-8 whose rows match its header. Save it as such."
        ) from error
    if table.empty:
        raise InvalidClipError(
            f"{name} has no rows below its header; each frame needs one at least. Extract the "
            "landmarks again."
        )
    return table, name


def check_columns(table, columns, name, remedy="Write them, separated by commas."):
    """Check that a table has these columns."""
    absent = [column for column in columns if column not in table]
    if absent:
        raise InvalidClipError(
            f"{name} has no {plural(len(absent), 'column')} {abridge(absent)}, only "
            f"{abridge(table.columns)}. All of {abridge(columns)} are needed. {remedy}"
        )


def read_numbers(table, columns, name):
    """Return columns as float64 of shape (n_rows, n_columns), NaN where a cell is empty."""
    values = table[columns]
    text = values.select_dtypes(exclude=["number", "bool"])
    read = text.apply(_read_column)
    for row, column in np.argwhere((read.isna() & text.notna()).to_numpy())[:1]:
        raise InvalidClipError(
            f"{name} has {printable(repr(text.iloc[row, column]))} in row {row + 1} of the column "
            f"{printable(text.columns[column])}; cells hold numbers with a decimal point, or "
            "nothing. Correct or empty the cell."
        )
    return values.assign(**read).to_numpy(dtype=np.float64)


def _read_column(column):
    """Return a column of texts as numbers, NaN where it holds none."""
    try:
        return pd.to_numeric(column, errors="coerce")
    except OverflowError:  # a whole number that float64 cannot hold; its digits are read as text
        return pd.to_numeric(column.map(str), errors="coerce")


def read_whole_numbers(table, column, name):
    """Return a column as int64 of shape (n_rows,)."""
    values = read_numbers(table, [column], name)[:, 0]
    whole = (np.abs(values) < 2**53) & (values == np.rint(values))
    for row in np.flatnonzero(~whole)[:1]:
        raise InvalidClipError(
            f"{name} has {values[row]:g} in row {row + 1} of the column {column}; each row needs "
            "a whole number there. Correct the table."
        )
    return values.astype(np.int64)


def find_column(table, names, name):
    """Return which of the names the table has a column of; None where none."""
    found = [column for column in table if column in names]
    if len(found) > 1:
        raise InvalidClipError(
            f"{name} has the columns {' and '.join(map(printable, found))}; one of them is "
            "needed. Drop or rename the others."
        )
    return found[0] if found else None


def choose_face(table, column, face_id, name):
    """Return the rows of one face."""
    if column is None and face_id is None:
        return table
    if column is None:
        raise InvalidClipError(
            f"{name} has no column that tells faces apart, but face_id={face_id} was asked for. "
            "Leave face_id out, or write the column."
        )
    faces = read_whole_numbers(table, column, name)
    known = np.unique(faces)
    if face_id is None and len(known) > 1:
        raise InvalidClipError(
            f"{name} shows the faces {abridge(known)}; a clip is of one face. Choose one with "
            "face_id."
        )
    if face_id is not None and face_id not in known:
        raise InvalidClipError(
            f"{name} shows the faces {abridge(known)} and not face_id={face_id}. Choose another."
        )
    return table if face_id is None else table[faces == face_id].reset_index(drop=True)


def assemble(faces, frames, times, name):
    """Put faces (n_rows, n_landmarks, n_dims) into their frames and check the clip."""
    order = np.argsort(frames, kind="stable")
    frames = frames[order]
    _check_frames(frames, name)
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported as infinite
        faces = faces[order].astype(np.float32)
    _check_faces(faces, frames, name)
    numbers = np.arange(frames[0], frames[-1] + 1)
    clip = np.full((len(numbers), *faces.shape[1:]), np.nan, dtype=np.float32)
    clip[frames - frames[0]] = faces
    data = Bunch(clip=check_values(clip, name), fps=None, timestamps_s=None)
    if times is not None:
        times = times[order]
        data.fps = _frame_rate(frames, times, name)
    if data.fps is not None:
        data.timestamps_s = np.interp(numbers, frames, times)
    return data


def _check_frames(frames, name):
    """Check that sorted frame numbers are distinct and not too far apart."""
    for row in np.flatnonzero(np.diff(frames) == 0)[:1]:
        raise InvalidClipError(
            f"{name} has frame {frames[row]} twice; a frame shows one face of one video. Choose a "
            "face with face_id, or split the table."
        )
    n_frames = frames[-1] - frames[0] + 1
    if len(frames) < _MIN_SHARE * n_frames:
        raise InvalidClipError(
            f"{name} has {len(frames)} of the frames {frames[0]} to {frames[-1]}; at least "
            f"{_MIN_SHARE:.0%} are needed. Number frames by ones, or keep the part with a face."
        )


def _check_faces(faces, frames, name):
    """Check that each row holds a whole face, spread over more than one point, or none."""
    empty = np.isnan(faces).all(axis=(1, 2))
    partial = ~np.isfinite(faces).all(axis=(1, 2)) & ~empty
    for frame in frames[partial][:1]:
        raise InvalidClipError(
            f"{name} has empty or infinite coordinates for some landmarks of frame {frame}; a "
            "frame has all of them or, without a face, none. Complete or empty that frame."
        )
    for frame in frames[(faces == faces[:, :1]).all(axis=(1, 2))][:1]:
        raise InvalidClipError(
            f"{name} has all landmarks of frame {frame} at one point; that is no face. Empty the "
            "coordinates of frames without a face."
        )


def _frame_rate(frames, times, name):
    """Return the frame rate of sorted frames with times in seconds; None where time stands."""
    for row in np.flatnonzero(~np.isfinite(times))[:1]:
        raise InvalidClipError(
            f"{name} has the time {times[row]:g} s at frame {frames[row]}; each frame of the "
            "table needs its own. Correct or drop the column of times."
        )
    if (times == times[0]).all():
        return None
    for row in np.flatnonzero(np.diff(times) <= 0)[:1]:
        raise InvalidClipError(
            f"{name} has the times {times[row]:g} and {times[row + 1]:g} s at the frames "
            f"{frames[row]} and {frames[row + 1]}; time must grow with the frame number. Correct "
            "or drop the column of times."
        )
    centred = frames - frames.mean()
    fps = round(float(centred @ centred / (centred @ (times - times[0]))), 2)
    slowest, fastest = FPS_RANGE
    if not slowest <= fps <= fastest:
        raise InvalidClipError(
            f"{name} has times that mean {fps:g} frames per second; {slowest:g} to {fastest:g} "
            "are plausible. Write times in seconds, or in milliseconds as 'timestamp_ms' for "
            "read_mediapipe_csv."
        )
    n_steps = np.diff(frames)
    stray = np.abs(np.diff(times) - n_steps / fps)
    if (stray > np.maximum(_STEP_TOLERANCE * n_steps / fps, 1.01 * _CLOCK_TICK)).any():
        steps = 1e3 * np.diff(times) / n_steps
        warnings.warn(
            f"{name} has frames {steps.min():.0f} to {steps.max():.0f} ms apart; D-Markers take "
            f"them as equally spaced, at fps={fps}, so their times and speeds are inexact. "
            "Extract the landmarks at a constant frame rate.",
            FrameRateWarning,
            stacklevel=5,
        )
    return fps
