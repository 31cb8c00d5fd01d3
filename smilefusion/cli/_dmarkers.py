"""Command ``dmarkers``: clips or videos → a table of D-Markers."""

import argparse

import pandas as pd

from smilefusion._messages import count
from smilefusion.cli._common import (
    check_output,
    check_rates,
    listing_failures,
    open_clips,
    print_message,
    skipping_failures,
    write_table,
)
from smilefusion.cli._inputs import list_inputs
from smilefusion.cli._videos import INPUT_SUFFIXES, check_clip_folder, extracted_clips
from smilefusion.clips._rates import check_fps
from smilefusion.clips._sequence import ClipSequence
from smilefusion.dmarkers._transformer import DMarkerTransformer


def run(args: argparse.Namespace) -> int:
    """Write one row of D-Markers per clip."""
    check_fps(args.fps, 1)
    given = list_inputs(args.files, INPUT_SUFFIXES)
    check_output(args.output, [*given, *filter(None, [args.face_model])])
    check_clip_folder(args, given)

    def compute(clips: ClipSequence) -> pd.DataFrame:
        check_rates(clips)
        transformer = DMarkerTransformer(definition=args.definition)
        features = transformer.fit_transform(clips)
        table = pd.DataFrame(features, columns=transformer.get_feature_names_out())
        table.insert(0, "fps", clips.fps)
        return table

    with (
        listing_failures(args) as failures,
        extracted_clips(given, failures, args, folder=args.clips, fps=args.fps) as pairs,
    ):
        files, clips = open_clips(pairs, failures, fps=args.fps, debug=args.debug)
        files, _, table = skipping_failures(files, clips, compute, failures, debug=args.debug)
        if not files:
            return 2
        table.insert(0, "file", [str(file) for file in files])
        write_table(args.output, table)
        print_message(
            f"{args.output}: {len(table.columns) - 2} D-Markers of {count(len(table), 'clip')}."
        )
    return 1 if failures else 0
