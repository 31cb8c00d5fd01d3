"""Head pose taken out of clips, and missing frames."""

import numpy as np

from smilefusion.exceptions import InvalidClipError

_EYE_CORNERS = ("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer")


def fill_missing(clip, *, max_gap):
    """Interpolate short gaps of missing frames linearly.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates; a missing frame is NaN throughout.
    max_gap : int
        Longest gap that is bridged, in frames.

    Returns
    -------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        The clip itself where nothing was bridged, else a copy. Longer gaps, and missing frames
        before the first or after the last face, stay NaN: nothing is extrapolated.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.pose import fill_missing
    >>> clip = np.array([0.0, np.nan, 2.0, np.nan]).reshape(4, 1, 1)
    >>> fill_missing(clip, max_gap=1).ravel().tolist()
    [0.0, 1.0, 2.0, nan]
    """
    has_face = ~np.isnan(clip[:, 0, 0])
    faces, missing = np.flatnonzero(has_face), np.flatnonzero(~has_face)
    if missing.size == 0 or faces.size == 0:
        return clip
    after = np.searchsorted(faces, missing)
    inner = (after > 0) & (after < faces.size)
    missing, after = missing[inner], after[inner]
    left, right = faces[after - 1], faces[after]
    short = right - left - 1 <= max_gap
    missing, left, right = missing[short], left[short], right[short]
    if missing.size == 0:
        return clip
    weight = ((missing - left) / (right - left)).astype(clip.dtype)[:, None, None]
    filled = np.array(clip)
    filled[missing] = (1 - weight) * clip[left] + weight * clip[right]
    return filled


def longest_part(clip):
    """Find the longest run of frames that hold a face.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates; a missing frame is NaN throughout.

    Returns
    -------
    part : slice
        The frames of the run, the first one among equally long runs; empty without a face.
    """
    has_face = ~np.isnan(clip[:, 0, 0])
    edges = np.flatnonzero(np.diff(has_face.astype(np.int8), prepend=0, append=0))
    if edges.size == 0:
        return slice(0, 0)
    starts, stops = edges[::2], edges[1::2]
    longest = np.argmax(stops - starts)
    return slice(int(starts[longest]), int(stops[longest]))


def align_rigid(clip, scheme, *, landmarks=None, name="The clip"):
    r"""Take the head's position, rotation and size out of every frame.

    Each frame is mapped by the similarity (rotation, one scale, translation) that brings its
    stable points nearest, in least squares, to those of a frontal mean face. The whole clip is
    then divided by its own inter-ocular distance.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates in isotropic units. Clips of two dimensions are aligned in the image plane.
    scheme : LandmarkScheme
        The clip's landmark scheme.
    landmarks : array-like of int, default=None
        Indices of the landmarks to return; None returns all.
    name : str, default="The clip"
        The clip's name in messages.

    Returns
    -------
    aligned : ndarray of shape (n_frames, n_landmarks or len(landmarks), n_dims)
        Frontal coordinates of the clip's dtype: origin between the eyes, unit the median
        distance between the eye centres, x to image right, y down. Missing frames stay NaN.

    Raises
    ------
    InvalidClipError
        If the stable points, or the eyes, of a frame coincide.

    Notes
    -----
    With centred stable points :math:`x_i` of a frame and :math:`r_i` of the mean face and the
    singular value decomposition :math:`\sum_i r_i x_i^T = U S V^T`, the rotation is
    :math:`R = U D V^T`, :math:`D = \mathrm{diag}(1, 1, \det U V^T)`, and the scale
    :math:`\mathrm{tr}(S D) / \sum_i \lVert x_i \rVert^2`. A rigid motion of the head drops out
    exactly, whatever the person's own shape.

    References
    ----------
    S. Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", IEEE TPAMI 13(4), 1991.
    """
    has_face, stable, corners, chosen = _take(clip, scheme.stable, _eye_corners(scheme), landmarks)
    reference = scheme.stable_reference[:, : clip.shape[2]]
    centre = stable.mean(axis=1, keepdims=True)
    linear = _similarity(stable - centre, reference - reference.mean(axis=0), name)

    eyes = (_eye_centres(corners) - centre) @ linear
    unit = np.median(_norm(eyes[:, 1] - eyes[:, 0]))
    if not unit > 0:
        raise _degenerate(name, "eyes")
    moved = (chosen - centre) @ linear - np.median(eyes.mean(axis=1), axis=0)
    return _with_missing(moved / unit, has_face, clip.dtype)


