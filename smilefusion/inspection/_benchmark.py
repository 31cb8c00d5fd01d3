"""BenchmarkDisplay: balanced accuracies with their intervals."""

import numpy as np

from smilefusion.benchmark._tables import summarize
from smilefusion.inspection._pyplot import GRID, INK, MUTED, import_pyplot

_ROW_HEIGHT = 0.28  # inches


class BenchmarkDisplay:
    """Show the balanced accuracy of each estimator with its interval.

    Use `from_predictions` to make one.

    Parameters
    ----------
    summary : pandas.DataFrame
        Figures of one data set as `summarize` returns them; the columns ``estimator``,
        ``balanced_accuracy`` and its ends are shown, from top to bottom.
    n_classes : int, default=2
        Number of classes; chance is one in as many.
    title : str or None, default=None
        Title of the picture; None takes the name of the data set.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes that `plot` drew on.
    figure_ : matplotlib.figure.Figure
        Figure that holds the axes.
    """

    def __init__(self, summary, *, n_classes=2, title=None):
        self.summary = summary
        self.n_classes = n_classes
        self.title = title

    @classmethod
    def from_predictions(
        cls,
        predictions,
        *,
        title=None,
        n_resamples=2000,
        confidence=0.95,
        random_state=0,
        ax=None,
    ):
        """Score tidy predictions of one data set and draw the picture.

        Parameters
        ----------
        predictions : pandas.DataFrame
            Tidy predictions as `run_benchmark` returns them.
        title : str or None, default=None
            Title of the picture; None takes the name of the data set.
        n_resamples : int, default=2000
            Number of bootstrap samples of the subjects.
        confidence : float, default=0.95
            Coverage of the intervals, between 0 and 1.
        random_state : int, RandomState instance or None, default=0
            Seed of the bootstrap.
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        display : BenchmarkDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Where the predictions cannot be scored or come from several data sets.
        ImportError
            Where matplotlib is not installed.
        """
        summary = summarize(
            predictions, n_resamples=n_resamples, confidence=confidence, random_state=random_state
        )
        return cls(summary, n_classes=predictions["target"].nunique(), title=title).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        self : BenchmarkDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        ValueError
            Where the summary holds several data sets.
        ImportError
            Where matplotlib is not installed.
        """
        names = self.summary["dataset"].unique()
        if len(names) > 1:
            raise ValueError(
                f"The summary holds the data sets {names.tolist()}; a picture shows one. Select "
                "the rows of one data set."
            )
        if ax is None:
            plt = import_pyplot("BenchmarkDisplay.plot")
            size = (7.5, 1.3 + _ROW_HEIGHT * len(self.summary))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self._draw_intervals(ax)
        self._label_axes(ax, names[0])
        return self

    def _draw_intervals(self, ax):
        """Draw a dot and a bar per estimator and write its figure at the right edge."""
        rows = np.arange(len(self.summary))
        value = self.summary["balanced_accuracy"].to_numpy()
        low = self.summary["balanced_accuracy_low"].to_numpy()
        high = self.summary["balanced_accuracy_high"].to_numpy()
        ax.axvline(1 / self.n_classes, color=MUTED, linestyle="--", linewidth=1)
        ax.hlines(rows, low, high, color=INK, linewidth=2, alpha=0.45)
        ax.plot(value, rows, "o", color=INK, markersize=5)
        for row in rows:
            text = f"{value[row]:.3f}" if np.isfinite(value[row]) else "failed"
            ax.text(
                1.015, row, text, transform=ax.get_yaxis_transform(), va="center", fontsize="small"
            )

    def _label_axes(self, ax, dataset):
        """Name the axes and the estimators and clear what carries no information."""
        percent = f"{100 * self.summary.attrs.get('confidence', 0.95):g} %"
        sizes = self.summary.iloc[0]
        ax.set_yticks(np.arange(len(self.summary)), self.summary["estimator"])
        ax.set_ylim(len(self.summary) - 0.4, -0.6)
        ax.set_xlabel(f"balanced accuracy, {percent} interval over subjects (dashed: chance)")
        ax.set_title(
            f"{self.title or dataset}: {sizes['n_clips']} clips of {sizes['n_groups']} subjects",
            loc="left",
            fontsize="medium",
        )
        ax.grid(axis="x", color=GRID, linewidth=0.8)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
