"""Compare the end-to-end network with the two-stage system and with simpler baselines.

Run ``python benchmarks/end_to_end_accuracy.py FOLDER``; the defaults take about an hour on two
cores. If interrupted, rerun the command to resume. Each seed simulates as many clips as UvA-NEMO
has and draws subject-disjoint folds. The tables pool the clips of all seeds and give 95 %
intervals over subjects; the people of different seeds are different people. Differences to the
end-to-end network are paired: same clips, same folds. The intervals cover the choice of the test
subjects, but not that of the training subjects.
"""

import warnings
from pathlib import Path

import pandas as pd
from common import read_options
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier, make_fusion_pipeline
from smilefusion.benchmark import compare, format_table, run_benchmark, summarize
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning


def measure_lengths(clips):
    """Return the number of frames of each clip, (n_clips, 1)."""
    return [[len(clip)] for clip in clips]


def make_estimators(fps, seed):
    """Return the estimators by name."""

    def regress(transformer):
        return make_pipeline(transformer, StandardScaler(), LogisticRegression(max_iter=2000))

    return {
        "end to end": HadaSmileNetClassifier(fps=fps, random_state=seed),
        "two stages": make_fusion_pipeline("hadamard", fps=fps, random_state=seed),
        "deep stream only": HadaSmileNetClassifier(dmarkers="none", fps=fps, random_state=seed),
        "D-Markers only": regress(DMarkerTransformer(fps=fps)),
        "clip duration only": regress(FunctionTransformer(measure_lengths)),
    }


def predict(seed, options):
    """Return the predictions of one seed, with names that distinguish the seeds."""
    size = {"n_subjects": options.n_subjects, "effect": options.effect}
    data = make_smiles(options.n_clips, random_state=seed, **size)
    data.name = "simulated smiles"
    predictions = run_benchmark(
        make_estimators(data.fps, seed),
        data,
        cv=options.n_folds,
        n_jobs=options.n_jobs,
        random_state=seed,
        results=options.folder / f"seed-{seed}",
    )
    names = {name: f"{seed}/" + predictions[name].astype(str) for name in ("clip", "group")}
    return predictions.assign(fold=predictions["fold"] + options.n_folds * seed, **names)


def main():
    options = read_options(
        __doc__,
        folder=Path,
        seeds=(0, 1, 2),
        n_clips=1240,
        n_subjects=400,
        effect=1.0,
        n_folds=10,
        n_jobs=1,
    )
    warnings.simplefilter("ignore", DataWarning)  # faint smiles belong to the test
    predictions = pd.concat([predict(seed, options) for seed in options.seeds], ignore_index=True)
    print(format_table(summarize(predictions)))
    for metric in ("balanced_accuracy", "log_loss"):
        table = compare(predictions, reference="end to end", metric=metric)
        print(f"\nDifference in {metric} to 'end to end'")
        columns = ["first", "difference", "difference_low", "difference_high"]
        print(table[columns].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
