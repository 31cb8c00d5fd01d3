"""Tables of benchmark results: scores with intervals, as a frame and as text."""

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd

from smilefusion.benchmark.stats._metrics import LOSSES, SELECTIVE_METRICS
from smilefusion.benchmark.stats._protocol_labels import (
    HONEST,
    TABLE_KEYS,
    protocol_label,
    protocol_remarks,
    table_title,
    with_protocol,
)
from smilefusion.benchmark.stats._scores import score_predictions
from smilefusion.benchmark.stats._shift_scores import AS_RECORDED, SHIFT_METRICS
from smilefusion.benchmark.stats._subgroups import (
    FEWEST_PEOPLE,
    LARGEST_GAP,
    TOO_FEW,
    score_subgroups,
)
from smilefusion.benchmark.tables._styles import STYLES, MarkedTable, TextTable, mark_up

METRIC_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
    "answered": "answered",
    "accuracy_answered": "accuracy if answered",
}
_SHOWN = ("balanced_accuracy", "roc_auc", "log_loss", *SELECTIVE_METRICS)
_LOWER_IS_BETTER = (*LOSSES, "fit_seconds", "n_parameters", "p_permutation", "p_holm")
_WORDS = ("protocol", "data", "estimator", "first", "second", "verdict")


def summarize(
    predictions: pd.DataFrame,
    *,
    by: str | None = None,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Summarize tidy predictions: one row of scores per estimator, or per group of people.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Tidy predictions as returned by `run_benchmark`. Without a column ``protocol``, the
        protocol is "honest".
    by : str or None, default=None
        Column that divides the clips into 2 to 10 groups of people, such as "sex": a column of
        the data's ``metadata``, or one that you added to the predictions. Bin numbers such as
        ages first, for example with `pandas.cut`. None scores all clips together.
    n_resamples : int, default=2000
        Number of bootstrap samples of the subjects.
    confidence : float, default=0.95
        Coverage of the intervals, between 0 and 1.
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap.

    Returns
    -------
    summary : pandas.DataFrame
        One row per protocol, data set and estimator in their order of appearance: the columns of
        `score_predictions`, then ``fit_seconds``, the median over folds and repeats, and
        ``n_parameters``, the median number of trained parameters (NaN if unknown).
        ``summary.attrs["confidence"]`` is the confidence.

        With `by`, each estimator has one row per group, which ``subgroup`` names, and the row
        "largest gap": the highest group score minus the lowest. The columns are ``protocol``,
        ``dataset``, ``estimator``, ``by``, ``subgroup``, ``n_clips`` and ``n_subjects``. For
        balanced accuracy, ROC AUC, log loss and accuracy (also ``answered`` and
        ``accuracy_answered`` if an estimator abstains), there are columns for the score and the
        ends of its interval, as in `score_predictions`. Groups of fewer than 10 people have no
        interval (NaN) and are not included in the gap. Clips without a value are excluded.

    Raises
    ------
    ValueError
        If the predictions cannot be scored, see `score_predictions`. With `by`, also if there is
        no such column, if it has no values, one value or more than 10 different values, or if a
        group has only one person.

    Notes
    -----
    All intervals are clustered by subject. With `by`, the log loss has the bootstrap-t interval of
    `score_predictions`. The other scores are shares. Their interval is Student's t interval on the
    logit scale, with the jackknife standard error over subjects. With ten subjects, it contains
    the true value more often than a bootstrap interval. If a share is 0 or 1, the interval is the
    exact binomial interval for the number of subjects [1]_. The interval of a gap combines the
    intervals of its two groups [2]_. It assumes that nobody is in both groups; otherwise, it is
    usually too wide. Bonferroni's correction for the number of pairs accounts for the choice of
    the two groups.

    There are no p values. A group can score lower by chance, and this becomes more likely with
    every column that you look at. Brier score and calibration error are not reported. With few
    people, the intervals of the Brier score are too narrow. The calibration error depends on the
    number of clips, so it differs between groups of different size even if the model is equally
    good for them.

    References
    ----------
    .. [1] J. A. Hanley and A. Lippman-Hand, "If nothing goes wrong, is everything all right?",
       Journal of the American Medical Association 249(13), 1983.
    .. [2] G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a
       general approach", Statistics in Medicine 27(10), 2008.
    """
    if by is not None:
        return score_subgroups(
            predictions,
            by,
            n_resamples=n_resamples,
            confidence=confidence,
            random_state=random_state,
        )
    summary = score_predictions(
        predictions, n_resamples=n_resamples, confidence=confidence, random_state=random_state
    )
    keys = [*TABLE_KEYS, "estimator"]
    cells = with_protocol(predictions).drop_duplicates([*keys, "repeat", "fold"])
    medians = cells.groupby(keys, sort=False)[["fit_seconds", "n_parameters"]].median()
    summary = summary.join(medians, on=keys)
    summary.attrs["confidence"] = confidence
    return summary


def format_table(
    table: pd.DataFrame,
    *,
    style: str = "markdown",
    sort_by: str | None = None,
    comparison: pd.DataFrame | None = None,
) -> MarkedTable:
    """Format scores, comparisons or published results as a table of text.

    Parameters
    ----------
    table : pandas.DataFrame
        Result of `summarize`, `compare`, `join_published`, `evaluate_shifts`, `score_shifts` or
        `smilefusion.audit_dataset`.
    style : {"markdown", "latex", "html"}, default="markdown"
        Markup of the table. LaTeX needs the package booktabs.
    sort_by : str or None, default=None
        Column to sort by, best first: ascending for losses, p values, fit seconds and
        parameters, descending for all others. Unknown values are last. None keeps the order.
    comparison : pandas.DataFrame or None, default=None
        Result of `compare` for the same predictions. A summary then shows a score in bold if
        that estimator is significantly better than **every** other one. None: nothing is bold,
        because the highest of several scores may be highest by luck.

    Returns
    -------
    text : str
        The table, with an interval after each score and notes on the number of clips and
        subjects and on the protocols. A column names the protocol if it is not the honest one.
        Notebooks show it as a table if it is the last expression of a cell.

    Raises
    ------
    ValueError
        If `comparison` is not a result of `compare`, the style or the column is unknown, or
        `sort_by` is given for scores by group.

    Examples
    --------
    >>> import pandas as pd
    >>> from smilefusion.benchmark import format_table
    >>> summary = pd.DataFrame({"dataset": ["toy"], "estimator": ["coin"], "n_clips": [40],
    ...     "n_groups": [10], "balanced_accuracy": [0.5], "balanced_accuracy_low": [0.4],
    ...     "balanced_accuracy_high": [0.6], "fit_seconds": [1.2], "n_parameters": [2.0]})
    >>> print(format_table(summary))
    | estimator | balanced accuracy [95 %] | fit seconds | parameters |
    |:----------|-------------------------:|------------:|-----------:|
    | coin      |        0.500 [.400 .600] |        1.20 |          2 |
    <BLANKLINE>
    toy: 40 clips of 10 subjects.
    """
    if style not in STYLES:
        raise ValueError(f"style must be one of {list(STYLES)}; got {style!r}.")
    if sort_by is not None:
        table = _sort(table, sort_by)
    return mark_up(_describe(table, comparison), style)


def _describe(table: pd.DataFrame, comparison: pd.DataFrame | None) -> TextTable:
    """Return the text table of any result."""
    if "source" in table:
        return _describe_published(table)
    if "finding" in table:
        return _describe_audit(table)
    if table.index.name == "shift":
        return _describe_shifts(table)
    table = with_protocol(table)
    if "shift" in table:
        return _describe_many_shifts(table)
    if "subgroup" in table:
        return _describe_subgroups(table)
    if "verdict" in table:
        return _describe_comparison(table)
    return _describe_summary(table, comparison)


def format_number(value: float, form: str) -> str:
    """Format a number, or return a dash if it is unknown."""
    return "–" if np.isnan(value) else format(value, form)


def format_difference(value: float, n_digits: int = 3) -> str:
    """Format a difference with its sign, such as +0.031, or return a dash if it is unknown."""
    rounded = round(value, n_digits) + 0.0  # no −0.0
    return format_number(rounded, f"+.{n_digits}f").replace("-", "−")


def format_p_value(value: float) -> str:
    """Format a p value, such as .032, or return a dash if it is unknown."""
    if np.isnan(value):
        return "–"
    return "<.001" if value < 0.0005 else f"{value:.3f}".removeprefix("0")


def _sort(table: pd.DataFrame, sort_by: str) -> pd.DataFrame:
    """Sort the rows, best first."""
    if "subgroup" in table:
        raise ValueError(
            f"sort_by must be None for scores by group; got {sort_by!r}. Sort the predictions."
        )
    if sort_by not in table.columns:
        raise ValueError(
            f"sort_by must be a column of the table, {list(table.columns)}, or None; "
            f"got {sort_by!r}."
        )
    return table.sort_values(
        sort_by, ascending=sort_by in _LOWER_IS_BETTER, na_position="last", kind="stable"
    )


def _describe_summary(summary: pd.DataFrame, comparison: pd.DataFrame | None) -> TextTable:
    """Return the text table of a summary."""
    percent = _percent(summary)
    cells, notes = _places(summary), []
    cells["estimator"] = summary["estimator"]
    compared = [] if comparison is None else [_compared_metric(comparison)]
    for name in dict.fromkeys(name for name in (*_SHOWN, *compared) if name in summary):
        ends = [name, f"{name}_low", f"{name}_high"]
        texts = [_interval(*row) for row in summary[ends].itertuples(index=False)]
        cells[f"{METRIC_NAMES[name]} [{percent}]"] = texts
    cells["fit seconds"] = [format_number(value, ".2f") for value in summary["fit_seconds"]]
    cells["parameters"] = [format_number(value, ",.0f") for value in summary["n_parameters"]]
    bold: frozenset[tuple[int, int]] = frozenset()
    if comparison is not None:
        (metric,) = compared
        column = list(cells).index(f"{METRIC_NAMES[metric]} [{percent}]")
        bold = frozenset((row, column) for row in _winners(summary, comparison, metric))
        start = "In bold: significantly" if bold else "No estimator is significantly"
        notes = [
            f"{start} better in {METRIC_NAMES[metric]} than every other estimator (permutation "
            "test over subjects, Holm's correction for all pairs)."
        ]
    sizes = summary[[*TABLE_KEYS, "n_clips", "n_groups"]].drop_duplicates([*TABLE_KEYS])
    notes += [
        f"{table_title(protocol, dataset)}: {clips} clips of {groups} subjects."
        for protocol, dataset, clips, groups in sizes.itertuples(index=False)
    ]
    return _text_table(cells, bold, notes + protocol_remarks(summary["protocol"]))


def _winners(summary: pd.DataFrame, comparison: pd.DataFrame, metric: str) -> Iterator[int]:
    """Yield the rows of the estimators that are significantly better than every other."""
    comparison = with_protocol(comparison)
    sides = {"first": "second", "second": "first"}
    beaten = {
        (row["protocol"], row["dataset"], row[side], row[other])
        for row in comparison.to_dict("records")
        for side, other in sides.items()
        if row["verdict"] == f"{side} better"
    }
    scored = summary.reset_index(drop=True).dropna(subset=metric)
    for (protocol, dataset), rows in scored.groupby(list(TABLE_KEYS), sort=False):
        for row, name in zip(rows.index, rows["estimator"], strict=True):
            others = rows["estimator"].drop(row)
            if len(others) and all((protocol, dataset, name, o) in beaten for o in others):
                yield row


def _describe_comparison(comparison: pd.DataFrame) -> TextTable:
    """Return the text table of a comparison."""
    cells, metric = _places(comparison), METRIC_NAMES[_compared_metric(comparison)]
    cells["first"], cells["second"] = comparison["first"], comparison["second"]
    ends = ["difference", "difference_low", "difference_high"]
    cells[f"difference in {metric} [{_percent(comparison)}]"] = [
        "{} [{} {}]".format(*map(format_difference, row))
        for row in comparison[ends].itertuples(index=False)
    ]
    cells["effect size"] = [format_difference(value, 2) for value in comparison["effect_size"]]
    cells["p (Holm)"] = [format_p_value(value) for value in comparison["p_holm"]]
    cells["verdict"] = comparison["verdict"]
    notes = [
        "Difference: first minus second. p: permutation test over subjects, with Holm's "
        "correction for all pairs of a data set.",
        *comparison.attrs.get("remarks", []),
        *protocol_remarks(comparison["protocol"]),
    ]
    return _text_table(cells, frozenset(), notes)


def _describe_subgroups(scores: pd.DataFrame) -> TextTable:
    """Return the text table of scores by group of people."""
    cells, percent = _places(scores), _percent(scores)
    cells["estimator"] = scores["estimator"]
    names = scores["by"].unique()
    cells[names[0] if len(names) == 1 else "group"] = scores["subgroup"]
    words = (*_WORDS, str(list(cells)[-1]))
    is_gap = scores["subgroup"] == LARGEST_GAP
    is_small = (scores["n_subjects"] < FEWEST_PEOPLE) & ~is_gap
    cells["people"] = scores["n_subjects"].astype(str).mask(is_gap, "")
    for text, name in zip((TOO_FEW, *[""] * len(_SHOWN)), _SHOWN, strict=False):
        if name in scores:
            ends = [name, f"{name}_low", f"{name}_high"]
            cells[f"{METRIC_NAMES[name]} [{percent}]"] = [
                text if small else _interval(*row)
                for small, row in zip(is_small, scores[ends].to_numpy(), strict=True)
            ]
    notes = [
        "Largest gap: the highest group score minus the lowest. Its interval accounts for the "
        "choice of these two groups.",
        "If the interval contains 0, the model may be equally good for both groups.",
        *scores.attrs.get("remarks", []),
        *protocol_remarks(scores["protocol"]),
    ]
    if is_small.any():
        notes.insert(2, f"Groups of fewer than {FEWEST_PEOPLE} people are not compared.")
    return _text_table(cells, frozenset(), notes, words)


def _describe_published(joined: pd.DataFrame) -> TextTable:
    """Return the text table of published and own accuracies."""
    name, source, *datasets = joined.columns
    cells = joined[[name, source]].copy()
    for dataset in datasets:
        cells[dataset] = [format_number(value, ".1f") for value in joined[dataset]]
    notes = ["Accuracy in per cent. Rows from different sources were tested in different ways."]
    notes += protocol_remarks(["published"])
    return _text_table(cells, frozenset(), notes, words=(name, source))


def _describe_audit(audit: pd.DataFrame) -> TextTable:
    """Return the text table of an audit."""
    cells = audit[["code", "verdict", "check", "finding"]].copy()
    ends = audit[["auc", "low", "high"]].to_numpy()
    aucs = [
        "" if np.isnan(low) else f"{auc:.2f} [{low:.2f} {high:.2f}]" for auc, low, high in ends
    ]
    cells.insert(3, "AUC [95 %]", aucs)
    return _text_table(cells, frozenset(), [], words=("code", "verdict", "check", "finding"))


def _describe_shifts(scores: pd.DataFrame) -> TextTable:
    """Return the text table of one estimator's scores under recording shifts."""
    cells = pd.DataFrame({"shift": scores.index})
    for metric in SHIFT_METRICS:
        changes = scores[f"{metric}_change"]
        texts = [
            f"{format_number(value, '.3f')} ({format_difference(change)})"
            for value, change in zip(scores[metric], changes, strict=True)
        ]
        cells[f"{METRIC_NAMES[metric]} (change)"] = texts
    return _text_table(cells, frozenset(), [], words=("shift",))


def _describe_many_shifts(scores: pd.DataFrame) -> TextTable:
    """Return the text table of the changes in log loss, with a numbered column per shift."""
    keys = [*TABLE_KEYS, "estimator"]
    first = scores[scores["shift"] == AS_RECORDED].reset_index(drop=True)
    cells = _places(first)
    cells["estimator"] = first["estimator"]
    cells[f"log loss {AS_RECORDED}"] = [format_number(value, ".3f") for value in first["log_loss"]]
    shifts = [name for name in dict.fromkeys(scores["shift"]) if name != AS_RECORDED]
    for number, name in enumerate(shifts, start=1):
        own = first[keys].merge(scores[scores["shift"] == name], how="left", on=keys)
        cells[str(number)] = [format_difference(value, 2) for value in own["log_loss_change"]]
    listed = ", ".join(f"{number} = {name}" for number, name in enumerate(shifts, start=1))
    notes = [f"Changes in log loss under recording shifts: {listed}."]
    return _text_table(cells, frozenset(), notes + protocol_remarks(first["protocol"]))


def _text_table(
    cells: pd.DataFrame, bold: frozenset, notes: list[str], words: Collection[str] = _WORDS
) -> TextTable:
    """Convert a frame of texts to a text table; its columns are the headers."""
    rows = cells.astype(str).to_numpy().tolist()
    return TextTable(list(cells), rows, [name in words for name in cells], bold, notes)


def _places(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of protocol and data set, unless they are the same everywhere."""
    cells = pd.DataFrame(index=table.index)
    if (table["protocol"] != HONEST).any():
        cells["protocol"] = table["protocol"].map(protocol_label)
    if table["dataset"].nunique() > 1:
        cells["data"] = table["dataset"]
    return cells


def _compared_metric(comparison: pd.DataFrame) -> str:
    """Return the metric that was compared."""
    metric = comparison.attrs.get("metric")
    if metric is None:
        raise ValueError(
            "The comparison has no metric in comparison.attrs['metric']; it must be a result of "
            "compare. Call compare again, or set comparison.attrs['metric']."
        )
    return metric


def _percent(table: pd.DataFrame) -> str:
    """Return the confidence of a table's intervals, such as 95 %."""
    return f"{100 * table.attrs.get('confidence', 0.95):g} %"


def _interval(value: float, low: float, high: float) -> str:
    """Format a score with its interval, such as 0.812 [.771 .850]."""
    if np.isnan(low):
        return format_number(value, ".3f")
    ends = [f"{end:.3f}".removeprefix("0").replace("-0.", "−.") for end in (low, high)]
    return f"{value:.3f} [{' '.join(ends)}]".replace("-", "−")
