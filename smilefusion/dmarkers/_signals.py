"""Lip, eyelid and cheek signals of clips, and their rest level."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import LandmarkScheme
from smilefusion.pose import eye_corners, eye_motion, no_pose, rigid_motion

SIGNALS = ("eyelid", "cheek", "lip")
N_REST_FRAMES = 5
REST_S = 0.2

_EYE_POINTS = ("eye_outer", "eye_inner", "eye_upper")
_PAIRS = {"cheek": "cheek", "lip": "lip_corner"}


@dataclass(frozen=True, eq=False)
class SmileSignals:
    """Amplitudes A(t) of eyelid, cheek and lip, (3, n_clips, n_frames), zero at rest."""

    both: np.ndarray  # mean of both sides; NaN if the landmark scheme has no such points
    right: np.ndarray
    left: np.ndarray

    def choose(self, rows: Sequence[int]) -> "SmileSignals":
        """Return the signals in these rows."""
        return SmileSignals(self.both[rows], self.right[rows], self.left[rows])


def signal_landmarks(scheme: LandmarkScheme) -> list[int]:
    """List the landmarks used for pose and signals: stable points, eye corners, named points."""
    points = [index for group in _point_groups(scheme) for index in group]
    return [*scheme.stable, *eye_corners(scheme), *points]


def frontal_points(
    paths: np.ndarray, scheme: LandmarkScheme, *, pose: str | None, names: Sequence[str]
) -> np.ndarray:
    """Remove the head pose from named points; return (xy, n_names, side, n_clips, n_frames)."""
    n_stable, n_dims = len(scheme.stable), len(paths)
    stable, corners, paths = np.split(paths, [n_stable, n_stable + 4], axis=1)
    groups = _point_groups(scheme)
    if any(len(group) > 1 for group in groups):
        starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
        sizes = np.array([len(group) for group in groups])
        paths = np.add.reduceat(paths, starts, axis=1) / sizes[:, None, None]
    # Distances are taken in the frontal plane, because the depth of a landmark model is inferred.
    frontal = paths[:2]
    if pose is not None:
        found = rigid_motion(stable, scheme) if pose == "rigid" else eye_motion(corners)
        linear, centre, fits = found
        _check_frames(fits, names, no_pose)
        centred = paths - centre[:, None]
        frontal = np.empty((2, *paths.shape[1:]))
        for row in range(2):
            np.multiply(linear[row, 0], centred[0], out=frontal[row])
            for column in range(1, n_dims):
                frontal[row] += linear[row, column] * centred[column]
    return frontal.reshape(2, len(groups) // 2, 2, *paths.shape[2:])


def amplitudes(
    points: np.ndarray,
    scheme: LandmarkScheme,
    *,
    names: Sequence[str],
    n_rest: int = N_REST_FRAMES,
) -> SmileSignals:
    """Measure A(t) = D(t) - D at rest from the points of `frontal_points`."""
    n_groups = len(_EYE_POINTS)
    outer, inner, lid = points[:, :n_groups].swapaxes(0, 1)  # (xy, side, n_clips, n_frames)
    sides = np.full((len(SIGNALS), *outer.shape[1:]), np.nan)
    sides[0] = _eyelid(outer, inner, lid, names)
    for position, name in enumerate(_named_pairs(scheme)):
        pair = points[:, n_groups + position]
        sides[SIGNALS.index(name)] = _spread(pair, name, names, n_rest)
    both = sides.mean(axis=1)
    both = both - rest_level(both, n_rest)
    sides -= rest_level(sides, n_rest)
    return SmileSignals(both=both, right=sides[:, 0], left=sides[:, 1])


def missing_signals(scheme: LandmarkScheme) -> list[str]:
    """List the signals that a landmark scheme has no points for."""
    named = _named_pairs(scheme)
    return [name for name in _PAIRS if name not in named]


def rest_level(values: np.ndarray, n_rest: int = N_REST_FRAMES) -> np.ndarray:
    """Return the level of signals (..., n_frames) at rest, their median in the first frames."""
    first = np.sort(values[..., :n_rest], axis=-1)
    middle = first.shape[-1] // 2
    return first[..., middle, None]


def level_before(values: np.ndarray, onset: np.ndarray, fps: float) -> np.ndarray:
    """Return the median of signals (..., n_clips, n_frames) in the last 0.2 s before the onset."""
    frames = np.maximum(onset[:, None] + np.arange(-round(REST_S * fps), 1), 0)
    return rest_level(values[..., np.arange(len(onset))[:, None], frames], frames.shape[1])


def _named_pairs(scheme: LandmarkScheme) -> list[str]:
    """Return the signals of pairs of points that the scheme names."""
    return [name for name, point in _PAIRS.items() if f"right_{point}" in scheme.points]


def _point_groups(scheme: LandmarkScheme) -> list[tuple[int, ...]]:
    """Return the indices of each named point: eyes and pairs, right and left of each."""
    names = [*_EYE_POINTS, *(_PAIRS[name] for name in _named_pairs(scheme))]
    return [scheme.indices(f"{side}_{name}") for name in names for side in ("right", "left")]


def _eyelid(
    outer: np.ndarray, inner: np.ndarray, lid: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Return the opening of each eye in eye widths; negative if the lid is below the centre."""
    centre = (outer + inner) / 2
    width = _unit(_distance(outer, inner), "eye corners", names)
    opening = _distance(centre, lid) / width
    return np.where(lid[1] > centre[1], -opening, opening)


def _spread(pair: np.ndarray, name: str, names: Sequence[str], n_rest: int) -> np.ndarray:
    """Return each side's distance to the centre at rest, divided by the pair's rest distance."""
    centre = rest_level(pair.mean(axis=1, keepdims=True), n_rest)
    points = _PAIRS[name].replace("_", " ") + "s"
    width = rest_level(_unit(_distance(pair[:, 0], pair[:, 1]), points, names), n_rest)
    return _distance(centre, pair) / width


def _distance(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance of points whose coordinates are the first axis."""
    step_x, step_y = start[0] - end[0], start[1] - end[1]
    return np.sqrt(step_x * step_x + step_y * step_y)


def _unit(distance: np.ndarray, points: str, names: Sequence[str]) -> np.ndarray:
    """Return distances (..., n_clips, n_frames) after checking that they are positive."""
    _check_frames(
        distance > 0,
        names,
        lambda name: InvalidClipError(
            f"{name} has {points} that coincide, but their distance is the unit of length and "
            "must be positive. Set such frames to NaN."
        ),
    )
    return distance


def _check_frames(
    holds: np.ndarray, names: Sequence[str], make_error: Callable[[str], Exception]
) -> None:
    """Raise the error of the first clip with a frame that breaks a rule."""
    if not holds.all():
        clips = np.flatnonzero(~holds.reshape(-1, *holds.shape[-2:]).all(axis=(0, 2)))
        raise make_error(names[clips[0]])
