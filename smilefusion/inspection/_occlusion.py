"""Make one property, region or phase of a smile typical, or interpolate one moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from smilefusion.clips._resampling import resample_by_time
from smilefusion.clips._sequence import ClipSequence
from smilefusion.dmarkers._amplitude import amplitude_signals
from smilefusion.dmarkers._markers import ignoring_data_warnings
from smilefusion.dmarkers._phases import BOUNDARIES, MIN_AMPLITUDE, PHASES
from smilefusion.dmarkers._signals import REST_S
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.landmarks import LandmarkScheme, face_geometry, landmark_scheme
from smilefusion.pose import fill_missing, rigid_motion

REGIONS = ("eyelids", "brows", "cheeks", "lips", "chin")
WINDOW_S = 0.3  # length of an occluded moment
# Medians over 400 clips of `make_smiles`, which are based on measurements from UvA-NEMO.
TYPICAL_SECONDS = {"onset": 0.44, "apex": 1.64, "offset": 0.56}
# Peak speed of the lips in onset and offset, in amplitudes per second.
TYPICAL_SPEED = {"onset": 6.1, "offset": 5.4}
TYPICAL_AMPLITUDE = 0.15  # mouth widths
TYPICAL_NARROWING = 0.026  # eye widths
TYPICAL_KEPT = 0.55  # share of the narrowing that remains after the offset
_FAST = 0.5  # a step is fast if it reaches this share of the peak speed
_MOST = 4.0  # an amplitude or a speed changes by at most this factor
_MAX_GAP = 10  # frames
_LEAST_STEP = 0.1  # shortest step after retiming, in frames


@dataclass(frozen=True, eq=False)
class Smile:
    """One clip and the measurements needed to change its smile."""

    clip: np.ndarray  # (n_frames, n_landmarks, n_dims)
    fps: float
    limits: tuple[int, ...]  # first frames of onset, apex and offset, and end of offset
    lip: np.ndarray  # (n_frames,), mouth widths
    eyelid: np.ndarray  # (n_frames,), eye widths
    to_image: np.ndarray  # (n_frames, n_dims, n_dims), frontal to image
    field: np.ndarray  # (n_landmarks, n_dims), movement from rest to apex in the frontal face

    @property
    def amplitude(self) -> float:
        """Mean lip amplitude during the apex, in mouth widths."""
        return max(float(self.lip[self.phase("apex")].mean()), MIN_AMPLITUDE / 2)

    def phase(self, name: str) -> slice:
        """Return the frames of a phase."""
        position = PHASES.index(name)
        return slice(self.limits[position], self.limits[position + 1] + 1)

    def steps(self, name: str) -> slice:
        """Return the steps between the frames of a phase."""
        part = self.phase(name)
        return slice(part.start, part.stop - 1)

    def relative_speed(self, name: str) -> np.ndarray:
        """Return the relative speed of each step of a phase, from 0 (still) to 1 (fast)."""
        speed = np.abs(np.diff(self.lip))
        return np.minimum(speed[self.steps(name)] / (_FAST * speed.max()), 1)

    def shift(self, strength: np.ndarray, field: np.ndarray) -> np.ndarray:
        """Move the landmarks along a field of the frontal face, with one strength per frame."""
        moved = strength[:, None, None] * (field @ self.to_image)
        return (self.clip + moved).astype(self.clip.dtype)

    def retime(self, lengths: np.ndarray) -> np.ndarray:
        """Resample the clip so that step i lasts `lengths[i]` frames."""
        times = np.concatenate([[0.0], np.cumsum(np.maximum(lengths, _LEAST_STEP))])
        return resample_by_time(self.clip, times / self.fps, self.fps, max_gap_s=np.inf)[0]


def read_smile(clips: ClipSequence) -> Smile | None:
    """Measure the smile in a sequence of one clip; return None if the clip shows none."""
    with ignoring_data_warnings():
        row = DMarkerTransformer().phases(clips).iloc[0]
        signals = amplitude_signals(clips, smoothing="savgol")
    if row["no_smile"]:
        return None
    clip, n_last = clips[0], len(clips[0]) - 1
    limits = row[list(BOUNDARIES)].fillna({"onset_start": 0, "offset_end": n_last}).astype(int)
    scheme = landmark_scheme(clip.shape[1])
    known = fill_missing(clip, max_gap=_MAX_GAP).astype(np.float64)
    stable = known[:, list(scheme.stable)].transpose(2, 1, 0)
    linear, centre, fits = rigid_motion(stable, scheme)
    linear = np.where(fits, linear, np.eye(len(linear))[..., None]).transpose(2, 1, 0)
    frontal = (known - centre.T[:, None]) @ linear
    start, apex, offset, end = limits
    n_rest = round(REST_S * _rate(clips))
    no_rest = row["no_onset"]  # the clip starts during the smile
    rest = slice(end, end + n_rest) if no_rest else slice(max(start - n_rest, 0), start + 1)
    lip, eyelid = (_without_gaps(signals[name].to_numpy()) for name in ("lip", "eyelid"))
    return Smile(
        clip=clip,
        fps=_rate(clips),
        limits=tuple(limits),
        lip=lip - np.median(lip[rest]),
        eyelid=eyelid - np.median(eyelid[rest]),
        to_image=np.linalg.inv(linear),
        field=np.nanmedian(frontal[apex : offset + 1], 0) - np.nanmedian(frontal[rest], 0),
    )


def typical_duration(smile: Smile, phases: tuple[str, ...] = PHASES) -> np.ndarray:
    """Stretch or shorten the slow parts of phases until the total duration is typical."""
    slow, missing = np.zeros(len(smile.clip) - 1), 0.0
    for phase in phases:
        part = smile.steps(phase)
        slow[part] = 1 - smile.relative_speed(phase)
        missing += TYPICAL_SECONDS[phase] * smile.fps - (part.stop - part.start)
    return smile.retime(1 + missing * slow / max(slow.sum(), 1))


def typical_speed(smile: Smile, phases: tuple[str, ...] = ("onset", "offset")) -> np.ndarray:
    """Play phases at their typical peak speed, and adjust the apex to keep the duration."""
    lengths, slow = np.ones(len(smile.clip) - 1), np.zeros(len(smile.clip) - 1)
    for phase in phases:
        part = smile.steps(phase)
        speed = np.abs(np.diff(smile.lip))[part].max(initial=0) * smile.fps / smile.amplitude
        if speed > 0:
            lengths[part] = np.clip(speed / TYPICAL_SPEED[phase], 1 / _MOST, _MOST)
    slow[smile.steps("apex")] = 1 - smile.relative_speed("apex")
    return smile.retime(lengths - (lengths - 1).sum() * slow / max(slow.sum(), 1))


def typical_amplitude(smile: Smile) -> np.ndarray:
    """Scale the movement of lips and cheeks to a typical lip amplitude."""
    factor = np.clip(TYPICAL_AMPLITUDE / smile.amplitude, 1 / _MOST, _MOST)
    weights = region_weights(_scheme(smile), ("lips", "cheeks"))
    return smile.shift((factor - 1) * smile.lip / smile.amplitude, weights * smile.field)


def typical_eyelids(smile: Smile) -> np.ndarray:
    """Replace the narrowing of the eyes by a typical one, but keep blinks."""
    course = np.clip(smile.lip / smile.amplitude, 0, 1)
    course[smile.limits[2] :] = TYPICAL_KEPT + (1 - TYPICAL_KEPT) * course[smile.limits[2] :]
    scheme, n_dims = _scheme(smile), smile.clip.shape[2]
    vertical = np.eye(n_dims)[1] * mean_smile(scheme, n_dims, "eyelid")
    field = region_weights(scheme, ("eyelids",)) * vertical
    return smile.shift(TYPICAL_NARROWING * course + smile.eyelid, field)


def typical_region(smile: Smile, regions: tuple[str, ...]) -> np.ndarray:
    """Let regions move with the lips as in the mean smile."""
    scheme = _scheme(smile)
    mean = mean_smile(scheme, smile.clip.shape[2], "lip")
    difference = mean - smile.field / smile.amplitude
    return smile.shift(smile.lip, region_weights(scheme, regions) * difference)


def without_moment(smile: Smile, start: int, stop: int) -> np.ndarray:
    """Replace the smile between two frames by linear interpolation."""
    strength = np.zeros(len(smile.lip))
    line = np.linspace(smile.lip[start], smile.lip[stop], stop + 1 - start)
    strength[start : stop + 1] = (line - smile.lip[start : stop + 1]) / smile.amplitude
    return smile.shift(strength, smile.field)


def list_changes(smile: Smile, kind: str) -> dict[str, np.ndarray]:
    """Return all changed clips of one kind by name."""
    if kind == "property":
        return {name: change(smile) for name, change in PROPERTIES.items()}
    if kind == "region":
        return {region: typical_region(smile, (region,)) for region in REGIONS}
    if kind == "phase":
        return {
            "onset": typical_speed(smile, ("onset",)),
            "apex": typical_duration(smile, ("apex",)),
            "offset": typical_speed(smile, ("offset",)),
        }
    width = min(max(round(WINDOW_S * smile.fps), 2), len(smile.clip) - 1)
    starts = range(0, len(smile.clip) - width, max(width // 2, 1))
    return {
        f"{(start + width / 2) / smile.fps:.2f} s": without_moment(smile, start, start + width)
        for start in starts
    }


PROPERTIES: Mapping[str, Callable[[Smile], np.ndarray]] = {
    "duration": typical_duration,
    "speed": typical_speed,
    "amplitude": typical_amplitude,
    "eyelids": typical_eyelids,
    "coordination": partial(typical_region, regions=("brows", "chin")),
}


@cache
def region_weights(scheme: LandmarkScheme, regions: tuple[str, ...]) -> np.ndarray:
    """Return 1 for the landmarks in one of the regions and 0 for all others, (n_landmarks, 1)."""
    x, y, _ = np.abs(face_geometry()["neutral"]).T
    up = face_geometry()["neutral"][:, 1] < 0
    found = {
        "eyelids": (x > 0.15) & (x < 0.85) & (y < 0.2),
        "brows": up & (y > 0.2) & (y < 0.6),
        "lips": ~up & (x < 0.65) & (y > 0.85) & (y < 1.4),
        "chin": ~up & (y > 1.4),
        "cheeks": ~up & (y > 0.2) & (y < 1.4) & (x > 0.3) & ~((x < 0.65) & (y > 0.85)),
    }
    chosen = np.any([found[region] for region in regions], axis=0)
    return chosen[list(scheme.in_mesh), None].astype(float)


@cache
def mean_smile(scheme: LandmarkScheme, n_dims: int, signal: str) -> np.ndarray:
    """Return the mean smile, scaled to change a signal by 1, (n_landmarks, n_dims)."""
    neutral, smile = (face_geometry()[name] for name in ("neutral", "smile"))
    clip = neutral + np.repeat([0.0, 0.1], 5)[:, None, None] * smile
    change = abs(amplitude_signals(clip)[signal].iloc[-1]) / 0.1
    return (smile / change)[list(scheme.in_mesh), :n_dims]


def _scheme(smile: Smile) -> LandmarkScheme:
    return landmark_scheme(smile.clip.shape[1])


def _rate(clips: ClipSequence) -> float:
    """Return the frame rate of one clip, or 30 if it is unknown, as in all filters."""
    return float(np.nan_to_num(clips.fps[0], nan=30.0))


def _without_gaps(signal: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(signal))
    return np.interp(np.arange(len(signal)), known, signal[known])
