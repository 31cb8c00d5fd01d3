"""Lip, eyelid and cheek signals of clips, and their rest."""

from dataclasses import dataclass

import numpy as np

from smilefusion.exceptions import InvalidClipError
from smilefusion.pose import eye_corners, eye_motion, no_pose, rigid_motion

SIGNALS = ("eyelid", "cheek", "lip")
N_REST_FRAMES = 5

_EYE_POINTS = ("eye_outer", "eye_inner", "eye_upper")
_PAIRS = {"cheek": "cheek", "lip": "lip_corner"}


@dataclass(frozen=True, eq=False)
class SmileSignals:
    """Amplitudes A(t) of the three signals over the frames of clips.

    Parameters
    ----------
    both : ndarray of shape (3, n_clips, n_frames)
        Eyelid, cheek, lip: the mean of both sides, zero at rest. Lip and cheek are in units of
        the distance between the mouth corners, or the cheeks, at rest; eyelid is in eye widths.
        NaN where the landmark scheme has no cheeks.
    right, left : ndarray of shape (3, n_clips, n_frames)
        The same of each side alone; for lip and cheek a side's distance to the shared centre.
    """

    both: np.ndarray
    right: np.ndarray
    left: np.ndarray


def signal_landmarks(scheme):
    """List the landmarks that the signals and the head's pose are computed from.

    Parameters
    ----------
    scheme : LandmarkScheme
        A landmark scheme that names eyes and lip corners.

    Returns
    -------
    landmarks : list of int
        Indices, the stable points first, in the order that `smile_signals` takes.
    """
    points = [index for group in _point_groups(scheme) for index in group]
    return [*scheme.stable, *eye_corners(scheme), *points]


def smile_signals(batch, scheme, *, pose):
    """Compute the eyelid, cheek and lip amplitudes of clips.

    Parameters
    ----------
    batch : ClipBatch
        Paths of the landmarks of `signal_landmarks`, in isotropic units, y down.
    scheme : LandmarkScheme
        The clips' landmark scheme.
    pose : {"rigid", "eyes"} or None
        How the head's pose is taken out: all rotations and size, in the image plane only, or
        not at all.

    Returns
    -------
    signals : SmileSignals
        Amplitudes of both sides together and of each side.

    Raises
    ------
    InvalidClipError
        If points whose distance is a unit coincide.

    Notes
    -----
    Distances are taken in the frontal x, y plane: a landmark model's depth is inferred, not
    seen, and noisier. With rho the distance, r_t and l_t a pair of points, m their midpoint and
    R their distance at rest, lip and cheek are D(t) = [rho(m, r_t) + rho(m, l_t)] / (2 R), by
    which D = 0.5 at rest. With c_t the midpoint of an eye's corners, u_t its upper lid and w_t
    its width, eyelid is the mean over the eyes of tau(c_t, u_t) / w_t; tau is rho, negative
    where the lid lies below c_t. A(t) = D(t) - D at rest; rest is the median over the first
    five frames.

    References
    ----------
    H. Dibeklioglu, A. A. Salah, T. Gevers, "Recognition of Genuine Smiles", IEEE Transactions
    on Multimedia 17(3), 2015.
    """
    points = frontal_points(batch.paths, scheme, pose=pose, names=batch.names)
    return amplitudes(points, scheme, names=batch.names)


def frontal_points(paths, scheme, *, pose, names):
    """Take the head's pose out of the points that the signals are measured between.

    Parameters
    ----------
    paths : ndarray of shape (n_dims, n_points, n_clips, n_frames)
        Paths of the landmarks of `signal_landmarks`, in isotropic units, y down.
    scheme : LandmarkScheme
        The clips' landmark scheme.
    pose : {"rigid", "eyes"} or None
        How the head's pose is taken out of each frame, whatever the others are.
    names : sequence of str
        The clips' names in messages.

    Returns
    -------
    points : ndarray of shape (2, n_names, 2, n_clips, n_frames)
        x and y of the named points, right and left.

    Raises
    ------
    InvalidClipError
        If a frame has no pose.
    """
    n_stable, n_dims = len(scheme.stable), len(paths)
    stable, corners, paths = np.split(paths, [n_stable, n_stable + 4], axis=1)
    groups = _point_groups(scheme)
    if any(len(group) > 1 for group in groups):
        starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
        sizes = np.array([len(group) for group in groups])
        paths = np.add.reduceat(paths, starts, axis=1) / sizes[:, None, None]
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


