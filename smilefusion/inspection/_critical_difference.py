"""CriticalDifferenceDisplay: mean ranks and groups without significant differences."""

import textwrap
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from smilefusion.benchmark.stats._metrics import CLIP_SCORES, LOSSES
from smilefusion.benchmark.stats._multiple_tests import friedman_nemenyi_test
from smilefusion.benchmark.stats._protocol_labels import HONEST, protocol_label, with_protocol
from smilefusion.benchmark.stats._scores import check_predictions, collect_outcomes, list_classes
from smilefusion.benchmark.tables._tables import METRIC_NAMES, format_p_value
from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import INK, MUTED

# Key → columns that identify a block, and the name of the blocks.
_BLOCKS = {
    "subject": (["dataset", "group"], "subjects"),
    "dataset": (["dataset"], "data sets"),
}
_STEP = 0.24  # inches between two names, the unit of the vertical axis
_LETTER = 0.08  # width of a wide letter in inches
_NOTE_LETTER = 0.068


@dataclass(eq=False, repr=False)
class CriticalDifferenceDisplay(Display):
    """Show the mean ranks of estimators, and join those that do not differ significantly.

    In this diagram [1]_, better ranks are on the left. Bars join estimators whose mean ranks
    differ by less than the critical difference. Use `from_predictions` to create a display.

    Parameters
    ----------
    mean_ranks : pandas.Series
        Mean rank of each estimator, by its name; 1 is best.
    critical_difference : float
        Smallest significant difference between two mean ranks.
    note : str, default=""
        Text below the diagram.
    title : str or None, default=None
        Title of the picture. None: no title.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Axes and figure that `plot` drew on.

    References
    ----------
    .. [1] J. Demšar, "Statistical comparisons of classifiers over multiple data sets", Journal
       of Machine Learning Research 7, 2006.
    """

    mean_ranks: pd.Series
    critical_difference: float
    _: KW_ONLY
    note: str = ""
    title: str | None = None

    @classmethod
    def from_predictions(
        cls,
        predictions: pd.DataFrame,
        *,
        metric: str = "balanced_accuracy",
        blocks: str = "subject",
        confidence: float = 0.95,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Rank the estimators by `friedman_nemenyi_test` and draw the picture.

        Parameters
        ----------
        predictions : pandas.DataFrame
            Tidy predictions as returned by `run_benchmark`, of one protocol and three or more
            estimators. Estimators that failed on a clip or were not tested on a data set are
            excluded and listed below the picture.
        metric : {"balanced_accuracy", "accuracy", "log_loss", "brier_score"}, \
default="balanced_accuracy"
            Score that is ranked. It must be a mean over clips.
        blocks : {"subject", "dataset"}, default="subject"
            Whether estimators are ranked within each subject of each data set, or within each
            data set. The second needs five or more data sets to find differences.
        confidence : float, default=0.95
            Probability that no pair differs by the critical difference if all are equally good.
        title : str or None, default=None
            Title of the picture. None: no title.
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None creates a figure.

        Returns
        -------
        display : CriticalDifferenceDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If the predictions cannot be scored or contain several protocols, fewer than three
            estimators or two blocks are left, or a parameter is unknown.
        ImportError
            If matplotlib is not installed.

        Notes
        -----
        The score of a block is the mean over its clips and repeats. For balanced accuracy, hits
        are weighted as in `compare`. Subjects with few clips often tie. Nemenyi's test is then
        conservative and misses differences that `compare` finds.
        """
        predictions = with_protocol(predictions)
        check_predictions(predictions)
        _check_ranking(predictions, metric, blocks)
        scores, excluded = _score_blocks(predictions, metric, blocks)
        result = friedman_nemenyi_test(
            scores, confidence=confidence, greater_is_better=metric not in LOSSES
        )
        protocol = predictions["protocol"].iloc[0]
        stamp = "" if protocol == HONEST else f", {protocol_label(protocol)} protocol"
        missing = f"\nNot ranked, because scores are missing: {', '.join(excluded)}."
        note = (
            f"Mean rank in {METRIC_NAMES[metric]} over {len(scores)} {_BLOCKS[blocks][1]}{stamp}."
            f"\nBars join estimators without a significant difference (Nemenyi test, "
            f"{100 * confidence:g} %).\nFriedman test for any difference: p = "
            f"{format_p_value(result.p_value)}.{missing if excluded else ''}"
        ).replace("= <", "< 0")
        ranks = pd.Series(result.mean_ranks, index=scores.columns)
        return cls(ranks, result.critical_difference, note=note, title=title).plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        ranks = self.mean_ranks.sort_values(kind="stable")
        bars = _level_bars(ranks.to_numpy(), self.critical_difference)
        n_left = -(-len(ranks) // 2)
        n_letters = max(map(len, ranks.index[:n_left])) + max(map(len, ranks.index[n_left:]))
        width = 4.5 + _LETTER * (n_letters + 12)
        note = "\n".join(
            textwrap.fill(line, int(width / _NOTE_LETTER)) for line in self.note.split("\n")
        )
        # Rows below the axis: bars, names, note.
        names = 0.6 * max((level + 1 for *_, level in bars), default=0) + 0.4
        bottom = names + n_left + 0.95 + 0.75 * note.count("\n")
        size = width, _STEP * (bottom + 4)
        (ax,) = self._make_axes(ax, 1, size)
        self.ax_ = ax
        low, high = np.floor(ranks.min()), np.ceil(ranks.max())
        high = max(high, np.ceil(low + self.critical_difference))
        ax.set(xlim=(low, high), ylim=(bottom, -2.6))
        ax.set_axis_off()
        self._draw_scale(ax, low, high)
        overhang = 0.004 * (high - low)
        for first, last, level in bars:
            ends = ranks.iloc[first] - overhang, ranks.iloc[last] + overhang
            ax.hlines(0.5 + 0.6 * level, *ends, color=INK, linewidth=3.5)
        _draw_names(ax, ranks, n_left, names, (low, high))
        style = {"ha": "center", "va": "bottom", "fontsize": "small", "color": MUTED}
        ax.text((low + high) / 2, bottom, note, **style)
        if self.title:
            ax.set_title(self.title, loc="left", fontsize="medium")

    def _draw_scale(self, ax: Any, low: float, high: float) -> None:
        """Draw the axis of ranks and the critical difference above it."""
        ax.hlines(0, low, high, color="black", linewidth=1)
        step = 1 if high - low <= 12 else 2
        for rank in np.arange(low, high + 1, step):
            ax.vlines(rank, -0.25, 0, color="black", linewidth=1)
            ax.text(rank, -0.4, f"{rank:g}", ha="center", va="bottom", fontsize="small")
        ends = low, low + self.critical_difference
        ax.hlines(-1.9, *ends, color=MUTED, linewidth=1.5)
        ax.vlines(ends, -2.1, -1.7, color=MUTED, linewidth=1.5)
        text = f"  critical difference {self.critical_difference:.2f}"
        ax.text(ends[1], -1.9, text, va="center", fontsize="small", color=MUTED)


def _level_bars(ranks: np.ndarray, critical_difference: float) -> list[tuple[int, int, int]]:
    """Return the longest runs of sorted ranks that do not differ: first, last and level."""
    bars: list[tuple[int, int, int]] = []
    ends: list[int] = []
    reached = 0
    for first, rank in enumerate(ranks):
        last = np.searchsorted(ranks, rank + critical_difference) - 1
        if last > max(first, reached):
            level = next((i for i, end in enumerate(ends) if end < first), len(ends))
            ends[level : level + 1] = [last]
            bars.append((first, int(last), level))
            reached = last
    return bars


def _draw_names(
    ax: Any, ranks: pd.Series, n_left: int, top: float, ends: tuple[float, float]
) -> None:
    """Draw a line from each rank to its name, the better half on the left."""
    margin = 0.015 * (ends[1] - ends[0])
    for place, (name, rank) in enumerate(ranks.items()):
        on_left = place < n_left
        row = top + 0.5 + (place if on_left else len(ranks) - 1 - place)
        end = ends[0] if on_left else ends[1]
        ax.plot([rank, rank, end], [0, row, row], color=MUTED, linewidth=0.8, zorder=1)
        ax.plot(rank, 0, "o", color=INK, markersize=3.5)
        ax.text(
            end - margin if on_left else end + margin,
            row,
            f"{name}  {rank:.2f}" if on_left else f"{rank:.2f}  {name}",
            ha="right" if on_left else "left",
            va="center",
            fontsize="small",
        )


def _score_blocks(
    predictions: pd.DataFrame, metric: str, blocks: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return scores (n_blocks, n_estimators), and the estimators with missing scores."""
    parts = []
    for _, records in predictions.groupby("dataset", sort=False):
        classes, groups = list_classes(records), np.unique(records["group"].to_numpy())
        for _, part in records.groupby("estimator", sort=False):
            outcomes = collect_outcomes(part, classes, groups)
            failed = np.isnan(outcomes.probability).any()
            parts.append(part.assign(score=np.nan if failed else CLIP_SCORES[metric](outcomes)))
    scored = pd.concat(parts)
    scores = scored.pivot_table(
        index=_BLOCKS[blocks][0], columns="estimator", values="score", dropna=False, sort=False
    )
    scores = scores[predictions["estimator"].unique()].dropna(how="all")
    missing = scores.isna().any()
    return scores.loc[:, ~missing], missing[missing].index.tolist()


def _check_ranking(predictions: pd.DataFrame, metric: str, blocks: str) -> None:
    """Raise if the metric or blocks are unknown, or there are several protocols."""
    if metric not in CLIP_SCORES:
        raise ValueError(
            f"metric must be a mean over clips, one of {list(CLIP_SCORES)}; got {metric!r}."
        )
    if blocks not in _BLOCKS:
        raise ValueError(f"blocks must be one of {list(_BLOCKS)}; got {blocks!r}.")
    protocols = predictions["protocol"].unique().tolist()
    if len(protocols) > 1:
        raise ValueError(
            f"The predictions contain the protocols {protocols}, but ranks need a single one. "
            "Select the rows of one protocol."
        )
