"""FusionComparisonDisplay: scores of estimators with their intervals."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from smilefusion.inspection._estimator_rows import (
    FOLDS,
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
    display of a benchmark, or `from_cv_results` for a search of scikit-learn.

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
    def from_cv_results(
        cls,
        cv_results: Any,
        *,
        parameter: str = "fusion",
        metric: str | None = None,
        n_classes: int = 2,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the scores of a parameter search, such as a grid search over strategies.

        Parameters
        ----------
        cv_results : fitted search, dict or DataFrame
            A fitted search such as `GridSearchCV`, or its ``cv_results_``.
        parameter : str, default="fusion"
            Parameter to compare: its name in the search, or the part after the last ``__``. If
            other parameters vary too, each value is shown with its best setting.
        metric : str or None, default=None
            Name of the scorer if the search has several. None takes the only one.
        n_classes : int, default=2
            Number of classes, which determines the chance level.
        title : str or None, default=None
            Title of the picture. None: "cross-validation".
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on. None creates a figure.

        Returns
        -------
        display : FusionComparisonDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If the parameter or the metric is not in the results, or is ambiguous.
        ImportError
            If matplotlib is not installed.

        Notes
        -----
        A point is the mean of the test folds of the search, and a line extends one standard
        deviation to both sides. It is not an interval over subjects. The best of several scores is
        optimistic. Use `run_benchmark` to estimate scores on new people.
        """
        table = pd.DataFrame(getattr(cv_results, "cv_results_", cv_results))
        column = _find_parameter(table, parameter)
        scorer = _find_scorer(table, metric)
        scoring = getattr(cv_results, "scoring", None)
        name = scoring if scorer == "score" and isinstance(scoring, str) else scorer
        mean, spread = table[f"mean_test_{scorer}"], table[f"std_test_{scorer}"]
        summary = pd.DataFrame(
            {
                "dataset": "cross-validation",
                "estimator": [getattr(value, "__name__", str(value)) for value in table[column]],
                FOLDS: sum(
                    f"split{fold}_test_{scorer}" in table for fold in range(table.shape[1])
                ),
                name: mean,
                f"{name}_low": mean - spread,
                f"{name}_high": mean + spread,
            }
        )
        # Masked values belong to grids without the parameter. Halving searches score a candidate
        # in several iterations; the last one uses the most data.
        summary = summary[[not (isinstance(v, float) and np.isnan(v)) for v in table[column]]]
        turns = summary.assign(turn=table.get("iter", 0))
        best = turns.sort_values(["turn", name], kind="stable", na_position="first")
        best = best.drop_duplicates("estimator", keep="last").set_index("estimator")
        summary = best.loc[summary["estimator"].unique()].drop(columns="turn").reset_index()
        return cls(summary, metric=name, n_classes=n_classes, title=title).plot(ax=ax)

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
        if FOLDS in self.summary:
            return f"{metric_label(self.metric)}\n± one standard deviation of the folds{chance}"
        return f"{metric_label(self.metric)}\n{self._percent()} interval over subjects{chance}"


def _find_parameter(table: pd.DataFrame, parameter: str) -> str:
    """Return the column of a parameter in the results of a search."""
    names = [str(name).removeprefix("param_") for name in table if str(name).startswith("param_")]
    found = [name for name in names if name == parameter]
    found = found or [name for name in names if name.rpartition("__")[2] == parameter]
    if len(found) != 1:
        raise ValueError(
            f"parameter must be one of the parameters of the search, {names}; got {parameter!r}. "
            "Pass one of these names."
        )
    return f"param_{found[0]}"


def _find_scorer(table: pd.DataFrame, metric: str | None) -> str:
    """Return the name of a scorer in the results of a search."""
    start = "mean_test_"
    names = [str(name).removeprefix(start) for name in table if str(name).startswith(start)]
    if metric is None and len(names) == 1:
        return names[0]
    if metric not in names:
        raise ValueError(
            f"metric must be one of the scorers of the search, {names}; got {metric!r}. Pass one "
            "of these names."
        )
    return metric
