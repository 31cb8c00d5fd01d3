"""Lock files that name their process, so that those of dead processes do not hold."""

import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_GRACE_SECONDS = 60  # an older unreadable lock: its process died before writing it
_BEAT_SECONDS = 20
# A lock of another host that was not renewed for this long belongs to a dead process. Network file
# systems may show the last renewal a minute late, and clocks differ.
_SILENCE_SECONDS = 240
# Device and inode of a lock → its modification time, and when that time was first seen.
_SEEN: dict[tuple[int, int], tuple[int, float]] = {}


@contextmanager
def locked(path):
    """Hold a lock file during the block; yield False if another process holds it."""
    text = _acquire(path)
    if text is None:
        yield False
        return
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, done), daemon=True)
    beating.start()
    try:
        yield True
    finally:
        done.set()
        beating.join()
        with suppress(FileNotFoundError):
            # A process that was suspended for long may find its lock taken over.
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


def _beat(path, done):
    """Renew the time of a lock until the work is done, which other hosts see as a sign of life."""
    while not done.wait(_BEAT_SECONDS):
        with suppress(OSError):  # a file system that is away for a while
            os.utime(path)


def lock_owner(path):
    """Return the process that holds a lock, {} if it is unknown, or None if the lock is free.

    A process holds its lock until it ends. A process on another host counts as dead if it has not
    renewed its lock for a few minutes.
    """
    try:
        text, age = path.read_bytes(), _seconds_unchanged(path.stat())
    except FileNotFoundError:
        return None
    try:
        owner = _parse(text)
    except (ValueError, RecursionError):  # not yet written, or damaged
        return {} if age < _GRACE_SECONDS else None
    lives = _is_alive(owner) if _is_here(owner) else age < _SILENCE_SECONDS
    return owner if lives else None


def _seconds_unchanged(status):
    """Return the seconds since a file last changed, by its time or by our own observation."""
    # If the clocks of two hosts differ, the file's time may lie in the future.
    key, now = (status.st_dev, status.st_ino), time.monotonic()
    if _SEEN.get(key, (None, 0))[0] != status.st_mtime_ns:
        _SEEN[key] = status.st_mtime_ns, now
    return max(time.time() - status.st_mtime, now - _SEEN[key][1])


def _parse(text):
    """Return what a lock file says; raise a ValueError where it was not written by `_acquire`."""
    owner = json.loads(text)
    named = isinstance(owner, dict) and type(owner.get("process")) is int
    if not named or not isinstance(owner.get("host"), str):
        raise ValueError("it names no process")
    return owner


def _is_here(owner):
    """Whether the process that wrote a lock runs or ran on this host."""
    return owner.get("host") == socket.gethostname()


def _acquire(path):
    """Make a lock file; return its text, None where another process holds the lock."""
    owner = {"process": os.getpid(), "host": socket.gethostname()}
    text = json.dumps(owner | {"started": _start(os.getpid()), "key": uuid4().hex})
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if lock_owner(path) is not None or not _bury(path):
                return None
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        return text


def _bury(path):
    """Remove a dead process's lock; return False where another was quicker and made a new one."""
    grave = path.with_name(f".{path.stem}-{uuid4().hex}.lock")
    try:
        os.rename(path, grave)
        # What was moved may be the new lock of a process that buried the dead one's before.
        if lock_owner(grave) is not None:
            os.replace(grave, path)
            return False
        grave.unlink()
    except FileNotFoundError:
        return False
    return True


def _is_alive(owner):
    """Whether the process that wrote a lock on this host still runs."""
    if sys.platform == "linux":
        return _start(owner["process"]) == owner.get("started")
    if os.name != "posix":
        return True  # without a way to ask, a lock holds until it is deleted
    try:
        os.kill(owner["process"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start(process):
    """Return when a process started, on Linux: system start and clock ticks; None if it ended."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        system = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    state, *fields = status.rpartition(")")[2].split()  # the name before may hold spaces
    return None if state in "ZX" else f"{system} {fields[18]}"
