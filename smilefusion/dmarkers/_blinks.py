"""Find, count and bridge blinks in the eyelid signal."""

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from smilefusion.clips._resampling import fill_gaps, nearest_known

# The lids close in about 0.1 s, stay shut for up to 0.3 s and open in about 0.1 s (Stern,
# Walrath, Goldstein, Psychophysiology 21(1), 1984). A longer closure is not a blink.
LONGEST_SECONDS = 0.5
# A full closure lowers the upper lid by 0.2 to 0.3 eye widths, a partial blink by at least a
# quarter of that (Ousler et al., Clinical Ophthalmology 8, 2014). A smile narrows the eyes by
# 0.03 on average and keeps them narrow.
LEAST_DEPTH = 0.05
# Jitter is the standard deviation of the change over this time, estimated from the smallest third
# of the changes, so blinks may fill half of a clip. In 16 of 17 clips of noise (5 s, white or
# slow, 25 to 50 frames per second) the deepest dip is below this many jitters.
JITTER_SECONDS = 0.1
LEAST_JITTERS = 4.0
_DEVIATIONS_PER_TERTILE = 2.3216  # a third of normal deviates are smaller in size than 1 / 2.3216
# If the start or end of a clip cuts a blink, only one side is visible. Such a blink must be deeper
# than a smile: in one smile, the eyes narrowed by 0.05 eye widths within 0.25 s.
CUT_FACTOR = 1.5
# The lids are open again at this fraction of the least depth.
RESIDUE = 0.1
# Lids move by 1 to 3 eye widths per second in blinks, and by at most 0.3 in smiles.
BLINK_SPEED = 0.5
SPEED_JITTERS = 2.0


def find_blinks(eyelid: np.ndarray, lengths: np.ndarray, fps: float) -> np.ndarray:
    """Find the frames of blinks in eyelid signals (n_clips, n_frames), in eye widths."""
    # A blink is a dip below the morphological closing by 0.5 s (Serra, 1982). It includes the
    # frames around the dip in which the lid is lowered or moves fast, so a blink that ends in a
    # lasting change extends to its higher shoulder. Below 4 frames per second, none is found.
    window = 2 * int(LONGEST_SECONDS * fps / 2) + 1
    last = lengths[:, None] - 1
    position = np.arange(-window, eyelid.shape[1] + window)
    frames = np.clip(position, 0, last)
    opening = np.take_along_axis(eyelid, frames, axis=1)
    jitter = _jitter(opening, lengths, max(1, int(JITTER_SECONDS * fps + 0.5)))
    depth = np.maximum(LEAST_DEPTH, LEAST_JITTERS * jitter)
    speed = np.maximum(BLINK_SPEED / fps, SPEED_JITTERS * jitter)

    steps = np.diff(opening, axis=1)
    _open_cut_ends(opening, position, last, CUT_FACTOR * depth, speed)
    dip = _dip(opening, window)
    lowered = (dip > RESIDUE * depth) | (_dip(opening, 2 * window - 1) > depth)
    lowered[:, 1:] |= steps < -speed
    lowered[:, :-1] |= steps > speed
    blinks = _runs_with(dip > depth, lowered)
    return np.take_along_axis(blinks, frames[:, window:-window] + window, axis=1)


def count_blinks(blinks: np.ndarray) -> np.ndarray:
    """Count the blinks of each clip."""
    return np.count_nonzero(np.diff(blinks, axis=1, prepend=False) & blinks, axis=1)


def bridge_blinks(signals: np.ndarray, blinks: np.ndarray) -> np.ndarray:
    """Interpolate signals (..., n_clips, n_frames) over blinks; those at an end are constant."""
    before, after = (frames[blinks] for frames in nearest_known(~blinks))
    first = np.where(before < 0, after, before)
    last = np.where(after == blinks.shape[1], before, after)
    bridged = signals.copy()
    fill_gaps(bridged, (*np.nonzero(blinks), first, last))
    return bridged


def _jitter(opening: np.ndarray, lengths: np.ndarray, lag: int) -> np.ndarray:
    """Return the robust standard deviation of the changes over a lag, (n_clips, 1)."""
    changes = np.sort(np.abs(opening[:, lag:] - opening[:, :-lag]), axis=1)
    # The changes in the padding are zero and come first, followed by those of the clip.
    n_changes = lengths + lag - 2
    tertile = changes.shape[1] - n_changes + (n_changes - 1) // 3
    return _DEVIATIONS_PER_TERTILE * np.take_along_axis(changes, tertile[:, None], axis=1)


def _open_cut_ends(
    opening: np.ndarray,
    position: np.ndarray,
    last: np.ndarray,
    depth: np.ndarray,
    speed: np.ndarray,
) -> None:
    """Set the padding to open eyes, in place, where the start or end of a clip cuts a blink."""
    window = -position[0]
    within = np.arange(max(window // 2, 1) + 1)
    near_start = opening[:, window : window + len(within)]
    near_end = np.take_along_axis(opening, window + last - within, axis=1)
    for near, beyond in ((near_start, position < 0), (near_end, position > last)):
        highest = near.max(axis=1, keepdims=True)
        cut = (highest - near[:, :1] > depth) | (near[:, :1] - near[:, 1:2] > speed)
        np.copyto(opening, highest, where=beyond & cut)


def _dip(opening: np.ndarray, window: int) -> np.ndarray:
    """Return the depth of each frame below the morphological closing of the signal."""
    highest = maximum_filter1d(opening, window, axis=1, mode="nearest")
    return minimum_filter1d(highest, window, axis=1, mode="nearest") - opening


def _runs_with(seeds: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the runs of marked frames that contain a seed; all seeds must be marked."""
    starts = np.diff(frames, axis=1, prepend=False) & frames
    runs = np.cumsum(starts).reshape(frames.shape)
    chosen = np.zeros(runs[-1, -1] + 1, dtype=bool)
    chosen[runs[seeds]] = True
    return chosen[runs] & frames
