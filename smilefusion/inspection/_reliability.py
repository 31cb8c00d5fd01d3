"""ReliabilityDisplay: predicted probabilities against observed frequencies."""

import textwrap
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import ndtri

from smilefusion.benchmark.stats._protocol_labels import (
    HONEST,
    TABLE_KEYS,
    table_title,
    with_protocol,
)
from smilefusion.benchmark.stats._scores import (
    PROBABILITY_PREFIX,
    check_confidence,
    check_predictions,
    list_classes,
)
from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import GRID, INK, MUTED, clear_frame

_KEYS = [*TABLE_KEYS, "estimator"]
_N_COLUMNS = 5
_TITLE_WIDTH = 32  # letters
_HISTOGRAM = np.linspace(0, 1, 21)
_HISTOGRAM_HEIGHT = 0.18  # of the panel, of the fullest bar


@dataclass(eq=False, repr=False)
class ReliabilityDisplay(Display):
    """Show the share of a class among clips with a similar predicted probability.

    Each estimator has a panel. Points on the diagonal are calibrated; points below it are
    overconfident in the class. Bins hold equal numbers of clips; grey bars show the histogram. Use
    `from_predictions` to create a display.

    Parameters
    ----------
    curves : pandas.DataFrame
        One row per bin with ``protocol``, ``dataset``, ``estimator``, ``mean_probability``,
        ``share`` of the class, ``share_low``, ``share_high`` and ``n_clips``.
    probabilities : dict of tuple of (str, str, str) to ndarray of shape (n_clips,)
        Probabilities of the class by protocol, data set and estimator. Empty if it failed.
    label : str
        The class.
    confidence : float, default=0.95
        Coverage of the intervals.
    title : str or None, default=None
        Title of the picture. None: no title.

    Attributes
    ----------
    axes_, figure_ : ndarray of Axes of shape (n_panels,), Figure
        Axes and figure that `plot` drew on.
    """

    curves: pd.DataFrame
    probabilities: dict
    label: str
    _: KW_ONLY
    confidence: float = 0.95
    title: str | None = None

    @classmethod
    def from_predictions(
        cls,
        predictions: pd.DataFrame,
        *,
        label: object = None,
        n_bins: int = 10,
        confidence: float = 0.95,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Bin the probabilities of tidy predictions and draw the picture.

        Parameters
        ----------
        predictions : pandas.DataFrame
            Tidy predictions as returned by `run_benchmark`.
        label : object, default=None
            The class whose probability is shown. None: the second of two classes.
        n_bins : int, default=10
            Number of bins between quantiles of the probability. Equal probabilities share a bin.
            With ten, the mean distance of the bins from the diagonal is the calibration error
            of `score_predictions`.
        confidence : float, default=0.95
            Coverage of the intervals, between 0 and 1.
        title : str or None, default=None
            Title of the picture. None: no title.
        ax : array-like of matplotlib.axes.Axes of shape (n_panels,), default=None
            Axes to draw on, one per protocol, data set and estimator; None creates a figure.

        Returns
        -------
        display : ReliabilityDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If the predictions cannot be scored, a parameter is out of range, or there are
            more than two classes and no label.
        ImportError
            If matplotlib is not installed.

        Notes
        -----
        The interval of a share is Wilson's [1]_ with the number of subjects instead of clips, as
        if all clips of a subject in a bin had the same class. This is conservative if subjects
        have many clips. Resampling would give an interval of width 0 for bins with a single class.

        References
        ----------
        .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical
           inference", Journal of the American Statistical Association 22(158), 1927.
        """
        predictions = with_protocol(predictions)
        check_predictions(predictions)
        if not (isinstance(n_bins, (int, np.integer)) and n_bins >= 2):
            raise ValueError(f"n_bins must be an integer of at least 2; got {n_bins!r}.")
        check_confidence(confidence)
        rows, probabilities = [], {}
        for _, records in predictions.groupby(list(TABLE_KEYS), sort=False):
            label = _check_label(label, list_classes(records))
            for keys, part in records.groupby(_KEYS, sort=False):
                score = part[f"{PROBABILITY_PREFIX}{label}"].to_numpy(dtype=float)
                failed = np.isnan(score).any()
                probabilities[keys] = score[:0] if failed else score
                if not failed:
                    bins = _fill_bins(part, score, label, n_bins, confidence)
                    rows += [dict(zip(_KEYS, keys, strict=True)) | each for each in bins]
        curves = pd.DataFrame(rows)
        display = cls(curves, probabilities, str(label), confidence=confidence, title=title)
        return display.plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        n_panels = len(self.probabilities)
        n_columns = min(n_panels, _N_COLUMNS)
        titles = self._titles()
        n_lines = max(title.count("\n") for title in titles) + 2
        height = (2.3 + 0.17 * n_lines) * -(-n_panels // n_columns)
        size = 0.8 + 2.4 * n_columns, 0.9 + height
        shape = {"n_columns": n_columns, "sharex": True, "sharey": True}
        self.axes_ = self._make_axes(ax, n_panels, size, **shape)
        for panel, title, keys in zip(self.axes_, titles, self.probabilities, strict=True):
            error = self._draw(panel, keys, self.probabilities[keys])
            panel.set_title(f"{title}\n{error}", loc="left", fontsize="small")
        self._label_figure()

    def _titles(self) -> list[str]:
        """Return the titles of the panels, with data set and protocol if necessary."""
        places = {keys[:2] for keys in self.probabilities}
        plain = len(places) == 1 and next(iter(places))[0] == HONEST
        titles = [
            [keys[2]] if plain else [table_title(*keys[:2]), keys[2]]
            for keys in self.probabilities
        ]
        return ["\n".join(textwrap.fill(line, _TITLE_WIDTH) for line in title) for title in titles]

    def _draw(self, panel: Any, keys: tuple[str, str, str], score: np.ndarray) -> str:
        """Draw bins, diagonal and histogram of one estimator; return its error as text."""
        panel.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        panel.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        clear_frame(panel)
        if len(score) == 0:
            return "failed"
        counts, _ = np.histogram(score, _HISTOGRAM)
        heights = counts / counts.max() * _HISTOGRAM_HEIGHT
        panel.stairs(heights, _HISTOGRAM, fill=True, color=GRID)
        curve = self.curves[(self.curves[_KEYS] == list(keys)).all(axis=1)]
        place, share = curve["mean_probability"], curve["share"]
        panel.vlines(
            place, curve["share_low"], curve["share_high"], color=INK, linewidth=1.5, alpha=0.45
        )
        panel.plot(place, share, "o-", color=INK, markersize=3.5, linewidth=1)
        error = np.average(np.abs(share - place), weights=curve["n_clips"])
        return f"calibration error {error:.3f}"

    def _label_figure(self) -> None:
        """Name the axes of all panels, and the picture."""
        percent = f"{100 * self.confidence:g} %"
        for panel in self.axes_:
            panel.tick_params(labelsize="small")
        self.figure_.supxlabel(
            f"probability of class {self.label} (equal-count bins; bars: histogram)",
            fontsize="small",
        )
        self.figure_.supylabel(
            f"share of class {self.label}\n({percent} intervals)", fontsize="small"
        )
        self._write_title()


def _fill_bins(
    part: pd.DataFrame, score: np.ndarray, label: Any, n_bins: int, confidence: float
) -> Iterator[dict[str, Any]]:
    """Return the rows of one estimator's bins."""
    positive = (part["target"].astype(str) == str(label)).to_numpy()
    edges = np.quantile(score, np.arange(1, n_bins) / n_bins)
    places, subjects = np.searchsorted(edges, score), part["group"].to_numpy()
    for place in np.unique(places):
        chosen = places == place
        share = positive[chosen].mean()
        low, high = _wilson_interval(share, len(np.unique(subjects[chosen])), confidence)
        yield {
            "mean_probability": score[chosen].mean(),
            "share": share,
            "share_low": low,
            "share_high": high,
            "n_clips": int(chosen.sum()),
        }


def _wilson_interval(share: float, n_subjects: int, confidence: float) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share."""
    z = ndtri((1 + confidence) / 2)
    centre = share + z**2 / (2 * n_subjects)
    half = z * np.sqrt(share * (1 - share) / n_subjects + z**2 / (4 * n_subjects**2))
    scale = 1 + z**2 / n_subjects
    return max((centre - half) / scale, 0), min((centre + half) / scale, 1)


def _check_label(label: Any, classes: list[str]) -> Any:
    """Return the class that is shown: the given one, or the second of two."""
    if label is None and len(classes) == 2:
        return classes[1]
    if str(label) not in classes:
        raise ValueError(
            f"label must be one of the classes {classes}, and is required if there are more than "
            f"two; got {label!r}."
        )
    return label
