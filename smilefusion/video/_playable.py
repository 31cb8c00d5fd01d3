"""Convert videos to files that browsers can play, without re-encoding if possible."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from smilefusion._storage._atomic_files import prepare_folder, replacing
from smilefusion.video._crops import VideoFrame
from smilefusion.video._frames import VideoReader, check_is_video_file, import_av

# FFmpeg's decoder name → suitable containers, the preferred one first.
_VIDEO_CODECS = {
    "h264": (".mp4",),
    **dict.fromkeys(("vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1"), (".webm", ".mp4")),
    **dict.fromkeys(("vp8", "libvpx"), (".webm",)),
}
_AUDIO_CODECS = {
    ".mp4": ("aac", "mp3", "mp3float"),
    ".webm": ("opus", "libopus", "vorbis", "libvorbis"),
}
_PIXEL_FORMATS = ("yuv420p", "yuvj420p")
# Packets can be copied from these containers, because they store the time of every packet.
_COPYABLE = ("mov", "matroska")
_LATEST_START_S = 0.001  # a video that starts later is changed
_CLOCK = 90_000  # ticks per second of encoded files
_ENCODER = {"crf": "18", "preset": "veryfast", "g": "15", "bf": "0"}
# The extractor checks the limits.
_LIMITS: dict[str, Any] = {"max_frames": 10**9, "max_pixels": 10**9}


@dataclass(frozen=True)
class PlayableVideo:
    """A video that browsers can play.

    Parameters
    ----------
    path : pathlib.Path
        The file, either the video itself or a copy.
    start_s : float
        Time at which playback starts, in seconds on the video's clock, which is also that of
        ``timestamps_s`` in its clip file.
    change : str
        What was changed and why; empty if nothing was changed.
    """

    path: Path
    start_s: float
    change: str


@dataclass(frozen=True)
class _Plan:
    """How to make a video playable: "keep" it, "copy" its packets or "encode" it, and why."""

    action: str
    suffix: str
    reason: str
    start_s: float
    streams: tuple[int, ...] = ()  # to copy


def make_playable(
    video: str | os.PathLike, folder: str | os.PathLike, *, rotation: int = 0
) -> PlayableVideo:
    """Return a video that browsers can play: the video itself or a converted copy.

    Browsers play H.264 with AAC or MP3 in MP4, and VP8, VP9 and AV1 with Opus or Vorbis in WebM.
    If only the container, the sound or the start time is unsuitable, the packets are copied
    without re-encoding, and unsuitable sound is omitted. Other videos are re-encoded as H.264
    without sound, upright and with square pixels.

    Parameters
    ----------
    video : str or path-like
        The video file.
    folder : str or path-like
        Folder for the copy. It is created if it does not exist.
    rotation : {0, 90, 180, 270}, default=0
        Clockwise rotation of the frames in degrees, in addition to the file's rotation flag.
        Videos are re-encoded if it is not 0.

    Returns
    -------
    playable : PlayableVideo
        The file, the time at which its playback starts, and what was changed.

    Raises
    ------
    InvalidVideoError
        If the video cannot be read.
    InvalidDataError
        If the folder cannot be written to.
    ImportError
        If PyAV is not installed.
    """
    video = Path(video)
    plan = plan_playback(video, rotation)
    if plan.action == "keep":
        return PlayableVideo(video, plan.start_s, "")
    folder = Path(folder)
    prepare_folder(folder)
    target = folder / f"{video.stem}{plan.suffix}"
    if plan.action == "copy":
        with replacing(target) as part:
            _copy_packets(video, part, plan)
        return PlayableVideo(target, plan.start_s, f"copied without re-encoding; {plan.reason}")
    with replacing(target) as part:
        start_s = _encode(video, part, rotation)
    return PlayableVideo(target, start_s, f"re-encoded without sound; {plan.reason}")


def plan_playback(video: Path, rotation: int = 0) -> _Plan:
    """Decide how to make a video playable."""
    import_av("Showing a video")
    check_is_video_file(video)
    with _opened(video) as (container, stream):
        name, pixels = stream.codec_context.name, stream.codec_context.pix_fmt
        start_s = (container.start_time or 0) / 1e6
        sound = container.streams.best("audio")
        container_name = container.format.name
        sound_name = sound.codec_context.name if sound is not None else ""
        streams = (stream.index, *([sound.index] if sound is not None else []))
    suffixes = _VIDEO_CODECS.get(name, ())
    if rotation:
        return _Plan("encode", ".mp4", f"browsers cannot apply rotation={rotation}", start_s)
    if not suffixes or pixels not in _PIXEL_FORMATS:
        return _Plan("encode", ".mp4", f"browsers do not play {name} ({pixels})", start_s)
    if not container_name.startswith(_COPYABLE):
        return _Plan("encode", ".mp4", f"browsers do not play {video.suffix} files", start_s)
    kind = _browser_container(video, container_name)
    suffix = kind if kind in suffixes else suffixes[0]
    reasons = []
    if suffix != kind:
        reasons.append(f"browsers do not play {video.suffix} files")
    if sound_name and sound_name not in _AUDIO_CODECS[suffix]:
        reasons.append(f"browsers do not play its sound ({sound_name})")
        streams = streams[:1]
    if start_s > _LATEST_START_S:
        reasons.append(f"browsers disagree on the times of a video that starts at {start_s:g} s")
    if reasons:
        return _Plan("copy", suffix, " and ".join(reasons), start_s, streams)
    return _Plan("keep", suffix, "", min(start_s, 0.0))  # playback starts at zero or earlier


@contextmanager
def _opened(video: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video; yield its container and video stream, and explain errors."""
    from av.error import FFmpegError

    reader = VideoReader(video, **_LIMITS)
    try:
        with reader._open() as container:
            yield container, reader._choose_stream(container)
    except (FFmpegError, UnicodeError) as error:
        raise reader._broken(error, 0) from error


