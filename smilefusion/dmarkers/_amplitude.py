"""Amplitude signals of clips, with blinks found and bridged."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.dmarkers._blinks import bridge_blinks as bridge
from smilefusion.dmarkers._blinks import find_blinks
from smilefusion.dmarkers._clip_batches import ClipBatch, iterate_batches
from smilefusion.dmarkers._phases import COARSE_WINDOW_S
from smilefusion.dmarkers._signals import (
    SIGNALS,
    SmileSignals,
    amplitudes,
    frontal_points,
    rest_level,
    signal_landmarks,
)
from smilefusion.dmarkers._smoothing import SMOOTHINGS, smooth_each
from smilefusion.landmarks import LandmarkScheme, landmark_scheme

MIN_FRAMES = 5
# Smoothing windows for the descriptors. The eyelids move least relative to the noise.
WINDOWS_S = {"eyelid": 0.34, "cheek": 0.18, "lip": 0.18}

SIGNAL_CONSTRAINTS: dict[str, list] = {
    "pose": [StrOptions({"rigid", "eyes"}), None],
    "smoothing": [StrOptions(set(SMOOTHINGS)), None],
    "bridge_blinks": ["boolean"],
    "max_gap": [Interval(Integral, 0, None, closed="left")],
}


def measure_signals(
    clips: ClipSequence,
    scheme: LandmarkScheme,
    *,
    pose: str | None,
    bridge_blinks: bool,
    max_gap: int,
    skip_short: bool = False,
) -> Iterator[tuple[ClipBatch, float, SmileSignals, np.ndarray]]:
    """Yield batches of clips, their frame rate, signals and blinks (n_clips, n_frames)."""
    batches = iterate_batches(
        clips,
        signal_landmarks(scheme),
        corners=slice(len(scheme.stable), len(scheme.stable) + 4),
        max_gap=max_gap,
        min_frames=MIN_FRAMES,
        skip_short=skip_short,
        window=COARSE_WINDOW_S,
    )
    eyelid = SIGNALS.index("eyelid")
    for batch, fps in batches:
        points = frontal_points(batch.paths, scheme, pose=pose, names=batch.names)
        signals = amplitudes(points, scheme, names=batch.names)
        blinks = find_blinks(signals.both[eyelid], batch.lengths, fps)
        if bridge_blinks and blinks.any():
            for side in (signals.both, signals.right, signals.left):
                side[eyelid] = bridge(side[eyelid], blinks)
                side[eyelid] -= rest_level(side[eyelid])  # the rest may contain a blink
        yield batch, fps, signals, blinks


def amplitude_signals(
    clip: Any,
    *,
    fps: float | None = None,
    pose: str | None = "rigid",
    smoothing: str | None = None,
    bridge_blinks: bool = True,
    max_gap: int = 10,
) -> pd.DataFrame:
    """Measure the displacement of eyelids, cheeks and lip corners from rest in each frame.

    Parameters
    ----------
    clip : array-like of shape (n_frames, n_landmarks, n_dims), path or ClipSequence
        One clip in a form that `check_clips` accepts, or a sequence of one clip.
    fps : float, default=None
        Frames per second. None takes the rate that the clip states. If the rate is unknown, there
        are no times, and filters assume 30 frames per second.
    pose : {"rigid", "eyes"} or None, default="rigid"
        Normalisation of the head pose, as in `DMarkerTransformer`.
    smoothing : {"savgol", "median", "4253h_twice"} or None, default=None
        Filter of the signals, as for the descriptors of `DMarkerTransformer`.
    bridge_blinks : bool, default=True
        Whether to interpolate the eyelid signal over blinks.
    max_gap : int, default=10
        Longest gap of missing frames to interpolate over, in frames.

    Returns
    -------
    signals : DataFrame with n_frames rows
        ``eyelid``, ``cheek`` and ``lip`` are means of both sides; ``_right`` and ``_left`` mark
        the subject's own sides. Signals are relative to rest, the median of the first five frames.
        Lip and cheek are in units of the distance between the mouth corners or cheeks at rest.
        The eyelid is in eye widths and decreases as the eye closes. ``blink`` is True in the
        frames of a blink, ``jump`` in the first frame after the face has jumped to another place
        or size. ``time_s`` is the time since the first frame in seconds; the column is
        absent if the frame rate is unknown.
        Signals are NaN in missing frames and outside the longest part without a long gap or a
        jump. The cheek is NaN if the landmark scheme has no cheek points.

    Raises
    ------
    InvalidClipError
        If the clip breaks a rule.
    ValueError
        If `fps` is not a number between 1 and 1000, or another parameter is invalid.

    Notes
    -----
    Distances d are taken in the frontal x, y plane. Lip and cheek are
    D(t) = [d(m, r_t) + d(m, l_t)] / (2 R), where r_t and l_t are the right and left point, m and R
    their midpoint and distance at rest. The eyelid D(t) is the mean over the eyes of
    d(c_t, u_t) / w_t, negative if the lid is below c_t, where c_t is the midpoint of the eye
    corners, u_t the upper lid and w_t the width of the eye. The signal is A(t) = D(t) - D at rest.

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
    parameters = {
        "pose": pose,
        "smoothing": smoothing,
        "bridge_blinks": bridge_blinks,
        "max_gap": max_gap,
    }
    validate_parameter_constraints(SIGNAL_CONSTRAINTS, parameters, "amplitude_signals")
    sequence = clip if isinstance(clip, ClipSequence) else [clip]
    clips = check_clips(sequence, min_frames=MIN_FRAMES, fps=fps)
    scheme = landmark_scheme(clips.n_landmarks)
    (measured,) = measure_signals(
        clips, scheme, pose=pose, bridge_blinks=bridge_blinks, max_gap=max_gap
    )
    batch, rate, signals, blinks = measured
    windows = [WINDOWS_S[name] for name in SIGNALS]
    columns: dict[str, np.ndarray] = {}
    for suffix, side in (("", signals.both), ("_right", signals.right), ("_left", signals.left)):
        smoothed = smooth_each(side, batch.lengths, windows, method=smoothing, fps=rate)
        columns |= {name + suffix: row[0] for name, row in zip(SIGNALS, smoothed, strict=True)}
    table = pd.DataFrame(columns)
    table.index += int(batch.starts[0])
    table = table.reindex(range(clips.n_frames[0]))
    table.loc[np.isnan(clips[0][:, 0, 0])] = np.nan
    table["blink"] = False
    table.loc[table.index[batch.starts[0] :][: batch.lengths[0]], "blink"] = blinks[0]
    table["jump"] = batch.jumps[0]
    if clips.time_unit == "s":
        table.insert(0, "time_s", np.arange(len(table)) / rate)
    return table
