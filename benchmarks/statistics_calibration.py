"""Measure whether intervals cover the truth and tests keep their level, on simulated clips.

Run ``python benchmarks/statistics_calibration.py``; with the defaults it takes about
ten minutes on one core.

1. Coverage of the 95 % intervals, of each metric and of paired differences, where clips are
   clustered by subject. Of two estimators the second is better, and overconfident. Subjects
   have one to seven clips, half of each class on average; all clips of a subject share a tendency
   to look spontaneous and a difficulty, to which each estimator adds its own. The truth is that of
   very many subjects. Target: 92 to 98 %.
2. Share of false positives at the 5 % level where the estimators are alike. Tests over clips see
   the clips of 1; "clustered" and "independent" say whether subjects have several or one. Tests
   over folds see the cross-validation of two nearest-centroid classifiers, each of which has its
   own three features, all of one kind. Tests over blocks see scores of five estimators. Target: 3
   to 7 %; where few outcomes are possible or many pairs are tested, marked by *, tests may be more
   careful, and the rows in brackets are uses that the documentation warns of. The Bayesian test
   with an empty region of equivalence decides as the corrected t-test does.
"""

import argparse
import time
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import expit

from smilefusion.benchmark.stats._comparisons import measure_differences
from smilefusion.benchmark.stats._metrics import CLIP_SCORES, METRICS
from smilefusion.benchmark.stats._multiple_tests import adjust_holm, friedman_nemenyi_test
from smilefusion.benchmark.stats._paired_tests import (
    corrected_resampled_ttest,
    mcnemar_test,
    permutation_test,
)
from smilefusion.benchmark.stats._scores import collect_outcomes, measure_metric, subject_counts

MOST_CLIPS = 7  # of a subject
UNLIKE = {"weak": (1.0, 1.0), "strong": (1.4, 2.5)}  # signal, confidence


