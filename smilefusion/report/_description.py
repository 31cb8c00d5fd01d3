"""Describe clips: recording quality, phases, amplitudes, blinks and flags."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from smilefusion._messages import abridge, count
from smilefusion.clips._clip_files import SMALL_FACE_PX, Recording
from smilefusion.clips._rates import differ
from smilefusion.clips._resampling import mean_rate, run_lengths
from smilefusion.clips._sequence import ClipSequence, check_clips, recording_of
from smilefusion.dmarkers._amplitude import amplitude_signals
from smilefusion.dmarkers._markers import ignoring_data_warnings
from smilefusion.dmarkers._phases import BOUNDARIES, MAD_TO_SD
from smilefusion.dmarkers._signals import N_REST_FRAMES
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import InvalidClipError

_LOWEST_FPS = 25.0  # an onset lasts about half a second: 12 frames at this rate
_MOST_JITTER = 0.05  # as a share of the smile's amplitude
_LOWEST_QUALITY = 0.5
# Column → D-Marker. Amplitudes are mean, not maximum, because the eyelid falls below rest.
_DMARKERS = {
    "lip_amplitude": "lip__apex__mean_amplitude",
    "eyelid_amplitude": "eyelid__apex__mean_amplitude",
    "cheek_amplitude": "cheek__apex__mean_amplitude",
    "onset_max_speed": "lip__onset__max_speed_rising",
    "offset_max_speed": "lip__offset__max_speed_falling",
    "lip_asymmetry": "lip__apex__left_right_difference",
}


@dataclass(frozen=True, eq=False)
class MeasuredClip:
    """One clip with its signals, phases and D-Markers."""

    landmarks: np.ndarray  # (n_frames, n_landmarks, n_dims)
    fps: float
    times_s: np.ndarray  # (n_frames,)
    recording: Recording
    signals: pd.DataFrame  # from `amplitude_signals`
    phases: pd.Series  # from `DMarkerTransformer.phases`
    dmarkers: pd.Series  # NaN if absent

    @property
    def has_face(self) -> np.ndarray:
        """Whether each frame shows a face, (n_frames,)."""
        return ~np.isnan(self.landmarks[:, 0, 0])

    @property
    def limits_s(self) -> np.ndarray:
        """Phase limits in seconds, (4,); NaN if absent."""
        return np.array([self.time_of(self.phases[name]) for name in BOUNDARIES])

    @property
    def ends_s(self) -> np.ndarray:
        """End of each frame in seconds, (n_frames,)."""
        return np.append(self.times_s[1:], self.times_s[-1] + 1 / self.fps)

    def time_of(self, frame: float) -> float:
        """Return the time of a frame; NaN if the frame is NaN."""
        return float("nan") if np.isnan(frame) else float(self.times_s[int(frame)])


def describe_clips(clips: Any, *, fps: ArrayLike | None = None) -> pd.DataFrame:
    """Describe smiles: recording quality, phases, amplitudes, blinks and flags.

    The command ``smilefusion describe`` prints this table. No model is needed.

    Parameters
    ----------
    clips : sequence of array-like or path of length n_clips
        Clips in a form that `check_clips` accepts.
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second. None uses the clips' own rates.

    Returns
    -------
    description : DataFrame with n_clips rows
        Recording: ``n_frames``; ``fps``; ``duration_s``; ``face_share``, the share of frames with
        a face, from 0 to 1; ``longest_gap_s``, the longest time without a face;
        ``face_size_px``, the longer side of the face in pixels, NaN if unknown; ``jitter``, the
        standard deviation of the frame-to-frame noise in the lip signal, divided by the smile's
        amplitude; ``is_uneven``, whether the frames are unequally spaced in time.
        Smile: ``onset_start_s``, ``apex_start_s``, ``offset_start_s`` and ``offset_end_s`` in
        seconds since the first frame, NaN if the clip does not have the phase;
        ``phase_quality`` from 0 to 1, as in `DMarkerTransformer.phases`; ``lip_amplitude``,
        ``eyelid_amplitude`` and ``cheek_amplitude``, the mean change from rest during the apex,
        in mouth widths, eye widths and cheek distances; ``onset_max_speed`` and
        ``offset_max_speed``, the highest speed of the lips in mouth widths per second;
        ``lip_asymmetry``, the difference between the right and left lip corner during the apex,
        in mouth widths.
        Blinks: ``n_blinks``; ``blink_times_s``, a list of the midpoints of the blinks in seconds
        since the first frame.
        ``flags`` is a list of problems in words, such as "small face (72 px)". An empty list
        means that no problem was found.

    Raises
    ------
    InvalidClipError
        If a clip is invalid or has no frame rate.
    ValueError
        If `fps` is invalid or its length does not match the clips.

    Notes
    -----
    Times are exact if the clip file stores the time of each frame (``timestamps_s``), unless `fps`
    changes the rate. Amplitudes, speeds and asymmetry are D-Markers, computed with the default
    parameters of `DMarkerTransformer`. They assume equally spaced frames.

    Examples
    --------
    >>> from smilefusion.datasets import make_smiles
    >>> from smilefusion.report import describe_clips
    >>> smiles = make_smiles(2, n_subjects=1, fps=15, jitter=0.0075, random_state=0)
    >>> describe_clips(smiles.clips)["flags"][0]
    ['frame rate below 25 (15)', 'the smile has 2 peaks']
    """
    clips = check_clips(clips, fps=fps)
    rows = [describe_clip(measure_clip(clips, index)) for index in range(len(clips))]
    return pd.DataFrame(rows)


def measure_clip(clips: ClipSequence, index: int) -> MeasuredClip:
    """Read a clip once; compute its signals, phases and D-Markers."""
    name, fps = clips.names[index], float(clips.fps[index])
    if np.isnan(fps):
        raise InvalidClipError(
            f"{name} has no frame rate, but times and speeds need one. Give fps= or store "
            "'fps' in the .npz file."
        )
    landmarks = clips[index]
    clip = ClipSequence([landmarks], [landmarks.shape], fps=fps, names=[name])
    recording = recording_of(clips, index)
    transformer = DMarkerTransformer(missing_phase="nan").set_output(transform="pandas")
    with ignoring_data_warnings():  # `flags` reports the same problems
        dmarkers = transformer.fit_transform(clip).iloc[0]
        return MeasuredClip(
            landmarks=landmarks,
            fps=fps,
            times_s=_frame_times(recording, len(landmarks), fps),
            recording=recording,
            signals=amplitude_signals(clip),
            phases=transformer.phases(clip).iloc[0],
            dmarkers=dmarkers,
        )


def describe_clip(clip: MeasuredClip, start_s: float | None = None) -> dict[str, Any]:
    """Return the row of `describe_clips`, with times since `start_s` (default: first frame)."""
    start_s = clip.times_s[0] if start_s is None else start_s
    limits = {
        f"{name}_s": limit for name, limit in zip(BOUNDARIES, clip.limits_s - start_s, strict=True)
    }
    blinks = [(first + last) / 2 - start_s for first, last in blink_spans(clip)]
    row = {
        "n_frames": len(clip.landmarks),
        "fps": clip.fps,
        "duration_s": float(clip.ends_s[-1] - clip.times_s[0]),
        "face_share": float(clip.has_face.mean()),
        "longest_gap_s": _longest_gap(clip),
        "face_size_px": clip.recording.face_size_px,
        "jitter": _relative_jitter(clip),
        "is_uneven": len(clip.times_s) > 1 and mean_rate(clip.times_s)[1],
        **limits,
        "phase_quality": float(clip.phases["phase_quality"]),
        **{column: float(clip.dmarkers[name]) for column, name in _DMARKERS.items()},
        "n_blinks": len(blinks),
        "blink_times_s": blinks,
    }
    return {**row, "flags": _find_flags(clip, row, start_s)}


def blink_spans(clip: MeasuredClip) -> list[tuple[float, float]]:
    """Return the start and end of each blink in seconds."""
    closed = clip.signals["blink"].to_numpy(dtype=bool)
    edges = np.flatnonzero(np.diff(closed, prepend=False, append=False)).reshape(-1, 2)
    return [(clip.times_s[first], clip.ends_s[after - 1]) for first, after in edges]


def _frame_times(recording: Recording, n_frames: int, fps: float) -> np.ndarray:
    """Return the time of each frame: the file's own times, unless the rate was changed."""
    times_s = recording.times_s
    if times_s is None or n_frames < 2 or differ(mean_rate(times_s)[0], fps):
        return np.arange(n_frames) / fps
    return times_s


