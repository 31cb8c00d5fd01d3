"""Markers of signals: 25 descriptors of each signal in three phases."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions

from smilefusion._messages import abridge
from smilefusion.clips._facts import FactSequence
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.dmarkers._clip_batches import ClipBatch
from smilefusion.dmarkers._descriptors import DESCRIPTORS, PhaseSums, describe_phases
from smilefusion.dmarkers._phases import BOUNDARIES, PHASES, SEGMENTATIONS, Phases
from smilefusion.dmarkers._signals import SmileSignals, level_before
from smilefusion.dmarkers._smoothing import SMOOTHINGS, smooth_each
from smilefusion.exceptions import DataWarning

MARKER_CONSTRAINTS: dict[str, list] = {
    "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
    "smoothing": [StrOptions(set(SMOOTHINGS)), None],
    "segmentation": [StrOptions(set(SEGMENTATIONS))],
    "missing_phase": [StrOptions({"zero", "nan"})],
    "max_gap": [Interval(Integral, 0, None, closed="left")],
}
_LEFT_RIGHT = [descriptor.name for descriptor in DESCRIPTORS].index("left_right_difference")
# `phases` flags clips with a greater share of missing frames.
TOO_MANY_MISSING = 0.2
# Problems of clips that cause a warning: verb for one clip, verb for several, and message.
PROBLEMS = {
    "gap": (
        ("has", "have"),
        "gaps of more than max_gap={max_gap} missing frames; only the longest part without such a "
        "gap is described. Remove such clips or raise max_gap.",
    ),
    "jump": (
        ("shows", "show"),
        "a face that jumps to another place or size, or another face; only the longest part "
        "without a jump is described. Track one face, or remove such clips.",
    ),
    "no smile": (
        ("shows", "show"),
        "no smile, so all phases are absent from the features. Remove such clips.",
    ),
}
STACKLEVEL = 4  # user > wrapper of set_output > transform > function that warns
# Whether warnings about clips are off. Unlike `warnings.catch_warnings`, this is thread-safe.
_QUIET = ContextVar("_QUIET", default=False)


def marker_names(signals: Iterable[str]) -> np.ndarray:
    """Return the names of markers: signal, phase and descriptor."""
    names = [
        f"{signal}__{phase}__{descriptor.name}"
        for signal in signals
        for phase in PHASES
        for descriptor in DESCRIPTORS
    ]
    return np.array(names, dtype=object)


def describe_batches(
    batches: Iterable[tuple[ClipBatch, float, SmileSignals, Phases]],
    clips: FactSequence,
    windows_s: Sequence[float],
    *,
    smoothing: str | None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the markers of all clips, NaN if absent, and a mask of clips for each problem."""
    features = np.empty((len(clips), len(windows_s) * len(PHASES) * len(DESCRIPTORS)))
    found = {kind: np.zeros(len(clips), dtype=bool) for kind in PROBLEMS}
    for batch, fps, signals, phases in batches:
        sides = np.stack([signals.both, signals.right, signals.left])
        absent = np.isnan(sides[..., 0])  # (side, n_signals, n_clips)
        sides[absent] = 0
        both, right, left = smooth_each(sides, batch.lengths, windows_s, method=smoothing, fps=fps)
        for side in (both, right, left):
            side -= level_before(side, phases.frames[:, 0], fps)
        unit = fps if clips.time_unit == "s" else 1.0
        values = describe_phases(PhaseSums(both, right, left, phases.frames, unit))
        values[:, ~phases.present] = np.nan
        values[absent[0]] = np.nan
        values[absent[1:].any(axis=0), :, _LEFT_RIGHT] = np.nan
        features[batch.indices] = values.swapaxes(0, 1).reshape(len(batch.indices), -1)
        found["gap"][batch.indices] = batch.is_cut & (batch.n_jumps == 0)
        found["jump"][batch.indices] = batch.n_jumps > 0
        found["no smile"][batch.indices] = ~phases.is_smile
    return features, found


def join_phases(tables: Iterable[pd.DataFrame], clips: FactSequence) -> pd.DataFrame:
    """Join the phases of batches in the order of the clips, and add times and a flag."""
    table = pd.concat(tables).sort_index()
    for position, name in enumerate(BOUNDARIES):
        table.insert(len(BOUNDARIES) + position, f"{name}_s", table[name] / clips.fps)
    table["too_many_missing"] = table["n_missing"] > TOO_MANY_MISSING * clips.n_frames
    return table


@contextmanager
def ignoring_data_warnings() -> Iterator[None]:
    """Suppress the warnings of transformers about clips, in this thread only."""
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)


def warn_of_clips(
    names: Sequence[str],
    found: Mapping[str, np.ndarray],
    problems: Mapping[str, tuple[tuple[str, str], str]],
    **values: object,
) -> None:
    """Warn of each problem that was found; `values` fill the placeholders of its message."""
    for kind, chosen in found.items():
        if chosen.any() and not _QUIET.get():
            verbs, problem = problems[kind]
            affected = [name for name, holds in zip(names, chosen, strict=True) if holds]
            message = f"{abridge(affected)} {verbs[len(affected) > 1]} {problem.format(**values)}"
            warnings.warn(message, DataWarning, stacklevel=STACKLEVEL)


def warn_of_missing_signals(missing: Sequence[str]) -> None:
    """Warn of signals for which the landmarks have no points."""
    if missing and not _QUIET.get():
        warnings.warn(
            f"The landmarks have no points for the {', '.join(missing)} signal; its features have "
            "the value of an absent phase. Omit them with the parameter signals, or use clips of "
            "478 landmarks.",
            DataWarning,
            stacklevel=STACKLEVEL,
        )
