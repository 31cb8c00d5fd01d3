"""Helpers of the commands: check inputs and outputs, report failures, find frame rates."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smilefusion._messages import abridge, count, one_line, unknown_key
from smilefusion._storage._atomic_files import (
    check_replaceable,
    is_written_through,
    prepare_folder,
    replacing,
)
from smilefusion._storage._csv_cells import protect_cells
from smilefusion.benchmark.tables._published_results import published_results
from smilefusion.cli._inputs import CLIP_SUFFIXES, is_table
from smilefusion.cli._wording import describe_error
from smilefusion.clips._clip_files import clip_name, read_files
from smilefusion.clips._rates import differ
from smilefusion.clips._sequence import ClipSequence, gather_clips, read_clip
from smilefusion.exceptions import InvalidClipError, InvalidDataError
from smilefusion.inspection._pyplot import import_pyplot
from smilefusion.readers._csv_tables import check_parquet
from smilefusion.video._extractor import SUFFIXES

BENCHMARK_FILES = ("predictions.csv", "table.md", "figure.png")
Failures = list[tuple[Path, Any]]  # files and their errors
FILE_ERRORS = (ValueError, OSError)  # of a single file


def check_output(
    path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = (), *, n_bytes: int = 1 << 16
) -> None:
    """Raise early if an output file must not or cannot be written."""
    check_replaceable(path)
    if is_written_through(path):
        return
    path, target = Path(path), Path(os.path.realpath(path))
    check_not_input(path, inputs)
    if {path.suffix.lower(), target.suffix.lower()} & {*CLIP_SUFFIXES, *SUFFIXES}:
        raise InvalidDataError(
            f"The output {str(path)!r} has the suffix of a clip or a video, so it could be "
            "mistaken for one or replace one. Choose another suffix."
        )
    if not target.parent.is_dir():
        folder = target.parent if path.is_symlink() else path.parent
        raise InvalidDataError(
            f"There is no folder {str(folder)!r} to write {target.name} to. Create it or "
            "correct the path."
        )
    if path.suffix.lower() == ".parquet":
        check_parquet(path)
    prepare_folder(target.parent, n_bytes, alternative="another output with -o")
    with suppress(FileNotFoundError):
        target.open("r+b").close()


def check_folder(path: str | os.PathLike, option: str) -> None:
    """Raise if the path given with an option exists but is not a folder."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InvalidDataError(
            f"{str(path)!r} is a file, but {option} needs a folder. Choose another path."
        )


