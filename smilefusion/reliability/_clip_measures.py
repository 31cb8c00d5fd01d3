"""Measures of a clip that show whether it resembles others: rate, length, noise, smile."""

import numpy as np
import pandas as pd

from smilefusion.clips._sequence import ClipSequence
from smilefusion.dmarkers._clip_batches import ClipBatch, iterate_batches
from smilefusion.dmarkers._phases import MAD_TO_SD
from smilefusion.dmarkers._signals import (
    N_REST_FRAMES,
    SIGNALS,
    amplitudes,
    frontal_points,
    signal_landmarks,
)
from smilefusion.landmarks import LandmarkScheme, landmark_scheme
from smilefusion.pose import rigid_motion

MEASURES = (
    *("fps", "duration", "jitter", "smile", "start_level", "end_level"),
    *("eye_distance", "head_angle", "missing"),
)
_MAX_GAP = 15  # longest run of frames without a face that is interpolated
_WIDTHS = (5, 95)  # the smile is the distance between these percentiles of the lip signal


def measure_clips(clips: ClipSequence) -> pd.DataFrame:
    """Measure clips: one row per clip with the columns `MEASURES`, see DistributionChecker."""
    scheme = landmark_scheme(clips.n_landmarks)
    table = np.full((len(clips), len(MEASURES)), np.nan)
    batches = iterate_batches(
        clips,
        signal_landmarks(scheme),
        corners=None,
        max_gap=_MAX_GAP,
        min_frames=N_REST_FRAMES,
    )
    for batch, _ in batches:
        table[batch.indices, 2:] = _measure_batch(batch, clips.n_frames[batch.indices], scheme)
    table[:, 0] = clips.fps
    table[:, 1] = clips.n_frames / np.nan_to_num(clips.fps, nan=1.0)
    return pd.DataFrame(table, columns=list(MEASURES))


def _measure_batch(batch: ClipBatch, n_frames: np.ndarray, scheme: LandmarkScheme) -> np.ndarray:
    """Return the measures of a batch of clips except the first two, (n_clips, 7)."""
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


def _lip_measures(lip: np.ndarray) -> tuple[float, float, float]:
    """Return the range of a lip signal and its levels at start and end, as shares of the range."""
    low, high = np.percentile(lip, _WIDTHS)
    ends = np.array([np.median(lip[:N_REST_FRAMES]), np.median(lip[-N_REST_FRAMES:])])
    return high - low, *((ends - low) / max(high - low, np.finfo(float).tiny))


def _noise(points: np.ndarray) -> float:
    """Return the noise of frontal points (..., n_frames), from their second differences."""
    # Independent noise of standard deviation s gives second differences of standard deviation
    # sqrt(6) s. Movements are smooth and add little.
    steps = np.diff(points, n=2, axis=-1)
    return MAD_TO_SD * np.median(np.abs(steps)) / np.sqrt(6)


def _angles(linear: np.ndarray) -> np.ndarray:
    """Return the angle of scaled rotations (n_dims, n_dims, ...), in degrees."""
    n_dims = len(linear)
    trace = np.trace(linear)
    scale = np.sqrt((linear**2).sum(axis=(0, 1)) / n_dims)
    cosine = (trace / scale - (n_dims - 2)) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
