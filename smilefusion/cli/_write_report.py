"""Command ``report``: the results of a benchmark as one file of HTML."""

import argparse

from smilefusion.cli._common import BENCHMARK_FILES, check_output, print_message
from smilefusion.report._report import write_report


def run(args: argparse.Namespace) -> None:
    """Write the report of a results folder."""
    output = args.folder / "report.html" if args.output is None else args.output
    if args.folder.is_dir():
        check_output(output, [args.folder / name for name in ("cells", *BENCHMARK_FILES)])
    path = write_report(args.folder, output, checklists=args.checklists, random_state=args.seed)
    print_message(f"The report is in {path}.")
