"""Command ``report``: the results of a benchmark as one file of HTML."""

import sys

from smilefusion._commands._files import check_output
from smilefusion.inspection._report import write_report


def run(args):
    """Write the report of a results folder.

    Parameters
    ----------
    args : argparse.Namespace
        ``folder``, ``output`` and ``seed``.
    """
    if args.output is not None:
        check_output(args.output)
    path = write_report(args.folder, args.output, random_state=args.seed)
    print(f"The report is {path}.", file=sys.stderr)
