"""Measure how landmark noise affects phases, D-Markers and a classifier that uses them.

Run ``python benchmarks/dmarker_noise.py``; the defaults take a few minutes. All levels of jitter
use the same smiles, so each D-Marker is compared with its value without jitter, missing frames and
head motion. Phase errors are relative to the simulator's truth.
"""

import time

import numpy as np
import pandas as pd
from common import read_options
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers._descriptors import DESCRIPTORS

LIMITS = ("onset_start", "apex_start", "offset_start", "offset_end")
KINDS = {"s": "duration", "1": "ratio", "D": "amplitude", "D/s": "speed", "D/s^2": "acceleration"}


def film(jitter, options, fps):
    """Return the same smiles at a level of jitter; 0 also removes gaps and head motion."""
    still = {} if jitter else {"missing_rate": 0.0, "head_motion": 0.0}
    return make_smiles(
        options.n_clips,
        n_subjects=options.n_clips // 4,
        fps=fps,
        jitter=jitter,
        random_state=options.seed,
        **still,
    )


def correlate(features, reference):
    """Return the rank correlation of each D-Marker with its value without noise."""
    rows = []
    names = DMarkerTransformer().get_feature_names_out()
    kinds = {descriptor.name: KINDS[descriptor.unit] for descriptor in DESCRIPTORS}
    for name, noisy, clean in zip(names, features.T, reference.T, strict=True):
        both = np.isfinite(noisy) & np.isfinite(clean)
        signal, phase, descriptor = name.split("__")
        rho = spearmanr(noisy[both], clean[both]).statistic
        rows.append((signal, phase, kinds[descriptor], descriptor, rho))
    return pd.DataFrame(rows, columns=["signal", "phase", "kind", "descriptor", "correlation"])


def measure_phases(phases, truth):
    """Return the median and 90 % quantile of the error of each limit (ms), and the share found."""
    row = {}
    for name in LIMITS:
        error = 1000 * (phases[f"{name}_s"] - truth[f"{name}_s"]).abs()
        row |= {
            f"{name} 50 %": error.median(),
            f"{name} 90 %": error.quantile(0.9),
            f"{name} found": error.notna().mean(),
        }
    return row


def classify(train, test, data):
    """Return AUC and log loss of logistic regression under ten subject-disjoint folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    folds = StratifiedGroupKFold(10, shuffle=True, random_state=0)
    probability = np.empty(len(data.target))
    for known, new in folds.split(train, data.target, data.groups):
        model.fit(train[known], data.target[known])
        probability[new] = model.predict_proba(test[new])[:, 1]
    return roc_auc_score(data.target, probability), log_loss(data.target, probability)


def compare(fps, options):
    """Return tables of correlations, phase errors and scores, one row per level of jitter."""
    transformer = DMarkerTransformer(missing_phase="nan", smoothing=options.smoothing or None)
    reference = transformer.transform(film(0.0, options, fps).clips)
    correlations, errors, scores, least = {}, {}, {}, None
    for jitter in options.jitter:
        data = film(jitter, options, fps)
        start = time.perf_counter()
        features = transformer.transform(data.clips)
        elapsed = time.perf_counter() - start
        correlations[jitter] = correlate(features, reference)
        errors[jitter] = measure_phases(transformer.phases(data.clips), data.truth)
        table = np.nan_to_num(features)
        least = table if least is None else least
        auc, loss = classify(table, table, data)
        other_auc, other_loss = classify(least, table, data)
        scores[jitter] = {
            "AUC": auc,
            "log loss": loss,
            "AUC, trained at lowest jitter": other_auc,
            "log loss, trained at lowest jitter": other_loss,
            "ms per clip": 1000 * elapsed / len(data.clips),
        }
    return pd.concat(correlations, names=["jitter"]), pd.DataFrame(errors), pd.DataFrame(scores)


def main():
    options = read_options(
        __doc__,
        n_clips=600,
        fps=(25.0, 50.0),
        jitter=(0.0075, 0.03, 0.05, 0.1, 0.15),
        smoothing="savgol",
        seed=0,
    )
    for fps in options.fps:
        correlations, errors, scores = compare(fps, options)
        print(f"\n{fps:g} frames per second: median rank correlation with noise-free D-Markers")
        for by in (["kind"], ["signal"], ["signal", "kind"]):
            median = correlations.groupby(["jitter", *by])["correlation"].median()
            print(median.unstack("jitter").round(2).to_string())
        print("\nerrors of the limits of the phases (ms), and share found")
        print(errors.T.round(2).T.to_string())
        print("\nlogistic regression, ten subject-disjoint folds, and time")
        print(scores.round(3).to_string())


if __name__ == "__main__":
    main()
