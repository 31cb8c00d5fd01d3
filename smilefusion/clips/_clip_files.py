"""One clip: read its .npy or .npz file and check its layout and values."""

import lzma
import math
import mmap
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from smilefusion._messages import printable
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._resampling import mean_rate
from smilefusion.exceptions import InvalidClipError

# zipfile raises RuntimeErrors for encrypted members and for unknown compression methods.
_READ_ERRORS = (
    *(OSError, ValueError, EOFError, TypeError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_MAX_DEFLATE_RATIO = 1100  # deflate compresses by a factor of at most 1032
_MAX_HEADER_BYTES = 10_000  # NumPy's limit; NumPy checks it only after reading the header
_SINGLE_VALUES = (
    "fps",
    "width",
    "height",
    "sar",
    "is_isotropic",
    "model_sha256",
    "backend",
    "mode",
)
_MAX_VALUE_BYTES = 1024
# Size of the coordinates that `read_files` keeps in memory. Further files are opened again.
_HELD_BYTES = 2**30
# Lip jitter is 6 to 12 % of a smile if the face has 72 pixels, and 0.3 to 1.8 % above 190.
SMALL_FACE_PX = 100


class Facts(NamedTuple):
    """Facts about a clip that are known before its coordinates are read."""

    shape: tuple[int, int, int]  # (n_frames, n_landmarks, n_dims)
    fps: float  # NaN if unknown
    model: str | None = None  # landmark model, the program that ran it, and its mode
    is_uneven: bool = False  # whether the frames are unevenly spaced in time


class Recording(NamedTuple):
    """Optional facts about the recording in a clip file."""

    times_s: np.ndarray | None = None  # (n_frames,), increasing
    n_faces: np.ndarray | None = None  # (n_frames,)
    face_size_px: float = np.nan
    n_damaged: float = 0  # frames


@dataclass(frozen=True)
class FractionsFile:
    """A clip file in fractions of the image; `aspect` is the image's width / height."""

    path: Path
    aspect: float

    def read(self, name: str) -> np.ndarray:
        """Return the coordinates in image heights."""
        clip = np.array(read_values(self.path, name))  # a copy, because the file is mapped
        clip[..., ::2] *= self.aspect  # x and z, both in units of the image width
        return clip


@dataclass(frozen=True)
class ChangedItem:
    """A clip that a function changes when it is read."""

    item: Any
    change: Callable[[np.ndarray], np.ndarray]

    def read(self, name: str) -> np.ndarray:
        """Return the changed coordinates."""
        return check_values(self.change(read_item(self.item, name)), name)


@dataclass(frozen=True, eq=False)
class HeldFile:
    """A clip file whose coordinates are in memory."""

    path: Path
    clip: np.ndarray
    recording: Recording = Recording()  # noqa: RUF009 - immutable

    @property
    def name(self) -> str:
        """Name of the file, like `Path.name`."""
        return self.path.name

    def read(self, name: str) -> np.ndarray:
        """Return the coordinates."""
        return self.clip


def as_item(item: Any, name: str) -> np.ndarray | Path:
    """Return a clip as an array, or as a Path if it is a file."""
    return Path(item) if isinstance(item, (str, os.PathLike)) else as_array(item, name)


def as_array(item: Any, name: str) -> np.ndarray:
    """Return a clip or a frame as an array; masked values become NaN."""
    try:
        if not np.ma.isMaskedArray(item):
            return np.asarray(item)
        is_float = item.dtype.kind == "f"
        if item.dtype.kind not in "fiu":
            return item.data
        return np.ma.filled(item if is_float else item.astype(np.float64), np.nan)
    except (ValueError, TypeError) as error:
        raise InvalidClipError(
            f"{name} cannot be converted to an array of numbers ({error}). A clip is one array "
            "(n_frames, n_landmarks, n_dims). Make sure that all frames have the same landmarks."
        ) from error


def clip_name(index: int, item: Any) -> str:
    """Return the name of a clip for messages."""
    while isinstance(item, ChangedItem):
        item = item.item
    path = item if isinstance(item, Path) else getattr(item, "path", None)
    return f"Clip {index}" if path is None else f"Clip {index} ({printable(path.name)})"


def check_item(item: np.ndarray | Path, name: str) -> Facts:
    """Check an array, or the header of a file, and return the facts of the clip."""
    if isinstance(item, Path):
        return read_facts(item, name)
    check_layout(item.shape, item.dtype, name)
    check_values(item, name)
    return Facts(item.shape, np.nan)


def read_item(item: Any, name: str) -> np.ndarray:
    """Return the coordinates of a clip, checked if they come from a file."""
    if isinstance(item, np.ndarray):
        return as_floating(item)
    return read_values(item, name) if isinstance(item, Path) else item.read(name)


def as_floating(clip: np.ndarray) -> np.ndarray:
    """Convert a clip to native float32 or float64; return it unchanged if it has this dtype."""
    if clip.dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        return clip
    wide = clip.dtype.kind == "f" and clip.dtype.itemsize >= 8
    with np.errstate(over="ignore"):  # values beyond float64 are reported as infinite
        return clip.astype(np.float64 if wide else np.float32)


def check_layout(shape: tuple[int, ...], dtype: np.dtype, name: str) -> None:
    """Check the shape and dtype of a clip."""
    if dtype.kind not in "fiu":
        raise InvalidClipError(
            f"{name} has dtype {dtype}, but a clip must contain real numbers. Convert it to "
            "float32."
        )
    if len(shape) != 3 or shape[2] not in (2, 3):
        raise InvalidClipError(
            f"{name} has shape {tuple(shape)}, but a clip must have shape (n_frames, n_landmarks, "
            "n_dims) with 2 or 3 dimensions. Pass a sequence of such clips."
        )
    if 0 in shape:
        raise InvalidClipError(
            f"{name} has {shape[0]} frames of {shape[1]} landmarks, but at least one of each "
            "is needed. Remove the clip."
        )


def check_values(clip: np.ndarray, name: str) -> np.ndarray:
    """Check coordinates and return the clip as float32 or float64."""
    clip = as_floating(clip)
    values = clip.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.dot(values, values)):  # fast; very large numbers take the slow path
            return clip
    finite = np.isfinite(clip)
    if finite.all():
        return clip
    infinite = np.isinf(clip).any(axis=(1, 2))
    if infinite.any():
        raise InvalidClipError(
            f"{name} has infinite coordinates in frame {infinite.argmax()}, but they must be "
            "finite, or all NaN if the frame shows no face. Set that frame to NaN."
        )
    partial = finite.any(axis=(1, 2)) & ~finite.all(axis=(1, 2))
    if partial.any():
        raise InvalidClipError(
            f"{name} has NaN for some coordinates of frame {partial.argmax()}, but a frame must "
            "have all landmarks, or none if it shows no face. Set the frame to NaN or complete it."
        )
    if not finite.any():
        raise InvalidClipError(
            f"{name} shows no face: all {len(clip)} frames are missing, but at least one must "
            "have landmarks. Remove the clip."
        )
    return clip


def read_facts(path: Path, name: str) -> Facts:
    """Read the header of a clip file."""
    with _open_clip(path, name) as stream:
        return _read_facts(path, stream, name)


def read_values(path: Path, name: str) -> np.ndarray:
    """Read the coordinates of a clip file in isotropic units and check them."""
    with _open_clip(path, name) as stream:
        clip = _read_values(path, stream, name)
    return check_values(clip, name)


def read_whole(path: Path, name: str) -> tuple[Facts, HeldFile]:
    """Open a clip file once; read its facts, its coordinates and the recording's facts."""
    with _open_clip(path, name) as stream:
        facts = _read_facts(path, stream, name)
        clip = _read_values(path, stream, name)
        recording = _read_recording(stream, facts.shape)
    return facts, HeldFile(path, check_values(clip, name), recording)


def read_recording(path: Path, name: str) -> Recording:
    """Read the facts of the recording from a clip file."""
    with _open_clip(path, name) as stream:
        return _read_recording(stream, _read_facts(path, stream, name).shape)


def read_files(
    paths: Iterable[Path], names: Iterable[str]
) -> Iterator[tuple[HeldFile | Path, Facts] | ValueError | OSError]:
    """Open each clip file once; yield the clip with its facts, or the error."""
    room = _HELD_BYTES
    for path, name in zip(paths, names, strict=True):
        try:
            facts, held = read_whole(path, name)
        except (ValueError, OSError) as error:
            yield error
            continue
        room -= held.clip.nbytes
        # A copy, because the file is mapped.
        yield replace(held, clip=np.array(held.clip)) if room >= 0 else path, facts


@contextmanager
def _open_clip(path: Path, name: str) -> Iterator[Any]:
    """Open a clip file as a stream or a ZipFile; explain errors caused by damaged files."""
    suffix = _check_suffix(path, name)
    try:
        with path.open("rb") as stream:
            if suffix == ".npy":
                yield stream
            else:
                with zipfile.ZipFile(stream) as archive:
                    yield archive
    except InvalidClipError:
        raise
    except _READ_ERRORS as error:
        raise InvalidClipError(
            f"{name} cannot be read from {str(path)!r} ({printable(error)}). It must be a "
            "complete .npy or .npz file without pickled objects. Extract or copy it again."
        ) from error


def _read_facts(path: Path, stream: Any, name: str) -> Facts:
    """Read the facts of a clip from an open file and check its layout."""
    if isinstance(stream, zipfile.ZipFile):
        if "landmarks.npy" not in stream.NameToInfo:
            raise InvalidClipError(
                f"{name} has no entry 'landmarks', where a .npz clip stores coordinates. "
                "Save it with numpy.savez(path, landmarks=clip)."
            )
        shape, dtype = _member_header(stream, "landmarks")
        check_layout(shape, dtype, name)
        stated = [
            str(_read_member(stream, key))[:length]
            for key, length in (("model_sha256", 8), ("backend", None), ("mode", None))
            if f"{key}.npy" in stream.NameToInfo
        ]
        model = ", ".join(stated) or None
        return Facts(shape, _read_fps(stream, name), model, _is_uneven(stream, shape))
    shape, _, dtype = _parse_header(stream)
    n_bytes = os.fstat(stream.fileno()).st_size - stream.tell()
    if n_bytes < math.prod(shape) * dtype.itemsize:
        raise EOFError("the file ends before its last frame")
    check_layout(shape, dtype, name)
    return Facts(shape, np.nan)


def _read_values(path: Path, stream: Any, name: str) -> np.ndarray:
    """Read the coordinates of a clip from an open file in isotropic units."""
    if not isinstance(stream, zipfile.ZipFile):
        stream.seek(0)
        return _map_values(stream)
    clip = as_floating(_read_member(stream, "landmarks"))
    if "is_isotropic.npy" in stream.NameToInfo and _read_member(stream, "is_isotropic"):
        return clip
    size = {
        key: _positive_number(_read_member(stream, key), key, name)
        for key in ("width", "height", "sar")
        if f"{key}.npy" in stream.NameToInfo
    }
    if "width" not in size and "height" not in size:
        return clip
    if "width" not in size or "height" not in size:
        raise InvalidClipError(
            f"{name} has only one of the entries 'width' and 'height', but both are needed to "
            "make coordinates isotropic. Save both, or neither if coordinates are isotropic."
        )
    aspect = size["width"] * size.get("sar", 1.0) / size["height"]
    with np.errstate(over="ignore"):  # overflow is reported as infinite coordinates
        clip[..., ::2] *= clip.dtype.type(aspect)  # x and z, both in units of the image width
    return clip


def _read_recording(stream: Any, shape: tuple[int, ...]) -> Recording:
    """Read the facts of the recording from an open file."""
    if not isinstance(stream, zipfile.ZipFile):
        return Recording()
    times_s = _read_numbers(stream, "timestamps_s", shape[:1])
    if times_s is not None and not (np.diff(times_s) > 0).all():
        times_s = None
    n_faces = _read_numbers(stream, "n_faces", shape[:1])
    size, n_damaged = (_read_numbers(stream, key, ()) for key in ("face_size_px", "n_damaged"))
    return Recording(
        times_s,
        n_faces,
        np.nan if size is None else float(size),
        0 if n_damaged is None else float(n_damaged),
    )


def _read_fps(archive: zipfile.ZipFile, name: str) -> float:
    """Read the entry 'fps' of an open .npz file; NaN if it has none."""
    if "fps.npy" not in archive.NameToInfo:
        return np.nan
    fps = _positive_number(_read_member(archive, "fps"), "fps", name)
    slowest, fastest = FPS_RANGE
    if not slowest <= fps <= fastest:
        raise InvalidClipError(
            f"{name} states fps={fps:g}, but a frame rate must be between {slowest:g} and "
            f"{fastest:g} frames per second. Correct the entry 'fps'."
        )
    return fps


def _check_suffix(path: Path, name: str) -> str:
    """Check that a file can be a clip and return its suffix."""
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz"):
        raise InvalidClipError(
            f"{name} is the file {str(path)!r}, but clips are .npy or .npz files of landmarks. "
            "Extract the landmarks of a video with smilefusion.video.FaceMeshExtractor or the "
            "command smilefusion landmarks. Read a CSV table with smilefusion.readers."
        )
    if not os.path.isfile(path):  # unlike Path.is_file, no error if the name is too long
        raise InvalidClipError(
            f"{name} cannot be read: there is no file {str(path)!r}. Correct the path."
        )
    return suffix


def _is_uneven(archive: zipfile.ZipFile, shape: tuple[int, ...]) -> bool:
    """Whether an open .npz file has one time per frame and the times are unevenly spaced."""
    times_s = _read_numbers(archive, "timestamps_s", shape[:1])
    if times_s is None or len(times_s) < 2:
        return False
    return not bool((np.diff(times_s) > 0).all()) or mean_rate(times_s)[1]


def _read_numbers(archive: zipfile.ZipFile, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Read numbers of this shape from an open .npz file; None if it does not have them."""
    if f"{key}.npy" not in archive.NameToInfo:
        return None
    its_shape, dtype = _member_header(archive, key)
    if its_shape != shape or dtype.kind not in "fiu":
        return None
    return _read_member(archive, key).astype(np.float64)


def _member_header(archive: zipfile.ZipFile, key: str) -> tuple[Any, np.dtype]:
    """Read shape and dtype of an array in an open .npz file; raise if the file is too short."""
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as stream:
        shape, _, dtype = _parse_header(stream)
        n_bytes = stream.tell() + math.prod(shape) * dtype.itemsize
    assert archive.fp is not None  # the archive is open
    if n_bytes > min(info.file_size, _MAX_DEFLATE_RATIO * os.fstat(archive.fp.fileno()).st_size):
        raise EOFError(f"the array {key!r} ends before its last entry")
    return shape, dtype


def _read_member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    shape, dtype = _member_header(archive, key)
    if key in _SINGLE_VALUES and (shape or dtype.itemsize > _MAX_VALUE_BYTES):
        raise ValueError(
            f"the entry {key!r} has shape {shape} and {dtype.itemsize} bytes per value, but must "
            f"be a single value of at most {_MAX_VALUE_BYTES} bytes"
        )
    with archive.open(f"{key}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _map_values(stream: Any) -> np.ndarray:
    """Map an open .npy file, read-only (four times as fast as numpy.load)."""
    shape, is_fortran, dtype = _parse_header(stream)
    offset = stream.tell()
    mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return np.ndarray(shape, dtype, mapped, offset, order="F" if is_fortran else "C")


def _parse_header(stream: Any) -> tuple[Any, bool, np.dtype]:
    """Read shape, Fortran order (True or False) and dtype from the header of an array."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    else:
        read = np.lib.format.read_array_header_2_0
        n_bytes = int.from_bytes(stream.read(4), "little")
        if n_bytes > _MAX_HEADER_BYTES:
            raise ValueError(
                f"its header has {n_bytes} bytes, but at most {_MAX_HEADER_BYTES} are allowed"
            )
        stream.seek(-4, os.SEEK_CUR)
    try:
        shape, is_fortran, dtype = read(stream)
    except (tokenize.TokenError, MemoryError, RecursionError) as error:  # from Python's parser
        raise ValueError("its header cannot be parsed") from error
    if dtype.hasobject:
        raise ValueError("it contains pickled objects")
    if not all(0 <= n < 2**63 for n in shape):
        raise ValueError(f"its header states the invalid shape {printable(shape)}")
    return shape, is_fortran, dtype


def _positive_number(value: np.ndarray, key: str, name: str) -> float:
    """Return an entry as a float; raise if it is not positive and finite."""
    number = float(value) if np.ndim(value) == 0 and value.dtype.kind in "fiu" else np.nan
    if not 0 < number < np.inf:
        raise InvalidClipError(
            f"{name} states {key}={printable(value)}, but it must be one positive number. Correct "
            "the entry."
        )
    return number
