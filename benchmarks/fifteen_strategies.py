"""Compare the 15 strategies in two stages on 1240 simulated clips in folds of UvA-NEMO's sizes.

Run ``python benchmarks/fifteen_strategies.py RESULTS``; it goes on where it was stopped. Beside
the strategies, which share the features of each fold, run four baselines and the one-key form of
``attention`` and ``cross_attention``, which are one function and must come out equal. It prints
the table, every pair of strategies that differs after Holm's correction, and the seconds spent,
and draws the critical-difference picture.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from joblib import Memory
from sklearn.base import clone
from sklearn.utils import Bunch

from smilefusion._commands._benchmark import make_systems
from smilefusion.benchmark import compare, format_table, run_benchmark, summarize
from smilefusion.datasets import PublishedFolds, make_smiles
from smilefusion.datasets.published._readers import UVA_NEMO
from smilefusion.datasets.simulated._standins import _fill_folds
from smilefusion.nn import FUSIONS

ONE_KEY = ("attention", "cross_attention")


def make_data(n_clips, n_subjects, folder):
    """Return simulated clips as files, and subject-disjoint folds of the published sizes."""
    smiles = make_smiles(n_clips, n_subjects=n_subjects, random_state=0)
    paths = [folder / f"{i:04d}.npy" for i in range(n_clips)]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip)
    sizes = np.array(UVA_NEMO.test_sizes)
    fold = _fill_folds(smiles.groups, sizes * n_clips / sizes.sum(), np.random.RandomState(0))
    return Bunch(
        clips=paths,
        files=[path.name for path in paths],
        target=smiles.target,
        groups=smiles.groups,
        fps=smiles.fps,
        folds=PublishedFolds(fold),
        name="simulated UvA-NEMO",
    )


def choose_systems(systems, *, search):
    """Return the systems to run: with one-key attention, without the search unless asked for."""
    one_key = {
        f"{key}, one key": clone(systems[key]).set_params(
            fusion__fusion_params={"context": "dmarker"}
        )
        for key in ONE_KEY
    }
    # Searching for C would train the encoder three more times in every fold.
    deep = clone(systems["deep alone"].estimator).set_params(regress__C=0.01)
    chosen = systems | one_key | {"deep alone": deep}
    return chosen if search else {k: v for k, v in chosen.items() if k != "chosen inside"}


def report(predictions, figure):
    """Print table and differences; draw the picture."""
    print(format_table(summarize(predictions), sort_by="balanced_accuracy"), "\n")
    cells = predictions.drop_duplicates(["estimator", "fold"])
    seconds = cells[["fit_seconds", "predict_seconds"]].sum().sum()
    print(f"Fit and prediction, all cells: {seconds:.0f} s")
    strategies = predictions[predictions["estimator"].isin(list(FUSIONS))]
    comparison = compare(strategies, n_permutations=99_999)
    different = comparison[comparison["verdict"].str.contains("better")]
    n_equivalent = (comparison["verdict"] == "equivalent").sum()
    print(
        f"Of {len(comparison)} pairs of strategies {len(different)} differ after Holm's "
        f"correction, {n_equivalent} are equivalent within 1 point; the smallest adjusted p is "
        f"{comparison['p_holm'].min():.3f}."
    )
    for row in different.itertuples():
        print(f"  {row.first} {row.second} {row.difference:+.3f} p = {row.p_holm:.4f}")
    print(*comparison.attrs["remarks"], sep="\n")
    one, other = (
        predictions.loc[predictions["estimator"] == f"{key}, one key", "probability_1"].to_numpy()
        for key in ONE_KEY
    )
    print(f"Largest difference of the one-key forms: {np.abs(one - other).max():g}")
    if figure is not None:
        from smilefusion.inspection import CriticalDifferenceDisplay

        display = CriticalDifferenceDisplay.from_predictions(strategies).plot()
        display.figure_.savefig(figure, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--n-clips", type=int, default=1240)
    parser.add_argument("--n-subjects", type=int, default=400)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--search", action="store_true", help="choose inside the folds as well")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = make_data(arguments.n_clips, arguments.n_subjects, Path(scratch))
        memory = Memory(arguments.results / "cache", verbose=0)
        systems = make_systems(inner_folds=3, memory=memory, random_state=0)
        predictions = run_benchmark(
            choose_systems(systems, search=arguments.search),
            data,
            cv=data.folds,
            n_jobs=arguments.n_jobs,
            results=arguments.results,
            progress=True,
        )
    report(predictions, arguments.figure)


if __name__ == "__main__":
    main()
