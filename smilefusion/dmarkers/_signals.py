"""Lip, eyelid and cheek signals of a clip, their rest and their smoothing."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import median_filter

from smilefusion.exceptions import InvalidClipError
from smilefusion.pose import align_eyes, align_rigid

SIGNALS = ("eyelid", "cheek", "lip")
N_REST_FRAMES = 5
NOMINAL_FPS = 30.0  # where the frame rate is not given

# Smoothing windows in seconds. Speeds need a light one; phases, which are hundreds of
# milliseconds long, bear a stronger one.
DESCRIPTOR_WINDOW_S = 0.15
PHASE_WINDOW_S = 0.25

_POSES = {"rigid": align_rigid, "eyes": align_eyes}
_POINTS = tuple(
    f"{side}_{point}"
    for side in ("right", "left")
    for point in ("eye_outer", "eye_inner", "eye_upper", "cheek", "lip_corner")
)


@dataclass(frozen=True, eq=False)
class SmileSignals:
    """Amplitudes A(t) of the three signals over the frames of a clip.

    Parameters
    ----------
    both : ndarray of shape (n_frames, 3)
        Eyelid, cheek, lip: the mean of both sides, zero at rest. Lip and cheek are in units of
        the distance between the mouth corners, or the cheeks, at rest; eyelid is in eye widths.
    right, left : ndarray of shape (n_frames, 3)
        The same of each side alone; for lip and cheek a side's distance to the shared centre.
    """

    both: np.ndarray
    right: np.ndarray
    left: np.ndarray


def smile_signals(clip, scheme, *, pose, name="The clip"):
    """Compute the eyelid, cheek and lip amplitudes of a clip.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates in isotropic units, y down; no frame may be missing.
    scheme : LandmarkScheme
        The clip's landmark scheme; it must name eyes, cheeks and lip corners.
    pose : {"rigid", "eyes"} or None
        How the head's pose is taken out: all rotations and size, in the image plane only, or
        not at all.
    name : str, default="The clip"
        The clip's name in messages.

    Returns
    -------
    signals : SmileSignals
        Amplitudes of both sides together and of each side.

    Raises
    ------
    InvalidClipError
        If the scheme lacks a point, or points whose distance is a unit coincide.

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
    indices = [scheme.indices(point) for point in _POINTS]
    flat = np.concatenate(indices)
    if pose is None:
        paths = clip[:, flat]
    else:
        paths = _POSES[pose](clip, scheme, landmarks=flat, name=name)
    paths = paths[:, :, :2].astype(np.float64)
    starts = np.cumsum([0, *map(len, indices[:-1])])
    paths = np.add.reduceat(paths, starts, axis=1) / [[len(part)] for part in indices]
    outer, inner, lid, cheek, corner = paths.reshape(len(clip), 2, 5, 2).transpose(
        2, 0, 1, 3
    )  # (n_frames, side, xy) each
    sides = [_eyelid(outer, inner, lid, name), _spread(cheek, name), _spread(corner, name)]
    sides = np.stack(sides, axis=2)  # (n_frames, side, signal)
    both = sides.mean(axis=1)
    sides -= _rest(sides)
    return SmileSignals(both=both - _rest(both), right=sides[:, 0], left=sides[:, 1])


def smooth(signal, *, method, window):
    """Smooth signals along time.

    Parameters
    ----------
    signal : ndarray of shape (n_frames, ...)
        Signals.
    method : {"savgol", "median"} or None
        Savitzky-Golay filter of second order (Savitzky & Golay, 1964), running median, or no
        smoothing.
    window : float
        Width in frames, rounded to the nearest odd number and cut to the clip. Below four
        frames the Savitzky-Golay filter changes nothing.

    Returns
    -------
    smoothed : ndarray of shape (n_frames, ...)
        The smoothed signals.
    """
    longest = len(signal) - 1 + len(signal) % 2
    n_frames = min(2 * int(window / 2) + 1, longest)
    if method is None or n_frames < 3:
        return signal
    if method == "median":
        size = (n_frames, *(1,) * (signal.ndim - 1))
        return median_filter(signal, size=size, mode="nearest")
    return _savgol(signal, n_frames)


def _savgol(signal, n_frames):
    """Replace each frame by a parabola fitted to the window around it, or nearest to it."""
    fit = _parabola_fit(n_frames)
    half = n_frames // 2
    inner = sliding_window_view(signal, n_frames, axis=0) @ fit[half]
    first = np.tensordot(fit[:half], signal[:n_frames], 1)
    last = np.tensordot(fit[half + 1 :], signal[-n_frames:], 1)
    return np.concatenate([first, inner, last])


@cache
def _parabola_fit(n_frames):
    """Return the matrix that maps the values of a window to those of their parabola."""
    powers = np.linspace(-1, 1, n_frames)[:, None] ** np.arange(3)
    basis, _ = np.linalg.qr(powers)
    return basis @ basis.T


def _eyelid(outer, inner, lid, name):
    """Return the signed opening of each eye in its own widths, (n_frames, 2)."""
    centre = (outer + inner) / 2
    sign = np.where(lid[..., 1] > centre[..., 1], -1.0, 1.0)
    return sign * _distance(centre, lid) / _unit(_distance(outer, inner), "eye corners", name)


def _spread(pair, name):
    """Return each side's distance to the centre at rest, over the rest distance of the pair."""
    centre = _rest(pair.mean(axis=1, keepdims=True))
    width = _rest(_distance(pair[:, 0], pair[:, 1]))
    return _distance(centre, pair) / _unit(width, "cheeks or lip corners", name)


def _rest(values):
    """Return the median of the first frames (of so few, faster than by np.median)."""
    ordered = np.sort(values[:N_REST_FRAMES], axis=0)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _distance(start, end):
    return np.sqrt(((start - end) ** 2).sum(axis=-1))


def _unit(distance, what, name):
    """Return a distance that others are divided by."""
    if not np.all(distance > 0):
        raise InvalidClipError(
            f"{name} has {what} that coincide, so that their distance cannot be a unit; a frame "
            "must show a face. Set such frames to NaN."
        )
    return distance
