"""Compare the network trained end to end with two stages, single streams and clip duration.

Run ``python benchmarks/end_to_end_accuracy.py``; with the defaults it takes about an hour on two
cores. For each seed smiles are simulated as `make_smiles` does by default, as many as in
UvA-NEMO, and all estimators tested on the same ten folds that share no subject. The seed draws
clips, folds and networks. Subjects reach the early stopping of the networks. Every fold is
written to the folder of results when it is done; a run that was stopped goes on from there.

Figures are over all clips of all seeds, with the 95 % interval of a bootstrap over subjects, those
of different seeds being different people. Differences to the first estimator are paired: the same
clips, folds and draws of subjects. The areas under the ROC curve count pairs of clips within a
fold. Intervals cover the choice of the subjects tested, not that of the subjects trained on.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from dmarkers_accuracy import draw_subjects, interval, resample_area
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier, make_fusion_pipeline
from smilefusion.benchmark import format_table, run_benchmark, summarize
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning


def measure_durations(clips, fps):
    """Return the duration of each clip in seconds, (n_clips, 1)."""
    return np.array([[len(clip) / fps] for clip in clips])


def regress(transformer):
    """Return a scaled logistic regression on what a transformer makes of clips."""
    return make_pipeline(transformer, StandardScaler(), LogisticRegression(max_iter=2000))


def make_estimators(fps, seed):
    """Return the estimators by name."""
    durations = FunctionTransformer(measure_durations, kw_args={"fps": fps})
    return {
        "end to end": HadaSmileNetClassifier(fps=fps, random_state=seed),
        "two stages": make_fusion_pipeline("hadamard", fps=fps, random_state=seed),
        "deep alone": HadaSmileNetClassifier(dmarkers="none", fps=fps, random_state=seed),
        "D-Markers alone": regress(DMarkerTransformer(fps=fps)),
        "duration alone": regress(durations),
    }


def predict_seed(seed, arguments):
    """Return the predictions of one seed, reading the folds that are there already."""
    kind = f"{arguments.n_clips}_clips-{arguments.n_subjects}_subjects-effect_{arguments.effect}"
    folds = range(arguments.n_folds)[: arguments.n_run]
    paths = {
        (name, fold): arguments.folder
        / f"{name.replace(' ', '_')}-{kind}-seed_{seed}-fold_{fold}_of_{arguments.n_folds}.csv"
        for fold in folds
        for name in arguments.estimators
    }
    if not all(path.exists() for path in paths.values()):
        run_folds(seed, arguments, paths)
    predictions = pd.concat([pd.read_csv(path) for path in paths.values()], ignore_index=True)
    names = {name: f"{seed}/" + predictions[name].astype(str) for name in ("clip", "group")}
    return predictions.assign(repeat=seed, **names)


def run_folds(seed, arguments, paths):
    """Write the predictions of the estimators and folds that are missing."""
    size = {"n_subjects": arguments.n_subjects, "effect": arguments.effect}
    data = make_smiles(arguments.n_clips, random_state=seed, **size)
    data.name = "simulated smiles"
    splitter = StratifiedGroupKFold(arguments.n_folds, shuffle=True, random_state=seed)
    estimators = make_estimators(data.fps, seed)
    for fold, split in enumerate(splitter.split(data.target, data.target, data.groups)):
        missing = [name for (name, k), path in paths.items() if k == fold and not path.exists()]
        if not missing:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # faint smiles are tested too
            chosen = {name: estimators[name] for name in missing}
            done = run_benchmark(chosen, data, cv=[split], n_jobs=arguments.n_jobs)
        for name, part in done.assign(fold=fold).groupby("estimator"):
            partial = paths[name, fold].with_suffix(".part")
            part.to_csv(partial, index=False)
            partial.replace(paths[name, fold])
        seconds = done.groupby("estimator")["fit_seconds"].first().round().astype(int).to_dict()
        print(f"seed {seed}, fold {fold}, fit seconds: {seconds}", flush=True)


def resample_balanced_accuracy(predictions, weights):
    """Return the mean of the classes' recalls under each row of weights."""
    correct = (predictions["prediction"] == predictions["target"]).to_numpy(dtype=float)
    members = [predictions["target"].to_numpy() == label for label in (0, 1)]
    return np.mean([weights @ (correct * of) / (weights @ of) for of in members], axis=0)


def resample_log_loss(predictions, weights):
    """Return the mean negative logarithm of the true class's probability (nats)."""
    columns = predictions[["probability_0", "probability_1"]].to_numpy()
    chosen = columns[np.arange(len(columns)), predictions["target"]]
    loss = -np.log(chosen.clip(np.finfo(float).eps))
    return weights @ loss / weights.sum(axis=1)


def measure_differences(predictions, n_resamples):
    """Return "difference [low, high]" to the first estimator, a table of estimators × metrics."""
    parts = dict(list(predictions.groupby("estimator", sort=False)))
    first = next(iter(parts))
    weights = draw_subjects(parts[first], n_resamples)
    rows = {name: {} for name in parts if name != first}
    metrics = {
        "balanced accuracy, %": (resample_balanced_accuracy, 100),
        "ROC AUC, %": (resample_area, 100),
        "log loss, 1/100 nats": (resample_log_loss, 100),
    }
    for metric, (resample, unit) in metrics.items():
        draws = {name: unit * resample(part, weights) for name, part in parts.items()}
        for name, row in rows.items():
            difference = draws[name] - draws[first]
            ends = np.quantile(difference[1:], [0.025, 0.975])
            row[metric] = interval(difference[0], *ends, sign="+")
    return pd.DataFrame(rows).T


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(make_estimators(fps=50, seed=0))
    parser.add_argument("--estimators", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--n-clips", type=int, default=1240)
    parser.add_argument("--n-subjects", type=int, default=400)
    parser.add_argument("--effect", type=float, default=1.0)
    parser.add_argument("--n-folds", type=int, default=10)
    parser.add_argument("--n-run", type=int, help="number of the folds to run; default: all")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--n-resamples", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=Path("end_to_end_accuracy"))
    return parser.parse_args()


def main():
    arguments = read_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    parts = [predict_seed(seed, arguments) for seed in arguments.seeds]
    predictions = pd.concat(parts, ignore_index=True)
    order = {name: place for place, name in enumerate(arguments.estimators)}
    predictions = predictions.sort_values(
        "estimator", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )
    print(f"effect {arguments.effect}, seeds {arguments.seeds}\n")
    print(format_table(summarize(predictions, n_resamples=arguments.n_resamples)))
    print("\nBalanced accuracy of each seed, %")
    right = predictions.assign(right=100 * (predictions["prediction"] == predictions["target"]))
    recall = right.groupby(["estimator", "repeat", "target"], sort=False)["right"].mean()
    print(recall.groupby(["estimator", "repeat"], sort=False).mean().unstack().round(1))
    if len(arguments.estimators) > 1:
        print(f"\nDifference to {arguments.estimators[0]!r}")
        print(measure_differences(predictions, arguments.n_resamples).to_string())


if __name__ == "__main__":
    main()