def _longest_gap(clip: MeasuredClip) -> float:
    """Return the longest time without a face in seconds."""
    lengths = run_lengths(~clip.has_face)
    last = int(lengths.argmax())
    if not lengths[last]:
        return 0.0
    return float(clip.ends_s[last] - clip.times_s[last - lengths[last] + 1])


def _relative_jitter(clip: MeasuredClip) -> float:
    """Return the jitter of the lip signal, divided by the amplitude of the smile."""
    if clip.phases["no_smile"]:
        return float("nan")
    # Second differences of independent noise have sqrt(6) times its standard deviation.
    steps = np.abs(np.diff(clip.signals["lip"].dropna(), n=2))
    return float(MAD_TO_SD * np.median(steps) / np.sqrt(6) / clip.phases["amplitude"])


def _find_flags(clip: MeasuredClip, row: dict[str, Any], start_s: float) -> list[str]:
    """Return the problems of a clip in words."""
    flags = [*_flag_recording(clip, row), *_flag_continuity(clip, start_s)]
    phases = clip.phases
    if phases["no_smile"]:
        return [*flags, "no smile found"]
    # The face at rest is measured in the first frames, so an early onset biases it.
    first_seen = clip.signals["lip"].first_valid_index()
    quality = row["phase_quality"]
    problems = [
        (
            quality < _LOWEST_QUALITY,
            f"the phases explain only {_percent(quality)} of the variance of the lip signal",
        ),
        (phases["cut_at_start"], "the clip starts during the smile"),
        (
            not phases["cut_at_start"] and phases["onset_start"] - first_seen < N_REST_FRAMES - 1,
            f"fewer than {N_REST_FRAMES} frames of rest before the smile",
        ),
        (phases["cut_at_end"], "the clip ends during the smile"),
        (phases["several_peaks"], f"the smile has {phases['n_peaks']} peaks"),
        (row["jitter"] > _MOST_JITTER, f"jitter of {100 * row['jitter']:.0f} % of the smile"),
    ]
    return flags + [text for holds, text in problems if holds]


