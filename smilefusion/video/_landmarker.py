"""Find faces and their landmarks with the networks of MediaPipe's face landmarker.

The steps and constants follow MediaPipe's graphs face_detector_graph.cc,
face_landmarks_detector_graph.cc and face_landmarker_graph.cc in IMAGE mode.
"""

import math
from pathlib import Path

import numpy as np
from scipy.special import expit

from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.video._crops import Cropper, Square, VideoFrame
from smilefusion.video._networks import Network

N_LANDMARKS = MEDIAPIPE_478.n_landmarks
_DETECTOR_SIZE = 128  # pixels
_MESH_SIZE = 192
_SAME_BOX = 0.3  # overlap (intersection over union) of boxes that are averaged
_MARGIN = 1.5  # side of the square around a face, relative to the longer side of its box
_EYES = (0, 1)  # keypoints of the detector
_EYE_CORNERS = (33, 263)  # landmarks


class FaceLandmarker:
    """Find faces in a frame and their 478 landmarks, each (478, 3) in pixels of the frame."""

    def __init__(self, bundle: Path, *, max_faces: int, min_confidence: float) -> None:
        self._detector = Network(bundle, "face_detector.tflite")
        self._mesh = Network(bundle, "face_landmarks_detector.tflite")
        self._whole = Cropper(_DETECTOR_SIZE, border="zeros")
        self._close = Cropper(_MESH_SIZE, border="edge")
        self._anchors = _make_anchors()
        self._max_faces = max_faces
        self._min_confidence = min_confidence

    def find(
        self, frame: VideoFrame, square: Square, known: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Return the faces in a square of a frame.

        If the detector finds a face that is already known, that face is returned unchanged.
        """
        faces: list[np.ndarray] = []
        for region in self._detect(frame, square)[: self._max_faces]:
            if known is not None and is_inside(region, known):
                if not any(face is known for face in faces):
                    faces.append(known)
                continue
            face = self._locate(frame, region)
            if face is not None:
                faces.append(face)
        return faces

    def follow(self, frame: VideoFrame, face: np.ndarray) -> np.ndarray | None:
        """Return the landmarks of a previous frame's face in this frame; None if it is lost."""
        return self._locate(frame, _surround(face))

    def _detect(self, frame: VideoFrame, square: Square) -> list[Square]:
        """Return squares around the detected faces, the most confident first."""
        image = self._whole.crop(frame, square)
        image /= 127.5
        image -= 1
        values, logits = self._detector.run(image)
        scores = expit(logits)
        likely = np.flatnonzero(scores >= self._min_confidence)
        # Centre, size and six keypoints of each box, as fractions of the square.
        boxes = values[likely].reshape(-1, 8, 2) / _DETECTOR_SIZE
        boxes[:, 0] += self._anchors[likely]
        boxes[:, 2:] += self._anchors[likely, None]
        return [_region(box, square) for box in _merge(boxes, scores[likely])]

    def _locate(self, frame: VideoFrame, region: Square) -> np.ndarray | None:
        """Return the landmarks of the face in a region; None if it contains no face."""
        image = self._close.crop(frame, region)
        image /= 255
        values, logit = self._mesh.run(image)
        if expit(logit) < self._min_confidence:
            return None
        x, y, z = values.reshape(N_LANDMARKS, 3).T.astype(np.float64) / _MESH_SIZE
        return np.vstack([region.place(np.array([x, y])), z * region.size]).T


def place(face: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the centre (2,) of a face and its size, the longer side of its box."""
    low, high = face[:, :2].min(axis=0), face[:, :2].max(axis=0)
    return (low + high) / 2, float((high - low).max())


def is_inside(region: Square, face: np.ndarray) -> bool:
    """Whether the centre of a face is near the centre of a region."""
    centre, _ = place(face)
    return bool(np.linalg.norm(centre - (region.x, region.y)) < region.size / (2 * _MARGIN))


def _make_anchors() -> np.ndarray:
    """Return the centres (896, 2) of the detector's boxes, as fractions of the image."""
    anchors = []
    for n_cells, n_boxes in ((16, 2), (8, 6)):
        y, x = (np.indices((n_cells, n_cells)).reshape(2, -1) + 0.5) / n_cells
        anchors.append(np.repeat(np.column_stack([x, y]), n_boxes, axis=0))
    return np.concatenate(anchors).astype(np.float32)


def _merge(boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Average overlapping boxes, weighted by score (weighted non-maximum suppression)."""
    merged, order = [], np.argsort(-scores, kind="stable")
    while len(order):
        centres, sizes = boxes[order, 0], boxes[order, 1]
        low, high = centres - sizes / 2, centres + sizes / 2
        shared = (np.minimum(high, high[0]) - np.maximum(low, low[0])).clip(0).prod(axis=1)
        areas = sizes.prod(axis=1)
        close = shared / (areas + areas[0] - shared) > _SAME_BOX
        close[0] = True  # even if the box is empty
        merged.append(np.average(boxes[order[close]], axis=0, weights=scores[order[close]]))
        order = order[~close]
    return merged


def _region(box: np.ndarray, square: Square) -> Square:
    """Return the square in which to find the landmarks of a detected box (8, 2)."""
    points = square.place(box[[0, *(2 + eye for eye in _EYES)]].T)
    (x, first_x, second_x), (y, first_y, second_y) = points.tolist()
    angle = math.atan2(second_y - first_y, second_x - first_x)
    return Square(x, y, _MARGIN * float(box[1].max()) * square.size, angle)


def _surround(face: np.ndarray) -> Square:
    """Return the square in which to find the landmarks of a known face."""
    (first_x, first_y), (second_x, second_y) = face[_EYE_CORNERS, :2].tolist()
    angle = math.atan2(second_y - first_y, second_x - first_x)
    c, s = math.cos(angle), math.sin(angle)
    x, y = face[:, 0], face[:, 1]
    across, down = c * x + s * y, c * y - s * x  # along the axes of the face
    left, right, top, bottom = across.min(), across.max(), down.min(), down.max()
    u, v = (left + right) / 2, (top + bottom) / 2
    size = max(right - left, bottom - top)
    return Square(float(c * u - s * v), float(s * u + c * v), _MARGIN * float(size), angle)
