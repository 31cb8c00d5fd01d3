"""Choose one face in each frame of a video; look for small faces in crops."""

from collections import Counter
from dataclasses import replace
from typing import Protocol

import numpy as np

from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.video._crops import Square, VideoFrame
from smilefusion.video._landmarker import place

# The detector shrinks an image to 128 pixels. Faces below this share of the longer side cover
# at most 21 of these pixels; the detector misses most of them and misplaces the others.
_SMALL_SHARE = 1 / 6
_CROP_SIZES = 3.0  # side of a crop, in face sizes, at which the detector works best
_FORGET_S = 1.0  # time without a face after which the whole image is searched
_SEARCH_EVERY_S = 0.25  # time between two such searches
_TILE_SHARE = 2 / 3  # side of a tile of the search, as a share of the image's shorter side
_TILE_OVERLAP = 1 / 3  # overlap of neighbouring tiles, as a share of their side
_LARGEST_ROLL = 60  # degrees; a face rotated further lies on its side or is upside down
_ROLL_EVERY_S = 0.25  # time between two checks of a face's rotation
_ROLL_LEAD = 2  # lead in votes that decides the rotation
_SAME_FACE = 0.5  # two detections are one face if they are closer than this share of its size
_CHECK_EVERY_S = 1.0  # time between two detections while a face is followed
# A followed face has jumped (a cut or a tracking error) if, from one frame to the next, it moves
# by more than this share of its size, or its size changes by more than this factor.
_LARGEST_STEP = 0.25
_LARGEST_ZOOM = 1.25


class Landmarker(Protocol):
    """Methods of `FaceLandmarker` that the finder calls."""

    def find(
        self, frame: VideoFrame, square: Square, known: np.ndarray | None = None
    ) -> list[np.ndarray]: ...

    def follow(self, frame: VideoFrame, face: np.ndarray) -> np.ndarray | None: ...


class FaceFinder:
    """Choose one face in each frame of a video, as `FaceMeshExtractor` describes."""

    def __init__(
        self, landmarker: Landmarker, *, face: str, second_look: bool, tracking: bool
    ) -> None:
        self._landmarker = landmarker
        self._face = face
        self._second_look = second_look
        self._tracking = tracking
        self._last: np.ndarray | None = None  # face in the previous frame
        self._n_faces = 0  # at the last detection
        self._detected_s = -np.inf  # time of the last detection
        self._place: tuple[np.ndarray, float] | None = None  # centre and size of the last face
        self._seen_s = np.inf  # time of the last frame with a face, or of the first frame
        self._searched_s = -np.inf  # time of the last search in tiles

    def find(self, frame: VideoFrame) -> tuple[int, np.ndarray | None, float]:
        """Return the number of faces, and the chosen face (or None) and its size in pixels."""
        self._seen_s = min(self._seen_s, frame.time_s)
        if frame.time_s - self._seen_s > _FORGET_S:
            self._place = None
        followed = self._follow(frame)
        is_checked = frame.time_s - self._detected_s < _CHECK_EVERY_S
        chosen = followed if followed is not None and is_checked else self._detect(frame, followed)
        self._last = chosen
        if chosen is None:
            return 0, None, 0.0
        self._place = place(chosen)
        self._seen_s = frame.time_s
        return self._n_faces, chosen, self._place[1]

    def _follow(self, frame: VideoFrame) -> np.ndarray | None:
        """Return the last face's landmarks in this frame; None if it is lost or has jumped."""
        if not self._tracking or self._last is None or self._place is None:
            return None
        face = self._landmarker.follow(frame, self._last)
        return None if face is None or _has_jumped(self._place, place(face)) else face

    def _detect(self, frame: VideoFrame, followed: np.ndarray | None) -> np.ndarray | None:
        """Detect the faces in a frame and return the one to follow from now on."""
        self._detected_s = frame.time_s
        faces = self._landmarker.find(frame, frame.square, followed)
        is_missed = not any(face is followed for face in faces)
        if self._second_look and followed is not None and is_missed:
            around = _crop_around(*place(followed))
            faces = _distinct([*faces, *self._landmarker.find(frame, around, followed)])
        elif self._second_look and not faces:
            faces = self._search(frame)
        self._n_faces = len(faces)
        chosen = self._choose(faces)
        if chosen is None or chosen is followed or not self._second_look:
            return chosen
        _, size = place(chosen)
        if size < _SMALL_SHARE * frame.square.size:
            closer = _distinct(self._landmarker.find(frame, _crop_around(*place(chosen))))
            chosen = next((face for face in closer if _same(face, chosen)), chosen)
        return chosen

    def _choose(self, faces: list[np.ndarray]) -> np.ndarray | None:
        """Return one of the faces, or None if there are none."""
        if len(faces) < 2:
            return faces[0] if faces else None
        if self._face == "nearest" and self._place is not None:
            last, _ = self._place
            return min(faces, key=lambda face: np.linalg.norm(place(face)[0] - last))
        return max(faces, key=lambda face: place(face)[1])

    def _search(self, frame: VideoFrame) -> list[np.ndarray]:
        """Search crops of a frame if the detector found no face in the whole frame."""
        find = self._landmarker.find
        if self._place is not None:
            return _distinct(find(frame, _crop_around(*self._place)))
        lost_s, waited_s = frame.time_s - self._seen_s, frame.time_s - self._searched_s
        if lost_s > _FORGET_S and waited_s < _SEARCH_EVERY_S:
            return []
        self._searched_s = frame.time_s
        tiles = _tiles(frame.geometry.width, frame.geometry.height)
        return _distinct([face for tile in tiles for face in find(frame, tile)])