def _browser_container(video: Path, name: str) -> str:
    """Return the suffix of the container that browsers detect, else the file's own suffix."""
    if name.startswith("mov"):
        return ".mp4"
    if name.startswith("matroska"):
        with video.open("rb") as stream:
            return ".webm" if b"webm" in stream.read(64) else ".mkv"  # the EBML header's DocType
    return video.suffix


def _copy_packets(video: Path, target: Path, plan: _Plan) -> None:
    """Copy packets to a new container so that playback starts at zero."""
    import av

    with _opened(video) as (source, _), av.open(str(target), "w") as sink:
        copies = {
            index: sink.add_stream_from_template(source.streams[index]) for index in plan.streams
        }
        for packet in source.demux([source.streams[index] for index in plan.streams]):
            if packet.size == 0:  # marks the end of a stream
                continue
            offset = round(plan.start_s / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            packet.stream = copies[packet.stream_index]
            sink.mux(packet)


def _encode(video: Path, target: Path, rotation: int) -> float:
    """Encode upright frames at their original times; return the time of the first frame."""
    import av

    start_s = None
    with av.open(str(target), "w") as sink:
        stream = sink.add_stream("libx264", rate=30, options=_ENCODER)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        for frame in VideoReader(video, rotation=rotation, **_LIMITS):
            image = _upright_image(frame)
            if start_s is None:
                start_s = frame.time_s
                stream.height, stream.width = image.shape[:2]
            encoded = av.VideoFrame.from_ndarray(image, format="rgb24")
            encoded.pts = round((frame.time_s - start_s) * _CLOCK)
            encoded.time_base = Fraction(1, _CLOCK)
            sink.mux(stream.encode(encoded))
        sink.mux(stream.encode())
    assert start_s is not None  # a reader yields at least one frame or raises
    return start_s


def _upright_image(frame: VideoFrame) -> np.ndarray:
    """Return a frame as RGB (height, width, 3), with the even sides that the encoder requires."""
    geometry = frame.geometry
    width, height = geometry.width + geometry.width % 2, geometry.height + geometry.height % 2
    (a, c), (b, d) = np.sign(geometry.matrix).astype(int)
    if a == 0:
        image = frame.raw.to_ndarray(width=height, height=width, format="rgb24").swapaxes(0, 1)
        a, d = b, c
    else:
        image = frame.raw.to_ndarray(width=width, height=height, format="rgb24")
    return np.ascontiguousarray(image[::d, ::a])
