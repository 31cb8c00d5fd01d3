"""Lock files that name their process, so that those of dead processes do not hold."""

import json
import os
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path

_GRACE_SECONDS = 60  # an unreadable lock so old: its process died before it had written it


@contextmanager
def locked(path):
    """Hold a lock file during the block; yield False where another process holds it."""
    mine = _acquire(path)
    try:
        yield mine
    finally:
        if mine:
            path.unlink(missing_ok=True)


def lock_owner(path):
    """Return the process that holds a lock, {} while unknown, None where the lock is open.

    A lock holds while its process lives. Whether a process of another host does, cannot be seen
    from here: its lock holds until it is deleted.
    """
    try:
        text, age = path.read_bytes(), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        owner = _parse(text)
    except (ValueError, RecursionError):  # not yet written, or damaged
        return {} if age < _GRACE_SECONDS else None
    return None if is_here(owner) and not _is_alive(owner) else owner


def _parse(text):
    """Return what a lock file says; raise a ValueError where it was not written by `_acquire`."""
    owner = json.loads(text)
    named = isinstance(owner, dict) and type(owner.get("process")) is int
    if not named or not isinstance(owner.get("host"), str):
        raise ValueError("it names no process")
    return owner


def is_here(owner):
    """Whether the process that wrote a lock runs or ran on this host."""
    return owner.get("host") == socket.gethostname()


def _acquire(path):
    """Make a lock file; return whether this was done."""
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if lock_owner(path) is not None or not _bury(path):
                return False
            continue
        owner = {"process": os.getpid(), "host": socket.gethostname()}
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(owner | {"started": _start(os.getpid())}))
        return True


def _bury(path):
    """Remove a dead process's lock; return False where another was quicker and made a new one."""
    grave = path.with_name(f".{path.stem}-{os.getpid()}.lock")
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
