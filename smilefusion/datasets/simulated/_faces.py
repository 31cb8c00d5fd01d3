"""Simulated faces: shapes of subjects, and their landmarks during a smile."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from smilefusion.clips._changes import inter_ocular_distance
from smilefusion.datasets.simulated._time_courses import (
    Smile,
    blink_curve,
    coordination_curve,
    eyelid_curve,
    lip_curve,
)
from smilefusion.landmarks import MEDIAPIPE_478, face_geometry

# Lengths are in inter-ocular distances. Positions refer to the mean face, whose origin lies
# between the eyes (x to image right, y down, z away from the camera).
_Pair = tuple[float, float]
_EYE = (0.5, 0.0)
_BROW = (0.52, -0.37)
_MOUTH = (0.0, 1.11)
_NOSE_TIP = (0.0, 0.62)
_CHIN_TOP = 1.40
_BROW_RAISE = 0.045  # per SD of coordination
_CHIN_DROP = 0.060
_SHUT = 0.115  # multiple of the blink field that brings the lids together

# SD of the shape modes of `_shape_modes`, in its order.
_SHAPE_SPREAD = (0.05, 0.05, 0.08, 0.06, 0.08, 0.05, 0.05, 0.12, 0.03, 0.06, 0.05, 0.02)
_ASYMMETRY = 0.06  # SD of the right side's excess in the smile, equal in both classes
_EYELID_SPREAD = 0.15  # SD of ln gain of the eyelids

_STRENGTHS = np.linspace(-0.2, 2.0, 441)  # of the smile field, for the look-up of lip amplitudes


class Subject(NamedTuple):
    """Properties of a person; pace and size are standard normal deviates."""

    face: np.ndarray  # (3, 478)
    movements: np.ndarray  # (5, 3, 478): lips, eyelids, blink, brows, chin
    lip_amplitudes: np.ndarray  # at _STRENGTHS
    pace: float
    size: float


def draw_subject(rng: Generator) -> Subject:
    """Draw a person: a smooth variation of the mean face, and its movements."""
    coefficients = rng.normal(0.0, _SHAPE_SPREAD)
    face = face_geometry()["neutral"] + np.tensordot(coefficients, _shape_modes(), axes=1)
    face /= inter_ocular_distance(face[None])
    right, left, *rest = _movements()
    surplus = rng.normal(0.0, _ASYMMETRY)
    lips = (1.0 + surplus) * right + (1.0 - surplus) * left
    movements = np.stack([lips, *rest])
    movements[1] *= np.exp(rng.normal(0.0, _EYELID_SPREAD))
    pace, size = rng.standard_normal(2)
    return Subject(
        face=face.T.astype(np.float32),
        movements=movements.transpose(0, 2, 1).astype(np.float32),
        lip_amplitudes=_lip_amplitude(face, lips, _STRENGTHS),
        pace=pace,
        size=size,
    )


def express(subject: Subject, smile: Smile, seconds: np.ndarray) -> np.ndarray:
    """Return the landmarks of a subject's smile at the given times, (n_frames, 3, 478)."""
    return move_face(subject, *smile_curves(smile, seconds))


def smile_curves(smile: Smile, seconds: np.ndarray) -> np.ndarray:
    """Return movements of lips, eyelids, blinks, brows and chin over time, (4, n_frames)."""
    curves = (lip_curve, eyelid_curve, blink_curve, coordination_curve)
    return np.stack([curve(smile, seconds) for curve in curves])