def simulate(estimators, n_subjects, rng, most_clips=MOST_CLIPS):
    """Return tidy predictions of estimators, given as name to signal and confidence."""
    subject = np.repeat(np.arange(n_subjects), rng.integers(1, most_clips + 1, n_subjects))
    target = rng.integers(0, 2, len(subject))
    side = 2 * target - 1
    tendency, ease = rng.normal(0, 0.7, (2, n_subjects))[:, subject]
    common = tendency + side * ease + rng.normal(0, 0.7, len(subject))
    parts = []
    for name, (signal, confidence) in estimators.items():
        tendency, ease = rng.normal(0, 0.6, (2, n_subjects))[:, subject]
        own = tendency + side * ease + rng.normal(0, 0.5, len(subject))
        probability = expit(confidence * (side * signal + common + own))
        columns = {
            "dataset": "simulated",
            "estimator": name,
            "repeat": 0,
            "fold": 0,
            "clip": np.arange(len(subject)),
            "group": subject,
            "target": target,
            "prediction": (probability > 0.5).astype(int),
            "probability_0": 1 - probability,
            "probability_1": probability,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def collect(predictions):
    """Return the outcomes of each estimator and the number of subjects."""
    groups = predictions["group"].unique()
    parts = predictions.groupby("estimator", sort=False)
    return [collect_outcomes(part, ["0", "1"], groups) for _, part in parts], len(groups)


def find_truths(n_subjects, rng):
    """Return the metrics of both estimators over very many subjects, (2, n_metrics)."""
    outcomes, _ = collect(simulate(UNLIKE, n_subjects, rng))
    counts = np.ones((1, n_subjects))
    return np.array(
        [[measure(each, counts)[0] for measure in METRICS.values()] for each in outcomes]
    )


def covers(ends, truth):
    """Return whether an interval holds the truth."""
    return ends[0] <= truth <= ends[1]


def measure_coverage(n_subjects, n_repetitions, n_resamples, truths, rng):
    """Print how often the intervals hold the truth, in per cent."""
    found = {}
    for seed in range(n_repetitions):
        outcomes, _ = collect(simulate(UNLIKE, n_subjects, rng))
        counts = subject_counts(n_subjects, n_resamples, seed)
        pair = dict(zip(UNLIKE, outcomes, strict=True))
        for i, metric in enumerate(METRICS):
            for name, each, truth in zip(UNLIKE, outcomes, truths[:, i], strict=True):
                ends = measure_metric(metric, each, counts, 0.95)[1:]
                found.setdefault((metric, name), []).append(covers(ends, truth))
            if metric in CLIP_SCORES:
                row = measure_differences(pair, [tuple(UNLIKE)], metric, n_subjects, 0.95)
                ends = row["difference_low"][0], row["difference_high"][0]
                hit = covers(ends, truths[0, i] - truths[1, i])
                found.setdefault((metric, "difference"), []).append(hit)
    for metric in METRICS:
        cells = [found.get((metric, name)) for name in (*UNLIKE, "difference")]
        texts = ["-" if cell is None else f"{100 * np.mean(cell):.1f}" for cell in cells]
        print(f"{n_subjects:8d}  {metric:20s}" + "".join(f"{text:>12s}" for text in texts))


def test_clips(n_subjects, most_clips, rng):
    """Return whether the tests over clips reject for two estimators that are alike."""
    alike = {"one": (1.2, 1.0), "other": (1.2, 1.0)}
    (one, other), _ = collect(simulate(alike, n_subjects, rng, most_clips))
    split = ((one.correct & ~other.correct).sum(), (other.correct & ~one.correct).sum())
    p_values = {
        f"McNemar, {m}": mcnemar_test(*split, method=m).p_value for m in ("exact", "mid-p")
    }
    differences = np.stack([score(one) - score(other) for score in CLIP_SCORES.values()], axis=1)
    p_permutation = permutation_test(differences, one.subject, random_state=rng.integers(2**31))
    p_values |= zip(
        (f"permutation, {metric}" for metric in CLIP_SCORES), p_permutation, strict=True
    )
    return {name: p_value <= 0.05 for name, p_value in p_values.items()}


def test_family(n_subjects, rng):
    """Return whether any of ten pairs of five estimators that are alike is found different."""
    alike = {str(i): (1.2, 1.0) for i in range(5)}
    outcomes, _ = collect(simulate(alike, n_subjects, rng))
    pairs = combinations((each.correct.astype(float) for each in outcomes), 2)
    differences = np.stack([one - other for one, other in pairs], axis=1)
    p_values = permutation_test(differences, outcomes[0].subject, random_state=rng.integers(2**31))
    return {"* permutation, Holm": adjust_holm(p_values).min() <= 0.05}


def test_blocks(n_blocks, rng):
    """Return whether Friedman's and Nemenyi's tests reject for five estimators that are alike."""
    scores = rng.normal(size=(n_blocks, 1)) + rng.normal(size=(n_blocks, 5))
    result = friedman_nemenyi_test(scores)
    return {"Friedman": result.p_value <= 0.05, "* Nemenyi": result.pair_p_values.min() <= 0.05}


def test_folds(n_subjects, n_folds, n_repeats, rng):
    """Return whether the corrected t-test rejects for two classifiers that are alike."""
    subject = np.repeat(np.arange(n_subjects), 3)
    target = rng.integers(0, 2, len(subject))
    noise = rng.normal(size=(n_subjects, 6))[subject] / 2 + rng.normal(size=(len(subject), 6))
    features = (0.4 * (2 * target - 1)[:, None] + noise).reshape(-1, 2, 3)
    differences = []
    for _ in range(n_repeats):
        fold = (rng.permutation(n_subjects) % n_folds)[subject]
        for test in (fold == k for k in range(n_folds)):
            train = features[~test], target[~test]
            centres = [train[0][train[1] == k].mean(axis=0) for k in (0, 1)]
            slope, middle = centres[1] - centres[0], (centres[1] + centres[0]) / 2
            guesses = ((features[test] - middle) * slope).sum(axis=2) > 0
            hits = guesses == target[test, None]
            differences.append(hits[:, 0].mean() - hits[:, 1].mean())
    p_value = corrected_resampled_ttest(differences, test_share=1 / n_folds).p_value
    return {"corrected t-test": p_value <= 0.05}


def measure_level(title, test, n_repetitions):
    """Print how often tests reject, in per cent."""
    rejected = pd.DataFrame([test() for _ in range(n_repetitions)]).mean()
    for name, share in rejected.items():
        warned = name.startswith("McNemar") and "clustered" in title
        label = f"({title}: {name})" if warned else f"{title}: {name}"
        print(f"{label:68s}{100 * share:6.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-subjects", type=int, nargs="+", default=[20, 60, 200])
    parser.add_argument("--n-repetitions", type=int, default=200, help="of the intervals")
    parser.add_argument("--n-tests", type=int, default=2000, help="repetitions of the tests")
    parser.add_argument("--n-resamples", type=int, default=2000)
    parser.add_argument("--n-many", type=int, default=100_000, help="subjects of the truth")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    print(f"1. Coverage of 95 % intervals in {arguments.n_repetitions} repetitions, %")
    print(
        f"{'subjects':8s}  {'metric':20s}" + "".join(f"{n:>12s}" for n in (*UNLIKE, "difference"))
    )
    truths = find_truths(arguments.n_many, rng)
    for n_subjects in arguments.n_subjects:
        sizes = arguments.n_repetitions, arguments.n_resamples
        measure_coverage(n_subjects, *sizes, truths, rng)
    print(f"\n2. False positives at the 5 % level in {arguments.n_tests} repetitions, %")
    tests = {
        "independent, 1240 clips": partial(test_clips, 1240, 1),
        "clustered, 300 subjects": partial(test_clips, 300, MOST_CLIPS),
        "clustered, 80 subjects": partial(test_clips, 80, MOST_CLIPS),
        "* clustered, 10 subjects": partial(test_clips, 10, MOST_CLIPS),
        "clustered, 80 subjects, 10 pairs": partial(test_family, 80),
        "14 blocks, 5 estimators": partial(test_blocks, 14),
        "100 blocks, 5 estimators": partial(test_blocks, 100),
        "10 x 10 folds, 60 subjects": partial(test_folds, 60, 10, 10),
        "5 x 5 folds, 60 subjects": partial(test_folds, 60, 5, 5),
        "* 1 x 10 folds, 60 subjects": partial(test_folds, 60, 10, 1),
    }
    for title, test in tests.items():
        measure_level(title, partial(test, rng=rng), arguments.n_tests)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
