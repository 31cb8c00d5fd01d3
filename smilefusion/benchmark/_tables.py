"""Tables of benchmark results: figures with intervals, as a frame and as Markdown."""

import numpy as np
import pandas as pd

from smilefusion.benchmark._metrics import LOSSES
from smilefusion.benchmark._statistics import score_predictions

_METRIC_HEADERS = {
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
}
_LOWER_IS_BETTER = (*LOSSES, "fit_seconds", "n_parameters")
_STYLES = ("markdown",)


def summarize(predictions, *, n_resamples=2000, confidence=0.95, random_state=0):
    """Summarize tidy predictions: one row of figures per estimator.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Tidy predictions as `run_benchmark` returns them.
    n_resamples : int, default=2000
        Number of bootstrap samples of the subjects.
    confidence : float, default=0.95
        Coverage of the intervals, between 0 and 1.
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap.

    Returns
    -------
    summary : pandas.DataFrame
        One row per data set and estimator in their order of appearance: the columns of
        `score_predictions`, then ``fit_seconds``, the median over folds and repeats, and
        ``n_parameters``, the median number of trained parameters (NaN where unknown). The
        confidence is kept in ``summary.attrs["confidence"]``.

    Raises
    ------
    ValueError
        Where the predictions cannot be scored, see `score_predictions`.
    """
    summary = score_predictions(
        predictions, n_resamples=n_resamples, confidence=confidence, random_state=random_state
    )
    keys = ["dataset", "estimator"]
    cells = predictions.drop_duplicates([*keys, "repeat", "fold"])
    medians = cells.groupby(keys, sort=False)[["fit_seconds", "n_parameters"]].median()
    summary = summary.join(medians, on=keys)
    summary.attrs["confidence"] = confidence
    return summary


def format_table(summary, *, style="markdown", sort_by=None):
    """Format a summary as a table of text.

    Parameters
    ----------
    summary : pandas.DataFrame
        Figures as `summarize` returns them.
    style : {"markdown"}, default="markdown"
        Form of the table.
    sort_by : str or None, default=None
        Column to sort by, best first: ascending for log loss, fit seconds and parameters,
        descending for all others, unknown values last. None keeps the given order.

    Returns
    -------
    table : str
        A Markdown table with aligned columns, an interval behind each figure, and a line on
        the number of clips and subjects for each data set.

    Raises
    ------
    ValueError
        Where the style or the column is unknown.

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
    if style not in _STYLES:
        raise ValueError(f"style must be one of {list(_STYLES)}; got {style!r}.")
    if sort_by is not None:
        if sort_by not in summary.columns:
            raise ValueError(
                f"sort_by must be a column of the summary, {list(summary.columns)}, or None; "
                f"got {sort_by!r}."
            )
        summary = summary.sort_values(
            sort_by, ascending=sort_by in _LOWER_IS_BETTER, na_position="last", kind="stable"
        )
    lines = _markdown(_cells(summary))
    sizes = summary[["dataset", "n_clips", "n_groups"]].drop_duplicates("dataset")
    notes = [
        f"{name}: {clips} clips of {groups} subjects."
        for name, clips, groups in sizes.itertuples(index=False)
    ]
    return "\n".join([*lines, "", *notes])


def _cells(summary):
    """Return the table's texts as a frame whose columns are the headers."""
    percent = f"{100 * summary.attrs.get('confidence', 0.95):g} %"
    cells = pd.DataFrame(index=summary.index)
    if summary["dataset"].nunique() > 1:
        cells["data"] = summary["dataset"]
    cells["estimator"] = summary["estimator"]
    for metric, header in _METRIC_HEADERS.items():
        if metric in summary:
            ends = [metric, f"{metric}_low", f"{metric}_high"]
            texts = [_interval(*row) for row in summary[ends].itertuples(index=False)]
            cells[f"{header} [{percent}]"] = texts
    cells["fit seconds"] = [_number(value, ".2f") for value in summary["fit_seconds"]]
    cells["parameters"] = [_number(value, ",.0f") for value in summary["n_parameters"]]
    return cells.astype(str)


def _interval(value, low, high):
    """Write a figure with its interval, such as 0.812 [.771 .850]."""
    if np.isnan(value):
        return "–"
    low, high = (f"{end:.3f}".removeprefix("0") for end in (low, high))
    return f"{value:.3f} [{low} {high}]"


def _number(value, form):
    """Write a number, a dash where it is unknown."""
    return "–" if np.isnan(value) else format(value, form)


def _markdown(cells):
    """Return the lines of a Markdown table; texts to the left, numbers to the right."""
    rows = [list(cells.columns), *cells.to_numpy().tolist()]
    rows = [[text.replace("|", r"\|") for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = [name in ("data", "estimator") for name in cells.columns]
    lines = [
        "| "
        + " | ".join(
            text.ljust(width) if is_left else text.rjust(width)
            for text, width, is_left in zip(row, widths, left, strict=True)
        )
        + " |"
        for row in rows
    ]
    rule = [
        f":{'-' * (width + 1)}" if is_left else f"{'-' * (width + 1)}:"
        for width, is_left in zip(widths, left, strict=True)
    ]
    lines.insert(1, f"|{'|'.join(rule)}|")
    return lines
