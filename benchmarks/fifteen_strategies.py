"""Compare the 15 fusion strategies and the baselines on a stand-in of UvA-NEMO.

Run ``python benchmarks/fifteen_strategies.py FOLDER``. If interrupted, rerun the command to
resume. The script prints the table, all pairs of strategies that differ after Holm's correction
and the seconds spent; ``--figure`` draws the critical-difference picture. The one-key form of
``attention`` and ``cross_attention`` is the same function, so their probabilities must be equal.
"""

import tempfile
from pathlib import Path

from common import largest, read_options, store_clips
from joblib import Memory
from sklearn.base import clone

from smilefusion.benchmark import compare, format_table, run_benchmark, summarize
from smilefusion.cli._benchmark import make_systems
from smilefusion.datasets import make_standin
from smilefusion.inspection import CriticalDifferenceDisplay
from smilefusion.nn import FUSIONS

ONE_KEY = ("attention", "cross_attention")


def choose_systems(systems):
    """Return the strategies, their one-key forms and the baselines, without the search."""
    one_key = {
        f"{key}, one key": clone(systems[key]).set_params(
            fusion__fusion_params={"context": "dmarker"}
        )
        for key in ONE_KEY
    }
    chosen = systems | one_key
    return {name: system for name, system in chosen.items() if name != "chosen inside"}


def report(predictions, figure):
    """Print the table and the differences; draw the picture."""
    print(format_table(summarize(predictions), sort_by="balanced_accuracy"), "\n")
    cells = predictions.drop_duplicates(["estimator", "fold"])
    seconds = cells[["fit_seconds", "predict_seconds"]].sum().sum()
    print(f"Fits and predictions of all cells: {seconds:.0f} s")
    strategies = predictions[predictions["estimator"].isin(list(FUSIONS))]
    pairs = compare(strategies, n_permutations=99_999)
    print(pairs["verdict"].value_counts().to_string())
    print(f"Smallest p after Holm's correction: {pairs['p_holm'].min():.3f}")
    print(pairs.loc[pairs["p_holm"] < 0.05, ["first", "second", "difference", "p_holm"]])
    rows = predictions.set_index("estimator")["probability_1"]
    one_key = [rows[f"{key}, one key"].to_numpy() for key in ONE_KEY]
    print(f"Largest difference of the one-key forms: {largest(*one_key):g}")
    display = CriticalDifferenceDisplay.from_predictions(strategies)
    if figure is not None:
        display.plot().figure_.savefig(figure, dpi=150)


def main():
    options = read_options(__doc__, folder=Path, n_clips=1240, n_jobs=1, figure=None)
    with tempfile.TemporaryDirectory() as scratch:
        data = store_clips(make_standin("uva_nemo", n_clips=options.n_clips), scratch)
        memory = Memory(options.folder / "cache", verbose=0)
        systems = make_systems(inner_folds=3, memory=memory, random_state=0)
        predictions = run_benchmark(
            choose_systems(systems),
            data,
            cv=data.folds,
            n_jobs=options.n_jobs,
            results=options.folder,
            progress=True,
        )
    report(predictions, options.figure)


if __name__ == "__main__":
    main()
