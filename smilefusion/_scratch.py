"""A temporary folder that is removed even if its process is killed."""

import atexit
import os
import shutil
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

from smilefusion._locks import locked

_PREFIX = "smilefusion-"


def scratch_folder():
    """Return the folder for the temporary files of this process, which exists until it ends.

    A lock file beside the folder names the process. If the process is killed, the next process
    that asks for such a folder removes both.
    """
    return _scratch_of(os.getpid())


@cache
def _scratch_of(process):
    """Return the folder of a process; a fork needs one of its own."""
    _sweep()
    held = ExitStack()
    folder = held.enter_context(_made())
    atexit.register(lambda: held.close() if os.getpid() == process else None)
    return folder


@contextmanager
def _made():
    """Make a folder with a lock, and remove both afterwards."""
    folder = Path(tempfile.gettempdir(), f"{_PREFIX}{uuid4().hex}").absolute()
    with locked(folder.with_suffix(".lock")):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep():
    """Remove what killed processes of this user left."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.lock"):
        with suppress(OSError):
            if not _is_own_file(lock.lstat()):
                continue
            with locked(lock) as is_dead:
                if is_dead:
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)


def _is_own_file(status):
    """Whether a file is a regular one of this user."""
    return stat.S_ISREG(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )
