"""Expand the inputs of commands: files, folders and patterns such as ``*.mp4``."""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from smilefusion.datasets._folder import LABELS_FILE
from smilefusion.exceptions import InvalidDataError

CLIP_SUFFIXES = (".npy", ".npz")
# Tables of other tools; .txt comes last, because most text files are not tables.
TABLE_SUFFIXES = ((".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"), (".txt",))
_PATTERN = re.compile(r"[*?]|\[.+\]")


def list_inputs(given: Sequence[Path], *suffixes: Sequence[str]) -> list[Path]:
    """Return the given files, the files in folders and those that match patterns, each once.

    A folder or pattern includes only its files with the first group of suffixes that occurs.
    """
    found: dict[str, Path] = {}
    for path in given:
        for file in _expand(path, suffixes):
            folder, name = os.path.split(os.path.abspath(file))
            found.setdefault(os.path.normcase(os.path.join(os.path.realpath(folder), name)), file)
    return list(found.values())


def is_table(path: str | os.PathLike) -> bool:
    """Whether the name of a file is that of a table of another tool."""
    path = Path(path)
    return path.suffix.lower() in sum(TABLE_SUFFIXES, ()) and path.name.lower() != LABELS_FILE


def is_pattern(path: Path) -> bool:
    """Whether a path contains the wildcards of a pattern."""
    return bool(_PATTERN.search(str(path)))


def _expand(path: Path, suffixes: Sequence[Sequence[str]]) -> list[Path]:
    """Return the files that one argument names."""
    if os.path.isdir(path):
        candidates = [each for each in path.iterdir() if not each.name.startswith(".")]
        problem = f"The folder {str(path)!r} contains no files"
        remedy = (
            "Correct the path. For files in subfolders, pass a pattern such as "
            f"{str(path / '**' / '*')!r} in quotes."
        )
    elif is_pattern(path) and not os.path.lexists(path):
        # Brackets in the name of an existing folder are part of the name.
        base = next(parent for parent in path.parents if os.path.exists(parent))
        pattern = str(path.relative_to(base))
        candidates = [base / each for each in glob.glob(pattern, root_dir=base, recursive=True)]
        problem, remedy = f"{str(path)!r} matches no files", "Correct the pattern."
    else:
        return [path]
    candidates = [
        each for each in candidates if each.name.lower() != LABELS_FILE and not os.path.isdir(each)
    ]
    for group in suffixes:
        files = [each for each in candidates if each.suffix.lower() in group]
        if files:
            return sorted(files, key=_natural_order)
    known = ", ".join(sorted(suffix for group in suffixes for suffix in group))
    raise InvalidDataError(f"{problem} with one of the suffixes {known}. {remedy}")


def _natural_order(path: Path) -> tuple[list, str]:
    """Return a sort key that places clip2 before clip10."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], str(path)
