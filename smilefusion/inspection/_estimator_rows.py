"""Displays with one row per estimator and one panel per data set."""

import textwrap
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from smilefusion.benchmark.stats._metrics import LOSSES
from smilefusion.benchmark.stats._protocol_labels import HONEST, protocol_label, with_protocol
from smilefusion.benchmark.tables._tables import METRIC_NAMES, summarize
from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import COLORS, MARKERS, add_legend, clear_frame

_ROW_HEIGHT = 0.28  # inches
_LETTER = 0.075  # inches
_TITLE_WIDTH = 36  # letters, if there are several panels
FOLDS = "n_folds"  # column of scores from a search, which have no number of clips
_PROTOCOLS = (HONEST, "published", "cross-dataset", "duration-matched", "permuted-labels")


@dataclass(eq=False, repr=False)
class EstimatorRowsDisplay(Display):
    """Base of displays with one row per estimator and one panel per data set."""

    summary: pd.DataFrame
    _: KW_ONLY
    metric: str = "accuracy"
    title: str | None = None

    @classmethod
    def from_predictions(
        cls,
        predictions: pd.DataFrame,
        *,
        n_resamples: int = 2000,
        confidence: float = 0.95,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
        **options: Any,
    ) -> Self:
        """Score tidy predictions and draw the picture.

        Parameters
        ----------
        predictions : pandas.DataFrame
            Tidy predictions as returned by `run_benchmark`. Concatenate the tables of several
            protocols or data sets.
        n_resamples : int, default=2000
            Number of bootstrap samples of the subjects.
        confidence : float, default=0.95
            Coverage of the intervals, between 0 and 1.
        random_state : int, RandomState instance or None, default=0
            Seed of the bootstrap.
        ax : matplotlib.axes.Axes or array-like of shape (n_datasets,), default=None
            Axes to draw on. None creates a figure.
        **options : dict
            Parameters of the display, such as `metric` and `title`.

        Returns
        -------
        display : object
            The drawn display.

        Raises
        ------
        ValueError
            If the predictions cannot be scored by `score_predictions`, the metric is unknown,
            or `ax` does not hold one axes per data set.
        ImportError
            If matplotlib is not installed.
        """
        summary = summarize(
            predictions, n_resamples=n_resamples, confidence=confidence, random_state=random_state
        )
        return cls(summary, **cls._options(predictions) | options).plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        summary = with_protocol(self.summary)
        if FOLDS not in summary:
            check_metric(self.metric, summary)
        summary = self._select(summary)
        protocols = summary["protocol"].unique()
        estimators = summary["estimator"].unique().tolist()
        n_panels = summary["dataset"].nunique()
        names = _LETTER * max(map(len, map(str, estimators)))
        width = 0.6 + names + (5.2 if n_panels == 1 else 3.2 * n_panels)
        height = 1.6 + _ROW_HEIGHT * len(estimators) * max(1, 0.75 * self._count_lines(protocols))
        self.axes_ = self._make_axes(ax, n_panels, (width, height), sharex=True, sharey=True)
        for panel, (dataset, rows) in zip(
            self.axes_, summary.groupby("dataset", sort=False), strict=True
        ):
            self._draw(panel, rows, protocols, estimators)
            title = self.title if self.title and n_panels == 1 else str(dataset)
            _finish_panel(panel, rows, estimators, title, self._label())
        if set(protocols) != {HONEST}:
            lines = {line.get_label(): line for panel in self.axes_ for line in panel.lines}
            add_legend(self.figure_, [lines[protocol_label(name)] for name in protocols])

    _draw: ClassVar[Callable]
    _label: ClassVar[Callable]

    @classmethod
    def _options(cls, predictions: pd.DataFrame) -> dict[str, Any]:
        return {}

    def _select(self, summary: pd.DataFrame) -> pd.DataFrame:
        return summary

    def _count_lines(self, protocols: np.ndarray) -> int:
        return len(protocols)

    def _percent(self) -> str:
        return f"{100 * self.summary.attrs.get('confidence', 0.95):g} %"


def metric_label(metric: str) -> str:
    """Return the label of a metric's axis."""
    return f"{METRIC_NAMES.get(metric, metric)}{' (lower is better)' if metric in LOSSES else ''}"


def check_metric(metric: str, summary: pd.DataFrame) -> None:
    """Raise if the summary has no column of a metric."""
    if metric not in METRIC_NAMES or metric not in summary:
        known = [name for name in METRIC_NAMES if name in summary]
        raise ValueError(f"metric must be one of {known}; got {metric!r}.")


def protocol_style(protocol: str) -> dict[str, Any]:
    """Return colour, marker and label of a protocol; markers of optimistic ones are hollow."""
    place = _PROTOCOLS.index(protocol) if protocol in _PROTOCOLS else len(_PROTOCOLS)
    style = {"color": COLORS[place], "marker": MARKERS[place], "label": protocol_label(protocol)}
    return style | ({"markerfacecolor": "none"} if protocol == "published" else {})


def write_right(panel: Any, row: Any, text: str, *, color: str = "black") -> None:
    """Write a text to the right of a row."""
    place = panel.get_yaxis_transform()
    panel.text(1.015, row, text, transform=place, va="center", fontsize="small", color=color)


def count_range(counts: pd.Series) -> str:
    """Write a count, or its range if it varies."""
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low}–{high}"


def _finish_panel(
    panel: Any, rows: pd.DataFrame, estimators: list[str], title: str, label: str
) -> None:
    panel.set_yticks(np.arange(len(estimators)), estimators)
    panel.set_ylim(len(estimators) - 0.4, -0.6)
    panel.set_xlabel(label)
    if FOLDS in rows:
        size = f"mean of {rows[FOLDS].iloc[0]} folds"
    else:
        n_clips, n_subjects = (count_range(rows[name]) for name in ("n_clips", "n_groups"))
        size = f"{n_clips} clips of {n_subjects} subjects"
    wrapped = f"{textwrap.fill(title, _TITLE_WIDTH)}\n{size}"
    has_neighbours = len(panel.figure.axes) > 1
    panel.set_title(
        wrapped if has_neighbours else f"{title}: {size}", loc="left", fontsize="medium"
    )
    clear_frame(panel, grid="x")
