"""Change the recording of a clip, not its smile: trimming, noise, pose, rate and blinks."""

from functools import cache

import numpy as np
from numpy.random import Generator, default_rng
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

from smilefusion.landmarks import LandmarkScheme, face_geometry, landmark_scheme

# A clip is an array (n_frames, n_landmarks, n_dims) in isotropic units. Frames without a face are
# NaN and stay NaN. Each function returns a new array of the same dtype. Rates are in frames per
# second.
MEAN_SMILE = 0.20  # mean movement of a lip corner, in inter-ocular distances

_N_ANCHORS = 40
_ANCHOR_RADIUS = 0.25  # inter-ocular distances
_NOISE_SECONDS = 0.4  # time constant of the slow noise
_WHITE_SHARE = 0.2  # of the noise's SD
_NECK = np.array([0.0, 1.2, 0.9])  # centre of head rotation, in inter-ocular distances
_MOTION_SECONDS = 1.2  # time between the knots of head motion
_SHIFT_PER_DEGREE = 0.010  # inter-ocular distances
_ZOOM_PER_DEGREE = 0.005
_GAP_FRAMES = 3.0  # mean length of a gap
_LONGEST_GAP = 8
BLINK_SECONDS = (0.10, 0.20)  # closing, opening
_Seed = Generator | tuple[int, int]


def add_still_start(clip: np.ndarray, n_frames: int) -> np.ndarray:
    """Put copies of the first frame with a face before a clip."""
    first = np.argmin(np.isnan(clip[:, 0, 0]))
    return np.concatenate([np.repeat(clip[first : first + 1], n_frames, axis=0), clip])


def add_still_end(clip: np.ndarray, n_frames: int) -> np.ndarray:
    """Put copies of the last frame with a face after a clip."""
    return add_still_start(clip[::-1], n_frames)[::-1].copy()


def cut_start(clip: np.ndarray, n_frames: int) -> np.ndarray:
    """Remove the first frames."""
    return clip[n_frames:].copy()


def cut_end(clip: np.ndarray, n_frames: int) -> np.ndarray:
    """Remove the last frames."""
    return clip[: max(len(clip) - n_frames, 0)].copy()


def keep_every(clip: np.ndarray, step: int) -> np.ndarray:
    """Keep the first of every `step` frames; the frame rate falls by this factor."""
    return clip[::step].copy()


def mirror(clip: np.ndarray) -> np.ndarray:
    """Mirror the face left to right about its mean position."""
    mirrored = np.take(clip, landmark_scheme(clip.shape[1]).mirror, axis=1)
    mirrored[..., 0] = 2 * face_centre(clip)[0] - mirrored[..., 0]
    return mirrored


