"""Read the clips and signals of any supported table or JSON file."""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, InvalidParameterError, validate_params

from smilefusion._messages import abridge, count, plural, printable
from smilefusion.clips._clip_files import HeldFile
from smilefusion.clips._rates import FPS_RANGE, describe_rates
from smilefusion.clips._sequence import ClipSequence
from smilefusion.clips._signals import check_signals
from smilefusion.exceptions import DataWarning, InvalidClipError
from smilefusion.readers._csv_tables import (
    Options,
    Rows,
    assemble,
    clip_label,
    find_column,
    label_rows,
    match_columns,
    read_table,
)
from smilefusion.readers._formats import (
    read_imotions,
    read_libreface,
    read_live_link,
    read_pyfeat,
)
from smilefusion.readers._mediapipe import has_mediapipe_columns, read_mediapipe
from smilefusion.readers._mediapipe_json import read_results
from smilefusion.readers._openface import read_openface_2, read_openface_3


class _Format(NamedTuple):
    """A table format: a pattern of columns that are unique to it, and its reader."""

    columns: re.Pattern
    read: Callable[[pd.DataFrame, str, Options], Rows]


class _Part(NamedTuple):
    """Rows of one clip, its name in messages, its title and its subject."""

    rows: Rows
    name: str
    title: str
    subject: str | None


_FORMATS = {
    "OpenFace 2": _Format(re.compile(r"AU\d\d_[rc]|[XYZ]_\d+|success"), read_openface_2),
    "OpenFace 3": _Format(re.compile(r"action_units|face_detection"), read_openface_3),
    "py-feat 1": _Format(re.compile(r"AU\d\d|FaceRectX"), read_pyfeat),
    "py-feat 2": _Format(re.compile(r"mesh_[xyz]_\d+"), read_pyfeat),
    "LibreFace": _Format(re.compile(r"lm_mp_\d+_[xyz]|au_\d+(_intensity)?"), read_libreface),
    "Live Link Face": _Format(re.compile(r"(?i:timecode|blendshapecount)"), read_live_link),
    "iMotions": _Format(re.compile(r"AU\d+ Evidence"), read_imotions),
    "MediaPipe": _Format(re.compile(r"(?!)"), read_mediapipe),  # see has_mediapipe_columns
}
# Column names in lower case.
_CLIP = (
    *("clip", "clip_id", "clip_name", "video", "video_id", "video_name", "video_path"),
    *("file", "file_name", "filename", "input"),
)
_SUBJECT = ("subject", "subject_id", "participant", "participant_id")


