"""Compare all pairs of estimators on the same clips: differences and tests."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from smilefusion._messages import count
from smilefusion.benchmark.stats._intervals import jackknife_interval
from smilefusion.benchmark.stats._metrics import CLIP_SCORES, LOSSES, METRICS, ClipOutcomes
from smilefusion.benchmark.stats._multiple_tests import adjust_holm, smallest_detectable_difference
from smilefusion.benchmark.stats._paired_tests import (
    PosteriorResult,
    corrected_resampled_ttest,
    correlated_bayesian_ttest,
    mcnemar_test,
    permutation_test,
    sum_within,
)
from smilefusion.benchmark.stats._protocol_labels import TABLE_KEYS, table_title, with_protocol
from smilefusion.benchmark.stats._scores import (
    check_confidence,
    check_predictions,
    collect_outcomes,
    list_classes,
)

_Outcomes = dict[str, ClipOutcomes]
_Pairs = list[tuple[str, str]]


def compare(
    predictions: pd.DataFrame,
    *,
    reference: str | None = None,
    metric: str = "balanced_accuracy",
    rope: float = 0.01,
    confidence: float = 0.95,
    n_permutations: int = 9999,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Compare estimators pair by pair on the same clips.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Tidy predictions of two or more estimators, as returned by `run_benchmark`. Pairs are
        compared within a protocol and data set. Without a column ``protocol``, the protocol is
        "honest".
    reference : str or None, default=None
        Estimator that all others are compared with; None compares all pairs.
    metric : {"balanced_accuracy", "accuracy", "log_loss", "brier_score"}, \
default="balanced_accuracy"
        Metric to compare. It must be a mean over clips, so that clips can be exchanged between
        estimators.
    rope : float, default=0.01
        Half the width of the region of practical equivalence, in units of the metric. Smaller
        differences do not matter.
    confidence : float, default=0.95
        Coverage of the intervals. The probability of a wrong verdict among all pairs of a
        protocol and data set is at most 1 − `confidence`.
    n_permutations : int, default=9999
        Number of sign patterns of the permutation test. Many pairs need more patterns, because
        Holm's correction multiplies the smallest p value by the number of pairs.
    random_state : int, RandomState instance or None, default=0
        Seed of the permutations.

    Returns
    -------
    comparison : pandas.DataFrame
        One row per protocol, data set and pair, with the columns

        - ``protocol``, ``dataset``, ``first``, ``second``: the pair; ``second`` is the
          reference, if any;
        - ``difference``, ``difference_low``, ``difference_high``: metric of the first minus that
          of the second, with its interval clustered by subject;
        - ``p_permutation``: `permutation_test` over subjects; ``p_holm``: the same, adjusted for
          all pairs of its protocol and data set by `adjust_holm`;
        - ``p_mcnemar``: `mcnemar_test` (mid-p) of accuracy for every metric, which assumes
          independent clips; with several repeats, the estimator that is correct more often on a
          clip wins it;
        - ``p_resampled``: `corrected_resampled_ttest` over folds and repeats, NaN if no repeat
          has two folds;
        - ``effect_size``: mean over subjects of their summed differences, divided by the
          standard deviation (Cohen's d of paired samples), 0 if they never differ;
        - ``probability_first``, ``probability_equivalent``, ``probability_second``:
          `correlated_bayesian_ttest` over folds and repeats: probability that the first is
          better by more than `rope`, neither is, or the second is; NaN as above;
        - ``verdict``: "first better" or "second better" if ``p_holm`` is at most
          1 − `confidence`; otherwise "equivalent" if the interval is within ±`rope`; otherwise
          "undecided".

        ``comparison.attrs["remarks"]`` has a sentence per protocol and data set about the
        smallest difference that can be significant.

    Raises
    ------
    ValueError
        If estimators failed or were tested on different clips or folds, there is only one, the
        reference or the metric is unknown, or the predictions cannot be scored, see
        `score_predictions`.

    Notes
    -----
    Let s_A(i) be a score of clip i whose mean over clips is the metric. All tests use the
    differences s_A(i) − s_B(i). For balanced accuracy, the score of a hit is n / (K n_k) for a
    clip of class k, with K classes and n_k of n clips. The tests over folds assume a test share of
    1 / n_folds, that is, training on all other clips.

    The interval of a difference is Student's t interval with the standard error of the jackknife
    over subjects, which accounts for similar clips of one subject [1]_. Its degrees of freedom
    are G* - 1 with the effective number of subjects G* = (Σ m_i²)² / Σ m_i⁴, where subject i has
    m_i clips [2]_. It is symmetric because equal estimators can be exchanged. Skewness estimated
    from a few subjects is too unreliable to correct for.

    References
    ----------
    .. [1] B. E. Hansen, "Jackknife standard errors for clustered regression", working paper,
       University of Wisconsin, 2022.
    .. [2] A. V. Carter, K. T. Schnepel and D. G. Steigerwald, "Asymptotic behavior of a t-test
       robust to cluster heterogeneity", Review of Economics and Statistics 99(4), 2017.

    Examples
    --------
    >>> import pandas as pd
    >>> from smilefusion.benchmark import compare
    >>> target = [0, 1] * 10
    >>> rows = {"dataset": "toy", "repeat": 0, "fold": [i // 4 for i in range(20)],
    ...     "clip": range(20), "group": range(20), "target": target}
    >>> guesses = {"perfect": target, "half": [0, 1, 1, 0] * 5}
    >>> predictions = pd.concat([
    ...     pd.DataFrame({**rows, "estimator": name, "prediction": guess,
    ...         "probability_0": [0.9 - 0.8 * g for g in guess],
    ...         "probability_1": [0.1 + 0.8 * g for g in guess]})
    ...     for name, guess in guesses.items()
    ... ])
    >>> comparison = compare(predictions)
    >>> comparison[["first", "second", "difference", "verdict"]]
         first second  difference       verdict
    0  perfect   half         0.5  first better
    """
    check_confidence(confidence)
    predictions = with_protocol(predictions)
    check_predictions(predictions)
    _check_parameters(metric, rope)
    permutations = {"n_permutations": n_permutations, "random_state": random_state}
    tables, remarks = [], []
    grouped: Any = predictions.groupby(list(TABLE_KEYS), sort=False)
    for (protocol, dataset), records in grouped:
        parts = _align(dataset, records)
        pairs = _list_pairs(dataset, list(parts), reference)
        _check_permutations(len(pairs), n_permutations, confidence)
        groups = np.unique(records["group"].to_numpy())
        classes = list_classes(records)
        outcomes = {name: collect_outcomes(part, classes, groups) for name, part in parts.items()}
        clips = parts[pairs[0][0]]["clip"].factorize()[0]
        table = pd.DataFrame(pairs, columns=["first", "second"]).assign(
            **measure_differences(outcomes, pairs, metric, len(groups), confidence),
            **_clip_tests(outcomes, clips, pairs, metric, **permutations),
            **_fold_tests(outcomes, records["repeat"].nunique(), pairs, metric, rope),
        )
        table.insert(0, "dataset", dataset)
        table.insert(0, "protocol", protocol)
        table["verdict"] = _verdicts(table, metric, rope, 1 - confidence)
        tables.append(table)
        title = table_title(protocol, dataset)
        remarks.append(_remark(title, records, len(pairs), 1 - confidence))
    comparison = pd.concat(tables, ignore_index=True)
    comparison.attrs.update(metric=metric, confidence=confidence, remarks=remarks)
    return comparison


