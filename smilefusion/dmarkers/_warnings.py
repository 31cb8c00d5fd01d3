"""Warnings about clips whose D-Markers say less than they seem to."""

import warnings

import numpy as np

from smilefusion._messages import abridge
from smilefusion.exceptions import (
    FaceJumpWarning,
    MissingFramesWarning,
    MissingLandmarksWarning,
    NoSmileWarning,
)

# Kind, verb for one clip and for several, the problem, and the warning's category.
_KINDS = {
    "gap": (
        ("has", "have"),
        "gaps of more than max_gap={max_gap} missing frames; only the longest part is described. "
        "Drop such clips or raise max_gap.",
        MissingFramesWarning,
    ),
    "jump": (
        ("shows", "show"),
        "a face that jumps to another place or size, or another face; only the longest part "
        "without a jump is described. Track one face, or drop such clips.",
        FaceJumpWarning,
    ),
    "no smile": (
        ("shows", "show"),
        "no smile; the features describe absent phases. Drop such clips.",
        NoSmileWarning,
    ),
}
_STACKLEVEL = 4  # user > set_output's wrapper > transform > here


def warn_of_clips(clips, found, *, max_gap):
    """Warn once about each kind of irregular clip, naming the first few.

    Parameters
    ----------
    clips : ClipSequence
        The clips.
    found : dict of str to bool ndarray of shape (n_clips,)
        Which clips are of a kind: "gap", "jump" or "no smile".
    max_gap : int
        Longest gap that is interpolated.
    """
    for kind, chosen in found.items():
        if chosen.any():
            verbs, problem, category = _KINDS[kind]
            names = [clips.name(index) for index in np.flatnonzero(chosen)]
            message = f"{abridge(names)} {verbs[len(names) > 1]} {problem.format(max_gap=max_gap)}"
            warnings.warn(message, category, stacklevel=_STACKLEVEL)


def warn_of_missing_signals(names):
    """Warn about signals for which the landmarks have no points.

    Parameters
    ----------
    names : list of str
        Their names; none gives no warning.
    """
    if names:
        warnings.warn(
            f"The landmarks have no points for the {', '.join(names)} signal; its features have "
            "the value of an absent phase. Leave them out, or use clips of 478 landmarks.",
            MissingLandmarksWarning,
            stacklevel=_STACKLEVEL,
        )
