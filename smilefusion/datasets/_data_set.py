"""Data sets of clips that print in one line."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from smilefusion._messages import count, printable
from smilefusion.clips._facts import FactSequence, facts_to_html


class ClipBunch(Bunch):
    """Bunch with `clips` that prints their number, landmarks, rate and subjects."""

    def __repr__(self) -> str:
        name = self.get("name")
        return f"{name}: {self['clips']!r}" if name else repr(self["clips"])

    def _repr_html_(self) -> str:
        labels, counts = np.unique(self["target"], return_counts=True)
        pairs = zip(labels, counts, strict=True)
        classes = ", ".join(f"{printable(label)}: {n}" for label, n in pairs)
        clips = self["clips"]
        known = isinstance(clips, FactSequence)
        facts = clips._list_facts() if known else [count(len(clips), "clip")]
        facts.append(f"{classes} classes")
        return facts_to_html(facts, caption=str(self.get("name") or ""))

    def replace(self, **changes: Any) -> "ClipBunch":
        """Return the data set with other entries."""
        return ClipBunch(**(dict(self) | changes))


def common_rate(rates: np.ndarray) -> float | np.ndarray | None:
    """Return one frame rate for all clips if they agree, else one per clip, or None."""
    if np.isnan(rates).all():
        return None
    return float(rates[0]) if (rates == rates[0]).all() else rates