def _flag_recording(clip: MeasuredClip, row: dict[str, Any]) -> list[str]:
    """Return problems with the frame rate, the size and number of faces, and damaged frames."""
    n_faces = clip.recording.n_faces
    several = 0.0 if n_faces is None else float((n_faces > 1).mean())
    size, n_damaged = row["face_size_px"], int(clip.recording.n_damaged)
    problems = [
        (row["fps"] < 0.99 * _LOWEST_FPS, f"frame rate below {_LOWEST_FPS:g} ({row['fps']:.3g})"),
        (row["is_uneven"], "uneven frame rate, so D-Markers are approximate"),
        (size < SMALL_FACE_PX, f"small face ({size:.0f} px)"),
        (n_damaged > 0, count(n_damaged, "damaged frame")),
        (several > 0, f"several faces in {_percent(several)} of the frames"),
    ]
    return [text for holds, text in problems if holds]


def _flag_continuity(clip: MeasuredClip, start_s: float) -> list[str]:
    """Return problems with missing faces and jumps."""
    n_missing = int(clip.phases["n_missing"])
    share = n_missing / len(clip.landmarks)
    jumps = clip.times_s[clip.signals["jump"]] - start_s
    noun = "jumps" if len(jumps) > 1 else "jump"
    times = abridge(f"{time:.1f}" for time in jumps)
    seen = clip.signals["lip"].dropna().index
    first, last = clip.times_s[seen[[0, -1]]] - start_s
    problems = [
        (
            n_missing > 0,
            f"face missing in {_percent(share)} of the frames ({count(n_missing, 'frame')})",
        ),
        (len(jumps) > 0, f"{noun} at {times} s (another person or a cut?)"),
        (
            clip.phases["cut"],
            f"only {first:.2f} to {last:.2f} s described, the longest part without "
            f"{'a jump' if len(jumps) else 'a long gap'}",
        ),
    ]
    return [text for holds, text in problems if holds]


def _percent(share: float) -> str:
    """Format a share as a percentage; a positive share is never shown as 0 %."""
    return f"{100 * share:.0f} %" if share >= 0.005 else "less than 1 %"
