"""OptimismDisplay: how much the published protocol adds to the scores of the honest one."""

from typing import Any

import numpy as np
import pandas as pd

from smilefusion.benchmark.stats._protocol_labels import HONEST
from smilefusion.benchmark.tables._tables import format_difference
from smilefusion.inspection._estimator_rows import (
    EstimatorRowsDisplay,
    metric_label,
    protocol_style,
    write_right,
)
from smilefusion.inspection._pyplot import MUTED

_PUBLISHED = "published"


class OptimismDisplay(EstimatorRowsDisplay):
    """Show how far the published score of each strategy lies above the honest one.

    Each data set has a panel and each estimator a row: the score of the honest protocol with its
    interval, the score of the published protocol, which selects the epoch with the best accuracy
    on the test clips, and their difference. Use `from_predictions` to create a display.

    Parameters
    ----------
    summary : pandas.DataFrame
        Scores of both protocols as returned by `summarize`. Other protocols are ignored.
    metric : str, default="accuracy"
        A metric of `score_predictions`.
    title : str or None, default=None
        Title of the picture if there is one data set. None: the name of the data set.

    Attributes
    ----------
    axes_, figure_ : ndarray of Axes of shape (n_datasets,), Figure
        Axes and figure that `plot` drew on.
    """

    def _select(self, summary: pd.DataFrame) -> pd.DataFrame:
        for protocol in (HONEST, _PUBLISHED):
            if protocol not in set(summary["protocol"]):
                raise ValueError(
                    f"The summary has no scores of the {protocol} protocol, but the display "
                    "compares the honest with the published protocol. Run the benchmark under "
                    "both and concatenate the predictions."
                )
        return summary[summary["protocol"].isin([HONEST, _PUBLISHED])]

    def _count_lines(self, protocols: np.ndarray) -> int:
        return 1

    def _draw(
        self, panel: Any, rows: pd.DataFrame, protocols: np.ndarray, estimators: list[str]
    ) -> None:
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
        for scores, protocol in ((value, HONEST), (optimistic, _PUBLISHED)):
            panel.plot(scores, heights, linestyle="none", **protocol_style(protocol))
        tested = set(rows["estimator"])
        for height, difference in zip(heights, optimistic - value, strict=True):
            if estimators[height] in tested:
                text = format_difference(difference) if np.isfinite(difference) else "failed"
                write_right(panel, height, text, color=MUTED)

    def _label(self) -> str:
        return (
            f"{metric_label(self.metric)}\nline: {self._percent()} interval over subjects\n"
            "right: published minus honest"
        )
