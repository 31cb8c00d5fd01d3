"""Command ``dmarkers``: clips, videos or tables → a table of D-Markers or markers of signals."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from smilefusion._messages import count, printable
from smilefusion.cli._common import (
    FILE_ERRORS,
    Failures,
    check_output,
    check_rates,
    listing_failures,
    print_message,
    skipping_failures,
    write_table,
)
from smilefusion.cli._inputs import TABLE_SUFFIXES, is_table, list_inputs
from smilefusion.cli._tables import read_table_signals
from smilefusion.cli._videos import check_folders, opened_inputs
from smilefusion.clips._rates import check_fps
from smilefusion.clips._sequence import pool_clips
from smilefusion.clips._signals import SignalSequence, select_signals
from smilefusion.dmarkers._signal_markers import SignalMarkerTransformer
from smilefusion.dmarkers._signals import SIGNALS, missing_signals
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import InvalidDataError
from smilefusion.landmarks import landmark_scheme


def run(args: argparse.Namespace) -> int:
    """Write one row of markers per file."""
    if args.signals is not None:
        return _describe_signals(args)
    if args.min_amplitude is not None:
        raise InvalidDataError(
            "--min-amplitude can be used only with --signals. Add --signals or omit it."
        )
    with opened_inputs(args) as (files, clips, failures):
        transformer = DMarkerTransformer(definition=args.definition or "standard")
        absent = () if clips is None else missing_signals(landmark_scheme(clips.n_landmarks))
        if absent and args.definition != "hadasmilenet":
            print_message(
                f"The landmarks have no points for the {', '.join(absent)} signal, so the table "
                "has no columns for it."
            )
            transformer.set_params(signals=[name for name in SIGNALS if name not in absent])
        return _write(transformer, files, clips, failures, args)


def _describe_signals(args: argparse.Namespace) -> int:
    """Write one row per table with the markers of the chosen signals."""
    if args.definition is not None:
        raise InvalidDataError(
            "--definition can be used only for D-Markers, but --signals chooses other markers. "
            "Omit one of them."
        )
    check_fps(args.fps, 1)
    given = list_inputs(args.files, *TABLE_SUFFIXES)
    check_output(args.output, given)
    check_folders(args, given)
    settings = {} if args.min_amplitude is None else {"min_amplitude": args.min_amplitude}
    transformer = SignalMarkerTransformer(args.signals, **settings)
    with listing_failures(args) as failures:
        files, parts = [], []
        for file in given:
            try:
                parts.append(_read_signals(file, args))
                files.append(file)
            except FILE_ERRORS as error:
                if args.debug:
                    raise
                failures.append((file, error))
        signals = pool_clips(parts) if parts else None
        return _write(transformer, files, signals, failures, args)


def _read_signals(file: Path, args: argparse.Namespace) -> SignalSequence:
    """Return the chosen signals of a table."""
    if not is_table(file):
        raise InvalidDataError(
            f"{printable(file.name)} is not a table, but --signals reads tables of other tools. "
            "Pass a table, or omit --signals."
        )
    return select_signals(read_table_signals(file, args), args.signals)


def _write(
    transformer: Any,
    files: list[Path],
    clips: Any,
    failures: Failures,
    args: argparse.Namespace,
) -> int:
    """Write the features of clips or signals; return the exit status."""

    def compute(clips: Any) -> pd.DataFrame:
        check_rates(clips)
        features = transformer.fit_transform(clips)
        table = pd.DataFrame(features, columns=transformer.get_feature_names_out())
        table.insert(0, "fps", clips.fps)
        return table

    files, _, table = skipping_failures(files, clips, compute, failures, debug=args.debug)
    if not files:
        return 2
    table.insert(0, "file", [str(file) for file in files])
    write_table(args.output, table)
    kind = "D-Markers" if args.signals is None else "markers"
    print_message(
        f"{args.output}: {len(table.columns) - 2} {kind} of {count(len(table), 'clip')}."
    )
    return 1 if failures else 0
