"""Write a page that plays a video with its landmarks, signals, phases and D-Markers."""

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup

from smilefusion._messages import printable
from smilefusion._storage._atomic_files import replacing
from smilefusion._version import __version__
from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.exceptions import InvalidClipError, InvalidDataError
from smilefusion.landmarks import landmark_scheme
from smilefusion.report._description import (
    MeasuredClip,
    blink_spans,
    describe_clip,
    measure_clip,
)
from smilefusion.report._facts import SIGNAL_LABELS, list_facts, phase_spans
from smilefusion.report._pages import render_page

MOST_BYTES = 100_000_000  # largest video to embed
# Suffix → type of the data URI. Browsers read .mov files as MP4.
_TYPES = {
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".3gp"), "video/mp4"),
    ".webm": "video/webm",
}
_MISSING = -32768  # coordinates in frames without a face
# Rows of the D-Marker table. "D" is the unit of the signal.
_DMARKER_ROWS = (
    ("onset", "duration", "duration", "s"),
    ("onset", "max_speed_rising", "highest speed", "D/s"),
    ("onset", "mean_speed_rising", "mean speed", "D/s"),
    ("apex", "duration", "duration", "s"),
    ("apex", "max_amplitude", "highest amplitude", "D"),
    ("apex", "mean_amplitude", "mean amplitude", "D"),
    ("apex", "std_amplitude", "standard deviation", "D"),
    ("apex", "left_right_difference", "right–left difference", "D"),
    ("offset", "duration", "duration", "s"),
    ("offset", "max_speed_falling", "highest speed", "D/s"),
    ("offset", "mean_speed_falling", "mean speed", "D/s"),
)


def write_view(
    video: str | os.PathLike,
    path: str | os.PathLike,
    *,
    clip: Any,
    fps: float | None = None,
    link: bool = False,
    start_s: float = 0.0,
    title: str | None = None,
) -> Path:
    """Write one HTML page that plays a video with its landmarks and signals.

    The page works offline and needs no other file, except a linked video. It shows the landmarks
    over the video, the lip, eyelid and cheek amplitudes with phases and blinks, a cursor that
    follows the playback, the facts and flags from `describe_clips`, and the main D-Markers. The
    command ``smilefusion view`` also extracts the landmarks and, if necessary, converts the video.

    Parameters
    ----------
    video : str or path-like
        A video that browsers can play. `smilefusion.video.make_playable` converts other videos.
    path : str or path-like
        The file to write.
    clip : array-like of shape (n_frames, n_landmarks, n_dims), path or ClipSequence
        The landmarks of the video in image heights, as `FaceMeshExtractor` returns them. A
        sequence must contain one clip. Prefer the ``.npz`` file, which stores the time of each
        frame.
    fps : float or None, default=None
        Frames per second. None uses the clip's own rate.
    link : bool, default=False
        Whether to link to the video by its relative path instead of embedding it.
    start_s : float, default=0.0
        Time at which playback starts, in seconds on the clock of the clip's ``timestamps_s``.
    title : str or None, default=None
        Heading of the page. None uses the file name of the video.

    Returns
    -------
    path : pathlib.Path
        The file that was written.

    Raises
    ------
    InvalidClipError
        If the clip is invalid, has no frame rate, or is not in image heights.
    InvalidDataError
        If browsers do not play this type of file, or a video to embed is larger than 100 MB.
    ValueError
        If `fps` is not a frame rate.
    """
    video, path = Path(video), Path(path)
    check_showable(video, link=link)
    clips = check_clips(clip if isinstance(clip, ClipSequence) else [clip], fps=fps)
    if len(clips) != 1:
        raise InvalidClipError(
            f"clip contains {len(clips)} clips, but a page shows one. Pass one clip, such as "
            "clips[[0]]."
        )
    measured = measure_clip(clips, 0)
    _check_unit(measured, clips.names[0])
    row = describe_clip(measured, start_s)
    page = render_page(
        "view.html",
        title=video.name if title is None else title,
        source=_link(video, path) if link else _embed(video),
        is_linked=link,
        data=_page_data(measured, row, start_s),
        facts=list_facts(row),
        flags=row["flags"],
        dmarkers=_tabulate_dmarkers(measured.dmarkers),
        units=[(label, unit) for _, label, unit in SIGNAL_LABELS],
        version=__version__,
    )
    with replacing(path) as file:
        file.write_text(page, encoding="utf-8", errors="backslashreplace")  # lone surrogates
    return path


