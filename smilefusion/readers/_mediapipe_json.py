"""Read results of MediaPipe's FaceLandmarker from JSON."""

import json
from typing import Any

import numpy as np
import pandas as pd

from smilefusion._messages import printable
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.readers._csv_tables import Options, Rows
from smilefusion.readers._mediapipe import to_isotropic

# Names in FaceLandmarkerResult, from MediaPipe's documentation of tasks-vision (JavaScript and
# Swift) and of the Python API. Only Swift stores the time in the result itself.
_LANDMARKS = ("faceLandmarks", "face_landmarks")
_BLENDSHAPES = ("faceBlendshapes", "face_blendshapes")
_TIME = ("timestampInMilliseconds", "timestampMs", "timestamp_ms")
_FRAME = ("frame", "frameIndex", "frame_index")
_NAME = ("categoryName", "category_name")
_LISTS = ("results", "frames")  # keys of an object that contains the list of results


def read_results(text: str, name: str, options: Options) -> Rows:
    """Read a list of results, an object with such a list, or one result per line."""
    if options.face_id is not None:
        raise InvalidClipError(
            f"{name} is a JSON file of MediaPipe, which does not identify faces, but face_id="
            f"{printable(options.face_id)} was passed. Remove the argument face_id."
        )
    try:
        results = _list_results(text)
        shown = [_get(result, _LANDMARKS) or [] for result in results]
        scores = [_get(result, _BLENDSHAPES) or [] for result in results]
        for i, faces in enumerate(shown):
            if len(faces) > 1:
                raise InvalidClipError(
                    f"{name} shows {len(faces)} faces in result {i + 1}, but a clip shows one "
                    "face. Run FaceLandmarker with numFaces: 1."
                )
        faces = _read_faces(shown)
        signals = _read_scores(scores)
        if faces is None and signals is None:
            raise InvalidClipError(
                f"{name} shows no face: no result has landmarks or blendshapes, but at least one "
                "must have them. Remove the clip."
            )
        times = _read_column(results, _TIME)
        frames = _read_column(results, _FRAME)
        if frames is not None and not (np.abs(frames) < 2**53).all():
            raise ValueError("a result has no frame number")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidClipError):
            raise
        raise InvalidClipError(
            f"{name} looks like JSON of MediaPipe, but not all of its results can be read "
            f"({printable(error) or type(error).__name__}). Each must be a FaceLandmarkerResult "
            "with faceLandmarks, faceBlendshapes or both. Export the results again."
        ) from error
    if frames is None:
        frames = np.arange(len(results), dtype=np.float64)
    unit = note = ""
    if faces is not None:
        faces, unit, note = to_isotropic(faces, options.image_size, name)
    return Rows(
        frames=frames.astype(np.int64),
        times=None if times is None else times * 1e-3,
        faces=faces,
        signals=signals,
        unit=unit,
        note=note,
    )


def _list_results(text: str) -> list[dict[str, Any]]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        data = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(data, dict):
        data = next((data[key] for key in _LISTS if key in data), [data])
    if not data or not all(
        _get(result, (*_LANDMARKS, *_BLENDSHAPES)) is not None for result in data
    ):
        raise ValueError("a result has neither faceLandmarks nor faceBlendshapes")
    return list(data)


def _get(result: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((result[key] for key in keys if key in result), None)


def _read_column(results: list[dict[str, Any]], keys: tuple[str, ...]) -> np.ndarray | None:
    """Return one number per result, (n_results,); None if no result contains it."""
    values = [_get(result, keys) for result in results]
    return None if all(value is None for value in values) else np.array(values, dtype=np.float64)


def _read_faces(shown: list[list[list[dict[str, float]]]]) -> np.ndarray | None:
    """Return landmarks (n_results, n_landmarks, 3), NaN without a face; None if no face exists."""
    faces = [
        [[point["x"], point["y"], point["z"]] for point in face[0]] if face else None
        for face in shown
    ]
    sizes = {len(face) for face in faces if face is not None}
    if not sizes:
        return None
    if len(sizes) > 1 or not sizes <= {468, MEDIAPIPE_478.n_landmarks}:
        raise ValueError(f"a face has {min(sizes)} landmarks")
    empty = np.full((*sizes, 3), np.nan)
    return np.array([empty if face is None else face for face in faces], dtype=np.float64)


def _read_scores(scores: list[list[Any]]) -> pd.DataFrame | None:
    """Return blendshapes, (n_results, n_blendshapes), NaN without a face; None if none exist."""
    rows = []
    for faces in scores:
        categories = faces[0] if faces else []
        if isinstance(categories, dict):  # JavaScript and Swift
            categories = categories["categories"]
        rows.append({str(_get(each, _NAME)): float(each["score"]) for each in categories})
    names = max(rows, key=len)
    if not names:
        return None
    if any(row and set(row) != set(names) for row in rows):
        raise ValueError("the results have different blendshapes")
    return pd.DataFrame(
        [[row.get(name, np.nan) for name in names] for row in rows], columns=[*names]
    )
