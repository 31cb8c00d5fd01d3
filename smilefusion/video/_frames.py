"""Decode video files frame by frame, with exact times and the map to upright, square pixels."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from smilefusion._messages import printable
from smilefusion.exceptions import InvalidVideoError
from smilefusion.video._crops import Geometry, VideoFrame

# A stream may end this many seconds, or this share, before the duration in its header.
_END_TOLERANCE = (0.5, 0.05)
_RATE_ERROR = 1.1  # factor by which the frame rate in a header may be too high
# FFmpeg formats whose files contain all frames. Others, such as playlists, open other files.
_FORMATS = (
    *("asf", "avi", "dv", "flv", "gif", "ivf", "matroska", "mov", "mp4", "mpeg", "mpegts", "mxf"),
    *("nut", "ogg", "webm", "yuv4mpegpipe"),
)
_UPRIGHT = ((1, 0), (0, 1))
_CLOCKWISE = {0: _UPRIGHT, 90: ((0, -1), (1, 0)), 180: ((-1, 0), (0, -1)), 270: ((0, 1), (-1, 0))}


class VideoReader:
    """Iterate over the frames of a video file, decoding one at a time."""

    # Set at the first frame and measured after rotation.
    width: int  # of the recorded image in pixels
    height: int
    sar: float  # width of a recorded pixel divided by its height
    pixel_size: np.ndarray  # converts (x, y, z) of the decoded frames to image heights

    def __init__(
        self,
        path: Path,
        *,
        max_frames: int,
        max_pixels: int,
        rotation: int = 0,
        ahead: bool = False,
    ) -> None:
        self.path = path
        self.name = printable(path.name)
        self.rotation = rotation
        self.max_frames = max_frames
        self.max_pixels = max_pixels
        self.ahead = ahead  # whether another thread decodes the next frame
        self.n_damaged = 0  # frames so far

    def __iter__(self) -> Iterator[VideoFrame]:
        import_av("Reading a video")
        from av.error import FFmpegError

        n_frames, start_s, end_s = 0, 0.0, 0.0
        try:
            with self._open() as container:
                stream = self._choose_stream(container)
                for n_frames, frame in enumerate(self._decode(container, stream), 1):
                    start_s, end_s = (frame.time_s if n_frames == 1 else start_s), frame.end_s
                    self._check_length(n_frames)
                    yield frame
                self._check_end(n_frames, end_s - start_s, _seconds(container, stream, start_s))
        except (FFmpegError, UnicodeError) as error:
            raise self._broken(error, n_frames) from error

    def _open(self) -> Any:
        """Open the file, but do not follow references to other files."""
        import av

        options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
        # Since version 19, PyAV accepts metadata in any encoding by default.
        is_strict = int(av.__version__.split(".")[0]) < 19
        lenient: dict[str, Any] = {"metadata_errors": "replace"} if is_strict else {}
        try:
            return av.open(os.path.abspath(self.path), options=options, timeout=30, **lenient)
        except av.error.ArgumentError as error:
            raise InvalidVideoError(
                f"{self.name} cannot be read as a video. It is damaged, or it is a playlist, an "
                "image or another file that is not a video such as MP4, MOV, MKV, WebM, AVI or "
                "WMV. Convert it to .mp4."
            ) from error

    def _choose_stream(self, container: Any) -> Any:
        """Return the video stream; check its size and length before decoding."""
        stream = container.streams.best("video")
        if stream is None:
            kinds = sorted({each.type for each in container.streams})
            only = f", only {' and '.join(kinds)}" if kinds else ""
            raise InvalidVideoError(
                f"{self.name} contains no video{only}, so it cannot show a face. Choose a file "
                "that contains video."
            )
        self._check_size(stream.codec_context.width, stream.codec_context.height)
        start_s = float((stream.start_time or 0) * stream.time_base)
        seconds, rate = _seconds(container, stream, start_s), stream.average_rate
        estimate = seconds * float(rate) / _RATE_ERROR if seconds and rate else 0
        self._check_length(stream.frames or int(estimate))
        return stream

    def _decode(self, container: Any, stream: Any) -> Iterator[VideoFrame]:
        stream.codec_context.thread_count = 1
        frames = container.decode(stream)
        previous = raw_size = None
        is_damaged = False
        for raw in _read_ahead(frames) if self.ahead else frames:
            self._check_frame(raw, previous)
            previous = time = raw.pts * raw.time_base
            raw_size = raw_size or self._set_size(raw, stream)
            if (raw.width, raw.height) != raw_size:
                raise InvalidVideoError(
                    f"{self.name} changes its frame size at {float(time):.3f} s, but all frames "
                    "must have the same size. Split the video there."
                )
            end = time + (raw.duration or 0) * raw.time_base
            # Frames after a damaged one reuse parts of it, up to the next key frame.
            is_damaged = raw.is_corrupt or (is_damaged and not raw.key_frame)
            self.n_damaged += is_damaged
            yield VideoFrame(raw, self._geometry, float(time), float(end), is_damaged)

    def _set_size(self, raw: Any, stream: Any) -> tuple[int, int]:
        """Set size, pixel aspect and rotation from the first frame; return its size."""
        self._check_size(raw.width, raw.height)
        sar = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        ratio = Fraction(sar) if sar else Fraction(1)
        if not Fraction(1, 10) <= ratio <= 10:
            raise InvalidVideoError(
                f"{self.name} states a pixel aspect ratio (SAR) of {float(ratio):g}, but it "
                "must be between 0.1 and 10. Correct the ratio."
            )
        turn = np.array(_CLOCKWISE[self.rotation]) @ display_turn(raw, self.name)
        lies = turn[0, 0] == 0
        self.width, self.height = (raw.height, raw.width) if lies else (raw.width, raw.height)
        self.sar = float(1 / ratio if lies else ratio)
        # Size in square pixels; one axis is stretched, so no resolution is lost.
        square = round(raw.width * max(ratio, 1)), round(raw.height / min(ratio, 1))
        self._check_size(*square)
        self._geometry = _upright((raw.width, raw.height), square, turn)
        x = self.width * self.sar / self.height / self._geometry.width
        self.pixel_size = np.array([x, 1 / self._geometry.height, x])  # z has the same unit as x
        return raw.width, raw.height

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise InvalidVideoError(
                f"{self.name} has {width} x {height} pixels, but at most "
                f"max_pixels={self.max_pixels} are allowed. Scale it down or raise max_pixels."
            )

    def _check_length(self, n_frames: int) -> None:
        if n_frames > self.max_frames:
            raise InvalidVideoError(
                f"{self.name} has more than max_frames={self.max_frames} frames, but a clip "
                "should show only one smile. Cut it or raise max_frames."
            )

    def _check_frame(self, raw: Any, previous: Fraction | None) -> None:
        if raw.pts is None:
            raise InvalidVideoError(
                f"{self.name} has a frame without a timestamp, which is needed to compute speeds. "
                "Convert it to a format that stores timestamps, such as .mp4 or .mkv."
            )
        time = raw.pts * raw.time_base
        if previous is not None and time <= previous:
            raise InvalidVideoError(
                f"{self.name} has a frame at {float(time):.3f} s after one at "
                f"{float(previous):.3f} s, but times must increase. Convert the file again."
            )

    def _check_end(self, n_frames: int, lasted_s: float, declared_s: float | None) -> None:
        if n_frames < 2:
            raise InvalidVideoError(
                f"{self.name} has {n_frames or 'no'} frame{'s' * (n_frames != 1)}, but a clip "
                "needs at least two. Pass a video, not a picture."
            )
        seconds, share = _END_TOLERANCE
        if declared_s is not None and lasted_s < declared_s - max(seconds, share * declared_s):
            raise InvalidVideoError(
                f"{self.name} ends after {lasted_s:.2f} s, but its header states "
                f"{declared_s:.2f} s, so it is truncated or damaged. Copy it again, or convert "
                "the intact part to a new file."
            )

    def _broken(self, error: Exception, n_frames: int) -> InvalidVideoError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        where = f" after {n_frames} frames" if n_frames else ""
        return InvalidVideoError(
            f"{self.name} cannot be read as a video{where} ({reason.lower()}). Copy it "
            "again, or convert it to .mp4."
        )


def _read_ahead(frames: Iterator[Any]) -> Iterator[Any]:
    """Yield frames while another thread decodes the next one."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        following = thread.submit(next, frames, None)
        while (frame := following.result()) is not None:
            following = thread.submit(next, frames, None)
            yield frame