def check_not_input(path: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raise if a file is one of the inputs or lies in an input folder."""
    target = Path(os.path.realpath(path))
    for each in inputs:
        inside = os.path.isdir(each) and target.is_relative_to(os.path.realpath(each))
        is_file = os.path.exists(target) and os.path.exists(each)
        if inside or (is_file and os.path.samefile(target, each)):
            raise InvalidDataError(
                f"The output {str(path)!r} {'lies in' if inside else 'is'} the input "
                f"{str(each)!r} and would overwrite it. Choose another output."
            )


def check_files(paths: Iterable[str | os.PathLike]) -> None:
    """Read every clip once and raise one error that lists the problems of all of them."""
    problems = []
    for path in paths:
        try:
            read_clip(path)
        except InvalidClipError as error:
            problems.append(str(error))
    if problems:
        raise InvalidClipError(" ".join(problems))


def check_fusion(name: str) -> None:
    """Raise if a strategy is unknown; unlike `get_fusion`, without importing torch."""
    known = list(published_results("fusions").index)
    if name not in known:
        raise InvalidDataError(unknown_key(name, known, "--fusion"))


@contextmanager
def listing_failures(args: argparse.Namespace) -> Iterator[Failures]:
    """Yield a list to fill with (file, error) pairs, and print them when the block ends."""
    failures: Failures = []
    try:
        yield failures
    finally:
        for path, error in failures:
            print_message(f"failed: {path}: {describe_error(error, args)}")
        if failures:
            print_message(f"{count(len(failures), 'file')} failed.")


def open_clips(
    pairs: Sequence[tuple[Path, Path]],
    failures: Failures,
    *,
    fps: float | None,
    debug: bool = False,
) -> tuple[list[Path], ClipSequence | None]:
    """Open the clip of each (file, clip) pair once and keep up to 1 GiB of them in memory."""
    files, items, facts = [], [], []
    names = [clip_name(index, file) for index, (file, _) in enumerate(pairs)]
    reads = read_files([clip for _, clip in pairs], names)
    for (file, clip), read in zip(pairs, reads, strict=True):
        if isinstance(read, Exception):
            if debug:
                raise read
            failures.append((file, read))
        else:
            files.append(file)
            items.append(read[0])
            # The extraction has warned about videos with unevenly spaced frames.
            facts.append(read[1] if clip == file else read[1]._replace(is_uneven=False))
    return files, gather_clips(items, facts, files=files).replace(fps=fps) if files else None


def skipping_failures(
    files: list[Path],
    clips: Any,
    compute: Callable[[Any], Any],
    failures: Failures,
    *,
    debug: bool = False,
) -> tuple[list[Path], Any, Any]:
    """Apply a function to all clips or signals at once; if it fails, skip the failing ones."""
    if clips is None:
        return [], None, None
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            result = compute(clips)
        distinct = {(each.category, str(each.message)): each for each in seen}
        for each in distinct.values():
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return files, clips, result
    except FILE_ERRORS:
        if debug:
            raise
    sound = []
    for index, file in enumerate(files):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compute(clips[[index]])
            sound.append(index)
        except FILE_ERRORS as error:
            failures.append((file, error))
    if not sound:
        return [], None, None
    return [files[index] for index in sound], clips[sound], compute(clips[sound])


def print_message(text: object) -> None:
    """Print a line to stderr, without control characters."""
    print(one_line(text), file=sys.stderr)


def write_table(path: str | os.PathLike, table: pd.DataFrame) -> None:
    """Write a table to a CSV file, or to a Parquet file if the suffix is .parquet."""
    table = protect_cells(table)
    with replacing(path) as part:
        if part.suffix.lower() == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False)


def save_picture(display: Any, path: Path) -> None:
    """Save the picture of a display and close it."""
    with replacing(path) as part:
        display.figure_.savefig(part, dpi=150)
    import_pyplot("smilefusion").close(display.figure_)


def check_rates(clips: ClipSequence) -> None:
    """Raise if the frame rate of a clip is unknown."""
    unknown = [clips.names[index] for index in np.flatnonzero(np.isnan(clips.fps))]
    if unknown:
        raise InvalidDataError(
            f"{abridge(unknown)}: no frame rate is stored, but durations need one. Give --fps, "
            "or store 'fps' in .npz files."
        )


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file is a video by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES


def is_source(path: str | os.PathLike) -> bool:
    """Whether a file is a video or a table, so its clip must be extracted first."""
    return is_video(path) or is_table(path)


def shared_rate(clips: ClipSequence, files: Iterable[str | os.PathLike]) -> float | None:
    """Return the common frame rate of labelled clips; None if no clip states one."""
    rates = clips.fps
    unknown = np.isnan(rates)
    if unknown.all():
        return None
    if unknown.any():
        raise InvalidDataError(
            f"{unknown.sum()} of {len(rates)} clips state no frame rate, but all or none must "
            "state one. Give --fps, or store 'fps' in the .npz files."
        )
    middle = float(np.median(rates))
    if differ(rates, middle).any():
        remedy = (
            "Give --fps to resample the videos; clips are treated as if they had that rate."
            if any(map(is_video, files))
            else "Resample the clips, or give --fps to treat them as if they had that rate."
        )
        raise InvalidDataError(
            f"The clips have frame rates from {rates.min():g} to {rates.max():g} per second, but "
            f"a model is trained and tested at one rate. {remedy}"
        )
    return middle
