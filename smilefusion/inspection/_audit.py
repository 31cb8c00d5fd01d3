"""AuditDisplay: how well each property of the recording separates the classes by itself."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import MUTED

_COLOURS = {"warning": "#b3451d", "note": "#9a7400", "ok": "#1f5f7a"}


@dataclass(eq=False, repr=False)
class AuditDisplay(Display):
    """Show how well each property of the recording separates the classes by itself.

    Use `from_audit` to create a display.

    Parameters
    ----------
    audit : DataFrame
        Result of `smilefusion.audit_dataset`.
    title : str or None, default=None
        Title of the picture. None: no title.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Axes and figure that `plot` drew on.
    """

    audit: pd.DataFrame
    _: KW_ONLY
    title: str | None = None

    @classmethod
    def from_audit(
        cls, audit: pd.DataFrame, *, title: str | None = None, ax: ArrayLike | None = None
    ) -> Self:
        """Draw the properties of an audit with their AUC and interval.

        Parameters
        ----------
        audit : DataFrame
            Result of `smilefusion.audit_dataset`.
        title : str or None, default=None
            Title of the picture. None: no title.
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None creates a figure.

        Returns
        -------
        display : AuditDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If the audit rated no property.
        ImportError
            If matplotlib is not installed.
        """
        return cls(audit, title=title).plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        rows = self.audit[self.audit["low"].notna()].iloc[::-1]
        if rows.empty:
            raise ValueError(
                "The audit rated no property of the recording, so there is nothing to draw. Pass "
                "the complete result of audit_dataset."
            )
        (self.ax_,) = self._make_axes(ax, 1, (6.4, 1.2 + 0.3 * len(rows)))
        heights = np.arange(len(rows))
        for verdict, colour in _COLOURS.items():
            chosen = (rows["verdict"] == verdict).to_numpy()
            part = rows[chosen]
            self.ax_.hlines(heights[chosen], part["low"], part["high"], color=colour)
            self.ax_.plot(part["auc"], heights[chosen], "o", color=colour, label=verdict)
        self.ax_.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="dashed")
        labels = rows["code"] + "  " + rows["check"]
        self.ax_.set_yticks(heights, labels, ha="left")
        self.ax_.tick_params(axis="y", pad=190, length=0)
        self.ax_.set(xlabel="AUC on other people, with 95 % interval", xlim=(0.3, 1.02))
        self.ax_.legend(loc="lower right", frameon=False)
        for side in ("top", "right", "left"):
            self.ax_.spines[side].set_visible(False)
        self._write_title()