def move_face(
    subject: Subject, lips: np.ndarray, eyelids: np.ndarray, blinks: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Return a subject's landmarks, (n_frames, 3, 478), from movements over time."""
    courses = (
        np.interp(lips, subject.lip_amplitudes, _STRENGTHS),
        eyelids,
        _SHUT * blinks,
        _BROW_RAISE * others,
        _CHIN_DROP * others,
    )
    strengths = np.stack(courses, axis=1).astype(np.float32)  # (n_frames, 5)
    return subject.face + np.tensordot(strengths, subject.movements, axes=1)


@cache
def _shape_modes() -> np.ndarray:
    """Return the directions in which faces differ, (12, 478, 3)."""
    x, y, z = face_geometry()["neutral"].T
    nothing = np.zeros_like(x)
    mouth = _bump(x, y, _MOUTH, (0.6, 0.35))
    eyes = _both_sides(x, y, _EYE, (0.33, 0.20))
    nose = _bump(x, y, _NOSE_TIP, (0.35, 0.35))
    modes = [
        (x, nothing, nothing),  # width
        (nothing, y, nothing),  # height
        (nothing, nothing, z),  # depth
        (x * _step((y - 0.9) / 0.2), nothing, nothing),  # jaw width
        (x * mouth, nothing, nothing),  # mouth width
        (nothing, mouth, nothing),  # mouth height
        (nothing, nose, -nose),  # nose length
        (nothing, y * eyes, nothing),  # eye opening
        (nothing, _both_sides(x, y, _BROW, (0.42, 0.16)), nothing),  # brow height
        (nothing, _step((y - _CHIN_TOP) / 0.1), nothing),  # chin length
        (nothing, (np.abs(x) - _EYE[0]) * eyes, nothing),  # eye slant
        (nothing, x * mouth, nothing),  # crooked mouth
    ]
    return np.array(modes).transpose(0, 2, 1)


@cache
def _movements() -> np.ndarray:
    """Return the fields of movement: smile right, left, eyelids, blink, brows, chin."""
    geometry = face_geometry()
    x, y, _ = geometry["neutral"].T
    eyes = _both_sides(x, y, _EYE, (0.33, 0.20))[:, None]
    smile = geometry["smile"] * (1.0 - eyes)
    left = _step(x / 0.02)[:, None]
    eyelids = geometry["smile"] * eyes * (0.0, 1.0, 0.0)
    eyelids /= _eye_opening(geometry["neutral"]) - _eye_opening(geometry["neutral"] + eyelids)
    down = np.array([0.0, 1.0, 0.0])
    brows = _both_sides(x, y, _BROW, (0.42, 0.16))[:, None]
    chin = (_step((y - _CHIN_TOP) / 0.05) * np.exp(-((x / 0.7) ** 2)))[:, None]
    fields = [
        smile * (1.0 - left),
        smile * left,
        eyelids,
        geometry["blink"] * eyes * down,
        -brows * down,
        chin * down,
    ]
    return np.array(fields)


def _lip_amplitude(face: np.ndarray, lips: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return the change of the lip signal D at multiples of the lip field."""
    corners = [MEDIAPIPE_478.locate(face, f"{side}_lip_corner")[:2] for side in ("right", "left")]
    moves = [MEDIAPIPE_478.locate(lips, f"{side}_lip_corner")[:2] for side in ("right", "left")]
    middle = (corners[0] + corners[1]) / 2
    width = np.linalg.norm(corners[0] - corners[1])
    reach = [
        np.linalg.norm(corner - middle + strengths[:, None] * move, axis=1)
        for corner, move in zip(corners, moves, strict=True)
    ]
    return (reach[0] + reach[1]) / (2 * width) - 0.5


def _eye_opening(face: np.ndarray) -> float:
    """Return the distance of the upper lid from the middle of the eye's corners, in eye widths."""
    outer, inner, upper = (
        MEDIAPIPE_478.locate(face, f"right_eye_{point}")[:2]
        for point in ("outer", "inner", "upper")
    )
    return float(np.linalg.norm(upper - (outer + inner) / 2) / np.linalg.norm(outer - inner))


def _step(x: np.ndarray) -> np.ndarray:
    """Return a smooth step from 0 (x far below 0) to 1 (x far above 0)."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _bump(x: np.ndarray, y: np.ndarray, centre: _Pair, radii: _Pair) -> np.ndarray:
    """Return a flat-topped weight around a place: 1 at the centre, 0 beyond the radii."""
    square = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
    return np.exp(-(square**2))


def _both_sides(x: np.ndarray, y: np.ndarray, centre: _Pair, radii: _Pair) -> np.ndarray:
    """Return the flat-topped weight around a place and its mirror image."""
    return _bump(np.abs(x), y, centre, radii)