def import_av(caller: str) -> ModuleType:
    """Import PyAV; if this fails, name the caller and the extra to install."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f"{caller} needs PyAV, which cannot be imported ({error}). Run "
            "pip install 'smilefusion[video]'."
        ) from error
    return av


def check_is_video_file(path: Path) -> None:
    """Raise if a path is not a readable file with content."""
    if path.is_dir():
        raise InvalidVideoError(
            f"{str(path)!r} is a folder, but a video must be a file. Pass the files in the folder."
        )
    if not path.is_file():
        raise InvalidVideoError(f"The video {str(path)!r} does not exist. Correct the path.")
    if not os.access(path, os.R_OK):
        raise InvalidVideoError(
            f"You do not have permission to read {str(path)!r}. Change its permissions."
        )
    if path.stat().st_size == 0:
        raise InvalidVideoError(f"{printable(path.name)} is empty (0 bytes). Copy it again.")


def display_turn(raw: Any, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the 2 x 2 matrix of integers that turns a frame upright."""
    from av.sidedata.sidedata import Type

    matrix = raw.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return _UPRIGHT
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5] / 65536
    turned = ((round(a), round(c)), (round(b), round(d)))
    exact = np.allclose(turned, ((a, c), (b, d)), atol=0.01)
    if not exact or not np.array_equal(np.abs(np.array(turned)).sum(axis=0), (1, 1)):
        raise InvalidVideoError(
            f"{name} has the display matrix {a:g}, {b:g}, {c:g}, {d:g}, but only quarter turns "
            "and reflections are supported. Convert the video so that its frames are upright."
        )
    return turned


def _upright(raw: tuple[int, int], square: tuple[int, int], turn: np.ndarray) -> Geometry:
    """Return the map from upright square pixels to recorded ones; sizes are (width, height)."""
    size = np.abs(turn) @ square
    last = np.where(turn.sum(axis=1) < 0, size - 1, 0)  # position of the first recorded pixel
    scale = np.array(raw) / square
    matrix = scale[:, None] * turn.T
    return Geometry(int(size[0]), int(size[1]), matrix, scale * (0.5 - turn.T @ last) - 0.5)


def _seconds(container: Any, stream: Any, start_s: float) -> float | None:
    """Return the duration in the header in seconds; None if it states none."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1e6 - start_s  # Matroska's duration starts at time zero
    return None
