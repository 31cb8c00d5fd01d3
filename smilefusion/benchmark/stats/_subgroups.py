"""Scores of groups of people, such as women and men, and the largest gap between groups."""

from typing import Any

import numpy as np
import pandas as pd

from smilefusion._messages import count, printable
from smilefusion.benchmark.stats._intervals import logit_interval
from smilefusion.benchmark.stats._metrics import METRICS, SELECTIVE_METRICS, ClipOutcomes
from smilefusion.benchmark.stats._protocol_labels import TABLE_KEYS, table_title, with_protocol
from smilefusion.benchmark.stats._scores import (
    REQUIRED_COLUMNS,
    check_bootstrap,
    check_predictions,
    collect_outcomes,
    find_abstentions,
    list_classes,
    measure_metric,
    subject_counts,
)

METADATA_PREFIX = "metadata_"
FEWEST_PEOPLE = 10  # of a group with an interval; benchmarks/subgroups.py measures the coverage
MOST_SUBGROUPS = 10
TOO_FEW = "too few people to tell"
LARGEST_GAP = "largest gap"
# A column of the metadata may have the same name.
_RESULT_COLUMNS = (*REQUIRED_COLUMNS, "protocol", "fit_seconds", "predict_seconds", "epoch")
# The calibration error depends on the number of clips, so it differs between groups of different
# size even if the model is equally good for them.
_METRICS = ("balanced_accuracy", "roc_auc", "log_loss", "accuracy")


def score_subgroups(
    predictions: pd.DataFrame,
    by: str,
    *,
    n_resamples: int,
    confidence: float,
    random_state: int | np.random.RandomState | None,
) -> pd.DataFrame:
    """Return scores by group of people and the largest gaps, see `summarize`."""
    check_bootstrap(n_resamples, confidence)
    predictions = with_protocol(predictions).reset_index(drop=True)
    check_predictions(predictions)
    labels = _label_clips(predictions, by)
    metrics = [*_METRICS, *(SELECTIVE_METRICS if find_abstentions(predictions).any() else ())]
    tables, remarks = [], []
    grouped: Any = predictions.groupby(list(TABLE_KEYS), sort=False)
    for (protocol, dataset), records in grouped:
        own = labels[records.index].cat.remove_unused_categories()
        if own.isna().all():
            continue  # the column has values only in other data sets
        _check_subgroups(records.assign(label=own), by)
        n_left_out = records.loc[own.isna(), "clip"].nunique()
        if n_left_out:
            clips = count(n_left_out, "clip")
            remarks.append(
                f"{table_title(protocol, dataset)}: {clips} without a value of {by!r} excluded."
            )
        classes = list_classes(records)
        for estimator, part in records.groupby("estimator", sort=False):
            parts = {name: part[own[part.index] == name] for name in own.cat.categories}
            table = _score_parts(parts, metrics, classes, n_resamples, confidence, random_state)
            places = (protocol, dataset, estimator, by)
            for place, name in enumerate((*TABLE_KEYS, "estimator", "by")):
                table.insert(place, name, places[place])
            tables.append(table)
    scores = pd.concat(tables, ignore_index=True)
    scores.attrs |= {"confidence": confidence, "remarks": remarks}
    return scores


def list_metadata(predictions: pd.DataFrame) -> list[str]:
    """Return the names of the metadata columns that are not empty."""
    return [
        str(name).removeprefix(METADATA_PREFIX)
        for name in predictions
        if str(name).startswith(METADATA_PREFIX) and to_texts(predictions[name]).notna().any()
    ]


def to_texts(values: pd.Series) -> pd.Series:
    """Return values as text, NaN if missing or blank; whole numbers have no decimals."""
    texts = values.astype(object).map(_to_text, na_action="ignore")
    return texts.where(texts != "")


def _to_text(value: Any) -> str:
    """Return a value as text."""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value).strip()


def _label_clips(predictions: pd.DataFrame, by: str) -> pd.Series:
    """Return the group of each row as a categorical in a sensible order, NaN if unknown."""
    is_own = by in predictions and by not in _RESULT_COLUMNS
    column = by if is_own else f"{METADATA_PREFIX}{by}"
    if column not in predictions:
        raise ValueError(
            f"by must be a metadata column of the predictions, {list_metadata(predictions)}; got "
            f"{by!r}. Add it to the metadata of the data, or to the predictions."
        )
    values = predictions[column]
    texts = to_texts(values)
    if texts.isna().all():
        raise ValueError(
            f"The column {by!r} has no values, so there are no groups. Choose another column."
        )
    ordered = pd.Series(pd.Categorical(values).categories)  # sorted, or in the order of the bins
    names = to_texts(ordered).dropna().unique()
    return pd.Series(pd.Categorical(texts, categories=names), index=predictions.index)


