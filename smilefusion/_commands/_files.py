"""What the commands share: checked inputs and outputs, frame rates."""

import os
import warnings
from pathlib import Path

import numpy as np

from smilefusion._messages import abridge
from smilefusion.clips import check_fps, read_clip, read_fps
from smilefusion.exceptions import FrameRateWarning, InvalidClipError, InvalidDataError

RATE_TOLERANCE = 0.01  # frame rates that differ by less count as equal


def check_output(path):
    """Raise, before any work is done, where a file cannot be written."""
    path = Path(path)
    if path.is_dir():
        raise InvalidDataError(f"{str(path)!r} is a folder; the output is a file. Name a file.")
    if not path.parent.is_dir():
        raise InvalidDataError(
            f"There is no folder {str(path.parent)!r} to write {path.name} to; create it or "
            "correct the path."
        )
    if not os.access(path.parent, os.W_OK):
        raise InvalidDataError(
            f"The folder {str(path.parent)!r} cannot be written to; name another output."
        )


def check_files(paths):
    """Read every clip once and raise one error that tells the problems of all of them."""
    problems = []
    for path in paths:
        try:
            read_clip(path)
        except InvalidClipError as error:
            problems.append(str(error))
    if problems:
        raise InvalidClipError(" ".join(problems))


def file_rates(paths, fps):
    """Return the frame rate of each file: `fps` where given, else as the file states it."""
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
    """Return the one frame rate of labelled clips; None, with a warning, where none is known."""
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
