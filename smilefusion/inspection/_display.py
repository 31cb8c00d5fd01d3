"""Base of all displays: `plot` draws on given or new axes."""

from typing import Any, Self

import numpy as np

from smilefusion.inspection._pyplot import import_pyplot

_MARGIN = 0.1  # inches around a panel and its labels


class Display:
    """Picture of stored numbers."""

    title: str | None
    figure_: Any

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{f': {self.title}' if self.title else ''}>"

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, array-like of Axes or None, default=None
            Axes to draw on, one per panel; None creates a figure.

        Returns
        -------
        self : Display
            The drawn display.

        Raises
        ------
        ValueError
            If the numbers do not fit the parameters of the display, or `ax` does not hold one
            axes per panel.
        ImportError
            If matplotlib is not installed.
        """
        self._plot(ax)
        return self

    def _plot(self, ax: Any) -> None:
        raise NotImplementedError

    def _make_axes(
        self,
        ax: Any,
        n_panels: int,
        size: tuple[float, float],
        *,
        n_columns: int | None = None,
        **options: Any,
    ) -> np.ndarray:
        """Return an array of one axes per panel: the given ones, or those of a new figure."""
        n_columns = min(n_columns or n_panels, n_panels)
        n_rows = -(-n_panels // n_columns)
        if ax is None:
            plt = import_pyplot(f"{type(self).__name__}.plot")
            figure, made = plt.subplots(
                n_rows, n_columns, figsize=size, layout="constrained", **options
            )
            figure.get_layout_engine().set(w_pad=_MARGIN, h_pad=_MARGIN)
            axes, spare = np.split(np.ravel(made), [n_panels])
            for panel in spare:
                figure.delaxes(panel)
        else:
            axes = np.ravel(ax)
        if len(axes) != n_panels:
            raise ValueError(
                f"ax must hold one axes per panel, {n_panels}; got {len(axes)}. Make them with "
                f"plt.subplots({n_rows}, {n_columns})."
            )
        self.figure_ = axes[0].figure
        return axes

    def _write_title(self) -> None:
        if self.title:
            self.figure_.suptitle(self.title, x=0.01, ha="left", fontsize="medium")
