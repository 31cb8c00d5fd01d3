"""FusionComparisonDisplay: figures of estimators with their intervals."""

import numpy as np

from smilefusion.benchmark.stats._protocol_labels import HONEST, with_protocol
from smilefusion.benchmark.tables._tables import summarize
from smilefusion.inspection._estimator_rows import (
    check_metric,
    finish_panel,
    metric_label,
    protocol_style,
    start_panels,
    write_right,
)
from smilefusion.inspection._pyplot import MUTED, add_legend

# What guesses of equal probabilities reach.
_CHANCE = {
    "balanced_accuracy": lambda n_classes: 1 / n_classes,
    "roc_auc": lambda n_classes: 0.5,
    "log_loss": np.log,
    "brier_score": lambda n_classes: 0.25 if n_classes == 2 else 1 - 1 / n_classes,
}


class FusionComparisonDisplay:
    """Show a figure of each strategy and baseline with its interval.

    Each data set has a panel, each protocol a colour. Use `from_predictions` to make one.

    Parameters
    ----------
    summary : pandas.DataFrame
        Figures as `summarize` returns them; estimators are shown from top to bottom.
    metric : str, default="balanced_accuracy"
        Which figure is shown: a metric of `score_predictions`.
    n_classes : int, default=2
        Number of classes; tells what guesses of equal probabilities reach.
    title : str or None, default=None
        Title of the picture of one data set; None takes the name of the data set.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_datasets,)
        Axes that `plot` drew on.
    figure_ : matplotlib.figure.Figure
        Figure that holds the axes.
    """

    def __init__(self, summary, *, metric="balanced_accuracy", n_classes=2, title=None):
        self.summary = summary
        self.metric = metric
        self.n_classes = n_classes
        self.title = title

    @classmethod
    def from_predictions(
        cls,
        predictions,
        *,
        metric="balanced_accuracy",
        title=None,
        n_resamples=2000,
        confidence=0.95,
        random_state=0,
        ax=None,
    ):
        """Score tidy predictions and draw the picture.

        Parameters
        ----------
        predictions : pandas.DataFrame
            Tidy predictions as `run_benchmark` returns them.
        metric : str, default="balanced_accuracy"
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
        display : FusionComparisonDisplay
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
        n_classes = predictions["target"].nunique()
        return cls(summary, metric=metric, n_classes=n_classes, title=title).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or array-like of shape (n_datasets,), default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        self : FusionComparisonDisplay
            The display, with `axes_` and `figure_`.

        Raises
        ------
        ValueError
            Where the metric is unknown, or `ax` does not hold one axes per data set.
        ImportError
            Where matplotlib is not installed.
        """
        summary = with_protocol(self.summary)
        check_metric(self.metric, summary)
        protocols = summary["protocol"].unique()
        self.axes_, estimators = start_panels(
            "FusionComparisonDisplay.plot", ax, summary, n_lines=len(protocols)
        )
        self.figure_ = self.axes_[0].figure
        panels = summary.groupby("dataset", sort=False)
        for panel, (dataset, rows) in zip(self.axes_, panels, strict=True):
            self._draw(panel, rows, protocols, estimators)
            title = self.title if self.title and len(self.axes_) == 1 else dataset
            finish_panel(panel, rows, estimators, title=title, label=self._label())
        if set(protocols) != {HONEST}:
            lines = {line.get_label(): line for panel in self.axes_ for line in panel.lines}
            labels = [protocol_style(protocol)["label"] for protocol in protocols]
            add_legend(self.figure_, [lines[label] for label in labels])
        return self

    def _draw(self, panel, rows, protocols, estimators):
        """Draw a point and a bar per estimator and protocol, its figure at the right edge."""
        if self.metric in _CHANCE:
            chance = _CHANCE[self.metric](self.n_classes)
            panel.axvline(chance, color=MUTED, linestyle="--", linewidth=1, label="_chance")
        ends = [self.metric, f"{self.metric}_low", f"{self.metric}_high"]
        for place, protocol in enumerate(protocols):
            part = rows[rows["protocol"] == protocol]
            style = protocol_style(protocol)
            shift = (place - (len(protocols) - 1) / 2) * 0.8 / len(protocols)
            height = np.array([estimators.index(name) for name in part["estimator"]]) + shift
            value, low, high = part[ends].to_numpy(dtype=float).T
            panel.hlines(height, low, high, color=style["color"], linewidth=2, alpha=0.45)
            panel.plot(value, height, linestyle="none", markersize=5, **style)
            for row, figure in zip(height, value, strict=True):
                text = f"{figure:.3f}" if np.isfinite(figure) else "failed"
                color = style["color"] if len(protocols) > 1 else "black"
                write_right(panel, row, text, color=color)

    def _label(self):
        """Return what the horizontal axis shows."""
        percent = f"{100 * self.summary.attrs.get('confidence', 0.95):g} %"
        chance = "; dashed: chance" if self.metric in _CHANCE else ""
        return f"{metric_label(self.metric)}\n{percent} interval over subjects{chance}"
