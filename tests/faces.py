"""Clips of the mean face."""

import numpy as np

from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry

SMILE = ([20, 45, 70, 100], [0, 0.3, 0.3, 0])


def make_clip(knots=SMILE, n_frames=120, jitter=0.0, blinks=(), seed=0):
    """Return the mean face that smiles along straight lines, and blinks from frames on."""
    geometry = face_geometry()
    frames = np.arange(n_frames)[:, None, None]
    clip = geometry["neutral"] + np.interp(frames, *knots) * geometry["smile"].astype(np.float64)
    for start in blinks:
        clip += 0.1 * np.interp(frames - start, [0, 4, 10], [0, 1, 0]) * geometry["blink"]
    return clip + np.random.default_rng(seed).normal(0, jitter, clip.shape)


def as_ibug(clip):
    """The 68 points whose names, or whose use as stable points, have twins in the mesh."""
    twins = np.zeros(68, dtype=int)
    for name, indices in IBUG_68.points.items():
        twins[list(indices)] = MEDIAPIPE_478.points[name]
    stable = list(IBUG_68.stable)
    twins[stable] = np.array(IBUG_68.in_mesh)[stable]
    return clip[:, twins]
