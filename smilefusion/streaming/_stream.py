"""Find and classify smiles in a stream of frames."""

from collections import deque
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import HasMethods, Interval, validate_params

from smilefusion.clips._rates import FPS_RANGE, NOMINAL_FPS
from smilefusion.clips._sequence import check_clips
from smilefusion.dmarkers._amplitude import MIN_FRAMES
from smilefusion.dmarkers._phases import BOUNDARIES, MIN_AMPLITUDE
from smilefusion.dmarkers._signals import SIGNALS
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.streaming._checks import check_classifier, check_frame, warn_of_rate
from smilefusion.streaming._meter import FacePoints, SignalMeter, has_jumped
from smilefusion.streaming._records import BufferedFrame, StreamedSmile, StreamFrame
from smilefusion.streaming._tracker import SmileTracker

_N_STEPS = 31  # steps between timestamps that give the frame rate
_UNKNOWN = dict.fromkeys(SIGNALS, np.nan)


class SmileStream:
    """Find and classify smiles while frames of landmarks arrive.

    When a smile ends, the classifier gets its frames as one clip. Time per frame and memory do
    not depend on the length of the stream.

    Parameters
    ----------
    classifier : estimator or None, default=None
        Fitted classifier of clips, with ``predict_proba`` and ``classes_``. If None, no
        probabilities are computed. A FrameRateWarning is issued once if its `fps` differs from
        that of the stream.
    fps : float or None, default=None
        Frames per second. If None, push each frame with a timestamp. Without either, time is
        counted in frames, and filters assume 30 frames per second.
    dmarkers : DMarkerTransformer or None, default=None
        Transformer whose `pose`, `smoothing`, `segmentation` and `max_gap` apply to signals and
        phases. None uses the defaults.
    landmarker : callable or None, default=None
        Function from an image to landmarks, or to None if the image shows no face; used by
        `push_image`.
    min_amplitude : float, default=0.02
        Smallest amplitude of a smile, in mouth widths at rest. It must also exceed four standard
        deviations of the frame-to-frame jitter of the lips.
    min_duration : float, default=0.2
        Time in seconds that the lips must stay above `min_amplitude` before a smile is reported.
    margin : float, default=0.5
        Time in seconds before the start of a smile that its clip includes, to show the face at
        rest.
    max_frames : int, default=900
        Number of frames to keep. Longer smiles end at this length.

    Raises
    ------
    ValueError
        If a parameter is invalid, or the classifier is not fitted.

    Notes
    -----
    Signals are those of D-Markers. The rest is the median of the neutral frames of the last two
    seconds. It does not change during a smile, and is estimated again from the frames after the
    smile. For a new face, the first five frames count as rest.

    A smile is reported when the lips have been above `min_amplitude` for `min_duration`; it starts
    at the last frame below half of that amplitude. It ends when the lips have returned by 70 % and
    then fall by less than 4 % of the smile for 0.3 s, or when they rise again to half of it, which
    starts another smile. A smile also ends if the face is missing for more than `max_gap`
    frames of `dmarkers`, or jumps as D-Markers define it; the rest is then estimated again.

    Frames with uneven timestamps are not resampled: the classifier sees them as they came, phases
    are found as if they were evenly spaced, and times in seconds follow the timestamps.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.landmarks import face_geometry
    >>> from smilefusion.streaming import SmileStream
    >>> face = face_geometry()
    >>> smile = np.interp(np.arange(120), [30, 45, 60, 80], [0, 0.3, 0.3, 0])
    >>> stream = SmileStream(fps=30)
    >>> for amount in smile:
    ...     frame = stream.push(face["neutral"] + amount * face["smile"])
    ...     if frame.started or frame.smile:
    ...         print(frame.number, frame.smile and frame.smile.phases["onset_start_s"])
    38 None
    89 1.0
    """

    _timed: bool | None
    _layout: Any  # None until the first face, as are the next three
    _meter: Any
    _face: Any
    _first: Any

    @validate_params(
        {
            "classifier": [HasMethods("predict_proba"), None],
            "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
            "dmarkers": [DMarkerTransformer, None],
            "landmarker": [callable, None],
            "min_amplitude": [Interval(Real, 0, None, closed="neither")],
            "min_duration": [Interval(Real, 0, None, closed="left")],
            "margin": [Interval(Real, 0, None, closed="left")],
            "max_frames": [Interval(Integral, MIN_FRAMES, None, closed="left")],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        classifier: BaseEstimator | None = None,
        *,
        fps: float | None = None,
        dmarkers: DMarkerTransformer | None = None,
        landmarker: Callable[[Any], npt.ArrayLike | None] | None = None,
        min_amplitude: float = MIN_AMPLITUDE,
        min_duration: float = 0.2,
        margin: float = 0.5,
        max_frames: int = 900,
    ) -> None:
        self._classes = check_classifier(classifier)
        self.classifier = classifier
        self.fps = fps
        self.dmarkers = clone(DMarkerTransformer() if dmarkers is None else dmarkers)
        if self.dmarkers.definition != "standard":
            raise ValueError(
                f"dmarkers has definition={self.dmarkers.definition!r}, which does not find "
                'the phases of a clip. Pass DMarkerTransformer(definition="standard").'
            )
        least = MIN_FRAMES * (self.dmarkers.max_gap + 1)  # faces with the longest gaps
        if max_frames < least:
            raise ValueError(
                f"max_frames must be at least {least} to hold {MIN_FRAMES} faces with gaps of "
                f"max_gap={self.dmarkers.max_gap} frames; got {max_frames}. Increase max_frames."
            )
        self.landmarker = landmarker
        self.margin = margin
        self._tracker = SmileTracker(min_amplitude=min_amplitude, min_duration=min_duration)
        self._max_frames = max_frames
        self._buffer: deque[BufferedFrame] = deque(maxlen=max_frames)
        self._rate_is_checked = False
        self._restart()

    def push(self, landmarks: npt.ArrayLike | None, timestamp: float | None = None) -> StreamFrame:
        """Process the next frame.

        Parameters
        ----------
        landmarks : array-like of shape (n_landmarks, n_dims) or None
            Coordinates in isotropic units, x to the right, y down; None or all NaN for a
            frame without a face.
        timestamp : float or None, default=None
            Time in seconds, later than that of the previous frame; only for streams without `fps`.

        Returns
        -------
        frame : StreamFrame
            Amplitudes, and whether a smile started or ended.

        Raises
        ------
        InvalidClipError
            If the landmarks are invalid. The stream is unchanged.
        ValueError
            If the timestamp is invalid.
        """
        number = self._n_frames
        name = f"Frame {number}"
        frame = check_frame(landmarks, name, self._layout)
        time = self._check_time(timestamp)
        points = measured = None
        if frame is not None:
            meter = self._meter or SignalMeter(len(frame), pose=self.dmarkers.pose)
            points = meter.locate(frame, name)
            measured = meter.measure(points, name)
            self._meter, self._layout = meter, frame.shape
        self._timed = timestamp is not None
        smile = self._end_where_cut(number, points, time)
        if self._buffer:
            self._steps.append(time - self._buffer[-1].time)
        self._buffer.append(BufferedFrame(number, time, frame, points))
        self._n_frames += 1
        values, started = _UNKNOWN, False
        if points is not None:
            values, started, ended = self._follow(self._buffer[-1], measured)
            smile = smile or ended
        known_time = time if self._timed or self.fps is not None else np.nan
        smiling = self._tracker.smiling
        return StreamFrame(
            number, known_time, **values, smiling=smiling, started=started, smile=smile
        )

    def push_image(self, image: Any, timestamp: float | None = None) -> StreamFrame:
        """Find the landmarks of the next image and process them.

        Parameters
        ----------
        image : object
            Argument of the landmarker.
        timestamp : float or None, default=None
            As in `push`.

        Returns
        -------
        frame : StreamFrame
            As `push` returns it, with the same errors.

        Raises
        ------
        ValueError
            If the stream has no landmarker.
        """
        if self.landmarker is None:
            raise ValueError(
                "push_image needs a landmarker, a callable from an image to landmarks or None. "
                "Create the stream with SmileStream(landmarker=...), or push landmarks."
            )
        return self.push(self.landmarker(image), timestamp)

    def flush(self, *, whole: bool = False) -> StreamedSmile | None:
        """End the stream; the next frame starts a new one.

        Parameters
        ----------
        whole : bool, default=False
            Whether to describe and classify all frames in the buffer as one clip, instead of the
            smile that has not ended.

        Returns
        -------
        smile : StreamedSmile or None
            The whole buffer, or the open smile up to the last face; None if there is neither.

        Raises
        ------
        InvalidClipError
            If the buffer has fewer than five consecutive frames of one face.
        """
        smile = None
        if whole and self._layout is not None:
            smile = self._describe(list(self._buffer), "flush")
        elif not whole and self._tracker.smiling:
            smile = self._finish(self._face.number, "flush")
        self._restart()
        return smile

    def _restart(self) -> None:
        self._buffer.clear()
        self._steps: deque[float] = deque(maxlen=_N_STEPS)
        self._n_frames = 0
        self._timed = self._layout = self._meter = None
        self._forget()

    def _forget(self) -> None:
        """Forget the face, because another one follows or its rest has changed."""
        self._tracker.forget()
        self._face = None  # the last entry with a face
        self._earliest = self._n_frames  # first frame that a smile may include
        self._run_start = self._n_frames
        self._first = None  # first frame of the open smile
        if self._meter is not None:
            self._meter.forget()

    def _check_time(self, timestamp: float | None) -> float:
        if timestamp is None and not self._timed:
            return self._n_frames / (self.fps or NOMINAL_FPS)
        if self.fps is not None:
            raise ValueError(
                f"Frame {self._n_frames} has a timestamp, but the stream has fps={self.fps:g}. "
                "Use only one of them."
            )
        if self._timed is False or timestamp is None:
            raise ValueError(
                f"Frame {self._n_frames} has timestamp {timestamp!r}; either all frames "
                "of a stream have one, or none. Call flush() before another recording."
            )
        last = self._buffer[-1].time if self._buffer else -np.inf
        if not last < timestamp < np.inf:
            raise ValueError(
                f"Frame {self._n_frames} has timestamp {timestamp!r}; it must be later than "
                f"{last:g}, the time of the previous frame. Push frames in order of time."
            )
        return float(timestamp)

    def _rate(self) -> float:
        """Return the frame rate, from the last timestamps if there are any."""
        if not self._timed or not self._steps:
            return self.fps or NOMINAL_FPS
        return 1 / float(np.median(self._steps))

    def _end_where_cut(
        self, number: int, points: FacePoints | None, time: float
    ) -> StreamedSmile | None:
        """End an open smile before a frame that cannot belong to it."""
        reason = None
        if self._face is not None:
            rate, max_gap = self._rate(), self.dmarkers.max_gap
            n_steps = number - self._face.number
            lost = n_steps > max_gap + (points is not None)
            # Half a step of tolerance, because timestamps are uneven.
            stalled = (time - self._face.time) * rate > max_gap + 1.5
            if lost or stalled:
                reason = "gap"
            elif points and has_jumped(self._face.points, points, n_steps / rate):
                reason = "jump"
        if self._first is not None and number - self._first >= self._max_frames:
            reason = reason or "length"
        if reason is None:
            return None
        smile = self._finish(self._face.number, reason) if self._tracker.smiling else None
        self._forget()
        return smile

    def _follow(
        self, entry: BufferedFrame, measured: tuple[dict[str, float], float] | None
    ) -> tuple[dict[str, float], bool, StreamedSmile | None]:
        """Track a face; return amplitudes, whether a smile started, and a smile that ended."""
        self._face = entry
        was_ready = self._meter.is_ready
        if not was_ready:
            self._meter.rest(entry.time, entry.points)
            measured = self._meter.measure(entry.points, "The rest")
        if measured is None:
            return _UNKNOWN, False, None
        values, jitter = measured
        event = self._tracker.update(entry.number, entry.time, values["lip"], jitter)
        smile = None
        if event == "start":
            self._first = self._find_first()
        elif event in ("settled", "risen"):
            last = entry.number if event == "settled" else self._tracker.end
            smile = self._finish(last, event)
            self._earliest, self._first = self._tracker.end, None
        if event in ("settled", "back"):
            self._estimate_rest(self._tracker.end)
        elif was_ready and self._tracker.is_neutral:
            self._meter.rest(entry.time, entry.points)
        return values, event == "start", smile

    def _find_first(self) -> int:
        """Return the number of the first frame of the open smile's clip."""
        start = next(each.time for each in self._buffer if each.number >= self._tracker.start)
        first, n_faces = self._face.number, 0
        for entry in reversed(self._buffer):
            early = entry.time < start - self.margin or entry.number < self._earliest
            if entry.number < self._run_start or (early and n_faces >= MIN_FRAMES):
                break
            if entry.points is not None:
                first, n_faces = entry.number, n_faces + 1
        return first

    def _estimate_rest(self, first: int) -> None:
        """Estimate the rest from the frames since a number."""
        self._meter.forget()
        for entry in self._buffer:
            if entry.number >= first and entry.points is not None:
                self._meter.rest(entry.time, entry.points)

    def _finish(self, last: int, reason: str) -> StreamedSmile:
        """Return the open smile, which ends now."""
        chosen = [entry for entry in self._buffer if self._first <= entry.number <= last]
        return self._describe(chosen, reason)

    def _describe(self, entries: Sequence[BufferedFrame], reason: str) -> StreamedSmile:
        """Find the phases of entries and classify them."""
        missing = np.full(self._layout, np.nan, dtype=np.float32)
        clip = np.stack(
            [missing if each.landmarks is None else each.landmarks for each in entries]
        )
        times = np.array([entry.time for entry in entries])
        fps = self.fps
        if self._timed:
            fps = float(1 / np.median(np.diff(times))) if len(times) > 1 else None
        if fps is not None and not self._rate_is_checked:
            self._rate_is_checked = True
            warn_of_rate(self.classifier, fps)
        clips = check_clips([clip], fps=fps)
        phases = clone(self.dmarkers).set_params(fps=None).phases(clips).iloc[0].copy()
        for limit in BOUNDARIES:
            if fps is not None and np.isfinite(phases[limit]):
                phases[f"{limit}_s"] = times[int(phases[limit])]
            phases[limit] += entries[0].number
        probability = None
        if self.classifier is not None:
            probability = self.classifier.predict_proba(clips)[0]
        return StreamedSmile(
            clip=clip,
            first_frame=entries[0].number,
            fps=fps,
            phases=phases,
            probability=probability,
            classes=self._classes,
            ended_by=reason,
        )
