"""Measure calibration, abstention and flags of unlike clips on simulated smiles.

Run ``python benchmarks/calibration.py``; with the defaults it takes about five minutes on one
core. All subjects are new. The tables give the mean over repeats with other subjects and other
seeds of the network, and in brackets the minimum and the maximum.

1. Log loss (nats) and expected calibration error (ten bins of equal mass) of a FusionClassifier on
   D-Markers that is trained for long, before and after calibration. "folds of clips" is the
   default cv=5 of CalibratedClassifierCV, the other rows use folds of subjects.
2. Wanted and measured share of wrong answers among the answers, and the share of clips answered.
   "stated probability" answers if the probability of the network, raw or calibrated, reaches 1
   minus the wanted error. The other rows are AbstainingClassifier with the raw network and with a
   logistic regression. For "conformal", the error is the share of sets without the true class.
3. Share of clips that DistributionChecker flags, by what was done to them.
"""

import argparse
import time
import warnings
from itertools import chain, product

import numpy as np
import pandas as pd
from common import calibration_error
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import (
    AbstainingClassifier,
    DistributionChecker,
    DMarkerTransformer,
    FusionClassifier,
)
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import TrainingWarning

FPS = 50
METHODS = ("temperature", "sigmoid", "isotonic")
WANTED = (0.05, 0.10, 0.20)


def classifier(seed):
    """Return a network that is trained for many epochs and is therefore overconfident."""
    return FusionClassifier(
        hidden_dim=32, n_members=1, patience=None, max_epochs=40, random_state=seed
    )


def simulate(n_clips, n_subjects, seed):
    """Return D-Markers, classes and subjects of simulated clips."""
    smiles = make_smiles(n_clips, n_subjects=n_subjects, fps=FPS, random_state=seed)
    return DMarkerTransformer(fps=FPS).fit_transform(smiles.clips), smiles.target, smiles.groups


def compare_calibrations(train, seed):
    """Yield the name of each calibration and its fitted classifier."""
    X, y, groups = train
    yield "raw", classifier(seed).fit(X, y)
    folds = {"": list(StratifiedGroupKFold(5).split(X, y, groups)), ", folds of clips": 5}
    cases = [*product(METHODS, (True, False), [""]), ("temperature", True, ", folds of clips")]
    for method, ensemble, suffix in cases:
        model = CalibratedClassifierCV(
            classifier(seed), method=method, ensemble=ensemble, cv=folds[suffix]
        )
        name = method if ensemble else f"{method}, ensemble=False"
        yield f"{name}{suffix}", model.fit(X, y)


def rate_stated(probability, y, wanted):
    """Return the error among, and the share of, clips with a stated probability high enough."""
    answered = probability.max(axis=1) >= 1 - wanted
    is_wrong = probability.argmax(axis=1) != y
    return is_wrong[answered].mean() if answered.any() else np.nan, answered.mean()


def rate_abstention(train, test, seed):
    """Yield the rates of AbstainingClassifier for each method, classifier and wanted error."""
    X, y, groups = train
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    inside = {"network": classifier(seed), "logistic regression": logistic}
    for method, (name, model), wanted in product(
        ("threshold", "conformal"), inside.items(), WANTED
    ):
        model = AbstainingClassifier(model, error_rate=wanted, method=method)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingWarning)
            rates = model.fit(X, y, groups=groups).rate_answers(*test[:2])
        error = rates["error"] if method == "threshold" else 1 - rates["coverage"]
        yield f"{method}, {name}", wanted, error, rates["answered"]


def measure_probabilities(n_clips, n_subjects, seed):
    """Return the records of one repeat of parts 1 and 2."""
    train = simulate(n_clips, n_subjects, seed)
    test = simulate(2 * n_clips, 2 * n_subjects, seed + 1000)
    losses, errors = [], []
    for name, model in compare_calibrations(train, seed):
        probability = np.asarray(model.predict_proba(test[0]), dtype=float)
        probability /= probability.sum(axis=1, keepdims=True)  # of single precision
        loss = log_loss(test[1], probability)
        losses.append((name, loss, calibration_error(test[1], probability[:, 1])))
        if name in ("raw", "temperature"):
            errors += [
                (f"stated probability, {name}", wanted, *rate_stated(probability, test[1], wanted))
                for wanted in WANTED
            ]
    return losses, errors + list(rate_abstention(train, test, seed))