def amplitudes(points, scheme, *, names, n_rest=N_REST_FRAMES):
    """Measure the signals between frontal points, from their rest.

    Parameters
    ----------
    points : ndarray of shape (2, n_names, 2, n_clips, n_frames)
        Frontal points as `frontal_points` returns them.
    scheme : LandmarkScheme
        The clips' landmark scheme.
    names : sequence of str
        The clips' names in messages.
    n_rest : int, default=5
        Number of frames at the start that show the rest.

    Returns
    -------
    signals : SmileSignals
        Amplitudes of both sides together and of each side.

    Raises
    ------
    InvalidClipError
        If points whose distance is a unit coincide.
    """
    n_groups = len(_EYE_POINTS)
    outer, inner, lid = points[:, :n_groups].swapaxes(0, 1)  # (xy, side, clips, frames)
    sides = np.full((len(SIGNALS), *outer.shape[1:]), np.nan)
    sides[0] = _eyelid(outer, inner, lid, names)
    for position, name in enumerate(_named_pairs(scheme)):
        pair = points[:, n_groups + position]
        sides[SIGNALS.index(name)] = _spread(pair, name, names, n_rest)
    both = sides.mean(axis=1)
    both = both - rest_level(both, n_rest)
    sides -= rest_level(sides, n_rest)
    return SmileSignals(both=both, right=sides[:, 0], left=sides[:, 1])


def missing_signals(scheme):
    """List the signals that a landmark scheme has no points for.

    Parameters
    ----------
    scheme : LandmarkScheme
        A landmark scheme.

    Returns
    -------
    names : list of str
        Names of `SIGNALS`.
    """
    named = _named_pairs(scheme)
    return [name for name in _PAIRS if name not in named]


def _named_pairs(scheme):
    """Return the signals of pairs of points that the scheme names."""
    return [name for name, point in _PAIRS.items() if f"right_{point}" in scheme.points]


def _point_groups(scheme):
    """Return the indices of each named point: eyes and pairs, right and left of each."""
    names = [*_EYE_POINTS, *(_PAIRS[name] for name in _named_pairs(scheme))]
    return [scheme.indices(f"{side}_{name}") for name in names for side in ("right", "left")]


def _eyelid(outer, inner, lid, names):
    """Return the signed opening of each eye in its own widths, (side, n_clips, n_frames)."""
    centre = (outer + inner) / 2
    width = _unit(_distance(outer, inner), "eye corners", names)
    opening = _distance(centre, lid) / width
    return np.where(lid[1] > centre[1], -opening, opening)


def _spread(pair, name, names, n_rest):
    """Return each side's distance to the centre at rest, over the rest distance of the pair."""
    centre = rest_level(pair.mean(axis=1, keepdims=True), n_rest)
    points = {"cheek": "cheeks", "lip": "lip corners"}[name]
    width = rest_level(_unit(_distance(pair[:, 0], pair[:, 1]), points, names), n_rest)
    return _distance(centre, pair) / width


def rest_level(values, n_rest=N_REST_FRAMES):
    """Return the level of signals at rest.

    Parameters
    ----------
    values : ndarray of shape (..., n_frames)
        Signals.
    n_rest : int, default=5
        Number of frames at the start that show the rest.

    Returns
    -------
    level : ndarray of shape (..., 1)
        Median over those frames.
    """
    first = np.sort(values[..., :n_rest], axis=-1)
    middle = first.shape[-1] // 2
    return first[..., middle, None]


def _distance(start, end):
    """Return the distance of points whose coordinates are the first axis."""
    step_x, step_y = start[0] - end[0], start[1] - end[1]
    return np.sqrt(step_x * step_x + step_y * step_y)


def _unit(distance, points, names):
    """Return distances that others are divided by, of any shape that ends in clips, frames."""
    _check_frames(
        distance > 0,
        names,
        lambda name: InvalidClipError(
            f"{name} has {points} that coincide, so that their distance cannot be a unit; a frame "
            "must show a face. Set such frames to NaN."
        ),
    )
    return distance


def _check_frames(holds, names, make_error):
    """Raise the error of the first clip that has a frame where a rule does not hold."""
    if not holds.all():
        clips = np.flatnonzero(~holds.reshape(-1, *holds.shape[-2:]).all(axis=(0, 2)))
        raise make_error(names[clips[0]])