def _check_subgroups(records: pd.DataFrame, by: str) -> None:
    """Raise if there are too many groups, only one, or one with a single person."""
    dataset = records["dataset"].iloc[0]
    n_people = records.groupby("label", observed=True)["group"].nunique()
    if len(n_people) > MOST_SUBGROUPS:
        raise ValueError(
            f"The column {by!r} has {len(n_people)} different values on {dataset!r}, but at most "
            f"{MOST_SUBGROUPS} groups can be compared. Merge values, or bin numbers with "
            "pandas.cut."
        )
    if len(n_people) == 1:
        raise ValueError(
            f"All clips of {dataset!r} have the value {printable(n_people.index[0])!r} in the "
            f"column {by!r}, so there are no groups to compare. Choose another column."
        )
    if n_people.min() == 1:
        raise ValueError(
            f"The group {printable(n_people.idxmin())!r} of the column {by!r} has one person on "
            f"{dataset!r}, but each group needs at least two. Merge it with another group, or "
            "remove its clips."
        )


def _score_parts(
    parts: dict[str, pd.DataFrame],
    metrics: list[str],
    classes: list[str],
    n_resamples: int,
    confidence: float,
    random_state: int | np.random.RandomState | None,
) -> pd.DataFrame:
    """Return one estimator's scores: a row for each group, and a row for the largest gaps."""
    rows = []
    people = {name: np.unique(part["group"].to_numpy()) for name, part in parts.items()}
    compared = {name: part for name, part in parts.items() if len(people[name]) >= FEWEST_PEOPLE}
    n_pairs = max(len(compared) * (len(compared) - 1) // 2, 1)
    wide: dict[str, list] = {metric: [] for metric in metrics}
    for name, part in parts.items():
        row = {
            "subgroup": name,
            "n_clips": part["clip"].nunique(),
            "n_subjects": len(people[name]),
        }
        outcomes = collect_outcomes(part, classes, people[name])
        counts = subject_counts(len(people[name]), n_resamples, random_state)
        for metric in metrics:
            score, *ends = _measure(metric, outcomes, counts, confidence)
            if name in compared:
                # Bonferroni's correction for choosing one of these pairs.
                level = 1 - (1 - confidence) / n_pairs
                wide[metric].append(_measure(metric, outcomes, counts, level))
            else:
                ends = [np.nan, np.nan]
            row |= _name_ends(metric, (score, *ends))
        rows.append(row)
    every = pd.concat(list(compared.values()) or [part.iloc[:0]])
    row = {
        "subgroup": LARGEST_GAP,
        "n_clips": every["clip"].nunique(),
        "n_subjects": every["group"].nunique(),
    }
    for metric in metrics:
        row |= _name_ends(metric, _find_largest_gap(np.array(wide[metric]).reshape(-1, 3)))
    return pd.DataFrame([*rows, row])


def _name_ends(metric: str, values: tuple[float, ...]) -> dict[str, float]:
    """Return a score and the ends of its interval by column name."""
    return dict(zip((metric, f"{metric}_low", f"{metric}_high"), values, strict=True))


def _measure(
    metric: str, outcomes: ClipOutcomes, counts: np.ndarray, confidence: float
) -> tuple[float, float, float]:
    """Return a metric of one group and its interval."""
    if np.isnan(outcomes.probability).any():
        return np.nan, np.nan, np.nan
    if metric == "log_loss":
        return measure_metric(metric, outcomes, counts, confidence)
    n_subjects = counts.shape[1]
    score, *left_out = (METRICS | SELECTIVE_METRICS)[metric](
        outcomes, counts[[0, *range(-n_subjects, 0)]]
    )
    return score, *logit_interval(score, np.array(left_out), confidence)


def _find_largest_gap(scores: np.ndarray) -> tuple[float, float, float]:
    """Return the highest minus the lowest of scores with ends (n, 3), and its interval."""
    scores = scores[~np.isnan(scores[:, 0])]
    if len(scores) < 2:
        return np.nan, np.nan, np.nan
    order = np.argsort(scores[:, 0], kind="stable")
    (a, low_a, high_a), (b, low_b, high_b) = scores[order[[-1, 0]]]
    # Zou and Donner 2008: use the distances to the ends instead of standard errors.
    return a - b, a - b - np.hypot(a - low_a, high_b - b), a - b + np.hypot(high_a - a, b - low_b)
