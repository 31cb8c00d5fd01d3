"""Compare how well variants of the D-Markers tell posed from spontaneous smiles, simulated.

Run ``python benchmarks/dmarkers_accuracy.py``; with the defaults it takes some minutes. For each
seed smiles are simulated as `make_smiles` does by default, as many as in UvA-NEMO, the D-Markers
of every variant computed, and a scaled logistic regression tested on them, on the same ten folds
that share no subject. The published definition takes each whole clip as one window.

Figures are percentages over all clips of all seeds, with the 95 % interval of a bootstrap over
subjects, those of different seeds being different people. ``gain`` is the difference to the
default, paired: the same clips, folds and draws of subjects. The areas under the ROC curve count
pairs of clips within a fold.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import DMarkerTransformer
from smilefusion.benchmark import run_benchmark, score_predictions
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers._smoothing import SMOOTHINGS
from smilefusion.exceptions import DataWarning

N_FOLDS = 10
METRICS = ("accuracy", "balanced_accuracy", "roc_auc")
VARIANTS = {
    "default": {},
    "segmentation longest_run": {"segmentation": "longest_run"},
    "definition hadasmilenet": {"definition": "hadasmilenet"},
    "blinks not bridged": {"bridge_blinks": False},
    **{
        f"smoothing {smoothing}": {"smoothing": smoothing}
        for smoothing in (*SMOOTHINGS, None)
        if smoothing != DMarkerTransformer().smoothing
    },
    "pose eyes": {"pose": "eyes"},
    "pose None": {"pose": None},
}


def predict_seed(seed, n_clips, n_subjects):
    """Simulate once and return the predictions of all variants, clips and subjects named apart."""
    data = make_smiles(n_clips, n_subjects=n_subjects, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a faint smile is tested like the others
        tables = [
            DMarkerTransformer(fps=data.fps, **parameters).fit_transform(data.clips)
            for parameters in VARIANTS.values()
        ]
    ends = np.cumsum([table.shape[1] for table in tables])
    estimators = {
        name: make_pipeline(
            make_column_transformer(("passthrough", slice(end - table.shape[1], end))),
            StandardScaler(),
            LogisticRegression(max_iter=2000),
        )
        for name, table, end in zip(VARIANTS, tables, ends, strict=True)
    }
    features = Bunch(clips=np.hstack(tables), target=data.target, groups=data.groups)
    predictions = run_benchmark(estimators, features, cv=N_FOLDS, random_state=seed)
    names = {name: f"{seed}/" + predictions[name].astype(str) for name in ("clip", "group")}
    return predictions.assign(repeat=seed, **names)


def draw_subjects(predictions, n_resamples):
    """Return how often each clip counts in each draw of subjects, in the first one once."""
    subjects, names = pd.factorize(predictions["group"])
    n_subjects = len(names)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), n_resamples)
    return np.vstack([np.ones(n_subjects), drawn])[:, subjects]


def resample_accuracy(predictions, weights):
    """Return the accuracy under each row of weights."""
    correct = (predictions["prediction"] == predictions["target"]).to_numpy(dtype=float)
    return weights @ correct / weights.sum(axis=1)


def resample_area(predictions, weights):
    """Return the area under the ROC curve, over pairs within a fold, under each row of weights."""
    score = predictions["probability_1"].to_numpy()
    positive = predictions["target"].to_numpy() == 1
    concordant, pairs = np.zeros((2, len(weights)))
    for rows in predictions.groupby(["repeat", "fold"]).indices.values():
        ordered = rows[np.argsort(score[rows])]
        spontaneous = weights[:, ordered] * positive[ordered]
        posed = weights[:, ordered] - spontaneous
        concordant += (spontaneous * posed.cumsum(axis=1)).sum(axis=1)
        pairs += spontaneous.sum(axis=1) * posed.sum(axis=1)
    return concordant / pairs


def measure_gains(predictions, n_resamples):
    """Return, by variant, "gain [low, high]" over the default, of accuracy and area, in points."""
    parts = dict(list(predictions.groupby("estimator", sort=False)))
    weights = draw_subjects(parts["default"], n_resamples)
    gains = {}
    for resample in (resample_accuracy, resample_area):
        draws = {name: 100 * resample(part, weights) for name, part in parts.items()}
        for name, values in draws.items():
            difference = values - draws["default"]
            cell = interval(difference[0], *np.quantile(difference[1:], [0.025, 0.975]), sign="+")
            gains.setdefault(name, []).append(cell)
    return gains


def interval(figure, low, high, sign=""):
    """Format a figure and its interval."""
    return f"{figure:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-clips", type=int, default=1240)
    parser.add_argument("--n-subjects", type=int, default=400)
    parser.add_argument("--n-seeds", type=int, default=5)
    parser.add_argument("--n-resamples", type=int, default=1000)
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    parts = Parallel(arguments.n_jobs)(
        delayed(predict_seed)(seed, arguments.n_clips, arguments.n_subjects)
        for seed in range(arguments.n_seeds)
    )
    predictions = pd.concat(parts, ignore_index=True)
    scores = score_predictions(predictions, n_resamples=arguments.n_resamples)
    gains = measure_gains(predictions, arguments.n_resamples)
    print(
        f"{arguments.n_seeds} seeds of {arguments.n_clips} simulated clips of "
        f"{arguments.n_subjects} subjects; logistic regression, {N_FOLDS} folds; %"
    )
    headers = (*METRICS, "gain in accuracy", "gain in roc_auc")
    print(f"{'':26s}" + "".join(f"{header:>20s}" for header in headers))
    for row in scores.to_dict("records"):
        ends = ("", "_low", "_high")
        cells = [interval(*(100 * row[metric + end] for end in ends)) for metric in METRICS]
        cells += gains[row["estimator"]]
        print(f"{row['estimator']:26s}" + "".join(f"{cell:>20s}" for cell in cells))


if __name__ == "__main__":
    main()
