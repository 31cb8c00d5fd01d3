"""Data sets of clips that print in one line."""

import html
from typing import Any

import numpy as np
from sklearn.utils import Bunch


class ClipBunch(Bunch):
    """Bunch with `clips` that prints their number, landmarks, rate and subjects."""

    def __repr__(self) -> str:
        name = self.get("name")
        return f"{name}: {self['clips']!r}" if name else repr(self["clips"])

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"

    def replace(self, **changes: Any) -> "ClipBunch":
        """Return the data set with other entries."""
        return ClipBunch(**(dict(self) | changes))


def common_rate(rates: np.ndarray) -> float | np.ndarray | None:
    """Return one frame rate for all clips if they agree, else one per clip, or None."""
    if np.isnan(rates).all():
        return None
    return float(rates[0]) if (rates == rates[0]).all() else rates
