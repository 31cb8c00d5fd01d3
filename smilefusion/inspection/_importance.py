"""DMarkerImportanceDisplay: permutation importance of groups of D-Markers."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.inspection import permutation_importance
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline

from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import INK, MUTED, clear_frame

# Word in the name of a descriptor → its family; all others are amplitudes.
_FAMILIES = {
    "duration": "duration",
    "speed": "speed",
    "per_second": "speed",
    "acceleration": "acceleration",
    "difference": "symmetry",
}
_AXES = ("signal", "phase", "family", "descriptor")
_MOST_WRITTEN = 10  # columns of a heat map with numbers in its cells


@dataclass(eq=False, repr=False)
class DMarkerImportanceDisplay(Display):
    """Show how much a fitted classifier relies on each group of D-Markers.

    The 225 D-Markers are too many to read and too correlated to permute one by one. They are
    grouped, by default by signal, phase and family of descriptors. The importance of a group is
    the drop in score when its columns are shuffled together between clips. Use `from_estimator` to
    create a display.

    Parameters
    ----------
    importances : pandas.DataFrame
        One row per group: the columns of ``signal``, ``phase``, ``family`` and ``descriptor``
        that define the groups, ``n_columns``, and ``importance_mean`` and ``importance_std``,
        mean and population standard deviation of the drop in score over the repeats.
    score : float
        Score without shuffling.
    score_name : str, default="score"
        Name of the score.
    title : str or None, default=None
        Title of the picture. None: the score.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Axes and figure that `plot` drew on.

    See Also
    --------
    sklearn.inspection.permutation_importance : The same for single columns.

    Notes
    -----
    Let s be the score on n clips, and s(π) the score after the rows of the columns G are permuted
    by π. The importance of G is the mean of s - s(π) over random π [1]_ [2]_. All groups are
    shuffled by the same permutations, so their importances are comparable.

    A group with an importance of 0 may still separate the classes: the score does not drop if
    other groups contain the same information. For this reason importances do not add up, and a
    large group, such as all lip descriptors, can exceed the sum of its parts. The standard
    deviation reflects permutations of the same clips, not the variation between people.

    References
    ----------
    .. [1] L. Breiman, "Random Forests", Machine Learning 45(1), 2001.
    .. [2] B. Gregorutti, B. Michel, P. Saint-Pierre, "Grouped variable importance with random
       forests and application to multiple functional data analysis", Computational Statistics
       & Data Analysis 90, 2015.
    """

    importances: pd.DataFrame
    _: KW_ONLY
    score: float
    score_name: str = "score"
    title: str | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        by: str | Sequence[str] = ("signal", "phase", "family"),
        feature_names: Sequence[str] | None = None,
        scoring: Any = None,
        n_repeats: int = 10,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Compute the importances for a fitted classifier and draw the picture.

        Use clips of people who are not in the training data. On training clips, importances also
        reflect overfitting.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator. It must be a Pipeline if `X` holds clips.
        X : ndarray or DataFrame of shape (n_clips, n_columns), or sequence of clips
            A table with D-Markers among its columns, or clips as accepted by `check_clips`. The
            first step of the Pipeline, a `DMarkerTransformer` or a FeatureUnion with one,
            transforms the clips once. Other columns are not shuffled.
        y : array-like of shape (n_clips,)
            Class labels.
        by : str or sequence of str, default=("signal", "phase", "family")
            What defines the groups: "signal" (eyelid, cheek, lip), "phase" (onset, apex,
            offset), "family" (duration, amplitude, speed, acceleration, symmetry) and
            "descriptor" (the 25). The last one is on the horizontal axis.
        feature_names : sequence of str of length n_columns or None, default=None
            Names of the columns. Names of D-Markers end like "lip__onset__duration". None: the
            names of the DataFrame or of the first step. An array of 225 columns must contain the
            D-Markers in the order of `DMarkerTransformer`.
        scoring : str, callable or None, default=None
            A score as in scikit-learn, higher is better. None: the estimator's own.
        n_repeats : int, default=10
            Number of permutations of each group.
        n_jobs : int or None, default=None
            Number of groups processed in parallel, as in joblib.
        random_state : int, RandomState instance or None, default=None
            Seed of the permutations.
        title : str or None, default=None
            Title of the picture. None: the score.
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None creates a figure.

        Returns
        -------
        display : DMarkerImportanceDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If no column is a D-Marker, the number of names is wrong, `by` is unknown, the score
            is not one number, or `X` holds clips and the estimator is not a Pipeline.
        InvalidClipError
            If a clip is invalid.
        ImportError
            If matplotlib is not installed.
        """
        by = _check_by(by)
        model, table, names = _as_table(estimator, X, feature_names)
        found = _find_dmarkers(names)
        scorer = check_scoring(model, scoring=scoring)
        score = scorer(model, table, y)
        if not isinstance(score, Real):
            raise ValueError(f"scoring must give one number; got {score!r}. Choose one score.")
        groups = found.groupby(by, sort=False)
        # scikit-learn shuffles one column of row numbers per group.
        drops = permutation_importance(
            model,
            np.tile(np.arange(len(table))[:, None], groups.ngroups),
            y,
            scoring=partial(
                _score_rows,
                scorer=scorer,
                table=table,
                columns=found["column"].to_numpy(),
                groups=groups.ngroup().to_numpy(),
            ),
            n_repeats=n_repeats,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        importances = groups.size().rename("n_columns").reset_index()
        importances["importance_mean"] = drops.importances_mean
        importances["importance_std"] = drops.importances_std
        name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
        return cls(importances, score=float(score), score_name=name, title=title).plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        by = [axis for axis in self.importances if axis in _AXES]
        table: Any = self.importances.set_index(by)[["importance_mean", "importance_std"]]
        if len(by) > 1:
            table = table.unstack(sort=False)
        n_rows, n_columns = len(table), table.shape[1] // 2
        width = 2.7 + (0.95 if n_columns <= _MOST_WRITTEN else 0.3) * n_columns
        size = (7.0, 1.2 + 0.3 * n_rows) if len(by) == 1 else (width, 1.8 + 0.42 * n_rows)
        (ax,) = self._make_axes(ax, 1, size)
        self.ax_ = ax
        draw = _draw_bars if len(by) == 1 else _draw_heat_map
        draw(ax, table["importance_mean"], table["importance_std"], f"drop in {self._name()}")
        title = self.title or f"{self._name()} {self.score:.3f}; its drop when a group is shuffled"
        ax.set_title(title, loc="left", fontsize="medium")

    def _name(self) -> str:
        return self.score_name.replace("_", " ")


def _check_by(by: str | Sequence[str]) -> list[str]:
    """Return `by` as a list."""
    axes = [by] if isinstance(by, str) else list(by)
    if not axes or not set(axes) <= set(_AXES) or len(set(axes)) < len(axes):
        raise ValueError(
            f"by must name one or several of {list(_AXES)}, each once; got {by!r}. Remove "
            "unknown and repeated names."
        )
    return axes


def _as_table(
    estimator: Any, X: Any, feature_names: Sequence[str] | None
) -> tuple[Any, Any, list[str]]:
    """Return the model that takes a table, the table, and the names of its columns."""
    standard = DMarkerTransformer().get_feature_names_out()
    if hasattr(X, "columns"):
        model, table, names = estimator, X, X.columns
    elif isinstance(X, np.ndarray) and X.ndim == 2:
        model, table = estimator, X
        names = standard if X.shape[1] == len(standard) else ()
    elif isinstance(estimator, Pipeline):
        model, table = estimator[1:], estimator[0].transform(X)
        names = estimator[0].get_feature_names_out()
    else:
        raise ValueError(
            f"X is of type {type(X).__name__}, so it is read as clips, but the estimator is a "
            f"{type(estimator).__name__}. Clips need a Pipeline whose first step computes "
            "D-Markers. Pass that (for a search, its best_estimator_), or pass a table as X."
        )
    names = list(names if feature_names is None else feature_names)
    if len(names) != table.shape[1]:
        raise ValueError(
            f"X has {table.shape[1]} columns but {len(names)} names. Only a table of the "
            f"{len(standard)} D-Markers needs no names. Set feature_names to one name per column."
        )
    return model, table, names


def _find_dmarkers(names: list[str]) -> pd.DataFrame:
    """Return position, signal, phase, family and descriptor of each column with a D-Marker."""
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        positions.setdefault("__".join(str(name).split("__")[-3:]), []).append(position)
    rows = []
    for name in DMarkerTransformer().get_feature_names_out():
        signal, phase, descriptor = name.split("__")
        family = next((f for word, f in _FAMILIES.items() if word in descriptor), "amplitude")
        place = signal, phase, family, descriptor
        rows += [(position, *place) for position in positions.get(name, ())]
    if not rows:
        raise ValueError(
            f"None of the {len(names)} columns has the name of a D-Marker, such as "
            f"'lip__onset__duration'; the first is {names[0]!r}. Set feature_names."
        )
    return pd.DataFrame(rows, columns=["column", *_AXES])


def _score_rows(
    model: Any,
    rows: np.ndarray,
    y: ArrayLike,
    *,
    scorer: Callable,
    table: Any,
    columns: np.ndarray,
    groups: np.ndarray,
) -> float:
    """Score the table after shuffling each group of D-Markers by its row numbers."""
    permuted = table.copy()
    cells = permuted.iloc if hasattr(table, "iloc") else permuted
    values = np.asarray(cells[:, columns])
    cells[:, columns] = np.take_along_axis(values, rows[:, groups], axis=0)
    return scorer(model, permuted, y)


def _draw_bars(ax: Any, means: pd.Series, deviations: pd.Series, label: str) -> None:
    """Draw a bar and its standard deviation per group, from top to bottom."""
    rows = np.arange(len(means))
    ax.barh(rows, means, color=INK, alpha=0.45, height=0.6)
    ax.errorbar(means, rows, xerr=deviations, fmt="none", ecolor=INK, capsize=3)
    ax.axvline(0, color=MUTED, linewidth=1)
    ax.set_yticks(rows, means.index)
    ax.set_ylim(len(means) - 0.4, -0.6)
    ax.set_xlabel(f"{label}, mean ± SD over permutations")
    clear_frame(ax, grid="x")


def _draw_heat_map(ax: Any, means: pd.DataFrame, deviations: pd.DataFrame, label: str) -> None:
    """Draw a cell per group: blue if shuffling lowers the score, red if it raises it."""
    limit = np.nanmax(np.abs(means.to_numpy())) or 1.0
    image = ax.imshow(means, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    ax.figure.colorbar(image, ax=ax, label=label)
    n_rows, n_columns = means.shape
    names = [", ".join(key) if isinstance(key, tuple) else key for key in means.index]
    ax.set_yticks(np.arange(n_rows), names)
    if n_columns > _MOST_WRITTEN:
        ax.set_xticks(np.arange(n_columns), means.columns, rotation=90)
    else:
        ax.set_xticks(np.arange(n_columns), means.columns)
        _write_numbers(ax, means.to_numpy(), deviations.to_numpy(), limit)
    first = means.index.get_level_values(0)
    if means.index.nlevels > 1:
        for row in np.flatnonzero(first[1:] != first[:-1]):
            ax.axhline(row + 0.5, color="white", linewidth=4)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _write_numbers(ax: Any, means: np.ndarray, deviations: np.ndarray, limit: float) -> None:
    """Write mean and standard deviation into each cell."""
    for row, column in np.argwhere(~np.isnan(means)):
        mean, deviation = means[row, column], deviations[row, column]
        ink = "white" if abs(mean) > 0.6 * limit else "black"
        text = f"{mean:z.3f} ±{deviation:.3f}"
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize="x-small")
    ax.set_xlabel("mean ± SD over permutations", color=MUTED, fontsize="small")
