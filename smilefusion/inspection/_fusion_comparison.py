"""FusionComparisonDisplay: scores of estimators with their intervals."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import pandas as pd

from smilefusion.inspection._estimator_rows import (
    EstimatorRowsDisplay,
    metric_label,
    protocol_style,
    write_right,
)
from smilefusion.inspection._pyplot import MUTED

# Scores of a classifier that predicts equal probabilities.
_CHANCE: dict[str, Callable[[int], float]] = {
    "balanced_accuracy": lambda n_classes: 1 / n_classes,
    "roc_auc": lambda n_classes: 0.5,
    "log_loss": np.log,
    "brier_score": lambda n_classes: 0.25 if n_classes == 2 else 1 - 1 / n_classes,
}


@dataclass(eq=False, repr=False)
class FusionComparisonDisplay(EstimatorRowsDisplay):
    """Show a score of each strategy and baseline with its interval.

    Each data set has a panel and each protocol a colour. Use `from_predictions` to create a
    display.

    Parameters
    ----------
    summary : pandas.DataFrame
        Scores as returned by `summarize`. The order of estimators is kept.
    metric : str, default="balanced_accuracy"
        A metric of `score_predictions`.
    title : str or None, default=None
        Title of the picture if there is one data set. None: the name of the data set.
    n_classes : int, default=2
        Number of classes, which determines the chance level.

    Attributes
    ----------
    axes_, figure_ : ndarray of Axes of shape (n_datasets,), Figure
        Axes and figure that `plot` drew on.
    """

    _: KW_ONLY
    metric: str = "balanced_accuracy"
    n_classes: int = 2

    @classmethod
    def _options(cls, predictions: pd.DataFrame) -> dict[str, Any]:
        return {"n_classes": predictions["target"].nunique()}

    def _draw(
        self, panel: Any, rows: pd.DataFrame, protocols: np.ndarray, estimators: list[str]
    ) -> None:
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
            for row, score in zip(height, value, strict=True):
                text = f"{score:.3f}" if np.isfinite(score) else "failed"
                color = style["color"] if len(protocols) > 1 else "black"
                write_right(panel, row, text, color=color)

    def _label(self) -> str:
        chance = "; dashed: chance" if self.metric in _CHANCE else ""
        return f"{metric_label(self.metric)}\n{self._percent()} interval over subjects{chance}"
