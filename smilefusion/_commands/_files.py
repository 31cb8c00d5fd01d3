"""Helpers of the commands: check inputs and outputs, report failures, find frame rates."""

import os
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from smilefusion._commands._wording import describe_error
from smilefusion._messages import abridge, count, one_line
from smilefusion._storage._atomic_files import (
    check_replaceable,
    is_written_through,
    prepare_folder,
    replacing,
)
from smilefusion._storage._csv_cells import protect_cells
from smilefusion.clips import check_fps, read_clip, read_fps
from smilefusion.exceptions import FrameRateWarning, InvalidClipError, InvalidDataError
from smilefusion.video._extractor import SUFFIXES

BENCHMARK_FILES = ("predictions.csv", "table.md", "figure.png")
FILE_ERRORS = (ValueError, OSError)  # of a single file
RATE_TOLERANCE = 0.01  # frame rates that differ by less count as equal


def check_output(path, inputs=(), *, n_bytes=1 << 16):
    """Raise early if an output file must not or cannot be written.

    Parameters
    ----------
    path : path-like
        The file to write.
    inputs : iterable of path-like, default=()
        Files that the command reads, and folders that hold only its data.
    n_bytes : int, default=65536
        Free space that the file needs.

    Raises
    ------
    InvalidDataError
        If the file is an input or lies in an input folder, also through links; if it has the
        suffix of a clip or a video; if it exists but is not a regular file; or if it cannot be
        written.
    """
    check_replaceable(path)
    if is_written_through(path):
        return
    path, target = Path(path), Path(os.path.realpath(path))
    check_not_input(path, inputs)
    if {path.suffix.lower(), target.suffix.lower()} & {".npy", ".npz", *SUFFIXES}:
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
    prepare_folder(target.parent, n_bytes, alternative="another output with -o")
    with suppress(FileNotFoundError):
        target.open("r+b").close()


def check_folder(path, option):
    """Raise if the path given with an option exists but is not a folder."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InvalidDataError(
            f"{str(path)!r} is a file, but {option} needs a folder. Choose another path."
        )


def check_not_input(path, inputs):
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


def check_files(paths):
    """Read every clip once and raise one error that lists the problems of all of them."""
    problems = []
    for path in paths:
        try:
            read_clip(path)
        except InvalidClipError as error:
            problems.append(str(error))
    if problems:
        raise InvalidClipError(" ".join(problems))


@contextmanager
def listing_failures(args):
    """Yield a list to fill with (file, error) pairs, and print them when the block ends."""
    failures = []
    try:
        yield failures
    finally:
        for path, error in failures:
            print_message(f"failed: {path}: {describe_error(error, args)}")
        if failures:
            print_message(f"{count(len(failures), 'file')} failed.")


def skipping_failures(pairs, compute, failures, *, debug=False):
    """Apply a function to all clips at once, without the clips for which it fails.

    Parameters
    ----------
    pairs : list of (path, path)
        The file that the user gave, which names it in failure reports, and its clip.
    compute : callable
        Takes a list of clips.
    failures : list
        List to which a (file, error) pair is appended for each clip that fails.
    debug : bool, default=False
        Whether to raise errors instead of collecting them.

    Returns
    -------
    pairs : list of (path, path)
        The pairs whose clips succeeded.
    result : object
        Result of `compute` for these clips; None if there are none.
    """
    if not pairs:
        return [], None
    try:
        with warnings.catch_warnings(record=True) as seen:
            result = compute([clip for _, clip in pairs])
        for each in seen:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return pairs, result
    except FILE_ERRORS:
        if debug:
            raise
    sound = []
    for file, clip in pairs:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compute([clip])
            sound.append((file, clip))
        except FILE_ERRORS as error:
            failures.append((file, error))
    return sound, compute([clip for _, clip in sound]) if sound else None


def print_message(text):
    """Print a line to stderr, without control characters."""
    print(one_line(text), file=sys.stderr)


def write_table(path, table):
    """Write a table to a CSV file."""
    with replacing(path) as part:
        protect_cells(table).to_csv(part, index=False)


def file_rates(paths, fps):
    """Return the frame rate of each file: `fps` if given, else the rate stored in the file."""
    if fps is not None:
        return check_fps(fps, len(paths))
    rates = np.array([read_fps(path) or np.nan for path in paths])
    unknown = [Path(path).name for path, rate in zip(paths, rates, strict=True) if np.isnan(rate)]
    if unknown:
        raise InvalidDataError(
            f"{abridge(unknown)}: no frame rate is stored, and durations need one. Give --fps, "
            "or store 'fps' in .npz files."
        )
    return rates


def data_rate(data, fps):
    """Return the common frame rate of labelled clips; warn and return None if it is unknown."""
    stored = data["fps"] if fps is None else check_fps(fps, 1)
    if stored is None:
        warnings.warn(
            "No clip states its frame rate: durations are counted in frames, which is right only "
            "if all clips have the same. Give --fps.",
            FrameRateWarning,
            stacklevel=2,
        )
        return None
    rates = np.atleast_1d(np.asarray(stored, dtype=float))
    if np.isnan(rates).any():
        raise InvalidDataError(
            f"{np.isnan(rates).sum()} of {len(rates)} clips state no frame rate; all or none "
            "must. Give --fps, or store 'fps' in the .npz files."
        )
    middle = float(np.median(rates))
    if differ(rates, middle).any():
        raise InvalidDataError(
            f"The clips have frame rates from {rates.min():g} to {rates.max():g} per second; a "
            "model is trained and tested on one. Bring them to one rate, or give --fps to treat "
            "them as one."
        )
    return middle


def differ(rates, reference):
    """Return where frame rates differ from a reference by more than the tolerance."""
    return np.abs(np.asarray(rates) / reference - 1) > RATE_TOLERANCE