class UprightCheck:
    """Check whether the faces in a video are upright."""

    # MediaPipe returns wrong, upright landmarks if a face is upside down, but correct ones if it
    # lies on its side. A crop rotated by 90 degrees therefore shows whether a face is upright.
    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker
        self._votes: Counter[int] = Counter()
        self._next_s = -np.inf

    def look(self, frame: VideoFrame, face: np.ndarray) -> None:
        """Check a face, unless the rotation is decided or the last check was recent."""
        if self.is_decided or frame.time_s < self._next_s:
            return
        self._next_s = frame.time_s + _ROLL_EVERY_S
        roll = _roll(face)
        if abs(roll) > _LARGEST_ROLL:
            self._votes[round(-roll / 90) % 4 * 90] += 1
            return
        square = _crop_around(*place(face))
        for turn in (np.pi / 2, -np.pi / 2):
            faces = self._landmarker.find(frame, replace(square, angle=turn))
            if faces:
                largest = max(faces, key=lambda each: place(each)[1])
                change = abs((_roll(largest) - roll + 180) % 360 - 180)
                if change < 45 or change > 135:
                    self._votes[0 if change < 45 else 180] += 1
                return

    @property
    def rotation(self) -> int:
        """Clockwise rotation that makes most frames upright: 0, 90, 180 or 270 degrees."""
        most = max(self._votes, key=self._votes.__getitem__, default=0)
        return most if 2 * self._votes[most] > self._votes.total() else 0

    @property
    def is_decided(self) -> bool:
        """Whether one rotation has enough votes."""
        most = self._votes[self.rotation]
        return 2 * most - self._votes.total() >= _ROLL_LEAD


def _has_jumped(before: tuple[np.ndarray, float], now: tuple[np.ndarray, float]) -> bool:
    """Whether a face moved too far, or changed its size too much, between two frames."""
    (centre, size), (new_centre, new_size) = before, now
    is_far = np.linalg.norm(new_centre - centre) > _LARGEST_STEP * new_size
    return bool(is_far or max(size / new_size, new_size / size) > _LARGEST_ZOOM)


def _roll(face: np.ndarray) -> float:
    """Return the clockwise rotation of a face in the image plane, in degrees."""
    eyes = [f"{side}_eye_{corner}" for side in ("right", "left") for corner in ("inner", "outer")]
    lips = [f"{side}_lip_corner" for side in ("right", "left")]
    x, y = (_centre(face, lips) - _centre(face, eyes))[:2]
    return float(np.degrees(np.arctan2(-x, y)))


def _centre(face: np.ndarray, names: list[str]) -> np.ndarray:
    return np.mean([MEDIAPIPE_478.locate(face, name) for name in names], axis=0)


def _crop_around(centre: np.ndarray, size: float) -> Square:
    """Return the best crop around a face."""
    return Square(float(centre[0]), float(centre[1]), _CROP_SIZES * size)


def _tiles(width: int, height: int) -> list[Square]:
    """Return overlapping squares that cover an image."""
    side = _TILE_SHARE * min(height, width)
    step = side * (1 - _TILE_OVERLAP)
    columns, rows = (
        np.linspace(side / 2, length - side / 2, int(np.ceil((length - side) / step)) + 1)
        for length in (width, height)
    )
    return [Square(float(x), float(y), side) for y in rows for x in columns]


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    (centre, size), (other_centre, other_size) = place(one), place(other)
    return bool(np.linalg.norm(centre - other_centre) < _SAME_FACE * max(size, other_size))


def _distinct(faces: list[np.ndarray]) -> list[np.ndarray]:
    """Remove faces that were found in more than one crop."""
    kept: list[np.ndarray] = []
    for face in faces:
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept
