"""Normalise the head pose of clips, and fill missing frames."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from smilefusion.clips._resampling import fill_gaps, find_gaps, longest_runs
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import LandmarkScheme

_EYE_CORNERS = ("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer")
_ROUNDING = 1e-12  # points that differ by less coincide
_LINE = 1e-6  # share of the cubed bound; a lower denominator means points on a line (faces: 0.2)
_NEWTON_STEPS = 50  # faces need 4 to 6


def fill_missing(clip: np.ndarray, *, max_gap: int) -> np.ndarray:
    """Interpolate short gaps of missing frames linearly.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates; a missing frame is all NaN.
    max_gap : int
        Longest gap to fill, in frames.

    Returns
    -------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        The clip itself if there was nothing to fill, else a copy. Longer gaps, and missing frames
        at the start and end, stay NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.pose import fill_missing
    >>> clip = np.array([0.0, np.nan, 2.0, np.nan]).reshape(4, 1, 1)
    >>> fill_missing(clip, max_gap=1).ravel().tolist()
    [0.0, 1.0, 2.0, nan]
    """
    has_face = ~np.isnan(clip[None, :, 0, 0])
    gaps = find_gaps(has_face, max_gap=max_gap)
    if gaps[0].size == 0:
        return clip
    filled = np.array(clip)
    fill_gaps(filled.transpose(1, 2, 0)[:, :, None], gaps)
    return filled


def longest_part(clip: np.ndarray) -> slice:
    """Find the longest run of frames that hold a face.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates; a missing frame is all NaN.

    Returns
    -------
    part : slice
        The frames of the run: the first of equally long runs, or empty if no frame has a face.
    """
    starts, stops = longest_runs(~np.isnan(clip[None, :, 0, 0]))
    return slice(int(starts[0]), int(stops[0]))


def align_rigid(
    clip: np.ndarray,
    scheme: LandmarkScheme,
    *,
    landmarks: Sequence[int] | None = None,
    name: str = "The clip",
) -> np.ndarray:
    """Normalise the position, rotation and size of the head in every frame.

    Each frame is mapped by the similarity (rotation, one scale, translation) that fits its stable
    points to those of a frontal mean face by least squares. The whole clip is then divided by its
    own inter-ocular distance.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates in isotropic units. Clips of two dimensions are aligned in the image plane.
    scheme : LandmarkScheme
        Landmark scheme of the clip.
    landmarks : array-like of int, default=None
        Indices of the landmarks to return; None returns all.
    name : str, default="The clip"
        Name of the clip in messages.

    Returns
    -------
    aligned : ndarray of shape (n_frames, n_landmarks or len(landmarks), n_dims)
        Frontal coordinates in the dtype of the clip: origin between the eyes, x to image right, y
        down, in units of the median distance between the eye centres. Missing frames stay NaN.

    Raises
    ------
    InvalidClipError
        If the stable points, or the eyes, of a frame coincide.

    References
    ----------
    S. Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", IEEE TPAMI 13(4), 1991.
    """
    has_face, stable, corners, chosen = _take(clip, scheme.stable, eye_corners(scheme), landmarks)
    linear, centre, fits = rigid_motion(stable.transpose(2, 1, 0), scheme)
    _check_poses(fits, name)
    linear, centre = linear.transpose(2, 1, 0), centre.T[:, None]

    eyes = (corners.reshape(len(corners), 2, 2, -1).mean(axis=2) - centre) @ linear
    unit = np.median(np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1))
    _check_poses(unit > 0, name)
    moved = (chosen - centre) @ linear - np.median(eyes.mean(axis=1), axis=0)
    return _with_missing(moved / unit, has_face, clip.dtype)


def align_eyes(
    clip: np.ndarray,
    scheme: LandmarkScheme,
    *,
    landmarks: Sequence[int] | None = None,
    name: str = "The clip",
) -> np.ndarray:
    """Normalise the position, in-plane rotation and size of the head in every frame.

    Only the eye centres are used, so head turns and nods remain.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates in isotropic units.
    scheme : LandmarkScheme
        Landmark scheme of the clip.
    landmarks : array-like of int, default=None
        Indices of the landmarks to return; None returns all.
    name : str, default="The clip"
        Name of the clip in messages.

    Returns
    -------
    aligned : ndarray of shape (n_frames, n_landmarks or len(landmarks), n_dims)
        Coordinates in the dtype of the clip. In every frame the eye centres lie at -1/2 and +1/2
        on the x axis; a third coordinate has the same scale. Missing frames stay NaN.

    Raises
    ------
    InvalidClipError
        If the eye centres of a frame coincide.
    """
    has_face, corners, chosen = _take(clip, eye_corners(scheme), landmarks)
    linear, centre, fits = eye_motion(corners.transpose(2, 1, 0))
    _check_poses(fits, name)
    moved = (chosen - centre.T[:, None]) @ linear.transpose(2, 1, 0)
    return _with_missing(moved, has_face, clip.dtype)


def rigid_motion(
    stable: np.ndarray, scheme: LandmarkScheme
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return linear map, centre and validity of the fit of stable points to a mean face.

    The frontal point is ``linear @ (x - centre)``, for `stable` of shape (n_dims, n_stable, ...).
    """
    # x_i and r_i are the centred points of frame and mean face, and H = sum_i r_i x_i^T with
    # singular values s1 >= s2 >= |s3|, the last one negative if det H is. The rotation maximises
    # tr(R^T H), whose maximum is t = s1 + s2 + s3, and the scale is t / sum_i |x_i|^2. With
    # p = |H|^2, t is the largest root of
    #     t^4 - 2 p t^2 - 8 t det H + 2 |H^T H|^2 - p^2 = 0,
    # found by Newton's method from the upper bound |x| |r|, and
    #     R = [(t^2 + p) H / 2 + t cof H - H H^T H] / [t (t^2 - p) / 2 - det H],
    # which follows in the basis of the singular vectors. It equals the rotation of Umeyama's
    # singular value decomposition, but is computed for all frames at once. D. L. Theobald, "Rapid
    # calculation of RMSDs using a quaternion-based characteristic polynomial", Acta
    # Crystallographica A 61(4), 2005. The fit fails if the points coincide or lie on a line.
    reference = scheme.stable_reference[:, : len(stable)]
    reference = reference - reference.mean(axis=0)
    n_stable = len(reference)
    # With a centred reference, H is the same for points that are not centred; the last row gives
    # their mean. Unlike BLAS, einsum sums in the same order for any number of frames.
    rows = np.vstack([reference.T, np.full(n_stable, 1 / n_stable)])
    products = np.einsum("rp,cp...->cr...", rows, stable)  # (column of H, row, ...)
    covariance, centre = products[:, :-1].swapaxes(0, 1), products[:, -1]
    raw = np.einsum("dp...,dp...->...", stable, stable)
    squared = raw - n_stable * np.einsum("d...,d...->...", centre, centre)
    squared[squared < _ROUNDING * raw] = 0
    solve = _best_rotation if len(stable) == 3 else _best_rotation_in_plane
    with np.errstate(divide="ignore", invalid="ignore"):
        rotation, trace = solve(covariance, np.sqrt(squared) * np.linalg.norm(reference))
        linear = rotation * (trace / squared)
    return linear, centre, np.isfinite(linear).all(axis=(0, 1)) & (trace > 0)


def eye_motion(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return linear map, centre and validity of mapping the eye centres to -1/2 and +1/2.

    The aligned point is ``linear @ (x - centre)``, for `corners` of shape (n_dims, 4, ...).
    """
    right, left = corners[:, :2].mean(axis=1), corners[:, 2:].mean(axis=1)
    axis_x, axis_y = (left - right)[:2]
    squared = axis_x**2 + axis_y**2
    with np.errstate(divide="ignore", invalid="ignore"):
        linear = np.zeros((len(corners), *right.shape))
        linear[0, 0] = linear[1, 1] = axis_x / squared
        linear[0, 1], linear[1, 0] = axis_y / squared, -axis_y / squared
        if len(corners) == 3:
            linear[2, 2] = 1 / np.sqrt(squared)
    return linear, (right + left) / 2, squared > 0


def eye_corners(scheme: LandmarkScheme) -> list[int]:
    """List the outer and inner corner of the right eye, the inner and outer one of the left."""
    return [index for corner in _EYE_CORNERS for index in scheme.indices(corner)]


def _best_rotation(covariance: np.ndarray, bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotations R (3, 3, ...) that maximise tr(R^T H), and this trace."""
    a, b, c = covariance
    cofactors = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)])
    determinant = (a * cofactors[0]).sum(axis=0)
    gram = np.einsum("ki...,kj...->ij...", covariance, covariance)  # H^T H
    squared = gram[0, 0] + gram[1, 1] + gram[2, 2]
    constant = 2 * np.einsum("ij...,ij...->...", gram, gram) - squared**2
    trace = bound
    for _ in range(_NEWTON_STEPS):
        value = ((trace**2 - 2 * squared) * trace - 8 * determinant) * trace + constant
        step = value / (4 * (trace**2 - squared) * trace - 8 * determinant)
        moves = np.abs(step) > 1e-12 * bound
        if not moves.any():
            break
        trace = np.where(moves, trace - step, trace)  # frames converge independently
    cubic = np.einsum("ik...,kj...->ij...", covariance, gram)
    rotation = (trace**2 + squared) / 2 * covariance + trace * cofactors - cubic
    denominator = trace * (trace**2 - squared) / 2 - determinant
    return rotation / np.where(denominator > _LINE * bound**3, denominator, np.nan), trace


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cross product of vectors along the first axis."""
    return np.stack(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


def _best_rotation_in_plane(
    covariance: np.ndarray, bound: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotations R (2, 2, ...) that maximise tr(R^T H), and this trace."""
    cosine = covariance[0, 0] + covariance[1, 1]
    sine = covariance[1, 0] - covariance[0, 1]
    trace = np.hypot(cosine, sine)
    return np.array([[cosine, -sine], [sine, cosine]]) / trace, trace


def _take(clip: np.ndarray, *groups: Sequence[int] | None) -> tuple[np.ndarray, ...]:
    """Return which frames hold a face, and groups of their landmarks in float64."""
    has_face = ~np.isnan(clip[:, 0, 0])
    taken = (clip if group is None else clip[:, list(group)] for group in groups)
    return has_face, *(
        (part if has_face.all() else part[has_face]).astype(np.float64) for part in taken
    )


def _with_missing(moved: np.ndarray, has_face: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Insert the missing frames again."""
    if has_face.all():
        return moved.astype(dtype)
    aligned = np.full((len(has_face), *moved.shape[1:]), np.nan, dtype=dtype)
    aligned[has_face] = moved
    return aligned


def _check_poses(fits: ArrayLike, name: str) -> None:
    """Raise if a frame has no pose."""
    if not np.all(fits):
        raise no_pose(name)


def no_pose(name: str) -> InvalidClipError:
    """Make the error for a clip with a frame that has no pose."""
    return InvalidClipError(
        f"{name} has a frame whose eyes or stable points coincide, so its head pose is "
        "undefined. Set frames without a face to NaN."
    )
