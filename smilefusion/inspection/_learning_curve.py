"""LearningCurveDisplay: scores against the size of the training data."""

import textwrap
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from smilefusion.benchmark.stats._protocol_labels import table_title, with_protocol
from smilefusion.benchmark.stats._scores import score_predictions
from smilefusion.inspection._display import Display
from smilefusion.inspection._estimator_rows import check_metric, metric_label
from smilefusion.inspection._pyplot import COLORS, MARKERS, add_legend, clear_frame

_N_COLUMNS = 5
_TITLE_WIDTH = 32  # letters
_DODGE = 0.006  # of the axis, between the curves of a panel


@dataclass(eq=False, repr=False)
class LearningCurveDisplay(Display):
    """Show how a score depends on the number of training clips.

    With up to six estimators, there is one colour per estimator and one panel per data set. With
    more, there is one panel per estimator and one colour per data set. Use `from_predictions` to
    create a display.

    Parameters
    ----------
    scores : pandas.DataFrame
        Scores as returned by `score_predictions`, for several sizes, with a column ``size``.
    metric : str, default="balanced_accuracy"
        A metric of `score_predictions`.
    size_label : str, default="training clips"
        Label of the horizontal axis.
    confidence : float, default=0.95
        Coverage of the intervals.
    title : str or None, default=None
        Title of the picture. None: no title.

    Attributes
    ----------
    axes_, figure_ : ndarray of Axes of shape (n_panels,), Figure
        Axes and figure that `plot` drew on.
    """

    scores: pd.DataFrame
    _: KW_ONLY
    metric: str = "balanced_accuracy"
    size_label: str = "training clips"
    confidence: float = 0.95
    title: str | None = None

    @classmethod
    def from_predictions(
        cls,
        parts: list[pd.DataFrame],
        *,
        metric: str = "balanced_accuracy",
        size: str = "n_train",
        size_label: str = "training clips",
        n_resamples: int = 2000,
        confidence: float = 0.95,
        random_state: int | np.random.RandomState | None = 0,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Score predictions for several sizes of the training data and draw the picture.

        Parameters
        ----------
        parts : list of pandas.DataFrame
            Tidy predictions as returned by `run_benchmark`, one table per size. Use the same
            test clips for all sizes; intervals are wider for fewer test clips.
        metric : str, default="balanced_accuracy"
            A metric of `score_predictions`.
        size : str, default="n_train"
            Column with the size. The median per table, data set and estimator is drawn.
        size_label : str, default="training clips"
            Label of the horizontal axis.
        n_resamples : int, default=2000
            Number of bootstrap samples of the subjects.
        confidence : float, default=0.95
            Coverage of the intervals, between 0 and 1.
        random_state : int, RandomState instance or None, default=0
            Seed of the bootstrap.
        title : str or None, default=None
            Title of the picture. None: no title.
        ax : matplotlib.axes.Axes or array-like of shape (n_panels,), default=None
            Axes to draw on; None creates a figure.

        Returns
        -------
        display : LearningCurveDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If `parts` is empty, a table has no column of the size or cannot be scored, or the
            metric is unknown.
        ImportError
            If matplotlib is not installed.
        """
        scores = []
        for predictions in _check_parts(parts, size):
            predictions = with_protocol(predictions)
            keys = ["protocol", "dataset", "estimator"]
            sizes = predictions.groupby(keys, sort=False)[size].median().rename("size")
            table = score_predictions(
                predictions,
                n_resamples=n_resamples,
                confidence=confidence,
                random_state=random_state,
            )
            scores.append(table.join(sizes, on=keys))
        display = cls(
            pd.concat(scores, ignore_index=True),
            metric=metric,
            size_label=size_label,
            confidence=confidence,
            title=title,
        )
        return display.plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        scores = with_protocol(self.scores)
        check_metric(self.metric, scores)
        places = [table_title(*keys) for keys in scores[["protocol", "dataset"]].to_numpy()]
        scores = scores.assign(place=places)
        panel_key, color_key = _share_out(scores)
        panels = scores[panel_key].unique()
        n_columns = min(len(panels), _N_COLUMNS)
        width = 5.5 if len(panels) == 1 else 0.8 + 2.6 * n_columns
        height = 1.4 + (3.0 if len(panels) == 1 else 2.3) * -(-len(panels) // n_columns)
        shape = {"n_columns": n_columns, "sharex": True, "sharey": True}
        self.axes_ = self._make_axes(ax, len(panels), (width, height), **shape)
        curves = scores[color_key].unique()
        for panel, name in zip(self.axes_, panels, strict=True):
            lines = self._draw(panel, scores[scores[panel_key] == name], color_key, curves)
            panel.set_title(textwrap.fill(name, _TITLE_WIDTH), loc="left", fontsize="small")
        self._label_figure(n_columns)
        if len(curves) > 1:
            add_legend(self.figure_, lines)

    def _draw(self, panel: Any, scores: pd.DataFrame, color_key: str, curves: np.ndarray) -> list:
        """Draw the curves of one panel and return them."""
        ends = ["size", self.metric, f"{self.metric}_low", f"{self.metric}_high"]
        spread = np.ptp(self.scores["size"].to_numpy(dtype=float)) or 1.0
        lines = []
        for place, name in enumerate(curves):
            curve = scores[scores[color_key] == name].sort_values("size")
            size, value, low, high = curve[ends].to_numpy(dtype=float).T
            size = size + (place - (len(curves) - 1) / 2) * _DODGE * spread
            color = COLORS[place]
            panel.vlines(size, low, high, color=color, linewidth=2, alpha=0.35)
            lines += panel.plot(
                size,
                value,
                color=color,
                marker=MARKERS[place],
                markersize=4.5,
                linewidth=1.2,
                label=name,
            )
        failed = scores.loc[scores[self.metric].isna(), color_key].unique()
        if len(failed):
            text = textwrap.fill(f"failed: {', '.join(failed)}", _TITLE_WIDTH)
            panel.text(0.98, 0.03, text, transform=panel.transAxes, ha="right", fontsize="small")
        clear_frame(panel)
        return lines

    def _label_figure(self, n_columns: int) -> None:
        """Label the axes and set the title."""
        percent = f"{100 * self.confidence:g} %"
        first_of_last = (len(self.axes_) - 1) // n_columns * n_columns
        for place, panel in enumerate(self.axes_):
            panel.tick_params(labelsize="small")
            if place >= first_of_last:
                panel.set_xlabel(self.size_label, fontsize="small")
        self.figure_.supylabel(
            f"{metric_label(self.metric)}\n({percent} intervals over subjects)", fontsize="small"
        )
        self._write_title()


def _share_out(scores: pd.DataFrame) -> tuple[str, str]:
    """Return the columns shown as panels and as colours; there are six colours."""
    n_estimators, n_places = scores["estimator"].nunique(), scores["place"].nunique()
    if n_estimators <= len(COLORS):
        return "place", "estimator"
    if n_places <= len(COLORS):
        return "estimator", "place"
    raise ValueError(
        f"There are {n_estimators} estimators and {n_places} pairs of protocol and data set. A "
        f"picture can show more than {len(COLORS)} of one, but not of both. Select rows."
    )


def _check_parts(parts: Iterable[pd.DataFrame], size: str) -> list[pd.DataFrame]:
    """Return the tables as a list; raise if it is empty or a size column is missing."""
    if isinstance(parts, pd.DataFrame):
        raise ValueError(
            "parts must be a list of tables of predictions, one per size; got one table. Run the "
            "benchmark once per size."
        )
    parts = list(parts)
    if not parts:
        raise ValueError("parts is empty. Give a table of predictions for each size.")
    for place, part in enumerate(parts):
        if size not in part:
            raise ValueError(
                f"Table {place} of parts has no column {size!r} for the size of the "
                "training data. Set size to an existing column."
            )
    return parts