def degrade(smiles):
    """Yield the name of a degradation, the degraded clips, and their frame rate."""
    clips, truth = smiles.clips, smiles.truth
    middle = ((truth["apex_start"] + truth["offset_start"]) / 2).astype(int)
    turn = np.deg2rad(30)
    yaw = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    yield "nothing (false alarms)", clips, FPS
    yield "half of the frames, rate stated", [clip[::2] for clip in clips], FPS / 2
    yield "half of the frames, rate not stated", [clip[::2] for clip in clips], FPS
    yield "cut within the apex", [c[:m] for c, m in zip(clips, middle, strict=True)], FPS
    yield "begun within the apex", [c[m:] for c, m in zip(clips, middle, strict=True)], FPS
    yield "no smile", list(map(keep_rest, clips, truth["onset_start"])), FPS
    yield "head turned by 30 degrees", [np.float32(clip @ yaw.T) for clip in clips], FPS
    yield "in pixels", [720 * clip for clip in clips], FPS


def keep_rest(clip, onset):
    """Return the frames before a smile, repeated forwards and backwards to the same length."""
    rest = clip[: max(int(onset), 5)]
    return np.resize(np.concatenate([rest, rest[::-1]]), clip.shape)


def measure_flags(n_clips, n_subjects, seed):
    """Return the share of flagged clips and the most frequent reason of each degradation."""
    train = make_smiles(n_clips, n_subjects=n_subjects, fps=FPS, random_state=seed)
    checker = DistributionChecker().fit(train.clips)
    options = {"n_subjects": n_subjects, "fps": FPS, "random_state": seed + 1000}
    cases = list(degrade(make_smiles(n_clips, **options)))
    cases.append(("jitter x 8", make_smiles(n_clips, jitter=0.06, **options).clips, FPS))
    cases.append(("jitter x 4", make_smiles(n_clips, jitter=0.03, **options).clips, FPS))
    cases.append(("missing 30 %", make_smiles(n_clips, missing_rate=0.3, **options).clips, FPS))
    records = []
    for name, clips, fps in cases:
        flags = checker.flags(check_clips(clips, fps=fps))
        reason = flags.mean().idxmax() if flags.to_numpy().any() else "none"
        records.append((name, flags.any(axis=1).mean(), reason))
    return records


def summarize(records, keys, values):
    """Print mean, minimum and maximum of values over repeats."""
    table = pd.DataFrame(records, columns=[*keys, *values])
    grouped = table.groupby(list(keys), sort=False)[list(values)]
    shown = grouped.agg(lambda v: f"{v.mean():.3f} ({v.min():.3f} to {v.max():.3f})")
    print(shown.reset_index().to_string(index=False), end="\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--subjects", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    start = time.perf_counter()
    sizes = options.clips, options.subjects
    repeats = [measure_probabilities(*sizes, seed) for seed in range(options.repeats)]
    print(f"{sizes[0]} training clips of {sizes[1]} subjects, {options.repeats} repeats\n")
    losses, errors = (list(chain(*parts)) for parts in zip(*repeats, strict=True))
    summarize(losses, ["probabilities"], ["log loss", "calibration error"])
    summarize(errors, ["answers", "wanted error"], ["error", "answered"])
    flags = [record for seed in range(options.repeats) for record in measure_flags(*sizes, seed)]
    table = pd.DataFrame(flags, columns=["done to clips", "flagged", "mostly as"])
    summarize(table[["done to clips", "flagged"]].to_numpy(), ["done to clips"], ["flagged"])
    print(table.groupby("done to clips", sort=False)["mostly as"].agg(lambda v: v.mode()[0]))
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
