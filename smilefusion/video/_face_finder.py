"""Find one face per frame with MediaPipe; look at small faces in a crop."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.video._frames import import_av

Detector = Callable[[np.ndarray], list[np.ndarray]]

# MediaPipe's detector shrinks an image to 128 pixels. Faces below this share of the longer side
# have at most 21 of these pixels; the detector misses most of them and misplaces the others.
_SMALL_SHARE = 1 / 6
_CROP_SIZES = 3.0  # side of a crop, in face sizes, at which the detector works best
_FORGET_S = 1.0  # time without a face after which the whole image is searched
_SEARCH_EVERY_S = 0.25  # time between two such searches
_TILE_SHARE = 2 / 3  # side of a tile of the search, as a share of the image's shorter side
_TILE_OVERLAP = 1 / 3  # overlap of neighbouring tiles, as a share of their side
_LARGEST_ROLL = 60  # degrees; a face rotated further lies on its side or is upside down
_ROLL_EVERY_S = 0.25  # time between two checks of a face's rotation
_ROLL_LEAD = 2  # votes by which one rotation must lead
_SAME_FACE = 0.5  # two detections are one face if they are closer than this share of its size


@contextmanager
def open_detector(
    model_path: str | os.PathLike, *, max_faces: int, min_confidence: float
) -> Iterator[Detector]:
    """Yield a function from an RGB image to its faces, each (n_landmarks, 3) in pixels."""
    mediapipe = import_mediapipe("FaceMeshExtractor")
    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(model_path)),
        # MediaPipe's video mode smooths over time, which delays and flattens movements.
        running_mode=vision.RunningMode.IMAGE,
        num_faces=max_faces,
        min_face_detection_confidence=min_confidence,
        min_face_presence_confidence=min_confidence,
    )

    def detect(image: np.ndarray) -> list[np.ndarray]:
        height, width = image.shape[:2]
        contiguous = np.ascontiguousarray(image)  # MediaPipe silently misreads other arrays
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=contiguous)
        faces = landmarker.detect(picture).face_landmarks
        size = (width, height, width)
        return [np.array([(p.x, p.y, p.z) for p in face]) * size for face in faces]

    with _silent_stderr():
        landmarker = vision.FaceLandmarker.create_from_options(options)
        detect(np.zeros((64, 64, 3), dtype=np.uint8))  # the first call writes to the log, too
    with landmarker:
        yield detect


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard MediaPipe's log on stderr, which no option turns off."""
    try:
        kept = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def import_mediapipe(caller: str) -> ModuleType:
    """Import MediaPipe; if this fails, name the caller and the packages to install."""
    import_av(caller)
    try:
        import mediapipe
    except (ImportError, OSError) as error:
        raise ImportError(
            f"{caller} needs MediaPipe, which cannot be imported ({error}). Run "
            "pip install 'smilefusion[video]'. On Linux it needs the system libraries libEGL, "
            "libGLESv2, libGL and libglib-2.0: apt-get install libegl1 libgles2 libgl1 "
            "libglib2.0-0 on Debian."
        ) from error
    return mediapipe


class FaceFinder:
    """Choose one face in each frame of a video, as `FaceMeshExtractor` describes."""

    def __init__(self, detect: Detector, *, face: str, second_look: bool) -> None:
        self._detect = detect
        self._face = face
        self._second_look = second_look
        self._place: tuple[np.ndarray, float] | None = None  # centre and size of the last face
        self._seen_s = np.inf  # time of the last face or the first frame
        self._searched_s = -np.inf  # time of the last search in tiles

    def find(self, image: np.ndarray, time_s: float) -> tuple[int, np.ndarray | None, float]:
        """Return the number of faces, and landmarks (or None) and size of one, in pixels."""
        self._seen_s = min(self._seen_s, time_s)
        if time_s - self._seen_s > _FORGET_S:
            self._place = None
        faces = self._detect(image)
        if self._second_look and not faces:
            faces = self._search(image, time_s)
        chosen = self._choose(faces)
        if chosen is None:
            return 0, None, 0.0
        centre, size = _place(chosen)
        if self._second_look and size < _SMALL_SHARE * max(image.shape[:2]):
            closer = _distinct(self._look(image, *_square(centre, size)))
            matching = [face for face in closer if _same(face, chosen)]
            chosen = matching[0] if matching else chosen
            centre, size = _place(chosen)
        self._place = centre, size
        self._seen_s = time_s
        return len(faces), chosen, size

    def _choose(self, faces: list[np.ndarray]) -> np.ndarray | None:
        """Return one of the faces, or None if there are none."""
        if len(faces) < 2:
            return faces[0] if faces else None
        if self._face == "nearest" and self._place is not None:
            last, _ = self._place
            return min(faces, key=lambda face: np.linalg.norm(_place(face)[0] - last))
        return max(faces, key=lambda face: _place(face)[1])

    def _search(self, image: np.ndarray, time_s: float) -> list[np.ndarray]:
        """Search crops of an image in which the detector found no face."""
        if self._place is not None:
            return _distinct(self._look(image, *_square(*self._place)))
        lost_s, waited_s = time_s - self._seen_s, time_s - self._searched_s
        if lost_s > _FORGET_S and waited_s < _SEARCH_EVERY_S:
            return []
        self._searched_s = time_s
        tiles = _tiles(*image.shape[:2])
        return _distinct([face for tile in tiles for face in self._look(image, *tile)])

    def _look(self, image: np.ndarray, left: int, top: int, side: int) -> list[np.ndarray]:
        """Return the faces in a square of an image, in coordinates of the image."""
        left, top = max(left, 0), max(top, 0)
        crop = image[top : top + side, left : left + side]
        corner = np.array([left, top, 0])
        return [face + corner for face in self._detect(crop)] if crop.size else []


