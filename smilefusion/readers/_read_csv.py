"""Readers of landmark tables: the CSV files of OpenFace 2 and of MediaPipe."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry
from smilefusion.readers._mediapipe import N_MESH, read_layout
from smilefusion.readers._tables import (
    assemble,
    check_columns,
    choose_face,
    read_numbers,
    read_table,
    read_whole_numbers,
)

_PATH = [str, os.PathLike]

_EYE_ENDS = ("outer", "inner")

_MAX_FRACTION = 2.0  # of the image size; the face that a detector finds lies within the image
_MIN_DEPTH = 0.02  # of a face's width; a real one is near 0.7


@validate_params(
    {
        "path": _PATH,
        "coordinates": [StrOptions({"image", "world"})],
        "min_confidence": [Interval(Real, 0, 1, closed="both")],
        "face_id": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def read_openface_csv(path, *, coordinates="image", min_confidence=0.0, face_id=None):
    """Read a clip from a CSV file of OpenFace 2.

    Parameters
    ----------
    path : str or path-like
        A table that FeatureExtraction or FaceLandmarkVidMulti [1]_ wrote of a video, with the
        columns ``frame``, ``success``, and ``x_0`` to ``y_67`` or ``X_0`` to ``Z_67``.
    coordinates : {"image", "world"}, default="image"
        ``"image"`` takes the points seen in the image (n_dims 2, pixels), ``"world"`` those of
        the fitted face model in the camera's axes (n_dims 3, millimetres).
    min_confidence : float, default=0.0
        Frames of lower ``confidence``, 0 to 1, count as missing, as do those whose ``success``
        is not 1. OpenFace derives ``success`` from ``confidence``, so 0 leaves the choice to it.
    face_id : int, default=None
        The face to read, of the column ``face_id``; None takes the only one.

    Returns
    -------
    data : Bunch
        clip : ndarray of shape (n_frames, 68, n_dims), float32
            Coordinates, x to the right, y down, z away from the camera; NaN in missing frames.
            It runs from the face's first to its last frame number.
        fps : float or None
            Frames per second by the line of least squares through the times, rounded to 0.01;
            None where the table has no times, or one time throughout, as of a folder of images.
        timestamps_s : ndarray of shape (n_frames,), float64, or None
            Time of each frame in seconds; that of a frame that is not in the table is
            interpolated.

    Raises
    ------
    InvalidClipError
        If the file is absent, is no such table, shows several faces of which none is chosen,
        or breaks a rule of `check_clips`; the message names the remedy.

    Warns
    -----
    FrameRateWarning
        If frames are spaced unequally in time.

    Notes
    -----
    Rows may come in any order. OpenFace rounds coordinates to 0.1 pixel or millimetre and times
    to 1 ms: the median step of a clip at 30 frames per second would say 30.3, the line of least
    squares does not.

    References
    ----------
    .. [1] T. Baltrusaitis, A. Zadeh, Y. C. Lim, L.-P. Morency, "OpenFace 2.0: Facial Behavior
       Analysis Toolkit", IEEE International Conference on Automatic Face and Gesture
       Recognition, 2018.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from smilefusion.readers import read_openface_csv
    >>> names = [f"{axis}_{point}" for axis in "xy" for point in range(68)]
    >>> table = pd.DataFrame(np.random.default_rng(0).uniform(200, 300, (25, 136)), columns=names)
    >>> table = table.assign(frame=range(1, 26), timestamp=np.arange(25) / 50, success=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "smile.csv")
    ...     table.to_csv(path, index=False)
    ...     data = read_openface_csv(path)
    >>> data.clip.shape, data.fps
    ((25, 68, 2), 50.0)
    """
    table, name = read_table(path)
    axes, option = ("xy", "-2Dfp") if coordinates == "image" else ("XYZ", "-3Dfp")
    columns = [f"{axis}_{point}" for point in range(IBUG_68.n_landmarks) for axis in axes]
    asked = ["confidence"] if min_confidence > 0 else []
    remedy = f"Run FeatureExtraction on the video, with {option}."
    check_columns(table, ["frame", "success", *asked, *columns], name, remedy)
    table = choose_face(table, "face_id" if "face_id" in table else None, face_id, name)
    faces = read_numbers(table, columns, name).reshape(len(table), -1, len(axes))
    missing = read_numbers(table, ["success"], name)[:, 0] != 1
    if min_confidence > 0:
        missing |= ~(read_numbers(table, ["confidence"], name)[:, 0] >= min_confidence)
    faces[missing] = np.nan
    times = read_numbers(table, ["timestamp"], name)[:, 0] if "timestamp" in table else None
    return assemble(faces, read_whole_numbers(table, "frame", name), times, name)


@validate_params(
    {
        "path": _PATH,
        "width": [Interval(Real, 0, None, closed="neither"), None],
        "height": [Interval(Real, 0, None, closed="neither"), None],
        "coordinates": [StrOptions({"fractions", "isotropic"})],
        "iris": [StrOptions({"required", "eye_centre"})],
        "face_id": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def read_mediapipe_csv(
    path, *, width=None, height=None, coordinates="fractions", iris="required", face_id=None
):
    """Read a clip from a CSV file of MediaPipe face-mesh landmarks.

    MediaPipe writes no tables itself; the two layouts that scripts write are read.

    Parameters
    ----------
    path : str or path-like
        A comma-separated table with a header in UTF-8, see Notes.
    width, height : float, default=None
        Size of the image in pixels, needed for fractions. Where pixels are not square,
        multiply the width by their aspect ratio.
    coordinates : {"fractions", "isotropic"}, default="fractions"
        ``"fractions"``: x and z are fractions of the image's width and y of its height, as
        MediaPipe gives them; they become isotropic in units of the image height.
        ``"isotropic"``: x, y and z have one unit, such as pixels, and stay as they are.
    iris : {"required", "eye_centre"}, default="required"
        What to do with tables of 468 landmarks, which lack the ten of the irises.
        ``"eye_centre"`` puts these at the midpoint of the eye's corners: D-Markers do not use
        them; the deep stream should then see no clips with true ones.
    face_id : int, default=None
        The face to read, of the column of faces; None takes the only one.

    Returns
    -------
    data : Bunch
        clip : ndarray of shape (n_frames, 478, 2 or 3), float32
            Coordinates, isotropic, x to the right, y down; NaN in missing frames. It runs from
            the first to the last frame number; without z in the table it has n_dims 2.
        fps : float or None
            Frames per second by the line of least squares through the times, rounded to 0.01;
            None where the table has no times, or one time throughout.
        timestamps_s : ndarray of shape (n_frames,), float64, or None
            Time of each frame in seconds; that of a frame that is not in the table is
            interpolated.

    Raises
    ------
    ValueError
        If `coordinates` and the image size do not go together.
    InvalidClipError
        If the file is absent, has neither layout, shows several faces of which none is chosen,
        or breaks a rule of `check_clips`; the message names the remedy.

    Warns
    -----
    FrameRateWarning
        If frames are spaced unequally in time.

    Notes
    -----
    Names of columns count regardless of case and of blanks around them; columns of other names
    are ignored. Landmarks are numbered throughout from 0 or throughout from 1. Rows may come in
    any order.

    *Wide*: a row per frame. The coordinates are named by axis and number in either order, joined
    by ``_``, ``.``, a blank or nothing, and may follow ``landmark``, ``lm``, ``face``,
    ``face_landmark`` or ``point``: ``x0``, ``x_000``, ``0_x``, ``lm_0_x``, ``landmark_0_x``.
    Cells of a frame without a face are empty.

    *Long*: a row per frame and landmark, with the columns ``x``, ``y``, perhaps ``z``, and one of
    ``landmark``, ``landmark_id``, ``landmark_idx``, ``landmark_index``, ``id``, ``idx``,
    ``index``, ``point``, ``point_id``. A frame without a face is absent, or its coordinates are
    empty.

    Both need a column of whole numbers ``frame`` (or ``frame_id``, ``frame_idx``,
    ``frame_index``, ``frame_no``, ``frame_num``, ``frame_number``); numbers left out are missing
    frames. Times are ``timestamp``, ``timestamp_s``, ``time`` or ``time_s`` in seconds, or
    ``timestamp_ms`` or ``time_ms`` in milliseconds. Faces are ``face_id``, ``face_idx`` or
    ``face_index``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from smilefusion.readers import read_mediapipe_csv
    >>> names = [f"{axis}{point}" for point in range(478) for axis in "xyz"]
    >>> table = pd.DataFrame(np.random.default_rng(0).uniform(size=(25, 1434)), columns=names)
    >>> table = table.assign(frame=range(25), timestamp_ms=20 * np.arange(25))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "smile.csv")
    ...     table.to_csv(path, index=False)
    ...     data = read_mediapipe_csv(path, width=1920, height=1080)
    >>> data.clip.shape, data.fps
    ((25, 478, 3), 50.0)
    """
    _check_size(width, height, coordinates)
    table, name = read_table(path)
    faces, frames, times = read_layout(table, face_id, name)
    if coordinates == "fractions":
        _check_fractions(faces, name)
        faces[..., ::2] *= width / height  # x and z, which is in units of the image width
    else:
        _check_depth(faces, name)
    if faces.shape[1] == N_MESH:
        faces = _add_iris(faces, iris, name)
    return assemble(faces, frames, times, name)


def _check_size(width, height, coordinates):
    """Check that the size of the image is given where it is needed, and only there."""
    given = width is not None, height is not None
    if coordinates == "fractions" and not all(given):
        raise ValueError(
            "width and height of the image are needed to make fractions of it isotropic; got "
            f"width={width!r} and height={height!r}. Give both, or coordinates='isotropic' for a "
            "table whose x, y and z have one unit."
        )
    if coordinates == "isotropic" and any(given):
        raise ValueError(
            "width and height belong to coordinates='fractions'; isotropic ones stay as they are, "
            f"but got width={width!r} and height={height!r}. Leave them out."
        )


def _check_fractions(faces, name):
    """Check that coordinates can be fractions of the size of an image."""
    far = np.abs(faces[..., :2]) > _MAX_FRACTION
    if far.any():
        raise InvalidClipError(
            f"{name} has the coordinate {faces[..., :2][far][0]:g}; fractions of the image lie "
            "about between 0 and 1. Give coordinates='isotropic' where x, y and z are pixels, "
            "without width and height."
        )


def _check_depth(faces, name):
    """Check that z can be in the unit of x."""
    seen = faces[np.isfinite(faces).all(axis=(1, 2))]
    if faces.shape[2] == 2 or len(seen) == 0:
        return
    width, _, depth = np.median(np.ptp(seen, axis=1), axis=0)
    if depth < _MIN_DEPTH * width:
        raise InvalidClipError(
            f"{name} has faces {width:g} wide and {depth:g} deep; x, y and z must have one unit. "
            "Multiply MediaPipe's z by the image's width, as x, or drop z."
        )


def _add_iris(faces, iris, name):
    """Complete faces (n_rows, 468, n_dims) by iris points at the eye centres."""
    if iris == "required":
        raise InvalidClipError(
            f"{name} has {N_MESH} landmarks, without the irises; clips have "
            f"{MEDIAPIPE_478.n_landmarks}. Extract them with refine_landmarks=True or "
            "FaceLandmarker, or give iris='eye_centre' for D-Markers, which need no irises."
        )
    right, left = (
        np.mean([MEDIAPIPE_478.locate(faces, f"{side}_eye_{end}") for end in _EYE_ENDS], axis=0)
        for side in ("right", "left")
    )
    is_right = face_geometry()["neutral"][N_MESH:, :1] < 0  # the subject's right, at image left
    irises = np.where(is_right, right[:, None], left[:, None])
    return np.concatenate([faces, irises], axis=1)
