"""Lock files, which the operating system releases when the process that holds them ends."""

from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout


@contextmanager
def locked(path, *, wait=False):
    """Hold a lock file during the block; yield False if a process or thread holds it already."""
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        # A file deleted after the release could be the next holder's.
        with suppress(OSError):  # Windows keeps open files
            path.unlink()
        lock.release()


def is_locked(path):
    """Whether a process or thread holds a lock file; delete the file if it is left over."""
    if not path.exists():
        return False
    with locked(path) as is_free:
        return not is_free
