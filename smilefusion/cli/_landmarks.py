"""Command ``landmarks``: videos → clips of landmarks."""

import argparse
from pathlib import Path

import pandas as pd

from smilefusion._messages import count, printable
from smilefusion.cli._common import check_folder, print_message
from smilefusion.cli._inputs import list_inputs
from smilefusion.cli._terminal import print_frame
from smilefusion.cli._videos import make_extractor
from smilefusion.cli._wording import reword
from smilefusion.video._extractor import SUFFIXES


def run(args: argparse.Namespace) -> int:
    """Write one clip of landmarks per video and print a table of the clips."""
    check_folder(args.output, "-o")
    videos = list_inputs(args.videos, SUFFIXES)
    extractor = make_extractor(args, fps=args.fps, blendshapes=args.blendshapes)
    table = extractor.extract_files(videos, args.output, on_error="skip")
    done = table[table["error"].isna()]
    if len(done):
        print_frame(_tabulate(done), n_digits=2)
    for error in table["error"].dropna():
        print_message(f"failed: {reword(error, args)}")
    print_message(
        f"{args.output}: {len(done)} of {count(len(table), 'video')} done, "
        f"{table['is_old'].sum()} of them in an earlier run."
    )
    return 0 if len(done) == len(table) else 1 if len(done) else 2


def _tabulate(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of finished videos to print."""
    shown = table.assign(
        video=[printable(Path(video).name) for video in table["video"]],
        face_size_px=table["face_size_px"].round().astype(int),
    )
    names = {
        "video": "video",
        "n_frames": "frames",
        "n_detected": "with a face",
        "n_faces_most": "max. faces",
        "face_size_px": "face pixels",
        "fps": "fps",
        "seconds": "seconds",
    }
    counts = dict.fromkeys(("n_frames", "n_detected", "n_faces_most"), int)
    return shown.astype(counts)[list(names)].rename(columns=names)
