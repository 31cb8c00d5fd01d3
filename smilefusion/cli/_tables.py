"""Read tables of other tools for commands, one clip per file."""

import argparse
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

from smilefusion._messages import abridge, count, printable
from smilefusion._storage._atomic_files import prepare_folder, replacing
from smilefusion._storage._digests import file_digest, settings_digest
from smilefusion.clips._signals import SignalSequence
from smilefusion.exceptions import DataWarning, InvalidClipError
from smilefusion.readers._read_clips import read_clips

_STEM_LENGTH = 100  # characters of a file name


def convert_table(path: Path, args: argparse.Namespace, folder: Path) -> Path:
    """Write the landmarks of a table to a folder; return the path of the clip."""
    clips = _read_one(path, args, "error").clips
    if clips is None:
        raise InvalidClipError(
            f"{printable(path.name)} has no landmarks, but this command needs them. Export them "
            "if the program supports it. To use its signals, run smilefusion dmarkers --signals, "
            "or use smilefusion.readers.read_clips and SignalMarkerTransformer in Python."
        )
    options = {"fps": args.fps, "image_size": args.image_size}
    key = settings_digest({"content": file_digest(path), **options})
    target = folder / f"{path.stem[:_STEM_LENGTH]}-{key[:16]}.npz"
    prepare_folder(folder)
    rate = {} if np.isnan(clips.fps[0]) else {"fps": clips.fps[0]}
    with replacing(target) as part:
        np.savez(part, landmarks=clips[0], **rate)
    return target


def read_table_signals(path: Path, args: argparse.Namespace) -> SignalSequence:
    """Return the signals of a table."""
    data = _read_one(path, args, "ignore")
    if data.signals is None:
        raise InvalidClipError(
            f"{printable(path.name)} has no signals, such as action units or blendshapes, only "
            "landmarks. Omit --signals to compute D-Markers of the landmarks."
        )
    return data.signals


def _read_one(
    path: Path, args: argparse.Namespace, on_unread: Literal["error", "ignore"]
) -> Bunch:
    """Read a table with one clip; raise or ignore the warning about unread landmarks."""
    with warnings.catch_warnings():
        warnings.simplefilter(on_unread, DataWarning)
        try:
            data = read_clips(path, fps=args.fps, image_size=args.image_size)
        except DataWarning as warning:
            raise InvalidClipError(str(warning)) from None
    names = (data.signals if data.clips is None else data.clips).names
    if len(names) > 1:
        raise InvalidClipError(
            f"{printable(path.name)} contains {count(len(names), 'clip')} ({abridge(names)}), but "
            "this command needs one clip per file. Split the table, or read it in Python with "
            "smilefusion.readers.read_clips."
        )
    return data