def measure_differences(
    outcomes: _Outcomes, pairs: _Pairs, metric: str, n_subjects: int, confidence: float
) -> dict[str, list[float]]:
    """Return the columns of the differences and their intervals."""
    counts = np.vstack([np.ones(n_subjects), 1 - np.eye(n_subjects)])
    scores = {name: METRICS[metric](outcome, counts) for name, outcome in outcomes.items()}
    differences = [scores[first] - scores[second] for first, second in pairs]
    sizes = np.bincount(outcomes[pairs[0][0]].subject)
    ends = [jackknife_interval(each[0], each[1:], sizes, confidence) for each in differences]
    return {
        "difference": [each[0] for each in differences],
        "difference_low": [low for low, _ in ends],
        "difference_high": [high for _, high in ends],
    }


def _clip_tests(
    outcomes: _Outcomes, clips: np.ndarray, pairs: _Pairs, metric: str, **permutations: Any
) -> dict[str, Any]:
    """Return the columns of the tests over clips and subjects."""
    subjects = outcomes[pairs[0][0]].subject
    sums = sum_within(_differences(outcomes, pairs, metric), subjects)
    p_values = permutation_test(sums, np.arange(len(sums)), **permutations)
    wins = sum_within(_differences(outcomes, pairs, "accuracy"), clips)
    return {
        "p_permutation": p_values,
        "p_holm": adjust_holm(p_values),
        "p_mcnemar": [mcnemar_test((w > 0).sum(), (w < 0).sum()).p_value for w in wins.T],
        "effect_size": [_effect_size(column) for column in sums.T],
    }