def transform(
    clip: np.ndarray,
    *,
    degrees: float = 0.0,
    factor: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Roll and scale the face about its mean position, then shift it by inter-ocular distances."""
    n_dims = clip.shape[2]
    turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()[:n_dims, :n_dims]
    centre = face_centre(clip)
    moved = (clip - centre) @ (factor * turn.T).astype(clip.dtype) + centre
    moved[..., :2] += np.multiply(shift, inter_ocular_distance(clip)).astype(clip.dtype)
    return moved


def add_noise(clip: np.ndarray, seed: _Seed, *, fps: float, jitter: float) -> np.ndarray:
    """Add landmark noise; `jitter` is its SD as a fraction of the mean smile."""
    n_frames, n_landmarks, n_dims = clip.shape
    spread = jitter * MEAN_SMILE * inter_ocular_distance(clip)
    scheme = landmark_scheme(n_landmarks)
    noise = draw_noise(default_rng(seed), n_frames, fps, spread, scheme, n_dims=n_dims)
    return clip + noise.transpose(0, 2, 1)


def add_head_motion(clip: np.ndarray, seed: _Seed, *, fps: float, degrees: float) -> np.ndarray:
    """Move the head slowly about the neck; in two dimensions, only in the image plane."""
    # This assumes that the landmark model follows the turned face without error.
    seconds = np.arange(len(clip)) / fps
    rotation, shift = draw_head_motion(default_rng(seed), seconds, degrees, n_dims=clip.shape[2])
    centre = np.nanmedian(_eye_centres(clip).mean(axis=1), axis=0)
    moved = (clip - centre) @ rotation.swapaxes(1, 2)
    return (moved + inter_ocular_distance(clip) * shift[:, None] + centre).astype(clip.dtype)


def drop_faces(clip: np.ndarray, seed: _Seed, *, fps: float, rate: float) -> np.ndarray:
    """Remove the face from about this fraction of the frames, in short gaps within the clip."""
    # The gaps have the same number of frames at any frame rate.
    dropped = clip.copy()
    dropped[draw_missing(default_rng(seed), len(clip), rate)] = np.nan
    return dropped


def add_blinks(clip: np.ndarray, seed: _Seed, *, fps: float, interval: float) -> np.ndarray:
    """Add a blink of 0.3 s at a random time within each interval (s)."""
    # The outline of each eye moves to the line through its corners.
    scheme = landmark_scheme(clip.shape[1])
    blinking = clip.copy()
    seconds = np.arange(len(clip)) / fps
    closure = _draw_closure(default_rng(seed), seconds, interval).astype(clip.dtype)
    for side in ("right", "left"):
        outer, inner = (scheme.indices(f"{side}_eye_{end}")[0] for end in ("outer", "inner"))
        outline = next(list(each[:-1]) for each in scheme.outlines if {outer, inner} <= {*each})
        start, lids = clip[:, [outer], :2], clip[:, outline, :2]
        along = clip[:, [inner], :2] - start
        share = ((lids - start) * along).sum(axis=2) / (along**2).sum(axis=2)
        line = start + share[..., None] * along
        blinking[:, outline, :2] += closure[:, None, None] * (line - lids)
    return blinking


def face_centre(clip: np.ndarray) -> np.ndarray:
    """Return the median over frames of the mean position of the landmarks, (n_dims,)."""
    return np.nanmedian(clip.mean(axis=1), axis=0)


def inter_ocular_distance(clip: np.ndarray) -> float:
    """Return the median over frames of the distance between the eye centres."""
    right, left = _eye_centres(clip).swapaxes(0, 1)
    return float(np.nanmedian(np.linalg.norm(right - left, axis=1)))


def draw_noise(
    rng: Generator,
    n_frames: int,
    fps: float,
    spread: float,
    scheme: LandmarkScheme,
    *,
    n_dims: int = 3,
) -> np.ndarray:
    """Draw slow plus white noise with this SD, (n_frames, n_dims, n_landmarks), float32."""
    anchors = noise_weights(scheme)  # (A, n_landmarks)
    memory = float(np.exp(-1.0 / (fps * _NOISE_SECONDS)))
    shocks = rng.standard_normal((n_frames, n_dims, len(anchors)), dtype=np.float32)
    shocks *= spread * (1.0 - _WHITE_SHARE**2) ** 0.5
    shocks[1:] *= (1.0 - memory**2) ** 0.5
    slow = lfilter([1.0], [1.0, -memory], shocks, axis=0).astype(np.float32)
    noise = (slow.reshape(-1, len(anchors)) @ anchors).reshape(n_frames, n_dims, -1)
    white = rng.random(noise.shape, dtype=np.float32)  # uniform: three times as fast as normal
    white -= 0.5
    white *= 12**0.5 * spread * _WHITE_SHARE
    noise += white
    return noise


@cache
def noise_weights(scheme: LandmarkScheme) -> np.ndarray:
    """Return unit-norm weights of the noise anchors in each landmark, (n_anchors, n_landmarks)."""
    neutral = face_geometry()["neutral"]
    anchors = neutral[:: len(neutral) // _N_ANCHORS][:_N_ANCHORS]
    distances = np.linalg.norm(anchors[:, None] - neutral, axis=2)
    weights = np.exp(-0.5 * (distances / _ANCHOR_RADIUS) ** 2)
    weights = (weights / np.linalg.norm(weights, axis=0)).astype(np.float32)
    return weights[:, list(scheme.in_mesh)]


def draw_head_motion(
    rng: Generator, seconds: np.ndarray, degrees: float, *, n_dims: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Draw slow rotations about the neck with zoom, (n_frames, n_dims, n_dims), and shifts."""
    knots = np.arange(-1.0, seconds[-1] // _MOTION_SECONDS + 3) * _MOTION_SECONDS
    paths = CubicSpline(knots, rng.normal(0.0, degrees, (len(knots), 7)))(seconds)
    if n_dims == 2:
        paths[:, :2] = 0.0  # no pitch or yaw
    rotation = Rotation.from_euler("xyz", paths[:, :3], degrees=True).as_matrix()
    rotation *= np.exp(_ZOOM_PER_DEGREE * paths[:, 6])[:, None, None]
    shift = _NECK - rotation @ _NECK + _SHIFT_PER_DEGREE * paths[:, 3:6]
    return rotation[:, :n_dims, :n_dims], shift[:, :n_dims]


def draw_missing(rng: Generator, n_frames: int, rate: float) -> np.ndarray:
    """Draw the frames without a face, (n_frames,): short, separate gaps within the clip."""
    missing = np.zeros(n_frames, dtype=bool)
    starts = np.flatnonzero(rng.random(n_frames) < rate / (_GAP_FRAMES * (1.0 - rate)))
    lengths = np.minimum(rng.geometric(1.0 / _GAP_FRAMES, len(starts)), _LONGEST_GAP)
    free = 1
    for start, length in zip(starts, lengths, strict=True):
        if free <= start:
            missing[start : min(start + length, n_frames - 1)] = True
            free = start + length + 1
    return missing


def _eye_centres(clip: np.ndarray) -> np.ndarray:
    """Return the midpoints of the corners of the right and the left eye, (n_frames, 2, n_dims)."""
    scheme, sides, ends = landmark_scheme(clip.shape[1]), ("right", "left"), ("outer", "inner")
    corners = [scheme.indices(f"{side}_eye_{end}")[0] for side in sides for end in ends]
    return clip[:, corners].reshape(len(clip), 2, 2, -1).mean(axis=2)


def _draw_closure(rng: Generator, seconds: np.ndarray, interval: float) -> np.ndarray:
    """Draw blinks and return the closure of the eyes, from 0 (open) to 1 (shut), (n_frames,)."""
    closing, opening = BLINK_SECONDS
    blink = closing + opening
    starts = np.arange(0.0, seconds[-1] + interval, interval)
    starts += rng.uniform(0.0, interval - blink, len(starts))
    since = seconds[:, None] - starts
    closure = np.minimum(since / closing, (blink - since) / opening)
    return np.clip(closure, 0.0, 1.0).max(axis=1)
