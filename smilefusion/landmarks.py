"""Landmark schemes: the index of each point of the face; and the names of blendshapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np

from smilefusion.exceptions import InvalidClipError

# The points of the MediaPipe mesh that D-Markers use (as in the published code of HadaSmileNet),
# the lower lids, the nose bridge and the true outer lip corners. Right and left are the subject's.
_MEDIAPIPE_POINTS = {
    "right_eye_outer": (33,),
    "right_eye_upper": (159,),
    "right_eye_inner": (133,),
    "right_eye_lower": (145,),
    "left_eye_inner": (362,),
    "left_eye_upper": (386,),
    "left_eye_outer": (263,),
    "left_eye_lower": (374,),
    "right_cheek": (50,),
    "left_cheek": (280,),
    "nose_tip": (1,),
    "nose_bridge": (168,),
    "right_lip_corner": (61,),
    "left_lip_corner": (291,),
    "right_lip_corner_published": (62,),
    "left_lip_corner_published": (308,),
}
# Midline of forehead and nose bridge, then mirrored pairs of the forehead, the temples and the eye
# corners. In the smile and blink fields of `face_geometry` none moves by more than 0.05
# inter-ocular distances, while a lip corner moves by 0.31.
_MEDIAPIPE_STABLE = (
    *(10, 151, 9, 8, 168),
    *(193, 417, 108, 337, 109, 338, 69, 299, 104, 333),
    *(68, 298, 71, 301, 162, 389, 139, 368, 127, 356),
    *(33, 263, 133, 362),
)
# Outlines as MediaPipe's FaceLandmarksConnections lists them.
_MEDIAPIPE_OUTLINES = (
    (  # face
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
    ),
    (  # lips, outer and inner
        *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
        *(409, 270, 269, 267, 0, 37, 39, 40, 185, 61),
    ),
    (
        *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
        *(415, 310, 311, 312, 13, 82, 81, 80, 191, 78),
    ),
    # eyes
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263),
    # irises
    (469, 470, 471, 472, 469),
    (474, 475, 476, 477, 474),
    # brows
    (46, 53, 52, 65, 55),
    (70, 63, 105, 66, 107),
    (276, 283, 282, 295, 285),
    (300, 293, 334, 296, 336),
)

# iBUG 300-W (Sagonas et al., 2013), counted from 0; 0 to 16 run along the jaw from image left.
_IBUG_POINTS = {
    "right_eye_outer": (36,),
    "right_eye_upper": (37, 38),
    "right_eye_inner": (39,),
    "right_eye_lower": (40, 41),
    "left_eye_inner": (42,),
    "left_eye_upper": (43, 44),
    "left_eye_outer": (45,),
    "left_eye_lower": (46, 47),
    "nose_tip": (30,),
    "nose_bridge": (27,),
    "right_lip_corner": (48,),
    "left_lip_corner": (54,),
}
_IBUG_MIRROR_PAIRS = (
    *((index, 16 - index) for index in range(8)),
    *((index, 43 - index) for index in range(17, 22)),
    *((31, 35), (32, 34)),
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58)),
    *((60, 64), (61, 63), (65, 67)),
)
# Nearest mesh point of each iBUG point: jaw, brows, nose, eyes and lips.
_IBUG_IN_MESH = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 195, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
_IBUG_OUTLINES = (
    tuple(range(17)),  # jaw
    tuple(range(17, 22)),  # brows
    tuple(range(22, 27)),
    tuple(range(27, 31)),  # nose
    tuple(range(31, 36)),
    (*range(36, 42), 36),  # eyes
    (*range(42, 48), 42),
    (*range(48, 60), 48),  # lips, outer and inner
    (*range(60, 68), 60),
)

# The order of MediaPipe's face_blendshapes network.
BLENDSHAPE_NAMES: tuple[str, ...] = (
    *("_neutral", "browDownLeft", "browDownRight", "browInnerUp"),
    *("browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight"),
    *("eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight"),
    *("eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight"),
    *("eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
    *("mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight"),
    *("mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)


@cache
def face_geometry() -> Mapping[str, np.ndarray]:
    """Return the mean face and its measured smile and blink.

    Returns
    -------
    geometry : mapping of str to ndarray
        Read-only arrays. ``neutral`` (478, 3) is a neutral frontal face in inter-ocular
        distances: origin between the eyes, x to image right, y down, z away from the camera.
        ``smile`` and ``blink`` (478, 3) are displacements, scaled so that a lip corner, or an
        upper lid, moves by length 1. ``mirror`` (478,) is the index of the mirrored point of
        each point. ``smile_lip_corner_displacement`` () is the distance by which the lip corners
        moved in the recorded smile.

    Notes
    -----
    Averaged and mirrored from MediaPipe landmarks of openly licensed clips.

    Examples
    --------
    >>> from smilefusion.landmarks import face_geometry
    >>> face_geometry()["neutral"].shape
    (478, 3)
    """
    path = files("smilefusion") / "data" / "face_geometry.npz"
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays["mirror"] = arrays["mirror"].astype(np.intp)
    for array in arrays.values():
        array.flags.writeable = False
    return MappingProxyType(arrays)


@dataclass(frozen=True, eq=False)
class LandmarkScheme:
    """Map the points of the face to landmark indices.

    Parameters
    ----------
    name : str
        Name of the scheme.
    n_landmarks : int
        Number of landmarks of a frame.
    points : mapping of str to tuple of int
        Indices by anatomical name. A name with several indices stands for their mean. Right and
        left are the subject's, so right is on the left side of the image.
    stable : tuple of int
        Indices of the points that smiles and blinks move least; they determine the head pose.
    in_mesh : tuple of int
        Index of the corresponding point of the MediaPipe mesh for each landmark.
    mirror_pairs : tuple of (int, int), default=None
        Pairs of mirrored points; all others lie on the midline. None uses the table of the
        MediaPipe mesh.
    outlines : tuple of tuple of int, default=()
        Lines along the face, the eyes, the brows and the lips, each as indices of its points in
        order. They are for drawing.

    Examples
    --------
    >>> from smilefusion.landmarks import MEDIAPIPE_478
    >>> MEDIAPIPE_478.points["left_lip_corner"]
    (291,)
    >>> int(MEDIAPIPE_478.mirror[291])
    61
    """

    name: str
    n_landmarks: int
    points: Mapping[str, tuple[int, ...]] = field(repr=False)
    stable: tuple[int, ...] = field(repr=False)
    in_mesh: tuple[int, ...] = field(repr=False)
    mirror_pairs: tuple[tuple[int, int], ...] | None = field(default=None, repr=False)
    outlines: tuple[tuple[int, ...], ...] = field(default=(), repr=False)

    @property
    def mirror(self) -> np.ndarray:
        """Index of the mirrored point of each point, an int array of shape (n_landmarks,)."""
        if self.mirror_pairs is None:
            return face_geometry()["mirror"]
        partners = np.arange(self.n_landmarks)
        right, left = np.transpose(self.mirror_pairs)
        partners[right], partners[left] = left, right
        return partners

    @property
    def stable_reference(self) -> np.ndarray:
        """Frontal positions of the stable points, (n_stable, 3), in inter-ocular distances."""
        points = np.array(self.in_mesh)[list(self.stable)]
        return face_geometry()["neutral"][points].astype(np.float64)

    def indices(self, name: str) -> tuple[int, ...]:
        """Return the indices of a named point.

        Parameters
        ----------
        name : str
            Anatomical name.

        Returns
        -------
        indices : tuple of int
            One or more indices.

        Raises
        ------
        InvalidClipError
            If the scheme has no such point.
        """
        try:
            return self.points[name]
        except KeyError:
            raise InvalidClipError(
                f"The landmark scheme {self.name} has no point {name!r}; it has "
                f"{', '.join(self.points)}. Use clips of a scheme that has this point, such as "
                f"{MEDIAPIPE_478.name}."
            ) from None

    def locate(self, clip: np.ndarray, name: str) -> np.ndarray:
        """Return the path of a named point.

        Parameters
        ----------
        clip : ndarray of shape (..., n_landmarks, n_dims)
            Coordinates.
        name : str
            Anatomical name.

        Returns
        -------
        path : ndarray of shape (..., n_dims)
            Coordinates of the point; the mean if the name has several indices.

        Raises
        ------
        InvalidClipError
            If the scheme has no such point.
        """
        return clip[..., list(self.indices(name)), :].mean(axis=-2)


MEDIAPIPE_478 = LandmarkScheme(
    name="MediaPipe 478",
    n_landmarks=478,
    points=MappingProxyType(_MEDIAPIPE_POINTS),
    stable=_MEDIAPIPE_STABLE,
    in_mesh=tuple(range(478)),
    outlines=_MEDIAPIPE_OUTLINES,
)
IBUG_68 = LandmarkScheme(
    name="iBUG 68",
    n_landmarks=68,
    points=MappingProxyType(_IBUG_POINTS),
    stable=(27, 28, 29, 36, 39, 42, 45),
    in_mesh=_IBUG_IN_MESH,
    mirror_pairs=_IBUG_MIRROR_PAIRS,
    outlines=_IBUG_OUTLINES,
)
_SCHEMES = {scheme.n_landmarks: scheme for scheme in (MEDIAPIPE_478, IBUG_68)}


def landmark_scheme(n_landmarks: int) -> LandmarkScheme:
    """Return the scheme with this number of landmarks.

    Parameters
    ----------
    n_landmarks : int
        Number of landmarks of a frame.

    Returns
    -------
    scheme : LandmarkScheme
        The scheme.

    Raises
    ------
    InvalidClipError
        If no known scheme has this number of landmarks.

    Examples
    --------
    >>> from smilefusion.landmarks import landmark_scheme
    >>> landmark_scheme(68).name
    'iBUG 68'
    """
    try:
        return _SCHEMES[n_landmarks]
    except KeyError:
        known = " or ".join(f"{count} ({scheme.name})" for count, scheme in _SCHEMES.items())
        raise InvalidClipError(
            f"The clips have {n_landmarks} landmarks per frame; known counts are {known}. "
            "Extract the landmarks with one of these schemes."
        ) from None
