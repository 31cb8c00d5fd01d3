"""Cache keys of clips: digests of a clip's content and of the settings."""

import hashlib
import os
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from smilefusion._storage._digests import settings_digest
from smilefusion._version import __version__
from smilefusion.clips._sequence import ClipSequence

_SETTLED_NS = 2 * 10**9  # a file may change again within one tick of its file system's clock
_MOST_REMEMBERED = 100_000
_REMEMBERED: dict[tuple, str] = {}  # path and state of a file → digest of its clip


def entry_keys(
    clips: ClipSequence | list[np.ndarray],
    settings: dict,
    rates: Iterable,
    *,
    packages: Iterable[str],
) -> list[str]:
    """Return a key for each clip; it covers all settings and packages that affect the result."""
    versions = {"smilefusion": __version__, **{name: version(name) for name in packages}}
    common = settings_digest({"settings": settings, "versions": versions})
    return [
        settings_digest({"common": common, "clip": digest_clip(clips, index), "fps": rate})
        for index, rate in enumerate(rates)
    ]


def digest_clip(clips: ClipSequence | list[np.ndarray], index: int) -> str:
    """Return the digest of a clip; the digest of a file is remembered until the file changes."""
    path = clips.file(index) if isinstance(clips, ClipSequence) else None
    if path is None:
        return digest_array(clips[index])
    before = _file_state(path)
    if before not in _REMEMBERED:
        digest = digest_array(clips[index])
        if _file_state(path) != before or time.time_ns() - max(before[-2:]) < _SETTLED_NS:
            return digest
        if len(_REMEMBERED) >= _MOST_REMEMBERED:
            _REMEMBERED.clear()
        _REMEMBERED[before] = digest
    return _REMEMBERED[before]


def digest_array(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's type, shape and values in hexadecimal."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _file_state(path: Path) -> tuple:
    """Return path, inode, size, mtime and ctime; programs cannot set the ctime."""
    status = os.stat(path)
    inode = (status.st_dev, status.st_ino, status.st_size)
    return os.path.abspath(path), *inode, status.st_mtime_ns, status.st_ctime_ns
