"""Extract the landmarks of one video in memory or to a clip file."""

import json
import os
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from smilefusion._messages import printable
from smilefusion._storage._atomic_files import replacing
from smilefusion._storage._digests import settings_digest
from smilefusion._version import __version__
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._resampling import mean_rate, nearest_frames, resample_by_time
from smilefusion.exceptions import InvalidVideoError
from smilefusion.video._blendshapes import BLENDSHAPE_NAMES, NETWORK_FILE, compute_blendshapes
from smilefusion.video._face_finder import FaceFinder, UprightCheck
from smilefusion.video._frames import VideoReader
from smilefusion.video._landmarker import N_LANDMARKS, FaceLandmarker
from smilefusion.video._networks import Network

# Increase by one if a change of the code alters the entries for the same video and settings.
_METHOD = 3
_NEUTRAL = ("max_frames", "max_pixels", "ahead")  # settings that do not change the result
BACKEND = "smilefusion, with MediaPipe's networks in LiteRT"
_PACKAGES = ("ai-edge-litert", "av")
_IDENTITY = {"key", "video", "video_sha256", "settings"}
_SUMMARY = (
    *("fps", "source_fps", "is_uneven", "width", "height", "face_size_px"),
    *("n_frames", "n_detected", "n_faces_most", "n_damaged"),
)


