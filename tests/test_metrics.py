"""Metrics of bootstrap draws, which count subjects instead of repeating their clips."""

import numpy as np
import pytest
from predictions import make_predictions

from smilefusion.benchmark.stats._metrics import METRICS
from smilefusion.benchmark.stats._scores import collect_outcomes, subject_counts


def collect(predictions):
    classes = [name.removeprefix("probability_") for name in predictions.filter(like="probab")]
    return collect_outcomes(predictions, classes, np.unique(predictions["group"]))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", sorted(set(METRICS) - {"calibration_error"}))
def test_metrics_of_draws_equal_those_of_repeated_rows(metric, n_classes):
    predictions = make_predictions({"model": 1.2}, 12, n_classes=n_classes, n_folds=2)
    counts = subject_counts(12, 20, 3)
    drawn = METRICS[metric](collect(predictions), counts)
    for value, weights in zip(drawn, counts.astype(int), strict=True):
        sample = predictions.loc[predictions.index.repeat(weights[predictions["group"]])]
        assert value == pytest.approx(METRICS[metric](collect(sample), np.ones((1, 12)))[0])
