"""EmbeddingDisplay: features in two dimensions, one panel per stream."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, column_or_1d

from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import COLORS, MARKERS, clear_frame


@dataclass(eq=False, repr=False)
class EmbeddingDisplay(Display):
    """Show the features of clips in two dimensions, one panel per stream.

    Nearby points have similar features; colours are classes. Compare the streams before fusion
    with the fused features. Use `from_embeddings` to create a display.

    Parameters
    ----------
    points : dict of str to ndarray of shape (n_clips, 2)
        Coordinates of the clips by the name of the stream.
    y : array-like of shape (n_clips,)
        Class labels.
    axis_labels : dict of str to tuple of (str, str)
        Labels of the horizontal and the vertical axis by the name of the stream.
    title : str or None, default=None
        Title of the picture. None: no title.

    Attributes
    ----------
    axes_, figure_ : ndarray of Axes of shape (n_streams,), Figure
        Axes and figure that `plot` drew on.

    References
    ----------
    L. van der Maaten, G. Hinton: Visualizing Data using t-SNE, JMLR 9, 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.inspection._embedding import EmbeddingDisplay
    >>> table = np.random.default_rng(0).normal(size=(20, 5))
    >>> display = EmbeddingDisplay.from_embeddings(
    ...     {"deep": table, "fused": table**2}, np.arange(20) % 2
    ... )
    >>> display.points["fused"].shape
    (20, 2)
    """

    points: dict
    y: ArrayLike
    axis_labels: dict
    _: KW_ONLY
    title: str | None = None

    @classmethod
    def from_embeddings(
        cls,
        streams: dict,
        y: ArrayLike,
        *,
        method: str = "pca",
        perplexity: float = 30.0,
        random_state: int | np.random.RandomState | None = 0,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Project every stream to two dimensions and draw the picture.

        Features are standardised first.

        Parameters
        ----------
        streams : dict of str to array-like of shape (n_clips, n_features)
            Feature tables of the same clips by name. The numbers of features may differ.
        y : array-like of shape (n_clips,)
            Class labels.
        method : {"pca", "tsne"}, default="pca"
            PCA preserves distances, and its axes show their share of the variance. t-SNE preserves
            neighbours; distances between groups have no meaning.
        perplexity : float, default=30.0
            Perplexity of t-SNE; must be less than the number of clips.
        random_state : int, RandomState instance or None, default=0
            Seed of both methods.
        title : str or None, default=None
            Title of the picture. None: no title.
        ax : array-like of matplotlib.axes.Axes of shape (n_streams,), default=None
            Axes to draw on; None creates a figure.

        Returns
        -------
        display : EmbeddingDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If `streams` is empty, a stream contains missing values or differs in length from
            `y`, the method is unknown, or the perplexity is too large.
        ImportError
            If matplotlib is not installed.
        """
        if method not in ("pca", "tsne"):
            raise ValueError(f"method must be 'pca' or 'tsne'; got {method!r}.")
        labels = column_or_1d(y)
        if not isinstance(streams, dict) or not streams:
            raise ValueError(
                "streams must be a dict of at least one table of features by name; got "
                f"{streams!r:.60}. Name each stream, such as {{'deep': embedding}}."
            )
        points, axis_labels = {}, {}
        for name, table in streams.items():
            table = _check_stream(name, table, labels)
            if method == "pca":
                points[name], axis_labels[name] = _project(table, random_state)
            else:
                points[name] = _embed(name, table, perplexity, random_state)
                axis_labels[name] = ("t-SNE 1", "t-SNE 2")
        return cls(points, labels, axis_labels, title=title).plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        n_streams = len(self.points)
        self.axes_ = self._make_axes(ax, n_streams, (1.0 + 3.1 * n_streams, 3.6))
        for panel, name in zip(self.axes_, self.points, strict=True):
            self._draw(panel, name)
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        self.axes_[-1].legend(**place, frameon=False, fontsize="small")
        self._write_title()

    def _draw(self, panel: Any, name: str) -> None:
        """Draw the clips of one stream, class by class."""
        points = self.points[name]
        for index, label in enumerate(np.unique(self.y)):
            chosen = np.asarray(self.y) == label
            panel.scatter(
                *points[chosen].T,
                s=16,
                color=COLORS[index % len(COLORS)],
                marker=MARKERS[index % len(MARKERS)],
                alpha=0.7,
                linewidths=0,
                label=str(label),
            )
        horizontal, vertical = self.axis_labels[name]
        panel.set_xlabel(horizontal, fontsize="small")
        panel.set_ylabel(vertical, fontsize="small")
        panel.set_title(name, loc="left", fontsize="medium")
        panel.tick_params(labelsize="small")
        clear_frame(panel)


def _check_stream(name: str, table: Any, y: np.ndarray) -> np.ndarray:
    """Check the features of a stream and standardise them."""
    table = check_array(
        table, ensure_min_samples=3, ensure_min_features=2, input_name=f"stream {name!r}"
    )
    if len(table) != len(y):
        raise ValueError(
            f"Stream {name!r} has {len(table)} rows; y has {len(y)} labels. Give one row per "
            "label, in the same order."
        )
    return StandardScaler().fit_transform(table)


def _project(
    table: np.ndarray, random_state: int | np.random.RandomState | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the first two principal components, and labels with their shares of variance."""
    pca = PCA(n_components=2, random_state=random_state)
    points = pca.fit_transform(table)
    shares = pca.explained_variance_ratio_
    return points, tuple(
        f"component {number} ({100 * share:.0f} % of variance)"
        for number, share in enumerate(shares, start=1)
    )


def _embed(
    name: str,
    table: np.ndarray,
    perplexity: float,
    random_state: int | np.random.RandomState | None,
) -> np.ndarray:
    """Return the positions that t-SNE finds."""
    if not perplexity < len(table):
        raise ValueError(
            f"perplexity must be less than the number of clips; got {perplexity} for the "
            f"{len(table)} clips of stream {name!r}. Set it to at most a third of the clips."
        )
    return TSNE(perplexity=perplexity, init="pca", random_state=random_state).fit_transform(table)