def extract_landmarks(
    video: Path,
    video_digest: str,
    model: tuple[Path, str],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Extract the landmarks of a video."""
    path, model_digest = model
    reading = ("max_frames", "max_pixels", "rotation", "ahead")
    reader = VideoReader(video, **{name: settings[name] for name in reading})
    network = Network(path, NETWORK_FILE) if settings["blendshapes"] else None
    options = {key: settings[key] for key in ("max_faces", "min_confidence")}
    landmarker = FaceLandmarker(path, **options)
    options = {key: settings[key] for key in ("face", "second_look", "tracking")}
    finder = FaceFinder(landmarker, **options)
    landmarks, times_s, n_faces, sizes = _find_all(reader, finder, UprightCheck(landmarker))
    entries = _resample(landmarks, times_s, n_faces, settings)
    slowest, fastest = FPS_RANGE
    if not slowest <= entries["fps"] <= fastest:
        raise InvalidVideoError(
            f"{reader.name} has {entries['fps']:g} frames per second, but a clip must have "
            f"{slowest:g} to {fastest:g}. Convert the video to its true frame rate."
        )
    if network is not None:
        entries["blendshapes"] = compute_blendshapes(entries["landmarks"], network)
        entries["blendshape_names"] = np.array(BLENDSHAPE_NAMES)
    return {
        **entries,
        "is_isotropic": True,
        "width": reader.width,
        "height": reader.height,
        "sar": reader.sar,
        "n_damaged": reader.n_damaged,
        "face_size_px": float(np.median(sizes)) if sizes else 0.0,
        "video": video.name,
        "video_sha256": video_digest,
        "model_sha256": model_digest,
        "settings": json.dumps(_relevant(settings), sort_keys=True),
        "backend": BACKEND,
        "mode": "tracking" if settings["tracking"] else "image",
        "smilefusion_version": __version__,
        **{f"{name.replace('-', '_')}_version": version(name) for name in _PACKAGES},
    }


def extraction_key(video_digest: str, model_digest: str, settings: dict) -> str:
    """Return the digest of everything that affects the landmarks of a video."""
    return settings_digest(
        {
            "method": _METHOD,
            "video": video_digest,
            "model": model_digest,
            "settings": _relevant(settings),
            "versions": [version(name) for name in _PACKAGES],
        }
    )


def store_landmarks(
    path: Path,
    key: str,
    video: Path,
    video_digest: str,
    model: tuple[Path, str],
    settings: dict,
) -> dict[str, Any]:
    """Extract a video and write its file atomically; return its summary."""
    entries = extract_landmarks(video, video_digest, model, settings)
    check_has_face(entries)
    try:
        with replacing(path) as part:
            np.savez(part, key=key, **entries)  # key first; see `is_damaged_extraction`
            # Raise if another process has written a different clip in the meantime.
            find_existing(path, key, video, video_digest, settings)
    except OSError as error:
        raise InvalidVideoError(
            f"The clip of {printable(video.name)} cannot be written to {printable(path)} "
            f"({error.strerror or error}). Free up disk space or choose another folder."
        ) from error
    return summarize_entries(entries)


def check_has_face(entries: dict[str, Any]) -> None:
    """Raise if no frame shows a face."""
    if not entries["detected"].any():
        raise InvalidVideoError(
            f"{printable(entries['video'])} shows no face in any of its "
            f"{len(entries['source_timestamps_s'])} frames. Remove the video. If it does show a "
            "face, film it again, closer and from the front, lower min_confidence, or pass "
            "rotation=90, 180 or 270 if the face is not upright."
        )


def summarize_entries(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the values that tables and warnings use."""
    counts = {
        "n_frames": len(entries["detected"]),
        "n_detected": int(np.sum(entries["detected"])),
        "n_faces_most": int(np.max(entries["n_faces"])),
    }
    return {name: counts[name] if name in counts else entries[name] for name in _SUMMARY}


def find_existing(
    path: Path, key: str, video: Path, video_digest: str, settings: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the summary of an earlier extraction; None if the video must be extracted."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidVideoError(
            f"The clip of {printable(video.name)} cannot be written to {printable(path)} "
            f"({error.strerror}). Rename the video or choose another folder."
        ) from error
    try:
        with zipfile.ZipFile(path) as archive:
            is_damaged = archive.testzip() is not None
        with np.load(path, allow_pickle=False) as archive:
            names = {*_IDENTITY, *_SUMMARY, "detected", "n_faces"} & set(archive.files)
            entries = {name: archive[name] for name in names if not is_damaged}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        entries = {}
    if not set(entries) >= _IDENTITY:
        if is_damaged_extraction(path):
            return None
        held = "not a clip extracted from a video"
    elif str(entries["key"]) == key:
        return summarize_entries({k: v if v.ndim else v.item() for k, v in entries.items()})
    elif str(entries["video_sha256"]) != video_digest:
        held = f"the clip of another video, {printable(entries['video'])}"
    else:
        old, new = json.loads(str(entries["settings"])), _relevant(settings)
        changes = [f"{name}={old.get(name)!r}" for name in new if old.get(name) != new[name]]
        made_with = ", ".join(changes) or "a different model or different package versions"
        held = f"a clip of the same video made with {made_with}"
    raise InvalidVideoError(
        f"The clip of {printable(video.name)} would overwrite {printable(path)}, which is {held}. "
        "Delete or move that file, or choose another folder."
    )


def is_damaged_extraction(path: Path) -> bool:
    """Whether `store_landmarks`, which writes the key first, wrote an unreadable file."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(37)
    except OSError:
        return False
    return start[:4] == b"PK\x03\x04" and start[30:] == b"key.npy"


def _relevant(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that affect the result."""
    return {name: value for name, value in settings.items() if name not in _NEUTRAL}


def _find_all(
    reader: VideoReader, finder: FaceFinder, upright: UprightCheck
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Return the landmarks in image heights, frame times, face counts and face sizes."""
    buffer = bytearray()
    times_s: list[float] = []
    n_faces: list[int] = []
    sizes: list[float] = []
    missing = np.full((N_LANDMARKS, 3), np.nan, dtype=np.float32).tobytes()
    for frame in reader:
        n_seen, face, size = (0, None, 0.0) if frame.is_damaged else finder.find(frame)
        times_s.append(frame.time_s)
        n_faces.append(n_seen)
        if face is None:
            buffer += missing
            continue
        upright.look(frame, face)
        if upright.is_decided:
            _check_upright(reader, upright)
        sizes.append(size)
        buffer += (face * reader.pixel_size).astype(np.float32).tobytes()
    _check_upright(reader, upright)
    # A growing buffer needs one copy of the landmarks; stacking a list would need two.
    landmarks = np.frombuffer(buffer, dtype=np.float32).reshape(-1, N_LANDMARKS, 3)
    return landmarks, np.array(times_s), np.array(n_faces, dtype=np.int16), sizes


def _check_upright(reader: VideoReader, upright: UprightCheck) -> None:
    if upright.rotation:
        lies = "upside down" if upright.rotation == 180 else "lying on its side"
        rotation = (reader.rotation + upright.rotation) % 360
        raise InvalidVideoError(
            f"{reader.name} shows the face {lies}, but landmarks are accurate only if the face is "
            f"upright. Pass rotation={rotation} for this video."
        )


def _resample(
    landmarks: np.ndarray, times_s: np.ndarray, n_faces: np.ndarray, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return the time-dependent entries at the requested frame rate."""
    source_fps, is_uneven = mean_rate(times_s)
    entries = {
        "fps": source_fps,
        "source_fps": source_fps,
        "is_uneven": is_uneven,
        "source_timestamps_s": times_s,
    }
    if settings["fps"] is not None:
        entries["fps"] = float(settings["fps"])
        landmarks, grid_s = resample_by_time(
            landmarks, times_s, settings["fps"], max_gap_s=settings["max_gap_s"]
        )
        n_faces, times_s = n_faces[nearest_frames(times_s, grid_s)], grid_s
        entries["is_uneven"] = False
    return entries | {
        "landmarks": landmarks,
        "timestamps_s": times_s,
        "detected": ~np.isnan(landmarks[:, 0, 0]),
        "n_faces": n_faces,
    }