@validate_params(
    {
        "path": [str, os.PathLike],
        "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
        "image_size": [tuple, list, None],
        "face_id": [Integral, str, None],
    },
    prefer_skip_nested_validation=True,
)
def read_clips(
    path: str | os.PathLike,
    *,
    fps: float | None = None,
    image_size: tuple[float, float] | None = None,
    face_id: int | str | None = None,
) -> Bunch:
    """Read clips and signals from a file of another tool.

    The format is recognised from the columns: OpenFace 2 and 3, py-feat 1 and 2, LibreFace,
    MediaPipe (tables, and JSON of FaceLandmarker), Live Link Face, and iMotions.

    Parameters
    ----------
    path : str or path-like
        A table in UTF-8, separated by commas, tabs or semicolons, a JSON file, or a
        ``.parquet`` file (needs pyarrow).
    fps : float or None, default=None
        Frames per second. None computes the rate from the times in the file. The rate is NaN if
        the file has no usable times, as in tables of py-feat and OpenFace 3.
    image_size : tuple of (width, height) or None, default=None
        Size of the image, or any two numbers with the same ratio. Only needed for the landmarks
        of MediaPipe and LibreFace, if they are fractions of the image size. If the pixels are not
        square, multiply the width by their aspect ratio.
    face_id : int, str or None, default=None
        The face to read: a value of the column ``face_id``, or ``Identity`` in tables of
        py-feat. None requires that each clip has only one face.

    Returns
    -------
    data : Bunch
        clips : ClipSequence or None
            The landmarks as float32, in isotropic coordinates: (n_frames, 478, 3) in image
            heights for MediaPipe and LibreFace, (n_frames, 478, 2) in pixels for the mesh of
            py-feat, (n_frames, 68, 2) in pixels for OpenFace and py-feat with 68 points, and
            (n_frames, 68, 3) in millimetres for tables of OpenFace 2 that have no landmarks in
            pixels. None if no landmarks were read. The clips also contain the signals of the file
            (`ClipSequence.signals`), so a pipeline can use both.
        signals : SignalSequence or None
            Action units or blendshapes, with the names and units of the file. None if the file
            has none. The frames are those of `clips`.
        format : str
            The tool that wrote the file, such as "OpenFace 2".
        DESCR : str
            Summary of the contents and the unused columns.

    Raises
    ------
    InvalidClipError
        If the file cannot be read, has an unknown format or columns of several formats, if a clip
        shows several faces and `face_id` is None, or if a clip breaks a rule of `check_clips`.
    ImportError
        If the file is a Parquet file and pyarrow is not installed.
    InvalidParameterError
        If `image_size` is not two positive numbers. This error is a ValueError.

    Warns
    -----
    DataWarning
        If landmarks were not read because `image_size` is needed.
    FrameRateWarning
        If the frames are not equally spaced in time.

    Notes
    -----
    *Frames*. A clip runs from its first to its last frame number. Numbers that do not occur in
    between count as missing frames (NaN), and so do frames without a face. If a table has no
    frame numbers, they are computed from the times. If a JSON file has none, each result is the
    next frame.

    *Several clips in one table*. A column ``clip``, ``video``, ``file`` or ``filename`` (also
    with ``_id``, ``_name`` or ``_path``) names the clip of each row. py-feat calls it ``input``,
    and iMotions ``Name`` and ``StimulusName``. A column ``subject`` or ``participant`` names the
    person.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from smilefusion.readers import read_clips
    >>> table = pd.DataFrame({"frame": range(1, 51), "timestamp": np.arange(50) / 25})
    >>> table = table.assign(success=1, AU06_r=0.5, AU12_r=np.linspace(0, 3, 50))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "anna.csv")
    ...     table.to_csv(path, index=False)
    ...     data = read_clips(path)
    >>> data.format, data.signals
    ('OpenFace 2', 1 clip, 2 signals, 25 fps, 50 frames)
    """
    options = Options(face_id, _check_image_size(image_size), fps)
    found, columns, parts = _read_file(path, options)
    clips, tables, rates = [], [], []
    for part in parts:
        rows = part.rows if fps is None else replace(part.rows, times=None)
        clip, table, rate = assemble(rows, part.name)
        clips.append(clip)
        tables.append(table)
        rates.append(np.nan if rate is None else rate)
    _check_contents(parts, clips, tables)
    notes = [part.rows.note for part in parts if part.rows.note]
    if notes:
        warnings.warn(notes[0], DataWarning, stacklevel=3)
    facts: dict[str, Any] = {
        "fps": rates if fps is None else fps,
        "subjects": None if parts[0].subject is None else [part.subject for part in parts],
        "names": [f"Clip {i} ({printable(part.title)})" for i, part in enumerate(parts)],
    }
    data = Bunch(clips=None, signals=None, format=found)
    if tables[0] is not None:
        checked = check_signals(tables, names=[part.name for part in parts])  # for messages
        data.signals = check_signals(checked, **facts)
    found_clips = [clip for clip in clips if clip is not None]
    if found_clips:
        items = [*map(HeldFile, [Path(part.title) for part in parts], found_clips)]
        shapes = [clip.shape for clip in found_clips]
        data.clips = ClipSequence(items, shapes, signals=data.signals, **facts)
    data.DESCR = _describe(data, parts, columns, image_size)
    return data


def _check_image_size(size: Any) -> tuple[float, float] | None:
    if size is None:
        return None
    if len(size) != 2 or not all(isinstance(x, Real) and 0 < float(x) < np.inf for x in size):
        raise InvalidParameterError(
            f"image_size must be (width, height), two positive numbers; got {size!r}."
        )
    return float(size[0]), float(size[1])


def _read_file(path: str | os.PathLike, options: Options) -> tuple[str, list[str], list[_Part]]:
    """Return the format of a file, its columns and its clips."""
    title = Path(path).name
    text = _read_json(path)
    if text is not None:
        name = f"{clip_label(title)} (MediaPipe)"
        return "MediaPipe", [], [_Part(read_results(text, name, options), name, title, None)]
    table, name = read_table(path)
    found = _recognise(table, name)
    name = f"{name} ({found})"
    if found == "iMotions":
        table = _label_imotions(table)
    parts = [
        _Part(_FORMATS[found].read(rows, each, options), each, title if key is None else key, who)
        for key, who, rows, each in _split(table, name, title)
    ]
    return found, [str(column) for column in table], parts


def _read_json(path: str | os.PathLike) -> str | None:
    """Return the text of a JSON file; None for other files and for files that do not exist."""
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
        return Path(path).read_text("utf-8-sig") if start[:1] in (b"{", b"[") else None
    except (OSError, ValueError):
        return None  # read_table reports the reason


