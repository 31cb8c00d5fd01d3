"""Lock files, which the operating system releases when the process that holds them ends."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock file during the block; yield False if a process or thread already holds it."""
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        # Delete before the release; afterwards the file may belong to the next holder.
        with suppress(OSError):  # Windows does not delete open files
            path.unlink()
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process or thread holds a lock file; delete a leftover file."""
    if not path.exists():
        return False
    with locked(path) as is_free:
        return not is_free
