"""Read tables of py-feat, LibreFace, Live Link Face and iMotions."""

import re

import numpy as np
import pandas as pd

from smilefusion._messages import printable
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478
from smilefusion.readers._csv_tables import (
    Options,
    Rows,
    check_columns,
    choose_face,
    find_column,
    match_columns,
    number_frames,
    read_clock,
    read_numbers,
    read_signals,
)
from smilefusion.readers._mediapipe import blendshape_columns, to_isotropic

# Rates at which Live Link Face counts the frames of a timecode.
_TIMECODE_RATES = (24, 25, 30, 48, 50, 60)
_TIMECODE = re.compile(r"(\d\d?):(\d\d?):(\d\d?)[:;](\d{1,3})(\.\d{1,9})?")
_MIN_MILLISECONDS = 1.0  # between frames; shorter steps mean that LibreFace wrote seconds


def read_pyfeat(table: pd.DataFrame, name: str, options: Options) -> Rows:
    """Read a table of py-feat: 478 or 68 landmarks in pixels, action units and blendshapes.

    Source of the column names: feat/utils/__init__.py, feat/multitask/__init__.py and
    feat/detector_v2.py. The depth of the mesh is not read, because its unit differs from that of
    x and y.
    """
    face = find_column(table, ["identity"], name)
    missing = _has_no_score(table, name)
    table = choose_face(table, face, options.face_id, name, missing)
    missing = _has_no_score(table, name)
    prefix = "mesh_" if match_columns(table, r"mesh_[xyz]_\d+") else ""
    points = {int(column.split("_")[-1]) for column in match_columns(table, rf"{prefix}[xy]_\d+")}
    is_mesh = prefix or max(points, default=0) >= IBUG_68.n_landmarks
    n_points = MEDIAPIPE_478.n_landmarks if is_mesh else IBUG_68.n_landmarks
    columns = [f"{prefix}{axis}_{point}" for point in range(n_points) for axis in "xy"]
    faces = None
    if points:
        check_columns(table, columns, name, "Save the whole table of py-feat with to_csv.")
        faces = read_numbers(table, columns, name).reshape(len(table), n_points, 2)
        faces[missing] = np.nan
    signals = [*match_columns(table, r"AU\d\d"), *blendshape_columns(table)]
    frames, times, used = read_clock(table, name)
    return Rows(
        frames=frames,
        times=times,
        faces=faces,
        signals=read_signals(table, signals, name, missing),
        unit="pixels",
        remark="z was not read because its unit differs from that of x and y." if is_mesh else "",
        used=frozenset((*columns, *signals, *used, "FaceScore", "Identity")),
    )


