"""Command ``dmarkers``: clips → a table of D-Markers."""

import sys

import pandas as pd

from smilefusion._atomic_files import replacing
from smilefusion._commands._files import check_files, check_output, file_rates
from smilefusion.dmarkers._transformer import DMarkerTransformer


def run(args):
    """Write one row of D-Markers per clip.

    Parameters
    ----------
    args : argparse.Namespace
        ``files``, ``output``, ``fps`` and ``definition``.
    """
    check_output(args.output)
    check_files(args.files)
    rates = file_rates(args.files, args.fps)
    transformer = DMarkerTransformer(fps=rates, definition=args.definition)
    features = transformer.fit_transform(args.files)
    table = pd.DataFrame(features, columns=transformer.get_feature_names_out())
    table.insert(0, "file", [str(path) for path in args.files])
    table.insert(1, "fps", rates)
    with replacing(args.output) as part:
        table.to_csv(part, index=False)
    print(f"{args.output}: {features.shape[1]} D-Markers of {len(table)} clips.", file=sys.stderr)
