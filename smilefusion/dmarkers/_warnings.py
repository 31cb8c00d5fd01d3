"""Warnings about clips whose D-Markers are incomplete."""

import warnings

import numpy as np

from smilefusion._messages import abridge
from smilefusion.exceptions import DataWarning

# Kind of clip: verb for one clip and for several, and the problem.
_KINDS = {
    "gap": (
        ("has", "have"),
        "gaps of more than max_gap={max_gap} missing frames; only the longest part is described. "
        "Drop such clips or raise max_gap.",
    ),
    "jump": (
        ("shows", "show"),
        "a face that jumps to another place or size, or another face; only the longest part "
        "without a jump is described. Track one face, or drop such clips.",
    ),
    "no smile": (
        ("shows", "show"),
        "no smile; the features describe absent phases. Drop such clips.",
    ),
}
_STACKLEVEL = 4  # user > set_output's wrapper > transform > here


def warn_of_clips(clips, found, *, max_gap):
    """Warn once about each kind of irregular clip in a dict of masks, naming the first few."""
    for kind, chosen in found.items():
        if chosen.any():
            verbs, problem = _KINDS[kind]
            names = [clips.names[index] for index in np.flatnonzero(chosen)]
            message = f"{abridge(names)} {verbs[len(names) > 1]} {problem.format(max_gap=max_gap)}"
            warnings.warn(message, DataWarning, stacklevel=_STACKLEVEL)


def warn_of_missing_signals(names):
    """Warn about signals for which the landmarks have no points."""
    if names:
        warnings.warn(
            f"The landmarks have no points for the {', '.join(names)} signal; its features have "
            "the value of an absent phase. Drop these features, or use clips of 478 landmarks.",
            DataWarning,
            stacklevel=_STACKLEVEL,
        )
