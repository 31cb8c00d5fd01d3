"""Blinks in the eyelid signal: found, counted and bridged."""

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from smilefusion.clips._resampling import fill_gaps, nearest_known

# The lids close in about 0.1 s, stay shut for up to 0.3 s and open in about 0.1 s (Stern,
# Walrath & Goldstein, 1984); what keeps them down for longer is no blink.
LONGEST_SECONDS = 0.5
# A full closure lowers the upper lid by 0.2 to 0.3 eye widths, a partial blink by a quarter of
# that or more (Ousler et al., 2014). A smile narrows the eyes by 0.03 in the mean, and stays.
LEAST_DEPTH = 0.05
# Jitter is the standard deviation of the change over this time, as the lowest third of the
# changes give it, so that blinks may fill half of a clip. The deepest dip of 5 s of noise, be it
# white or slow, at 25 to 50 frames per second, stays below this many jitters in 16 of 17 clips.
JITTER_SECONDS = 0.1
LEAST_JITTERS = 4.0
_DEVIATIONS_PER_TERTILE = 2.3216  # a third of normal deviates are of a size below 1 / 2.3216
# Of a blink that a clip's start or end cuts only one side is seen. That is told from a smile by
# more depth: the eyes of a smiling man narrowed by 0.05 eye widths within 0.25 s.
CUT_FACTOR = 1.5
# The lids have come back when this fraction of the least depth is left.
RESIDUE = 0.1
# Blinking lids move by 1 to 3 eye widths per second, smiling ones hardly by 0.3.
BLINK_SPEED = 0.5
SPEED_JITTERS = 2.0


def find_blinks(eyelid, lengths, fps):
    r"""Find the frames in which the eyes blink.

    Parameters
    ----------
    eyelid : ndarray of shape (n_clips, n_frames)
        Mean opening of both eyes in eye widths, not smoothed, lower where the lids close. Its
        zero does not matter.
    lengths : ndarray of int of shape (n_clips,)
        Number of frames of each clip; those after a clip's end are not looked at.
    fps : float
        Frames per second of all clips.

    Returns
    -------
    blinks : ndarray of bool of shape (n_clips, n_frames)
        True from the first frame in which the lids close to the last before they are open
        again; the frames beside such a run show the eyes as they are without the blink. At
        least one frame of a clip is False. Frames after a clip's end repeat its last one.

    Notes
    -----
    With D the opening, the morphological closing by a window, the least over the windows that
    hold a frame of the greatest D within, fills every dip narrower than the window and leaves
    steps and slow movements as they are. The dip

    .. math:: b_w(t) = \min_{|s - t| \le w/2}\ \max_{|u - s| \le w/2} D(u) - D(t)

    is how far the lids are below the lower of their two shoulders. A blink is where the dip of
    w = 0.5 s exceeds a threshold: 0.05 eye widths, and four times the clip's jitter, the standard
    deviation of the change over 0.1 s, estimated as 2.32 times the size that a third of the
    changes are below. It extends over the frames around in which that dip exceeds a tenth of the
    threshold, the lids move faster than 0.5 eye widths per second and two jitters per frame, or
    the dip of w = 1 s exceeds the threshold too. Thus a blink that ends in a lasting change (a
    smile, a glance down) is covered up to its higher shoulder, and blinks between which the lids
    do not come back are one.

    So a partial blink counts from a fifth of a full closure on, and a wink where the mean of
    both eyes falls that far. Eyes that narrow and stay, that move slowly, or that are shut for
    half a second or more do not blink. Beyond a clip's start or end the eyes are taken to stay
    as they are; but to be as open as they are within 0.25 s of it, if that is more by 1.5 times
    the threshold, or if they close that fast in the first step or open so in the last one. Below
    4 frames per second no window holds a blink, and none is found.

    References
    ----------
    J. A. Stern, L. C. Walrath, R. Goldstein, "The endogenous eyeblink", Psychophysiology 21(1),
    1984.
    G. W. Ousler, M. B. Abelson, P. R. Johnston, J. Rodriguez, K. Lane, L. M. Smith, "Blink
    patterns and lid-contact times in dry-eye and normal subjects", Clinical Ophthalmology 8,
    2014.
    J. Serra, "Image Analysis and Mathematical Morphology", Academic Press, 1982.
    """
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


