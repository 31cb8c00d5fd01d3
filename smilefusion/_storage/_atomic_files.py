"""Write files atomically: a file is complete or absent."""

import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smilefusion.exceptions import InvalidDataError

_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path, and move its file to `path` once the block has succeeded."""
    # A symbolic link is followed, and a replaced file keeps its permissions. Threads and machines
    # may write the same file at once, because the temporary name is unique.
    path = Path(path)
    check_replaceable(path)
    is_through = is_written_through(path)
    target = path if is_through else Path(os.path.realpath(path))
    folder = Path(tempfile.mkdtemp(prefix="smilefusion-")) if is_through else target.parent
    part = folder / f".{uuid.uuid4().hex}{path.suffix}"
    try:
        yield part
        if is_through:
            _copy_to_stream(part, path)
        else:
            with suppress(FileNotFoundError):
                shutil.copymode(target, part)
            os.replace(part, target)
    except OSError as error:
        if error.filename in (None, str(part)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        part.unlink(missing_ok=True)
        if is_through:
            folder.rmdir()


def prepare_folder(
    folder: str | os.PathLike, n_bytes: int = 1 << 16, *, alternative: str = "another folder"
) -> None:
    """Create a folder if needed; raise if a file with this many bytes cannot be written to it."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=os.fspath(folder)) as probe:
            probe.write(bytes(n_bytes))
    except OSError as error:
        raise InvalidDataError(
            f"The folder {str(folder)!r} cannot be written to ({error.strerror}). Free disk "
            f"space, change its permissions, or choose {alternative}."
        ) from error


def is_written_through(path: str | os.PathLike) -> bool:
    """Whether a path is an open stream of this process, such as /dev/stdout, or /dev/null."""
    if _descriptor(path) is not None:
        return True
    try:
        found, null = os.stat(path), os.stat(os.devnull)
    except OSError:
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == null.st_rdev


def check_replaceable(path: str | os.PathLike) -> None:
    """Raise if a path exists but is not a regular file, an open stream or /dev/null."""
    if is_written_through(path):
        return
    try:
        kind = _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except OSError:
        return
    if kind is not None:
        raise InvalidDataError(
            f"The output {str(path)!r} is a {kind}, but it must be a regular file. Choose another "
            "path."
        )


def _descriptor(path: str | os.PathLike) -> int | None:
    """Return the file descriptor that a path such as /dev/stdout or /dev/fd/3 names, or None."""
    name = os.path.abspath(path)
    folder, number = os.path.split(name)
    if folder in ("/dev/fd", "/proc/self/fd") and number.isdecimal():
        return int(number)
    return _STREAMS.get(name)


def _copy_to_stream(part: Path, path: Path) -> None:
    """Copy a file to /dev/null or to an open stream, without truncating or closing it."""
    number = _descriptor(path)
    print(end="", flush=True)  # earlier output must come first
    with (
        part.open("rb") as source,
        open(path if number is None else number, "wb", closefd=number is None) as stream,
    ):
        shutil.copyfileobj(source, stream)
