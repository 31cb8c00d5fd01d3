"""Command ``audit``: labelled clips → table of problems."""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from smilefusion._messages import count, one_line
from smilefusion.benchmark.tables._tables import format_table
from smilefusion.cli._common import (
    check_output,
    is_source,
    print_message,
    save_picture,
    write_table,
)
from smilefusion.cli._terminal import print_fitted
from smilefusion.cli._videos import labelled_clips
from smilefusion.clips._sequence import ClipSequence
from smilefusion.datasets._folder import LABELS_FILE
from smilefusion.exceptions import InvalidDataError
from smilefusion.inspection._pyplot import import_pyplot
from smilefusion.reliability._clip_measures import measure_clips


def run(args: argparse.Namespace) -> int:
    """Audit a folder of labelled clips; print the table, or write it."""
    outputs = [path for path in (args.output, args.picture) if path is not None]
    for path in outputs:
        check_output(path, [Path(args.folder, LABELS_FILE)])
    if len({os.path.realpath(path) for path in outputs}) < len(outputs):
        raise InvalidDataError(
            f"The table and the picture have the same path {str(args.output)!r}. Choose another "
            "path for one of them."
        )
    if args.picture is not None:
        import_pyplot("smilefusion audit --picture")
    with labelled_clips(args, outputs, _check_clip) as (data, failures):
        if data is None:
            return 2
        ignore = list(args.ignore)
        if any(is_source(Path(file)) for file in data.files):
            ignore.append("SF011")  # the clips of videos and tables have the date of this run
        from smilefusion.reliability._audit import audit_dataset  # imports scikit-learn

        table = audit_dataset(
            data.clips.replace(fps=args.fps),
            data.target,
            data.groups,
            data.get("metadata"),
            ignore=ignore,
        )
        _report(table, args)
    return 1 if failures else 0


def _check_clip(clips: ClipSequence) -> None:
    """Raise if a clip cannot be measured."""
    measure_clips(clips)


def _report(table: pd.DataFrame, args: argparse.Namespace) -> None:
    """Print or write the table, and draw the picture."""
    if args.output is None:
        if sys.stdout.isatty():
            print_fitted(format_table(table).table)
        else:
            print(*_lines(table), sep="\n")
    else:
        write_table(args.output, table)
    if args.picture is not None:
        from smilefusion.inspection._audit import AuditDisplay

        save_picture(AuditDisplay.from_audit(table), args.picture)
    found = [count(int((table["verdict"] == key).sum()), key) for key in ("warning", "note")]
    print_message(f"{' and '.join(found)}. The page Audit your data in the guide explains them.")


def _lines(table: pd.DataFrame) -> list[str]:
    """Return one line per check."""
    checks = table["check"].map(one_line)
    width = checks.str.len().max()
    lines = []
    for check, row in zip(checks, table.to_dict("records"), strict=True):
        rated = f"AUC {row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}]: "
        text = (rated if row["low"] == row["low"] else "") + one_line(row["finding"])
        lines.append(f"{row['code']}  {row['verdict']:7}  {check:{width}}  {text}")
    return lines