def count_blinks(blinks):
    """Count the blinks of each clip.

    Parameters
    ----------
    blinks : ndarray of bool of shape (n_clips, n_frames)
        Frames of a blink.

    Returns
    -------
    counts : ndarray of int of shape (n_clips,)
        Number of runs of frames of a blink.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.dmarkers._blinks import count_blinks
    >>> count_blinks(np.array([[True, True, False, True], [False] * 4])).tolist()
    [2, 0]
    """
    return np.count_nonzero(np.diff(blinks, axis=1, prepend=False) & blinks, axis=1)


def bridge_blinks(signals, blinks):
    """Replace the frames of each blink by a line between the frames beside it.

    Parameters
    ----------
    signals : ndarray of shape (..., n_clips, n_frames)
        Signals.
    blinks : ndarray of bool of shape (n_clips, n_frames)
        Frames of a blink; at least one frame of a clip must be False.

    Returns
    -------
    bridged : ndarray of shape (..., n_clips, n_frames)
        A copy without the blinks; one at a clip's start or end holds the value beside it.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.dmarkers._blinks import bridge_blinks
    >>> blinks = np.array([[True, False, True, True, False]])
    >>> bridge_blinks(np.array([[-9.0, 1.0, -9.0, -9.0, 4.0]]), blinks).tolist()
    [[1.0, 1.0, 2.0, 3.0, 4.0]]
    """
    before, after = (frames[blinks] for frames in nearest_known(~blinks))
    first = np.where(before < 0, after, before)
    last = np.where(after == blinks.shape[1], before, after)
    bridged = signals.copy()
    fill_gaps(bridged, (*np.nonzero(blinks), first, last))
    return bridged


def _jitter(opening, lengths, lag):
    """Return the robust standard deviation of a clip's changes over a lag, (n_clips, 1)."""
    changes = np.sort(np.abs(opening[:, lag:] - opening[:, :-lag]), axis=1)
    # Beyond a clip's ends nothing changes: those zeros come first, and the clip's own last.
    n_changes = lengths + lag - 2
    tertile = changes.shape[1] - n_changes + (n_changes - 1) // 3
    return _DEVIATIONS_PER_TERTILE * np.take_along_axis(changes, tertile[:, None], axis=1)


def _open_cut_ends(opening, position, last, depth, speed):
    """Put, in place, open eyes beyond a clip's start or end that cuts a blink."""
    window = -position[0]
    within = np.arange(max(window // 2, 1) + 1)
    near_start = opening[:, window : window + len(within)]
    near_end = np.take_along_axis(opening, window + last - within, axis=1)
    for near, beyond in ((near_start, position < 0), (near_end, position > last)):
        highest = near.max(axis=1, keepdims=True)
        cut = (highest - near[:, :1] > depth) | (near[:, :1] - near[:, 1:2] > speed)
        np.copyto(opening, highest, where=beyond & cut)


def _dip(opening, window):
    """Return how far each frame lies below the closing by a window."""
    highest = maximum_filter1d(opening, window, axis=1, mode="nearest")
    return minimum_filter1d(highest, window, axis=1, mode="nearest") - opening


def _runs_with(seeds, frames):
    """Return the runs of frames along a row that hold a seed, all seeds being such frames."""
    starts = np.diff(frames, axis=1, prepend=False) & frames
    runs = np.cumsum(starts).reshape(frames.shape)
    chosen = np.zeros(runs[-1, -1] + 1, dtype=bool)
    chosen[runs[seeds]] = True
    return chosen[runs] & frames
