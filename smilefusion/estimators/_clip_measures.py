"""What is measured of a clip to see whether it is like others: rate, length, noise, smile."""

import numpy as np
import pandas as pd

from smilefusion.clips import check_fps
from smilefusion.dmarkers._batches import iterate_batches
from smilefusion.dmarkers._signals import (
    N_REST_FRAMES,
    SIGNALS,
    amplitudes,
    frontal_points,
    signal_landmarks,
)
from smilefusion.landmarks import landmark_scheme
from smilefusion.pose import rigid_motion

MEASURES = (
    *("fps", "duration", "jitter", "smile", "start_level", "end_level", "eye_distance"),
    *("head_angle", "missing"),
)
_MIN_FRAMES = 5
_MAX_GAP = 15  # frames without a face that are bridged
_MAD_TO_SD = 1.4826  # of normal noise
_WIDTHS = (5, 95)  # percentiles of the lip signal between which its smile is measured


def measure_clips(clips, fps):
    """Measure clips.

    Parameters
    ----------
    clips : ClipSequence
        Checked clips.
    fps : float, array-like of shape (n_clips,) or None
        Frames per second; None counts in frames.

    Returns
    -------
    measures : DataFrame with n_clips rows
        ``fps`` (NaN where it is None); ``duration``, s or frames; ``jitter``, the noise of the
        landmarks from frame to frame, eye distances; ``smile``, how far the lip signal goes,
        mouth widths at rest; ``start_level`` and ``end_level`` of the lip signal, 0 its least, 1
        its greatest; ``eye_distance``, as the coordinates come; ``head_angle``, how far the head
        is turned from frontal, degrees; ``missing``, the share of frames without a face.

    Raises
    ------
    InvalidClipError
        If no part of a clip is long enough.
    """
    rates = check_fps(fps, len(clips))
    scheme = landmark_scheme(clips.n_landmarks)
    table = np.full((len(clips), len(MEASURES)), np.nan)
    batches = iterate_batches(
        clips,
        rates,
        signal_landmarks(scheme),
        corners=None,
        max_gap=_MAX_GAP,
        min_frames=_MIN_FRAMES,
    )
    for batch, _ in batches:
        table[batch.indices, 2:] = _measure_batch(batch, clips.n_frames[batch.indices], scheme)
    table[:, 0] = np.nan if fps is None else rates
    table[:, 1] = clips.n_frames / rates
    return pd.DataFrame(table, columns=list(MEASURES))


def _measure_batch(batch, n_frames, scheme):
    """Return the measures after the first two of the clips of a batch, (n_clips, 7)."""
    n_stable = len(scheme.stable)
    stable, corners = batch.paths[:, :n_stable], batch.paths[:, n_stable : n_stable + 4]
    eyes = corners[:, 2:].mean(axis=1) - corners[:, :2].mean(axis=1)
    distance = np.linalg.norm(eyes, axis=0)  # (n_clips, n_frames)
    points = frontal_points(batch.paths, scheme, pose="rigid", names=batch.names)
    lip = amplitudes(points, scheme, names=batch.names).both[SIGNALS.index("lip")]
    angle = _angles(rigid_motion(stable, scheme)[0])
    measured = [
        (
            _noise(points[..., k, :length]),
            *_lip_measures(lip[k, :length]),
            np.median(distance[k, :length]),
            np.median(angle[k, :length]),
        )
        for k, length in enumerate(batch.lengths)
    ]
    missing = batch.n_missing / n_frames
    return np.column_stack([np.array(measured), missing])


def _lip_measures(lip):
    """Return how far a lip signal goes, and its level at start and end, 0 least and 1 greatest."""
    low, high = np.percentile(lip, _WIDTHS)
    ends = np.array([np.median(lip[:N_REST_FRAMES]), np.median(lip[-N_REST_FRAMES:])])
    return high - low, *((ends - low) / max(high - low, np.finfo(float).tiny))


def _noise(points):
    """Return the noise of frontal points (..., n_frames), by their second differences.

    Of independent noise of standard deviation s these have sqrt(6) s; movements, which are
    smooth, hardly add to them.
    """
    steps = np.diff(points, n=2, axis=-1)
    return _MAD_TO_SD * np.median(np.abs(steps)) / np.sqrt(6)


def _angles(linear):
    """Return how far rotations times scale (n_dims, n_dims, ...) turn, degrees."""
    n_dims = len(linear)
    trace = np.trace(linear)
    scale = np.sqrt((linear**2).sum(axis=(0, 1)) / n_dims)
    cosine = (trace / scale - (n_dims - 2)) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
