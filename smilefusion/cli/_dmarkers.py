"""Command ``dmarkers``: clips or videos → a table of D-Markers."""

import argparse

import pandas as pd

from smilefusion._messages import count
from smilefusion.cli._common import check_rates, print_message, skipping_failures, write_table
from smilefusion.cli._videos import opened_inputs
from smilefusion.clips._sequence import ClipSequence
from smilefusion.dmarkers._transformer import DMarkerTransformer


def run(args: argparse.Namespace) -> int:
    """Write one row of D-Markers per clip."""

    def compute(clips: ClipSequence) -> pd.DataFrame:
        check_rates(clips)
        transformer = DMarkerTransformer(definition=args.definition)
        features = transformer.fit_transform(clips)
        table = pd.DataFrame(features, columns=transformer.get_feature_names_out())
        table.insert(0, "fps", clips.fps)
        return table

    with opened_inputs(args) as (files, clips, failures):
        files, _, table = skipping_failures(files, clips, compute, failures, debug=args.debug)
        if not files:
            return 2
        table.insert(0, "file", [str(file) for file in files])
        write_table(args.output, table)
        print_message(
            f"{args.output}: {len(table.columns) - 2} D-Markers of {count(len(table), 'clip')}."
        )
    return 1 if failures else 0
