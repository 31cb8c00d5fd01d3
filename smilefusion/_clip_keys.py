"""Keys of what is computed of clips: digests of a clip's content and of the settings."""

import hashlib
import os
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from smilefusion._digests import settings_digest
from smilefusion._version import __version__
from smilefusion.clips import ClipSequence

# A file that was written a moment ago may be written again within one tick of its clock.
_SETTLED_NS = 2 * 10**9
_MOST_REMEMBERED = 100_000
_REMEMBERED: dict = {}  # path and state of a file → digest of its clip


def entry_keys(clips, settings, rates, *, packages):
    """Return a key for each clip.

    Parameters
    ----------
    clips : ClipSequence or sequence of ndarray
        Checked clips.
    settings : dict of str to JSON type
        All that decides the result beside the clip and its frame rate.
    rates : sequence of float or None, of length n_clips
        Frames per second of each clip, None where they are not known.
    packages : tuple of str
        Packages that compute the result.

    Returns
    -------
    keys : list of str
        Digests in hexadecimal.
    """
    versions = {"smilefusion": __version__, **{name: version(name) for name in packages}}
    common = settings_digest({"settings": settings, "versions": versions})
    return [
        settings_digest({"common": common, "clip": digest_clip(clips, index), "fps": rate})
        for index, rate in enumerate(rates)
    ]


def digest_clip(clips, index):
    """Return the digest of a clip's content, as it is read.

    Of a clip that lies in a file as it is, it is remembered in this process as long as path,
    size, place on the disk and times of change of the file stay the same. The time of the last
    change of status, unlike that of the content, cannot be set by programs.

    Parameters
    ----------
    clips : ClipSequence or sequence of ndarray
        Checked clips.
    index : int
        Position of the clip.

    Returns
    -------
    digest : str
        SHA-256 in hexadecimal.
    """
    # Sequences derived from this one alter clips as they read them.
    path = clips._items[index] if type(clips) is ClipSequence else None
    if not isinstance(path, Path):
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


def digest_array(array):
    """Return the SHA-256 of an array's type, shape and values in hexadecimal."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _file_state(path):
    """Return path, place on the disk, size and times of change of a file."""
    status = os.stat(path)
    place = (status.st_dev, status.st_ino, status.st_size)
    return os.path.abspath(path), *place, status.st_mtime_ns, status.st_ctime_ns
