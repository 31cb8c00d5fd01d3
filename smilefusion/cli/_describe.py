"""Command ``describe``: clips or videos → recording quality, phases, amplitudes and flags."""

import argparse

import pandas as pd

from smilefusion._messages import count, one_line
from smilefusion.cli._common import (
    check_output,
    listing_failures,
    open_clips,
    print_message,
    skipping_failures,
    write_table,
)
from smilefusion.cli._inputs import list_inputs
from smilefusion.cli._videos import INPUT_SUFFIXES, check_clip_folder, extracted_clips
from smilefusion.clips._rates import check_fps
from smilefusion.report._description import describe_clips
from smilefusion.report._facts import format_block


def run(args: argparse.Namespace) -> int:
    """Print the facts of each file, or write them as a table."""
    check_fps(args.fps, 1)
    given = list_inputs(args.files, INPUT_SUFFIXES)
    if args.output is not None:
        check_output(args.output, [*given, *filter(None, [args.face_model])])
    check_clip_folder(args, given)
    with (
        listing_failures(args) as failures,
        extracted_clips(given, failures, args, folder=args.clips, fps=args.fps) as pairs,
    ):
        files, clips = open_clips(pairs, failures, fps=args.fps, debug=args.debug)
        files, clips, table = skipping_failures(
            files, clips, describe_clips, failures, debug=args.debug
        )
        if clips is None:
            return 2
        if args.output is None:
            rows = zip(files, table.to_dict("records"), strict=True)
            print("\n\n".join(format_block(one_line(file), row) for file, row in rows))
        else:
            table.insert(0, "file", [str(file) for file in files])
            write_table(args.output, _with_texts(table))
            print_message(f"{args.output}: {count(len(table), 'file')} described.")
    return 1 if failures else 0


def _with_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its lists converted to text."""
    times = [" ".join(f"{time:.3f}" for time in blinks) for blinks in table["blink_times_s"]]
    return table.assign(blink_times_s=times, flags=table["flags"].str.join("; "))