def align_eyes(clip, scheme, *, landmarks=None, name="The clip"):
    """Take the head's position, in-plane rotation and size out of every frame.

    Only the eye centres are used, so head turns and nods stay in.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates in isotropic units.
    scheme : LandmarkScheme
        The clip's landmark scheme.
    landmarks : array-like of int, default=None
        Indices of the landmarks to return; None returns all.
    name : str, default="The clip"
        The clip's name in messages.

    Returns
    -------
    aligned : ndarray of shape (n_frames, n_landmarks or len(landmarks), n_dims)
        Coordinates of the clip's dtype; in every frame the eye centres lie at -1/2 and +1/2 of
        the x axis, and a third coordinate is scaled alike. Missing frames stay NaN.

    Raises
    ------
    InvalidClipError
        If the eye centres of a frame coincide.
    """
    has_face, corners, chosen = _take(clip, _eye_corners(scheme), landmarks)
    eyes = _eye_centres(corners)
    axis_x, axis_y = (eyes[:, 1, :2] - eyes[:, 0, :2]).T
    squared = axis_x**2 + axis_y**2
    if not squared.all():
        raise _degenerate(name, "eyes")
    linear = np.zeros((len(eyes), clip.shape[2], clip.shape[2]))
    linear[:, 0, 0] = linear[:, 1, 1] = axis_x / squared
    linear[:, 1, 0], linear[:, 0, 1] = axis_y / squared, -axis_y / squared
    if clip.shape[2] == 3:
        linear[:, 2, 2] = 1 / np.sqrt(squared)
    moved = (chosen - eyes.mean(axis=1, keepdims=True)) @ linear
    return _with_missing(moved, has_face, clip.dtype)


def _take(clip, *groups):
    """Return which frames hold a face and, of those, groups of landmarks in float64."""
    has_face = ~np.isnan(clip[:, 0, 0])
    everything = slice(None)
    taken = (clip[:, everything if group is None else list(group)] for group in groups)
    return has_face, *(
        (part if has_face.all() else part[has_face]).astype(np.float64) for part in taken
    )


def _norm(vectors):
    return np.sqrt(np.einsum("...d,...d->...", vectors, vectors))


def _similarity(points, reference, name):
    """Return per frame the scaled rotation Q that brings points @ Q nearest to the reference."""
    squared = np.einsum("tpd,tpd->t", points, points)
    if not squared.all():
        raise _degenerate(name, "stable points")
    # Row vectors: points^T reference = U S V^T gives the rotation U D V^T.
    left, singular, right = np.linalg.svd(np.tensordot(points, reference, (1, 0)))
    proper = np.sign(np.linalg.det(left) * np.linalg.det(right))
    left[:, :, -1] *= proper[:, None]
    singular[:, -1] *= proper
    return (singular.sum(axis=1) / squared)[:, None, None] * (left @ right)


def _eye_corners(scheme):
    """Return the indices of the outer and inner corner of the right and the left eye."""
    return [index for corner in _EYE_CORNERS for index in scheme.indices(corner)]


def _eye_centres(corners):
    """Return the centres of the right and left eye, shape (n_faces, 2, n_dims)."""
    return corners.reshape(len(corners), 2, 2, -1).mean(axis=2)


def _with_missing(moved, has_face, dtype):
    """Put the frames that hold a face back between the missing ones."""
    if has_face.all():
        return moved.astype(dtype)
    aligned = np.full((len(has_face), *moved.shape[1:]), np.nan, dtype=dtype)
    aligned[has_face] = moved
    return aligned


def _degenerate(name, what):
    return InvalidClipError(
        f"{name} has a frame whose {what} coincide, so that no head pose can be found; a frame "
        "must show a face. Set such frames to NaN."
    )
