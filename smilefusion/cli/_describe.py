"""Command ``describe``: clips, videos or tables → quality, phases, amplitudes and flags."""

import argparse

import pandas as pd

from smilefusion._messages import count, one_line
from smilefusion.cli._common import print_message, skipping_failures, write_table
from smilefusion.cli._videos import opened_inputs
from smilefusion.report._description import describe_clips
from smilefusion.report._facts import format_block


def run(args: argparse.Namespace) -> int:
    """Print the facts of each file, or write them as a table."""
    with opened_inputs(args) as (files, clips, failures):
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
