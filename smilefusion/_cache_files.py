"""Files of a cache: an entry each, sealed by a digest, and the oldest of them deleted."""

import hashlib
import os
import re
import time
from contextlib import suppress
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.numpy import load, save

from smilefusion._atomic_files import replacing

ENTRY, LOCK = ".clip", ".lock"
# What may be deleted: files of these names in folders of these names, whatever else is there.
_SHELF = re.compile(r"[0-9a-f]{2}")
_OWN = re.compile(r"(\.?)[0-9a-f]{62}(-[0-9a-f]+)?(\.clip|\.lock)")
_MAGIC = b"smilefusion clip cache 1\n"
_BLOCK = 4096  # bytes; what a file takes of a disk is a multiple of it
_KEPT_SHARE = 0.9  # of the limit; so that not every entry that follows deletes another
_LEFT_OVER_SECONDS = 86_400  # temporary files and locks so old: their process did not end well


class Entry(NamedTuple):
    """A file of an entry: when it was last used, the bytes that it takes, and its path."""

    used: float
    n_bytes: int
    path: str


def entry_path(folder, key, suffix=ENTRY):
    """Return the path of an entry's file or lock; folders stay small by the key's first two."""
    return folder / key[:2] / f"{key[2:]}{suffix}"


def write_entry(path, key, arrays):
    """Write an entry, which appears whole or not at all; return the bytes that it takes."""
    content = _seal(key, save(arrays))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content)
    return disk_bytes(len(content))


def read_entry(path, key):
    """Return the arrays of an entry by name, {} where it is damaged, None where there is none."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    with suppress(OSError):  # a cache that can only be read
        os.utime(path)  # the time of the last use decides what is deleted first
    payload = content[len(_MAGIC) + hashlib.sha256().digest_size :]
    if content != _seal(key, payload):
        return {}
    try:
        return load(payload)
    except SafetensorError:
        return {}


def scan(folder):
    """Return the entries of a folder, and delete what processes that died have left."""
    entries, now = [], time.time()
    for shelf in _scandir(folder):
        for file in _scandir(shelf.path) if _SHELF.fullmatch(shelf.name) else ():
            name = _OWN.fullmatch(file.name)
            try:
                status = file.stat()
            except OSError:
                continue
            if name and name.groups() == ("", None, ENTRY):
                entries.append(Entry(status.st_mtime, disk_bytes(status.st_size), file.path))
            elif name and now - status.st_mtime > _LEFT_OVER_SECONDS:
                delete(file.path)
    return entries


def evict(folder, max_bytes):
    """Delete the entries that were not used for longest where all take more than the limit.

    Returns
    -------
    n_evicted, n_bytes : int
        Number of entries deleted, and the bytes that the others take.
    """
    entries = scan(folder)
    n_bytes, n_evicted = sum(entry.n_bytes for entry in entries), 0
    if n_bytes <= max_bytes:
        return 0, n_bytes
    for entry in sorted(entries):
        if n_bytes <= _KEPT_SHARE * max_bytes:
            break
        n_evicted += delete(entry.path)
        n_bytes -= entry.n_bytes
    return n_evicted, n_bytes


def delete(path):
    """Delete a file; return whether it was this process that did."""
    try:
        os.unlink(path)
    except OSError:  # another did, or a system that keeps open files
        return False
    return True


def disk_bytes(n_bytes):
    """Return the bytes of a disk that a file of so many takes, in whole blocks."""
    return -(-n_bytes // _BLOCK) * _BLOCK


def _seal(key, payload):
    """Return the content of an entry's file: a file of another key is as false as a torn one."""
    return _MAGIC + hashlib.sha256(key.encode() + payload).digest() + payload


def _scandir(folder):
    """Return what is in a folder; nothing where it is absent."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []
