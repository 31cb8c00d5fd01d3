"""Copies of training clips that are cut at the start and end and have more noise."""

import numpy as np
from numpy.random import Generator

from smilefusion.clips._changes import add_noise, cut_end, cut_start
from smilefusion.clips._rates import NOMINAL_FPS
from smilefusion.clips._sequence import ClipSequence

# Each end is cut with probability 0.5, by up to 0.8 s. At least 0.8 s of the clip remains.
_MOST_CUT_S = 0.8
_LEAST_KEPT_S = 0.8
# The noise is drawn log-uniformly, from almost none to that of noisy recordings.
_JITTER = (0.01, 0.1)


def vary_clips(clips: ClipSequence, rng: Generator) -> ClipSequence:
    """Return one changed copy of each clip."""
    rates = np.nan_to_num(clips.fps, nan=NOMINAL_FPS)
    copies = [_vary(clip, rng, rate) for clip, rate in zip(clips, rates, strict=True)]
    shapes = [copy.shape for copy in copies]
    return ClipSequence(copies, shapes, fps=clips.fps, subjects=clips.subjects, names=clips.names)


def _vary(clip: np.ndarray, rng: Generator, fps: float) -> np.ndarray:
    """Return a changed copy of a clip; at least one frame of the copy has a face."""
    cut = clip
    for remove in (cut_start, cut_end):
        is_cut, share = rng.random(2)
        seconds = min(share * _MOST_CUT_S, len(cut) / fps - _LEAST_KEPT_S)
        part = remove(cut, int(seconds * fps)) if is_cut < 0.5 and seconds > 0 else cut
        if not np.isnan(part[:, 0, 0]).all():
            cut = part
    jitter = np.exp(rng.uniform(*np.log(_JITTER)))
    return add_noise(cut, rng, fps=fps, jitter=jitter)
