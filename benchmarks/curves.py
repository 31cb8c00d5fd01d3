"""Measure the false positives and the coverage of SmileCurvesDisplay.

Run ``python benchmarks/curves.py``; it takes about ten minutes on one core. A large sample of
simulated people, whose classes do not differ, is measured once. Each draw selects some of these
people. Columns:

- ``paired``, ``unpaired``: share of draws in which the cluster test finds a difference at the 5 %
  level. In ``paired``, all people have clips of both classes. In ``unpaired``, one half of the
  people has clips of one class, and the other half has clips of the other class.
- ``band``: share of draws in which the 95 % band contains the mean of all people at all times.
"""

import warnings

import numpy as np
import pandas as pd
from common import read_options

from smilefusion.benchmark.stats._curves import cluster_test, simultaneous_band
from smilefusion.datasets import make_smiles
from smilefusion.inspection._curves import _RATE, _by_subject, _measure

TIMES = np.arange(-0.5, 2.0 + 1 / _RATE, 1 / _RATE)
SIZES = (10, 20, 40)


def measure_people(n_people, seed):
    """Return the mean curves of people in each class, (2, n_people, n_times)."""
    smiles = make_smiles(4 * n_people, n_subjects=n_people, effect=0, random_state=seed)
    curves, _ = _measure(smiles.clips, "lip", TIMES)
    means = [_by_subject(curves, smiles.groups, smiles.target == label) for label in (0, 1)]
    enough = [np.isfinite(each).mean(axis=0) >= 0.8 for each in means]
    complete = [np.isfinite(each).any(axis=1) for each in means]
    return np.array(means)[:, complete[0] & complete[1]][:, :, enough[0] & enough[1]]


def main():
    options = read_options(__doc__, n_people=500, n_draws=1000, n_resamples=400, seed=0)
    warnings.simplefilter("ignore")
    first, second = measure_people(options.n_people, options.seed)
    truth, rng = np.nanmean(first, axis=0), np.random.default_rng(options.seed)
    settings = {"n_resamples": options.n_resamples, "rng": rng}
    times = np.arange(first.shape[1]) / _RATE
    rows = {}
    for size in SIZES:
        found = {"paired": [], "unpaired": [], "band": []}
        for _ in range(options.n_draws):
            people = rng.choice(len(first), size, replace=False)
            ours, theirs = first[people], second[people]
            mean, low, high = simultaneous_band(ours, confidence=0.95, **settings)
            found["band"].append(((low <= truth) & (truth <= high))[np.isfinite(mean)].all())
            tests = {"paired": cluster_test(ours, theirs, times, **settings)}
            ours, theirs = ours.copy(), theirs.copy()
            ours[: size // 2], theirs[size // 2 :] = np.nan, np.nan
            tests["unpaired"] = cluster_test(ours, theirs, times, **settings)
            for name, clusters in tests.items():
                found[name].append((clusters["p_value"] < 0.05).any())
        rows[size] = {name: np.mean(values) for name, values in found.items()}
        error = np.sqrt(0.05 * 0.95 / options.n_draws)
    print(pd.DataFrame(rows).T.rename_axis("people").round(3).to_string())
    print(f"standard error of a share of 5 %: {error:.3f}")


if __name__ == "__main__":
    main()
