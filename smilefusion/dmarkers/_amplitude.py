"""Amplitude signals of clips, with blinks found and bridged."""

import numpy as np
import pandas as pd

from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.dmarkers._batches import iterate_batches
from smilefusion.dmarkers._blinks import bridge_blinks as bridge
from smilefusion.dmarkers._blinks import find_blinks
from smilefusion.dmarkers._signals import (
    SIGNALS,
    rest_level,
    signal_landmarks,
    smile_signals,
)
from smilefusion.dmarkers._smoothing import smooth
from smilefusion.landmarks import landmark_scheme

MIN_FRAMES = 5
# Smoothing windows in seconds, chosen to be as wide at 25 as at 50 frames per second: 2 and 4
# frames to either side for amplitudes and speeds, 4 and 8 for the limits of the phases, 6 and 12
# to find them roughly and to measure jitter.
DESCRIPTOR_WINDOW_S = 0.18
FINE_WINDOW_S = 0.32
COARSE_WINDOW_S = 0.5


def measure_signals(clips, scheme, *, pose, bridge_blinks, max_gap):
    """Compute the signals of clips, batch by batch.

    Parameters
    ----------
    clips : ClipSequence
        Checked clips.
    scheme : LandmarkScheme
        Their landmark scheme.
    pose : {"rigid", "eyes"} or None
        How the head's pose is taken out.
    bridge_blinks : bool
        Whether the eyelid signal is interpolated over blinks.
    max_gap : int
        Longest gap of missing frames that is bridged.

    Yields
    ------
    batch : ClipBatch
        The clips.
    fps : float
        Their frame rate.
    signals : SmileSignals
        Their amplitudes, not smoothed.
    blinks : bool ndarray of shape (n_clips, n_frames)
        The frames of a blink.
    """
    batches = iterate_batches(
        clips,
        signal_landmarks(scheme),
        corners=slice(len(scheme.stable), len(scheme.stable) + 4),
        max_gap=max_gap,
        min_frames=MIN_FRAMES,
        window=COARSE_WINDOW_S,
    )
    eyelid = SIGNALS.index("eyelid")
    for batch, fps in batches:
        signals = smile_signals(batch, scheme, pose=pose)
        blinks = find_blinks(signals.both[eyelid], batch.lengths, fps)
        if bridge_blinks and blinks.any():
            for side in (signals.both, signals.right, signals.left):
                side[eyelid] = bridge(side[eyelid], blinks)
                side[eyelid] -= rest_level(side[eyelid])  # the blink may fall on the rest
        yield batch, fps, signals, blinks


def amplitude_signals(
    clip, *, fps=None, pose="rigid", smoothing=None, bridge_blinks=True, max_gap=10
):
    """Measure how far eyelids, cheeks and lip corners have moved from rest in each frame.

    Parameters
    ----------
    clip : array-like of shape (n_frames, n_landmarks, n_dims), path or ClipSequence
        One clip, as taken by `check_clips`, or a sequence of one clip.
    fps : float, default=None
        Frames per second. None takes what the clip states. If the rate is unknown, there are no
        times and filters assume 30 frames per second.
    pose : {"rigid", "eyes"} or None, default="rigid"
        How the head's pose is taken out: position, rotation in space and size by the points
        that smiles and blinks move least; position, rotation in the image plane and size by
        the eye centres; or not at all.
    smoothing : {"savgol", "median", "4253h_twice"} or None, default=None
        Filter of the signals, over 0.18 s as for the descriptors of `DMarkerTransformer`.
    bridge_blinks : bool, default=True
        Whether the eyelid signal is interpolated over blinks.
    max_gap : int, default=10
        Longest gap of missing frames that is interpolated.

    Returns
    -------
    signals : DataFrame with n_frames rows
        ``eyelid, cheek, lip``, the mean of both sides, and each with ``_right`` and ``_left``,
        the subject's own; zero at rest, the median of the first five frames. Lip and cheek are
        in units of the distance between the mouth corners, or the cheeks, at rest, eyelid in
        eye widths, less where the eye closes. NaN in frames that are not described: missing
        ones, and all outside the longest part without a long gap or a jump; NaN throughout for
        cheeks that the landmark scheme lacks. ``blink`` is True in the frames of a blink, and
        ``time_s``, if the frame rate is known, the time since the first frame in seconds.

    Raises
    ------
    InvalidClipError
        If the clip breaks a rule.
    ValueError
        If `fps` is not a number between 1 and 1000.

    References
    ----------
    H. Dibeklioglu, A. A. Salah, T. Gevers, "Recognition of Genuine Smiles", IEEE Transactions
    on Multimedia 17(3), 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.dmarkers import amplitude_signals
    >>> from smilefusion.landmarks import face_geometry
    >>> face = face_geometry()
    >>> smile = np.interp(np.arange(60), [10, 40], [0, 0.3])
    >>> clip = face["neutral"] + smile[:, None, None] * face["smile"]
    >>> signals = amplitude_signals(clip, fps=50)
    >>> signals[["time_s", "lip"]].round(3).iloc[[0, 25, 59]].to_numpy().tolist()
    [[0.0, 0.0], [0.5, 0.127], [1.18, 0.267]]
    """
    sequence = clip if isinstance(clip, ClipSequence) else [clip]
    clips = check_clips(sequence, min_frames=MIN_FRAMES, fps=fps)
    scheme = landmark_scheme(clips.n_landmarks)
    (measured,) = measure_signals(
        clips, scheme, pose=pose, bridge_blinks=bridge_blinks, max_gap=max_gap
    )
    batch, rate, signals, blinks = measured
    columns = {}
    for suffix, side in (("", signals.both), ("_right", signals.right), ("_left", signals.left)):
        smoothed = smooth(
            side, batch.lengths, method=smoothing, window=DESCRIPTOR_WINDOW_S, fps=rate
        )
        columns |= {name + suffix: row[0] for name, row in zip(SIGNALS, smoothed, strict=True)}
    table = pd.DataFrame(columns)
    table.index += int(batch.starts[0])
    table = table.reindex(range(clips.n_frames[0]))
    table.loc[np.isnan(clips[0][:, 0, 0])] = np.nan
    table["blink"] = False
    table.loc[table.index[batch.starts[0] :][: batch.lengths[0]], "blink"] = blinks[0]
    if clips.time_unit == "s":
        table.insert(0, "time_s", np.arange(len(table)) / rate)
    return table
