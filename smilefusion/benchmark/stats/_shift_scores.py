"""Scores of the same clips under several recording shifts."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from smilefusion.benchmark.stats._metrics import METRICS, ClipOutcomes

AS_RECORDED = "as recorded"  # the reference among the shifts
SHIFT_METRICS = ("log_loss", "roc_auc", "balanced_accuracy")


def measure_shifts(outcomes: Mapping[str, ClipOutcomes]) -> pd.DataFrame:
    """Return a row of scores per shift, and their changes from the clips as recorded."""
    scores = pd.DataFrame.from_dict(
        {name: _measure(each) for name, each in outcomes.items()}, orient="index"
    ).rename_axis("shift")
    changes = (scores - scores.loc[AS_RECORDED]).add_suffix("_change")
    ordered = [name for metric in SHIFT_METRICS for name in (metric, f"{metric}_change")]
    return scores.join(changes)[ordered]


def _measure(outcomes: ClipOutcomes) -> dict[str, float]:
    """Return the scores of one estimator under one shift."""
    if np.isnan(outcomes.probability).any():
        return dict.fromkeys(SHIFT_METRICS, np.nan)
    every = np.ones((1, outcomes.subject.max() + 1))
    return {metric: float(METRICS[metric](outcomes, every)[0]) for metric in SHIFT_METRICS}