def check_showable(video: Path, *, link: bool) -> None:
    """Raise if browsers do not play this type of file, or if it is too large to embed."""
    if video.suffix.lower() not in _TYPES:
        raise InvalidDataError(
            f"{printable(video.name)}: browsers do not play {video.suffix or 'such'} files. "
            "Convert it with smilefusion.video.make_playable or use the command smilefusion view."
        )
    n_bytes = video.stat().st_size
    if not link and n_bytes > MOST_BYTES:
        raise InvalidDataError(
            f"{printable(video.name)} has {n_bytes / 1e6:.0f} MB, but a page can embed at most "
            f"{MOST_BYTES / 1e6:.0f} MB. Pass link=True to link to the video instead, or shorten "
            "the video."
        )


def _check_unit(clip: MeasuredClip, name: str) -> None:
    """Raise if the face is outside the image, so its coordinates cannot be image heights."""
    middle = np.nanmedian(clip.landmarks[..., 1])
    if not 0 <= middle <= 1:
        raise InvalidClipError(
            f"{name} has a median y coordinate of {middle:.3g}, but it must be between 0 and 1 "
            "image heights. Pass landmarks in image heights, as FaceMeshExtractor returns them."
        )


def _embed(video: Path) -> Markup:
    """Return a video as a data URI."""
    data = base64.b64encode(video.read_bytes()).decode()
    return Markup(f"data:{_TYPES[video.suffix.lower()]};base64,{data}")


def _link(video: Path, path: Path) -> str:
    """Return the URL of a video relative to the page."""
    try:
        relative = os.path.relpath(os.path.realpath(video), os.path.realpath(path.parent))
    except ValueError as error:  # on another Windows drive
        raise InvalidDataError(
            f"The page {str(path)!r} and the video {str(video)!r} are on different drives, so no "
            "relative path leads to the video. Write the page to the drive of the video."
        ) from error
    return quote(os.fsencode(Path(relative).as_posix()))


def _page_data(clip: MeasuredClip, row: dict[str, Any], start_s: float) -> dict[str, Any]:
    """Return the data for the page's script, with times since the start of playback."""
    return {
        "times": _rounded(clip.times_s - start_s, 5),
        "end": round(float(clip.ends_s[-1] - start_s), 5),
        "signals": [
            {
                "label": label,
                "unit": unit,
                **{
                    key: _rounded(clip.signals[f"{name}{suffix}"].to_numpy(), 4)
                    for key, suffix in (("mean", ""), ("right", "_right"), ("left", "_left"))
                },
            }
            for name, label, unit in SIGNAL_LABELS
        ],
        "phases": phase_spans(row),
        "blinks": [(first - start_s, last - start_s) for first, last in blink_spans(clip)],
        "points": _encode_points(clip.landmarks),
        "outlines": landmark_scheme(clip.landmarks.shape[1]).outlines,
    }


def _rounded(values: np.ndarray, n_digits: int) -> list[float | None]:
    """Round numbers for JSON; NaN becomes None."""
    return [None if np.isnan(value) else round(float(value), n_digits) for value in values]


def _encode_points(landmarks: np.ndarray) -> dict[str, Any]:
    """Encode x and y as base64 of little-endian 16-bit multiples of `step`."""
    places = landmarks[..., :2]
    step = max(float(np.nanmax(np.abs(places))), 1e-9) / 32767
    whole = np.where(np.isnan(places), _MISSING, np.round(places / step)).astype("<i2")
    data = base64.b64encode(whole.tobytes()).decode()
    return {"n": landmarks.shape[1], "step": step, "data": data}


def _tabulate_dmarkers(dmarkers: pd.Series) -> list[tuple[str, str, list[str]]]:
    """Return the name, unit and one value per signal for each main D-Marker."""
    rows = []
    for phase, descriptor, name, unit in _DMARKER_ROWS:
        values = [dmarkers[f"{signal}__{phase}__{descriptor}"] for signal, *_ in SIGNAL_LABELS]
        texts = [
            f"{value:.3f}".replace("-", "−") if np.isfinite(value) else "–" for value in values
        ]
        rows.append((f"{phase}, {name}", unit, texts))
    return rows
