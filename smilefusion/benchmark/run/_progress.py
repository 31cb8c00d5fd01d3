"""Show the progress of a run and estimate its remaining time."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import fmean
from typing import Any, Self

from smilefusion._storage._parallel import progress_bar

_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class RunProgress:
    """Progress bar of the cells of a run, which need not take equally long.

    The remaining time is the sum of the mean times of the estimators of all unfinished cells. An
    estimator without a known time counts with the mean of the others. The estimate appears when
    three of four estimators are known.
    """

    def __init__(self, estimators: Iterable[str], n_processes: int, *, shown: bool) -> None:
        self.pending = Counter(estimators)  # number of unfinished cells of each estimator
        self.n_processes = max(n_processes, 1)  # clusters may have no worker yet
        self.seconds: dict[str, list[float]] = defaultdict(list)  # of finished cells
        self.bar: Any = progress_bar(self.pending.total(), shown=shown, bar_format=_BAR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def finish(self, estimator: str, seconds: float) -> None:
        """Count a finished cell and its time (NaN if unknown)."""
        self.pending[estimator] -= 1
        if not math.isnan(seconds):
            self.seconds[estimator].append(seconds)
        rest = f"{describe_rest(self.estimate())}, " if self.pending.total() else ""
        self.bar.set_postfix_str(f"{rest}{estimator}", refresh=False)
        self.bar.update()

    def estimate(self) -> float:
        """Return the remaining seconds, or NaN."""
        means = {name: fmean(values) for name, values in self.seconds.items()}
        if len(means) < 0.75 * len(self.pending):
            return math.nan
        other = fmean(means.values())
        total = sum(n * means.get(name, other) for name, n in self.pending.items())
        return total / self.n_processes


def describe_rest(seconds: float) -> str:
    """Describe the remaining time, such as "about 3 min left"."""
    if math.isnan(seconds):
        return "estimating the time"
    if seconds < 120:
        return f"about {5 * math.ceil(seconds / 5)} s left"
    if seconds < 5370:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"
