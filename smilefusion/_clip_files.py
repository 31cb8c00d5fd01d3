"""One clip: reading its .npy or .npz file, checking its layout and values."""

import lzma
import math
import mmap
import os
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from smilefusion._messages import printable
from smilefusion._resampling import mean_rate
from smilefusion.exceptions import InvalidClipError

# RuntimeError: zipfile's of an encrypted member and, its child, of an unknown compression.
_READ_ERRORS = (
    *(OSError, ValueError, EOFError, TypeError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
FPS_RANGE = (1.0, 1000.0)  # plausible frames per second; values outside may exhaust the memory
_MAX_DEFLATE_RATIO = 1100  # deflate compresses by a factor of at most 1032
_MAX_HEADER_BYTES = 10_000  # numpy's limit, which numpy checks only after reading the header
_SINGLE_VALUES = ("fps", "width", "height", "sar", "model_sha256")
_MAX_VALUE_BYTES = 1024


def as_item(item, name):
    """Return a clip as an array, or as a Path if it is a file."""
    if isinstance(item, (str, os.PathLike)):
        return Path(item)
    try:
        return unmask(item) if np.ma.isMaskedArray(item) else np.asarray(item)
    except (ValueError, TypeError) as error:
        raise InvalidClipError(
            f"{name} cannot be converted to an array of numbers ({error}). A clip is one array "
            "(n_frames, n_landmarks, n_dims). Give each frame the same landmarks."
        ) from error


def unmask(array):
    """Convert a masked array to a plain array; masked numbers become NaN."""
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    return array.filled(np.nan) if array.dtype.kind == "f" else array.data


def clip_name(index, item):
    """Return the name of a clip in messages."""
    return f"Clip {index} ({printable(item.name)})" if isinstance(item, Path) else f"Clip {index}"


def checked_header(item, name):
    """Check an array or, for a file, only its header.

    Returns the shape, the digest of the landmark model or None, and whether the frames are
    unevenly spaced in time.
    """
    if isinstance(item, Path):
        shape, dtype, model, is_uneven = read_header(item, name)
        check_layout(shape, dtype, name)
        return shape, model, is_uneven
    check_layout(item.shape, item.dtype, name)
    check_values(item, name)
    return item.shape, None, False


def as_floating(clip):
    """Return a clip as native float32 or float64, itself where it is one."""
    if clip.dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        return clip
    wide = clip.dtype.kind == "f" and clip.dtype.itemsize >= 8
    with np.errstate(over="ignore"):  # what float64 cannot hold is reported as infinite
        return clip.astype(np.float64 if wide else np.float32)


def check_layout(shape, dtype, name):
    """Check the shape and dtype of a clip."""
    if dtype.kind not in "fiu":
        raise InvalidClipError(
            f"{name} has dtype {dtype}; a clip holds real numbers. Convert it to float32."
        )
    if len(shape) != 3 or shape[2] not in (2, 3):
        raise InvalidClipError(
            f"{name} has shape {tuple(shape)}; a clip has shape (n_frames, n_landmarks, n_dims) "
            "with 2 or 3 dimensions. X is one sequence of such clips."
        )
    if 0 in shape:
        raise InvalidClipError(
            f"{name} has {shape[0]} frames of {shape[1]} landmarks; at least one of each is "
            "needed. Drop it."
        )


def check_values(clip, name):
    """Check coordinates and return the clip as float32 or float64."""
    clip = as_floating(clip)
    values = clip.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.dot(values, values)):  # one fast pass; very large numbers take the next
            return clip
    finite = np.isfinite(clip)
    if finite.all():
        return clip
    infinite = np.isinf(clip).any(axis=(1, 2))
    if infinite.any():
        raise InvalidClipError(
            f"{name} has infinite coordinates in frame {infinite.argmax()}; they must be finite, "
            "or NaN throughout a frame without a face. Set that frame to NaN."
        )
    partial = finite.any(axis=(1, 2)) & ~finite.all(axis=(1, 2))
    if partial.any():
        raise InvalidClipError(
            f"{name} has NaN for some coordinates of frame {partial.argmax()}; a frame has all "
            "its landmarks or, without a face, none. Set that frame to NaN or complete it."
        )
    if not finite.any():
        raise InvalidClipError(
            f"{name} shows no face: all {len(clip)} frames are missing; at least one must hold "
            "landmarks. Drop it."
        )
    return clip


def read_header(path, name):
    """Read a clip's shape, dtype and model digest, and whether its frames are uneven in time."""
    suffix = _check_suffix(path, name)
    try:
        if suffix == ".npy":
            with path.open("rb") as stream:
                shape, _, dtype = _parse_header(stream)
                n_bytes = os.fstat(stream.fileno()).st_size - stream.tell()
            if n_bytes < math.prod(shape) * dtype.itemsize:
                raise EOFError("the file ends before its last frame")
            return shape, dtype, None, False
        with zipfile.ZipFile(path) as archive:
            shape, dtype = _member_header(archive, "landmarks")
            return shape, dtype, _read_model(archive), _is_uneven(archive, shape)
    except KeyError:
        raise InvalidClipError(
            f"{name} has no entry 'landmarks'; a .npz clip holds its coordinates there. "
            "Save it with numpy.savez(path, landmarks=clip)."
        ) from None
    except _READ_ERRORS as error:
        raise _damaged(path, name, error) from error


def read_values(path, name):
    """Read the coordinates of a clip in isotropic units."""
    if path.suffix.lower() == ".npy":
        try:
            return _map_values(path)
        except _READ_ERRORS as error:
            raise _damaged(path, name, error) from error
    entries = _read_entries(path, name, ("landmarks", "width", "height", "sar"))
    clip = as_floating(entries.pop("landmarks"))
    if "width" not in entries and "height" not in entries:
        return clip
    if "width" not in entries or "height" not in entries:
        raise InvalidClipError(
            f"{name} states only one of the entries 'width' and 'height'; both are needed to "
            "make coordinates isotropic. Save both, or neither for isotropic coordinates."
        )
    size = {key: _positive_number(value, key, name) for key, value in entries.items()}
    aspect = size["width"] * size.get("sar", 1.0) / size["height"]
    return to_isotropic(clip, aspect)


def to_isotropic(clip, aspect):
    """Bring fractions of the image to image heights, in place; `aspect` is width by height."""
    with np.errstate(over="ignore"):  # what becomes infinite is reported as such
        clip[..., ::2] *= clip.dtype.type(aspect)  # x and z, which is in units of the image width
    return clip


def read_frame_rate(path, name):
    """Read the entry 'fps' of a .npz file; None if there is none."""
    if _check_suffix(path, name) == ".npy":
        read_header(path, name)
        return None
    entry = _read_entries(path, name, ("fps",)).get("fps")
    if entry is None:
        return None
    fps, (slowest, fastest) = _positive_number(entry, "fps", name), FPS_RANGE
    if not slowest <= fps <= fastest:
        raise InvalidClipError(
            f"{name} states fps={fps:g}, but a frame rate must be between {slowest:g} and "
            f"{fastest:g} frames per second. Correct the entry 'fps'."
        )
    return fps


def _check_suffix(path, name):
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


def _read_model(archive):
    """Read the digest of the landmark model from an open .npz file; None if there is none."""
    if "model_sha256.npy" not in archive.NameToInfo:
        return None
    return str(_read_member(archive, "model_sha256"))


def _is_uneven(archive, shape):
    """Whether an open .npz file has one time per frame and the times are unevenly spaced."""
    if "timestamps_s.npy" not in archive.NameToInfo:
        return False
    times_shape, dtype = _member_header(archive, "timestamps_s")
    if times_shape != shape[:1] or times_shape < (2,) or dtype.kind not in "fiu":
        return False
    times_s = _read_member(archive, "timestamps_s").astype(np.float64)
    return not (np.diff(times_s) > 0).all() or mean_rate(times_s)[1]


def _member_header(archive, key):
    """Read shape and dtype of an array in an open .npz file; raise if the file is too short."""
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as stream:
        shape, _, dtype = _parse_header(stream)
        n_bytes = stream.tell() + math.prod(shape) * dtype.itemsize
    if n_bytes > min(info.file_size, _MAX_DEFLATE_RATIO * os.path.getsize(archive.filename)):
        raise EOFError(f"the array {key!r} ends before its last entry")
    return shape, dtype


def _read_member(archive, key):
    """Read an array of an open .npz file."""
    shape, dtype = _member_header(archive, key)
    if key in _SINGLE_VALUES and (shape or dtype.itemsize > _MAX_VALUE_BYTES):
        raise ValueError(
            f"the entry {key!r} has shape {shape} and {dtype.itemsize} bytes per value, but must "
            f"be a single value of at most {_MAX_VALUE_BYTES} bytes"
        )
    with archive.open(f"{key}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _map_values(path):
    """Map a .npy file, read-only (at a quarter of the time of numpy.load)."""
    with path.open("rb") as stream:
        shape, is_fortran, dtype = _parse_header(stream)
        offset = stream.tell()
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return np.ndarray(shape, dtype, mapped, offset, order="F" if is_fortran else "C")


def _parse_header(stream):
    """Read shape, order (true for Fortran's) and dtype from NumPy's array format."""
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
    except (tokenize.TokenError, MemoryError, RecursionError) as error:  # of Python's parser
        raise ValueError("its header cannot be parsed") from error
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    if not all(0 <= n < 2**63 for n in shape):
        raise ValueError(f"no array has the shape {printable(shape)}")
    return shape, is_fortran, dtype


def _read_entries(path, name, keys):
    """Read those entries of a .npz file that are there."""
    _check_suffix(path, name)
    try:
        with zipfile.ZipFile(path) as archive:
            held = [key for key in keys if f"{key}.npy" in archive.NameToInfo]
            return {key: _read_member(archive, key) for key in held}
    except _READ_ERRORS as error:
        raise _damaged(path, name, error) from error


def _positive_number(value, key, name):
    """Return an entry as a float, which must be positive and finite."""
    number = float(value) if np.ndim(value) == 0 and value.dtype.kind in "fiu" else np.nan
    if not 0 < number < np.inf:
        raise InvalidClipError(
            f"{name} states {key}={printable(value)}; it must be one positive number. Correct the "
            "entry."
        )
    return number


def _damaged(path, name, error):
    return InvalidClipError(
        f"{name} cannot be read from {str(path)!r} ({printable(error)}); it must be a complete "
        ".npy or .npz file without pickled objects. Extract or copy it again."
    )
