"""OptimismDisplay: what the published protocol adds to the figures of the honest one."""

import numpy as np

from smilefusion.benchmark.stats._protocol_labels import HONEST, with_protocol
from smilefusion.benchmark.tables._tables import format_difference, summarize
from smilefusion.inspection._estimator_rows import (
    check_metric,
    finish_panel,
    metric_label,
    protocol_style,
    start_panels,
    write_right,
)
from smilefusion.inspection._pyplot import MUTED, add_legend

_PUBLISHED = "published"


class OptimismDisplay:
    """Show for each strategy how far its published figure lies above the honest one.

    Each data set has a panel, each estimator a row with the figure of the honest protocol and
    its interval, that of the published protocol, which takes the best epoch by the accuracy on
    the test clips, and their difference. Use `from_predictions` to make one.

    Parameters
    ----------
    summary : pandas.DataFrame
        Figures of both protocols as `summarize` returns them; those of others are not shown.
    metric : str, default="accuracy"
        Which figure is shown: a metric of `score_predictions`.
    title : str or None, default=None
        Title of the picture of one data set; None takes the name of the data set.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_datasets,)
        Axes that `plot` drew on.
    figure_ : matplotlib.figure.Figure
        Figure that holds the axes.
    """

    def __init__(self, summary, *, metric="accuracy", title=None):
        self.summary = summary
        self.metric = metric
        self.title = title

    @classmethod
    def from_predictions(
        cls,
        predictions,
        *,
        metric="accuracy",
        title=None,
        n_resamples=2000,
        confidence=0.95,
        random_state=0,
        ax=None,
    ):
        """Score tidy predictions of both protocols and draw the picture.

        Parameters
        ----------
        predictions : pandas.DataFrame
            Tidy predictions of `run_benchmark` under both protocols, one table after the other.
        metric : str, default="accuracy"
            Which figure is shown: a metric of `score_predictions`.
        title : str or None, default=None
            Title of the picture of one data set; None takes the name of the data set.
        n_resamples : int, default=2000
            Number of bootstrap samples of the subjects.
        confidence : float, default=0.95
            Coverage of the intervals, between 0 and 1.
        random_state : int, RandomState instance or None, default=0
            Seed of the bootstrap.
        ax : matplotlib.axes.Axes or array-like of shape (n_datasets,), default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        display : OptimismDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Where the predictions cannot be scored, see `score_predictions`, or `plot` refuses.
        ImportError
            Where matplotlib is not installed.
        """
        summary = summarize(
            predictions, n_resamples=n_resamples, confidence=confidence, random_state=random_state
        )
        return cls(summary, metric=metric, title=title).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or array-like of shape (n_datasets,), default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        self : OptimismDisplay
            The display, with `axes_` and `figure_`.

        Raises
        ------
        ValueError
            Where a protocol has no figures, the metric is unknown, or `ax` does not hold one
            axes per data set.
        ImportError
            Where matplotlib is not installed.
        """
        summary = with_protocol(self.summary)
        check_metric(self.metric, summary)
        for protocol in (HONEST, _PUBLISHED):
            if protocol not in set(summary["protocol"]):
                raise ValueError(
                    f"The summary has no figures of the {protocol} protocol; both are compared. "
                    "Run the benchmark under both and put the predictions one below the other."
                )
        summary = summary[summary["protocol"].isin([HONEST, _PUBLISHED])]
        self.axes_, estimators = start_panels("OptimismDisplay.plot", ax, summary)
        self.figure_ = self.axes_[0].figure
        panels = summary.groupby("dataset", sort=False)
        for panel, (dataset, rows) in zip(self.axes_, panels, strict=True):
            points = self._draw(panel, rows, estimators)
            title = self.title if self.title and len(self.axes_) == 1 else dataset
            finish_panel(panel, rows, estimators, title=title, label=self._label())
        add_legend(self.figure_, points)
        return self

    def _draw(self, panel, rows, estimators):
        """Draw a pair of points per estimator and write their difference at the right edge."""
        names = [self.metric, f"{self.metric}_low", f"{self.metric}_high"]
        honest, published = (
            rows[rows["protocol"] == protocol].set_index("estimator")[names].reindex(estimators)
            for protocol in (HONEST, _PUBLISHED)
        )
        value, low, high = honest.to_numpy(dtype=float).T
        optimistic = published[self.metric].to_numpy(dtype=float)
        heights = np.arange(len(estimators))
        style = protocol_style(HONEST)
        panel.hlines(heights, value, optimistic, color=MUTED, linewidth=5, alpha=0.3)
        panel.hlines(heights, low, high, color=style["color"], linewidth=1.2, alpha=0.5)
        points = [
            panel.plot(figures, heights, linestyle="none", **protocol_style(protocol))[0]
            for figures, protocol in ((value, HONEST), (optimistic, _PUBLISHED))
        ]
        tested = set(rows["estimator"])
        for height, difference in zip(heights, optimistic - value, strict=True):
            if estimators[height] in tested:
                text = format_difference(difference) if np.isfinite(difference) else "failed"
                write_right(panel, height, text, color=MUTED)
        return points

    def _label(self):
        """Return what the horizontal axis shows."""
        percent = f"{100 * self.summary.attrs.get('confidence', 0.95):g} %"
        return (
            f"{metric_label(self.metric)}\nline: {percent} interval over subjects\n"
            "right: published less honest"
        )