def _fold_tests(
    outcomes: _Outcomes, n_repeats: int, pairs: _Pairs, metric: str, rope: float
) -> dict[str, Any]:
    """Return the columns of the tests over folds and repeats, NaN if no repeat has two folds."""
    names = ["p_resampled", *(f"probability_{field}" for field in PosteriorResult._fields)]
    cells = outcomes[pairs[0][0]].cell
    n_cells = cells.max() + 1
    if n_cells == n_repeats:
        return dict.fromkeys(names, np.nan)
    test_share = n_repeats / n_cells
    sums = sum_within(_differences(outcomes, pairs, metric), cells)
    rows = []
    for means in (sums / np.bincount(cells)[:, None]).T:
        gains = -means if metric in LOSSES else means
        p_value = corrected_resampled_ttest(gains, test_share=test_share).p_value
        posterior = correlated_bayesian_ttest(gains, test_share=test_share, rope=rope)
        rows.append((p_value, *posterior))
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _differences(
    outcomes: dict[str, ClipOutcomes], pairs: list[tuple[str, str]], metric: str
) -> np.ndarray:
    """Return the differences of the pairs' clip scores, (n_clips, n_pairs)."""
    scores = {name: CLIP_SCORES[metric](outcome) for name, outcome in outcomes.items()}
    return np.stack([scores[first] - scores[second] for first, second in pairs], axis=1)


def _effect_size(sums: np.ndarray) -> float:
    """Return the mean of the subjects' sums in units of their standard deviation."""
    if np.ptp(sums) == 0:
        return 0.0 if sums[0] == 0 else float(np.copysign(np.inf, sums[0]))
    return sums.mean() / sums.std(ddof=1)


def _verdicts(table: pd.DataFrame, metric: str, rope: float, alpha: float) -> np.ndarray:
    """Return the verdict for each pair."""
    first_better = (table["difference"] < 0) == (metric in LOSSES)
    equivalent = (table["difference_low"] >= -rope) & (table["difference_high"] <= rope)
    significant = table["p_holm"] <= alpha
    return np.select(
        [significant & first_better, significant, equivalent],
        ["first better", "second better", "equivalent"],
        "undecided",
    )


def _remark(title: str, records: pd.DataFrame, n_pairs: int, alpha: float) -> str:
    """Describe the smallest difference in accuracy that can be significant."""
    n_clips, n_groups = records["clip"].nunique(), records["group"].nunique()
    share = smallest_detectable_difference(n_groups, alpha=alpha, n_pairs=n_pairs, method="exact")
    size = (
        f"{title}: {n_clips} clips of {n_groups} subjects; with {count(n_pairs, 'pair')} compared"
    )
    if not np.isfinite(share):
        return f"{size}, no difference can be significant."
    points = 100 * share * n_groups / n_clips
    return f"{size}, no difference in accuracy below {points:.2g} points can be significant."


def _align(dataset: str, records: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the predictions of each estimator, all in the same order of repeats and clips."""
    order = records.groupby(["repeat", "clip"], sort=False).ngroup().argsort(kind="stable")
    grouped = records.iloc[order.to_numpy()].groupby("estimator", sort=False)
    parts = {name: grouped.get_group(name) for name in records["estimator"].unique()}
    base_name, base = next(iter(parts.items()))
    for name, part in parts.items():
        n_missing = part["prediction"].isna().sum()
        if n_missing:
            raise ValueError(
                f"Estimator {name!r} failed on {n_missing} of {len(part)} predictions on "
                f"{dataset!r}, but pairs are compared on the same clips. Rerun or remove it."
            )
        for column in ("fold", "group", "target"):
            differs = part[column].to_numpy() != base[column].to_numpy()
            if differs.any():
                clip = part["clip"].to_numpy()[differs][0]
                raise ValueError(
                    f"Clip {clip!r} of {dataset!r} has a different {column} for estimator "
                    f"{name!r} than for {base_name!r}, but pairs are compared "
                    "on the same clips and folds. Run both in one call to run_benchmark."
                )
    return parts


def _list_pairs(dataset: str, names: list[str], reference: str | None) -> list[tuple[str, str]]:
    """Return all pairs of names, or the pairs with the reference."""
    if reference is not None and reference not in names:
        raise ValueError(
            f"reference must be one of the estimators on {dataset!r}, {names}; got {reference!r}."
        )
    if len(names) < 2:
        raise ValueError(
            f"The predictions on {dataset!r} come from one estimator, {names[0]!r}, but a "
            "comparison needs two. Run both in one call to run_benchmark."
        )
    if reference is None:
        return list(combinations(names, 2))
    return [(name, reference) for name in names if name != reference]


def _check_parameters(metric: str, rope: float) -> None:
    """Raise if metric or region of equivalence cannot be used."""
    if metric not in CLIP_SCORES:
        raise ValueError(
            f"metric must be a mean over clips, one of {list(CLIP_SCORES)}; got {metric!r}. "
            "Use score_predictions for intervals of other metrics."
        )
    if not rope >= 0:
        raise ValueError(f"rope must be 0 or more, in units of the metric; got {rope!r}.")


def _check_permutations(n_pairs: int, n_permutations: int, confidence: float) -> None:
    """Raise if no permutation test can be significant after Holm's correction."""
    needed = int(np.ceil(n_pairs / (1 - confidence)))
    if n_permutations < needed:
        raise ValueError(
            f"n_permutations={n_permutations} cannot make any of {n_pairs} pairs significant at "
            f"confidence={confidence}. Set it to at least {needed}."
        )