class UprightCheck:
    """Find out whether the faces of a video are upright."""

    # MediaPipe places upright landmarks on an upside-down face, but correct ones on a face that
    # lies on its side. A crop rotated by 90 degrees therefore shows whether a face is upright.
    def __init__(self, detect: Detector) -> None:
        self._detect = detect
        self._votes: Counter[int] = Counter()
        self._next_s = -np.inf

    def look(self, image: np.ndarray, face: np.ndarray, time_s: float) -> None:
        """Check a face in pixels, unless the result is decided or the last check was recent."""
        if self.is_decided or time_s < self._next_s:
            return
        self._next_s = time_s + _ROLL_EVERY_S
        roll = _roll(face)
        if abs(roll) > _LARGEST_ROLL:
            self._votes[round(-roll / 90) % 4 * 90] += 1
            return
        left, top, side = _square(*_place(face))
        crop = image[max(top, 0) : top + side, max(left, 0) : left + side]
        for n_quarters in (1, 3):
            faces = self._detect(np.rot90(crop, n_quarters))
            if faces:
                largest = max(faces, key=lambda each: _place(each)[1])
                change = abs((_roll(largest) + 90 * n_quarters - roll + 180) % 360 - 180)
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


def _roll(face: np.ndarray) -> float:
    """Return the clockwise rotation of a face in the image plane, in degrees."""
    eyes = [f"{side}_eye_{corner}" for side in ("right", "left") for corner in ("inner", "outer")]
    lips = [f"{side}_lip_corner" for side in ("right", "left")]
    x, y = (_centre(face, lips) - _centre(face, eyes))[:2]
    return float(np.degrees(np.arctan2(-x, y)))


def _centre(face: np.ndarray, names: list[str]) -> np.ndarray:
    return np.mean([MEDIAPIPE_478.locate(face, name) for name in names], axis=0)


def _place(face: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the centre (2,) of a face and its size, the longer side of its box."""
    low, high = face[:, :2].min(axis=0), face[:, :2].max(axis=0)
    return (low + high) / 2, (high - low).max()


def _square(centre: np.ndarray, size: float) -> tuple[int, int, int]:
    """Return left, top and side of the best crop around a face."""
    side = round(_CROP_SIZES * size)
    left, top = (round(each - side / 2) for each in centre)
    return left, top, side


def _tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Return left, top and side of overlapping squares that cover an image."""
    side = max(round(_TILE_SHARE * min(height, width)), 1)
    step = side * (1 - _TILE_OVERLAP)
    rows, columns = (
        np.linspace(0, length - side, int(np.ceil((length - side) / step)) + 1).round().astype(int)
        for length in (height, width)
    )
    return [(int(left), int(top), side) for top in rows for left in columns]


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    (centre, size), (other_centre, other_size) = _place(one), _place(other)
    return bool(np.linalg.norm(centre - other_centre) < _SAME_FACE * max(size, other_size))


def _distinct(faces: list[np.ndarray]) -> list[np.ndarray]:
    """Remove faces that were found in more than one crop."""
    kept: list[np.ndarray] = []
    for face in faces:
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept
