"""Read CSV tables of landmarks from OpenFace 2 and MediaPipe."""

import os
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from smilefusion.clips._clip_files import HeldFile
from smilefusion.clips._sequence import ClipSequence
from smilefusion.exceptions import InvalidClipError
from smilefusion.readers._csv_tables import Options, Rows, assemble, read_table
from smilefusion.readers._mediapipe import (
    N_MESH,
    add_iris,
    check_depth,
    is_beyond_image,
    read_layout,
)
from smilefusion.readers._openface import read_openface_2

_PATH = [str, os.PathLike]


@validate_params(
    {
        "path": _PATH,
        "coordinates": [StrOptions({"image", "world"})],
        "min_confidence": [Interval(Real, 0, 1, closed="both")],
        "face_id": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def read_openface_csv(
    path: str | os.PathLike,
    *,
    coordinates: Literal["image", "world"] = "image",
    min_confidence: float = 0.0,
    face_id: int | None = None,
) -> ClipSequence:
    """Read a clip from a CSV file of OpenFace 2.

    Parameters
    ----------
    path : str or path-like
        A table that FeatureExtraction or FaceLandmarkVidMulti [1]_ wrote for a video, with the
        columns ``frame``, ``success``, and ``x_0`` to ``y_67`` or ``X_0`` to ``Z_67``.
    coordinates : {"image", "world"}, default="image"
        ``"image"`` reads the landmarks in the image (n_dims 2, pixels). ``"world"`` reads the
        landmarks of the fitted face model in the camera's axes (n_dims 3, millimetres).
    min_confidence : float, default=0.0
        Frames with a lower ``confidence`` (0 to 1) count as missing, and so do frames whose
        ``success`` is not 1.
    face_id : int or None, default=None
        Value of the column ``face_id`` for the face to read. None requires that the table has
        only one face.

    Returns
    -------
    clips : ClipSequence
        One clip of shape (n_frames, 68, n_dims), float32: x to the right, y down, z away from the
        camera; NaN in missing frames. It runs from the face's first to its last frame number.
        Its ``fps``, rounded to 0.01, comes from a least-squares line through the times, because
        OpenFace rounds times to 1 ms. It is NaN if the table has fewer than two times.

    Raises
    ------
    InvalidClipError
        If the file does not exist or is not such a table, if it shows several faces and
        `face_id` is None, or if the clip breaks a rule of `check_clips`.

    Warns
    -----
    FrameRateWarning
        If the frames are not equally spaced in time.

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
    ...     clips = read_openface_csv(path)
    >>> clips
    1 clip, 68 landmarks, 50 fps, 25 frames
    """
    table, name = read_table(path)
    axes = "xy" if coordinates == "image" else "XYZ"
    rows = read_openface_2(table, name, Options(face_id), axes=axes, min_confidence=min_confidence)
    clip, _, fps = assemble(replace(rows, signals=None), name)
    return _one_clip(path, clip, fps)


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
    path: str | os.PathLike,
    *,
    width: float | None = None,
    height: float | None = None,
    coordinates: Literal["fractions", "isotropic"] = "fractions",
    iris: Literal["required", "eye_centre"] = "required",
    face_id: int | None = None,
) -> ClipSequence:
    """Read a clip from a CSV file of MediaPipe face-mesh landmarks.

    MediaPipe itself does not write tables. This function reads the two layouts that scripts
    usually write.

    Parameters
    ----------
    path : str or path-like
        A comma-separated table in UTF-8 with a header; see Notes.
    width, height : float or None, default=None
        Size of the image in pixels, required for fractions. If the pixels are not square,
        multiply the width by their aspect ratio.
    coordinates : {"fractions", "isotropic"}, default="fractions"
        ``"fractions"``: x and z are fractions of the image width, and y is a fraction of the
        image height, as MediaPipe returns them. They are converted to units of the image height.
        ``"isotropic"``: x, y and z share one unit, such as pixels, and are not converted.
    iris : {"required", "eye_centre"}, default="required"
        What to do with tables of 468 landmarks, without the ten of the irises. ``"required"``
        rejects them. ``"eye_centre"`` puts the irises at the midpoint of the eye corners.
        D-Markers do not use irises, but do not mix such clips with others in the deep stream.
    face_id : int or None, default=None
        Value of the column of faces for the face to read. None requires that the table has
        only one face.

    Returns
    -------
    clips : ClipSequence
        One clip of shape (n_frames, 478, 2 or 3), float32, in isotropic coordinates; NaN in
        missing frames. It runs from the first to the last frame number. Its ``fps`` is
        computed as in `read_openface_csv`.

    Raises
    ------
    ValueError
        If `width` and `height` are missing for fractions or given for isotropic coordinates.
    InvalidClipError
        If the file does not exist or has neither layout, if it shows several faces and
        `face_id` is None, or if the clip breaks a rule of `check_clips`.

    Warns
    -----
    FrameRateWarning
        If the frames are not equally spaced in time.

    Notes
    -----
    Case and surrounding spaces in column names are ignored, and so are other columns. Landmarks
    are numbered from 0 or from 1. Rows may be in any order.

    *Wide*: one row per frame. The name of a coordinate is its axis and number in either order,
    joined by ``_``, ``.``, a space or nothing, optionally after ``landmark``, ``lm``, ``face``,
    ``face_landmark`` or ``point``: ``x0``, ``x_000``, ``0_x``, ``lm_0_x``, ``landmark_0_x``.
    The cells of a frame without a face are empty.

    *Long*: one row per frame and landmark, with the columns ``x``, ``y``, optionally ``z``, and
    one of ``landmark``, ``landmark_id``, ``landmark_idx``, ``landmark_index``, ``id``, ``idx``,
    ``index``, ``point``, ``point_id``. A frame without a face has no rows or empty coordinates.

    Both require a column of whole numbers ``frame`` (or ``frame_id``, ``frame_idx``,
    ``frame_index``, ``frame_no``, ``frame_num``, ``frame_number``). Numbers that do not occur
    count as missing frames. The column of times can be ``timestamp``, ``timestamp_s``, ``time``
    or ``time_s`` in seconds, or ``timestamp_ms`` or ``time_ms`` in milliseconds. The column of
    faces can be ``face_id``, ``face_idx`` or ``face_index``.

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
    ...     clips = read_mediapipe_csv(path, width=1920, height=1080)
    >>> clips
    1 clip, 478 landmarks, 50 fps, 25 frames
    """
    aspect = _aspect_ratio(width, height, coordinates)
    table, name = read_table(path)
    faces, frames, times = read_layout(table, face_id, name)
    if aspect is not None:
        _check_fractions(faces, name)
        faces[..., ::2] *= aspect  # z is in units of the image width, too
    else:
        check_depth(faces, name)
    if faces.shape[1] == N_MESH:
        faces = add_iris(faces, iris, name)
    clip, _, fps = assemble(Rows(frames=frames, times=times, faces=faces), name)
    return _one_clip(path, clip, fps)


def _one_clip(path: str | os.PathLike, clip: np.ndarray | None, fps: float | None) -> ClipSequence:
    assert clip is not None  # the rows have faces
    return ClipSequence([HeldFile(Path(path), clip)], [clip.shape], fps=fps)


def _aspect_ratio(width: float | None, height: float | None, coordinates: str) -> float | None:
    """Return the aspect ratio of the image for fractions, or None for isotropic coordinates."""
    if coordinates == "fractions":
        if width is not None and height is not None:
            return width / height
        raise ValueError(
            "width and height of the image are required to convert fractions to isotropic "
            f"coordinates; got width={width!r} and height={height!r}. Pass both, or pass "
            "coordinates='isotropic' if x, y and z share one unit."
        )
    if width is not None or height is not None:
        raise ValueError(
            "width and height are only used with coordinates='fractions', because isotropic "
            f"coordinates are not converted; got width={width!r} and height={height!r}. Remove "
            "these arguments."
        )
    return None


def _check_fractions(faces: np.ndarray, name: str) -> None:
    far = is_beyond_image(faces)
    if far.any():
        raise InvalidClipError(
            f"{name} has the coordinate {faces[..., :2][far][0]:g}, but fractions of the image "
            "are roughly between 0 and 1. If x, y and z are in pixels, pass "
            "coordinates='isotropic' without width and height."
        )
