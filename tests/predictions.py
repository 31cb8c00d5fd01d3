"""Tables of predictions as `run_benchmark` returns them, without any training."""

import numpy as np
import pandas as pd

STRENGTHS = {"strong": 4.0, "weak": 1.0, "coin": 0.0}


def make_predictions(
    strengths=STRENGTHS,
    n_groups=20,
    per_group=4,
    *,
    n_folds=5,
    n_repeats=1,
    n_classes=2,
    failed=(),
    **columns,
):
    """Return predictions of estimators with logits of a strength; those of `failed` are NaN."""
    n_clips = n_groups * per_group
    group, target = np.repeat(np.arange(n_groups), per_group), np.arange(n_clips) % n_classes
    parts = []
    for repeat in range(n_repeats):
        for i, (name, strength) in enumerate(strengths.items()):
            noise = np.random.default_rng([i, repeat]).normal(size=(n_clips, n_classes))
            logits = noise / np.sqrt(2) + strength * np.eye(n_classes)[target]
            probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            if name in failed:
                probability[:] = np.nan
            table = {
                "dataset": "toy",
                "estimator": name,
                "repeat": repeat,
                "fold": (group + repeat * (group // n_folds)) % n_folds,
                "clip": [f"clip_{k:03d}" for k in range(n_clips)],
                "group": group,
                "target": target,
                "prediction": probability.argmax(axis=1),
                **{f"probability_{k}": probability[:, k] for k in range(n_classes)},
                "fit_seconds": 1.0,
                "n_parameters": 1.0,
                "n_train": 60,
            }
            parts.append(pd.DataFrame(table | columns))
    return pd.concat(parts, ignore_index=True)


def both_protocols(**options):
    """Return the same estimators under the honest and, with better scores, the published one."""
    honest = make_predictions(**options)
    published = make_predictions({"strong": 9.0, "weak": 3.0, "coin": 1.0}, **options)
    return pd.concat([honest.assign(protocol="honest"), published.assign(protocol="published")])