def _recognise(table: pd.DataFrame, name: str) -> str:
    """Return the format of a table."""
    signs = {
        key: column
        for key, each in _FORMATS.items()
        for column in match_columns(table, each.columns)[:1]
    }
    if "py-feat 2" in signs:
        signs.pop("py-feat 1", None)
    if "x_68" in table:  # a face mesh
        signs.pop("OpenFace 2", None)
    elif not signs and "x_67" in table:
        signs["OpenFace 2"] = "x_67"
    if len(signs) > 1:
        seen = " and ".join(f"of {key} ({printable(column)})" for key, column in signs.items())
        raise InvalidClipError(
            f"{name} has columns {seen}, but a table must come from one tool. Split the table."
        )
    if signs:
        return next(iter(signs))
    if has_mediapipe_columns(table):
        return "MediaPipe"
    raise InvalidClipError(
        f"{name} has the columns {abridge(table.columns)}, which are not those of "
        f"{', '.join(_FORMATS)}. Export a table with the columns of one of these formats, or pass "
        "the signals of your own table to smilefusion.clips.check_signals."
    )


def _label_imotions(table: pd.DataFrame) -> pd.DataFrame:
    """Add columns that name clips (respondent and stimulus) and subjects (respondent)."""
    keys = [column for column in ("Name", "StimulusName") if column in table]
    if not keys or find_column(table, _CLIP, "") is not None:
        return table
    labels = table[keys].fillna("").astype(str).agg(" ".join, axis=1).str.strip()
    added = {"clip": labels} | ({"subject": table["Name"]} if "Name" in table else {})
    return table.drop(columns=keys).assign(**added)


def _split(
    table: pd.DataFrame, name: str, title: str
) -> Iterator[tuple[str | None, str | None, pd.DataFrame, str]]:
    """Yield the name, subject and rows of each clip, and its name in messages."""
    clip, subject = find_column(table, _CLIP, name), find_column(table, _SUBJECT, name)
    people = None if subject is None else label_rows(table, subject, name)
    if clip is None:
        yield None, _one_subject(people, name), table, name
        return
    labels = label_rows(table, clip, name)
    groups = list(table.groupby(labels, sort=False))
    if len(groups) == len(table) > 1:
        raise InvalidClipError(
            f"{name} has one row for each value of the column {printable(clip)}, but this column "
            "must name the clip of each row. If the rows are frames of one video, remove it."
        )
    for key, rows in groups:
        each = name.replace(clip_label(title), f"{clip_label(key)} of {printable(title)}")
        each = each if len(groups) > 1 else name
        who = None if people is None else people[rows.index]
        yield str(key), _one_subject(who, each), rows.reset_index(drop=True), each


def _one_subject(labels: pd.Series | None, name: str) -> str | None:
    if labels is None:
        return None
    known = pd.unique(labels)
    if len(known) > 1:
        raise InvalidClipError(
            f"{name} has the subjects {abridge(known)}, but a clip shows one person. Add a column "
            "'clip' that names the clip of each row."
        )
    return str(known[0])


def _check_contents(parts: list[_Part], clips: list[Any], tables: list[Any]) -> None:
    for part, clip, table in zip(parts, clips, tables, strict=True):
        if clip is None and table is None:
            raise InvalidClipError(
                part.rows.note
                or f"{part.name} has no landmarks, action units or blendshapes, but a clip needs "
                "at least one of them. Export it again with them."
            )
        if (clip is None) != (clips[0] is None):
            without = part if clip is None else parts[0]
            raise InvalidClipError(
                f"{without.name} has no landmarks, but other clips of the table have them. Remove "
                "the clip, or remove the landmarks of all clips."
            )


def _describe(data: Bunch, parts: list[_Part], columns: list[str], image_size: Any) -> str:
    contents = []
    if data.clips is not None:
        contents.append(
            f"{data.clips.n_landmarks} landmarks ({', '.join('xyz'[: data.clips.n_dims])} in "
            f"{parts[0].rows.unit})"
        )
    if data.signals is not None:
        names = data.signals.signals
        contents.append(f"{count(len(names), 'signal')} ({abridge(names)})")
    rates = describe_rates((data.signals if data.clips is None else data.clips).fps)
    text = f"{data.format}: {count(len(parts), 'clip')}, {rates}, with {' and '.join(contents)}."
    used = set().union(*(part.rows.used for part in parts), {"clip", "subject"})
    unused = [
        column
        for column in columns
        if column and column not in used and column.lower() not in (*_CLIP, *_SUBJECT)
    ]
    if unused:
        text += f" Unused {plural(len(unused), 'column')}: {abridge(unused)}."
    for part in parts:
        for remark in (part.rows.note, part.rows.remark):
            text += f" {remark}" if remark and remark not in text else ""
    if image_size is not None and not any(p.rows.unit == "image heights" for p in parts):
        text += " The argument image_size was not needed."
    return text
