"""Scores of the same clips under several recording shifts."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from smilefusion.benchmark.stats._metrics import METRICS, ClipOutcomes
from smilefusion.benchmark.stats._protocol_labels import TABLE_KEYS, with_protocol
from smilefusion.benchmark.stats._scores import collect_outcomes, list_classes

AS_RECORDED = "as recorded"  # the reference among the shifts
SHIFT_METRICS = ("log_loss", "roc_auc", "balanced_accuracy")


def score_shifts(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score the predictions of a benchmark under recording shifts.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Result of `load_results` with ``shifts=True``.

    Returns
    -------
    scores : pandas.DataFrame
        One row per protocol, data set, estimator and shift: ``protocol``, ``dataset``,
        ``estimator``, ``shift``, and the scores and changes of `evaluate_shifts`, pooled over
        folds and repeats as in `score_predictions`. Balanced accuracy is that of the most probable
        class. If an estimator failed on some clips, its scores are NaN. `format_table` shows the
        changes in log loss.

    Raises
    ------
    ValueError
        If the table has no column ``shift``, or no predictions for the clips as recorded.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.dummy import DummyClassifier
    >>> from smilefusion.benchmark import load_results, run_benchmark, score_shifts
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(12, n_subjects=6, random_state=0)
    >>> models = {"prior": DummyClassifier()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     predictions = run_benchmark(models, smiles, cv=2, results=folder, shifts=True)
    ...     scores = score_shifts(load_results(folder, shifts=True))
    >>> float(scores["log_loss_change"].abs().max())
    0.0
    """
    if "shift" not in predictions or AS_RECORDED not in set(predictions["shift"]):
        raise ValueError(
            f"The predictions need a column 'shift' that contains {AS_RECORDED!r}. Pass the "
            "result of load_results(folder, shifts=True)."
        )
    tables = []
    for keys, records in with_protocol(predictions).groupby(list(TABLE_KEYS), sort=False):
        classes, groups = list_classes(records), np.unique(records["group"].to_numpy())
        for estimator, own in records.groupby("estimator", sort=False):
            outcomes = {
                str(name): _judge_probabilities(collect_outcomes(part, classes, groups))
                for name, part in own.groupby("shift", sort=False)
            }
            places = dict(zip((*TABLE_KEYS, "estimator"), (*keys, estimator), strict=True))
            table = measure_shifts(outcomes).reset_index()
            tables.append(pd.concat([pd.DataFrame(places, index=table.index), table], axis=1))
    return pd.concat(tables, ignore_index=True)


def measure_shifts(outcomes: Mapping[str, ClipOutcomes]) -> pd.DataFrame:
    """Return a row of scores per shift, and their changes from the clips as recorded."""
    scores = pd.DataFrame.from_dict(
        {name: _measure(each) for name, each in outcomes.items()}, orient="index"
    ).rename_axis("shift")
    changes = (scores - scores.loc[AS_RECORDED]).add_suffix("_change")
    ordered = [name for metric in SHIFT_METRICS for name in (metric, f"{metric}_change")]
    return scores.join(changes)[ordered]


def _judge_probabilities(outcomes: ClipOutcomes) -> ClipOutcomes:
    """Judge the most probable class, because no other prediction is stored for shifts."""
    return replace(outcomes, correct=outcomes.probability.argmax(axis=1) == outcomes.target)


def _measure(outcomes: ClipOutcomes) -> dict[str, float]:
    """Return the scores of one estimator under one shift."""
    if np.isnan(outcomes.probability).any():
        return dict.fromkeys(SHIFT_METRICS, np.nan)
    every = np.ones((1, outcomes.subject.max() + 1))
    return {metric: float(METRICS[metric](outcomes, every)[0]) for metric in SHIFT_METRICS}