def _has_no_score(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a mask of rows in which py-feat found no face: the score is empty or 0."""
    if "FaceScore" not in table:
        return np.zeros(len(table), dtype=bool)
    return ~(read_numbers(table, ["FaceScore"], name)[:, 0] > 0)


def read_libreface(table: pd.DataFrame, name: str, options: Options) -> Rows:
    """Read a table of LibreFace: MediaPipe's landmarks in fractions, and action units.

    Source of the column names: "Output Format" in README_pypi.rst, and libreface/utils.py.
    """
    table = choose_face(table, None, options.face_id, name)
    columns = [
        f"lm_mp_{point}_{axis}" for point in range(MEDIAPIPE_478.n_landmarks) for axis in "xyz"
    ]
    faces, unit, note = None, "", ""
    if match_columns(table, r"lm_mp_\d+_[xyz]"):
        check_columns(table, columns, name, "Save the whole table of LibreFace.")
        faces = read_numbers(table, columns, name).reshape(len(table), -1, 3)
        faces, unit, note = to_isotropic(faces, options.image_size, name)
    signals = match_columns(table, r"au_\d+(_intensity)?")
    frames, times, used = read_clock(table, name, milliseconds=("frame_time_in_ms",))
    remark = ""
    # LibreFace's get_frames_from_video_ffmpeg writes seconds into the column of milliseconds.
    if times is not None and _median_step(times) < 1e-3 * _MIN_MILLISECONDS:
        times, remark = times * 1e3, "The column frame_time_in_ms contains seconds."
    return Rows(
        frames=frames,
        times=times,
        faces=faces,
        signals=read_signals(table, signals, name),
        unit=unit,
        note=note,
        remark=remark,
        used=frozenset((*columns, *signals, *used)),
    )


def _median_step(times: np.ndarray) -> float:
    return float(np.median(np.diff(np.sort(times)))) if len(times) > 1 else np.inf


def read_live_link(table: pd.DataFrame, name: str, options: Options) -> Rows:
    """Read a table of Live Link Face: ARKit blendshapes and rotations, with timecodes.

    The CSV file of a take has the columns Timecode, BlendShapeCount, EyeBlinkLeft and so on. The
    blendshapes are those of ARFaceAnchor.BlendShapeLocation in Apple's documentation of ARKit.
    """
    table = choose_face(table, None, options.face_id, name)
    clock = find_column(table, ["timecode"], name)
    if clock is None:
        raise InvalidClipError(
            f"{name} looks like a table of Live Link Face, but has no column Timecode, which is "
            "needed to number the frames. Export the take again."
        )
    frames, times = _read_timecodes(table[clock], name, options.fps)
    signals = blendshape_columns(table)
    return Rows(
        frames=frames,
        times=times,
        signals=read_signals(table, signals, name),
        used=frozenset((*signals, clock)),
    )


def _read_timecodes(
    codes: pd.Series, name: str, fps: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frame numbers and the times in seconds of timecodes HH:MM:SS:FF.fraction."""
    matches = [_TIMECODE.fullmatch(str(code).strip()) for code in codes]
    for row, match in enumerate(matches):
        if match is None:
            raise InvalidClipError(
                f"{name} has {printable(repr(codes.iloc[row]))} in row {row + 1} of the column "
                "Timecode, but a timecode has the form HH:MM:SS:FF, such as 14:03:52:28.207. "
                "Correct the cell."
            )
    parts = np.array([match.groups(default="0") for match in matches if match], dtype=np.float64)
    seconds, counts, fractions = parts[:, :3] @ [3600, 60, 1], parts[:, 3], parts[:, 4]
    rate = _timecode_rate(seconds, counts, name, fps)
    ticks = (seconds * rate + counts).astype(np.int64)
    steps = np.diff(np.unique(ticks))
    if len(steps) == len(ticks) - 1:  # each row has its own tick, at the frame rate or a multiple
        return (ticks - ticks.min()) // max(np.gcd.reduce(steps), 1), ticks / rate
    times = (ticks + fractions) / rate
    return number_frames(times, name), times


def _timecode_rate(seconds: np.ndarray, counts: np.ndarray, name: str, fps: float | None) -> int:
    """Return the ticks per second of a timecode: the lowest usual rate that fits it and `fps`."""
    if fps is None and seconds.min() == seconds.max():
        raise InvalidClipError(
            f"{name} has timecodes within one second, which do not determine the frame rate. Pass "
            "the frame rate, for example fps=60."
        )
    rates = [rate for rate in _TIMECODE_RATES if rate > counts.max()]
    if not rates:
        raise InvalidClipError(
            f"{name} has the frame number {counts.max():g} in a timecode, but at "
            f"{_TIMECODE_RATES[-1]} frames per second it is at most {_TIMECODE_RATES[-1] - 1}. "
            "Correct the timecodes."
        )
    asked = rates[0] if fps is None else round(fps)
    return next((rate for rate in rates if asked % rate == 0 or rate % asked == 0), rates[0])


def read_imotions(table: pd.DataFrame, name: str, options: Options) -> Rows:
    """Read a table of iMotions: FACET's evidence for action units.

    Source of the column names: feat/tests/data/iMotions_Test_v6.txt in the repository of py-feat.
    Rows without a frame number come from other sensors.
    """
    table = choose_face(table, None, options.face_id, name)
    number = next((column for column in ("FrameNo", "FrameTime") if column in table), None)
    if number is not None:
        table = table[table[number].notna()].reset_index(drop=True)
    if table.empty:
        raise InvalidClipError(
            f"{name} has no row with a number in the column {number}, but the rows of a face "
            "recording need one. Export the face recording from iMotions."
        )
    frames, times, used = read_clock(
        table, name, frame=("frameno",), seconds=(), milliseconds=("frametime",)
    )
    missing = np.zeros(len(table), dtype=bool)
    if "NoOfFaces" in table:
        missing = read_numbers(table, ["NoOfFaces"], name)[:, 0] == 0
    signals = match_columns(table, r"AU\d+ Evidence")
    return Rows(
        frames=frames,
        times=times,
        signals=read_signals(table, signals, name, missing),
        used=frozenset((*signals, *used, "NoOfFaces")),
    )
