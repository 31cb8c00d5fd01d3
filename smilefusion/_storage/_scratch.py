"""A temporary folder that is removed even if its process is killed."""

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

from smilefusion._storage._locks import locked

_PREFIX = "smilefusion-"


def scratch_folder() -> Path:
    """Return the temporary folder of this process, which is deleted when the process ends."""
    return _scratch_of(os.getpid())


@cache
def _scratch_of(process: int) -> Path:
    """Create the folder of a process; a forked process gets its own."""
    _remove_leftovers()
    held = ExitStack()
    folder = held.enter_context(_locked_folder())
    atexit.register(lambda: held.close() if os.getpid() == process else None)
    return folder


@contextmanager
def _locked_folder() -> Iterator[Path]:
    """Create a folder with a lock, and delete both afterwards."""
    folder = Path(tempfile.gettempdir(), f"{_PREFIX}{uuid4().hex}").absolute()
    with locked(folder.with_suffix(".lock"), wait=True):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """Delete the folders that killed processes of this user left behind."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.lock"):
        with suppress(OSError):
            if not _is_own_file(lock.lstat()):
                continue
            with locked(lock) as is_dead:
                if is_dead:
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)


def _is_own_file(status: os.stat_result) -> bool:
    """Whether a file is a regular file that this user owns."""
    return stat.S_ISREG(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )
