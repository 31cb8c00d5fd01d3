"""Amplitude signals of single frames, relative to an adaptive rest."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from smilefusion.dmarkers._clip_batches import find_jumps
from smilefusion.dmarkers._phases import MAD_TO_SD
from smilefusion.dmarkers._signals import (
    N_REST_FRAMES,
    SIGNALS,
    amplitudes,
    frontal_points,
    signal_landmarks,
)
from smilefusion.landmarks import landmark_scheme

# The rest is the median of the neutral frames of this many seconds: longer than a blink (up to
# half a second) and than slow landmark jitter, but shorter than posture drift.
REST_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class FacePoints:
    """Points of one frame that the signals are computed from."""

    corners: np.ndarray
    frontal: np.ndarray


class SignalMeter:
    """Measure lip, eyelid and cheek frame by frame."""

    def __init__(self, n_landmarks: int, *, pose: str | None) -> None:
        self._scheme = landmark_scheme(n_landmarks)
        self._pose = pose
        self._landmarks = signal_landmarks(self._scheme)
        self._rest: deque[tuple[float, np.ndarray]] = deque()  # times and frontal points

    def locate(self, frame: np.ndarray, name: str) -> FacePoints:
        """Find the points of a frame; raise the errors of `frontal_points`."""
        paths = frame[self._landmarks].T.astype(np.float64)[..., None, None]
        n_stable = len(self._scheme.stable)
        frontal = frontal_points(paths, self._scheme, pose=self._pose, names=[name])
        return FacePoints(paths[:, n_stable : n_stable + 4], frontal)

    def forget(self) -> None:
        """Forget the rest."""
        self._rest.clear()

    def rest(self, time: float, points: FacePoints) -> None:
        """Add a neutral frame to the rest; drop old ones, but keep at least five."""
        self._rest.append((time, points.frontal))
        while time - self._rest[0][0] > REST_SECONDS and len(self._rest) > N_REST_FRAMES:
            self._rest.popleft()

    @property
    def is_ready(self) -> bool:
        """Whether the rest is known."""
        return len(self._rest) >= N_REST_FRAMES

    def measure(self, points: FacePoints, name: str) -> tuple[dict[str, float], float] | None:
        """Return a frame's amplitudes by signal, and the lips' frame-to-frame jitter at rest."""
        frames = [frontal for _, frontal in self._rest]
        both = amplitudes(
            np.concatenate([*frames, points.frontal], axis=-1),
            self._scheme,
            names=[name],
            n_rest=max(len(frames), 1),
        ).both[:, 0]  # (3, n_rest + 1)
        if not self.is_ready:
            return None
        steps = np.diff(both[SIGNALS.index("lip"), :-1])
        jitter = MAD_TO_SD * np.median(np.abs(steps)) / 2**0.5
        return dict(zip(SIGNALS, both[:, -1].tolist(), strict=True)), float(jitter)


def has_jumped(before: FacePoints, after: FacePoints, seconds: float) -> bool:
    """Whether a face has jumped to another position or size, or is another face."""
    corners = np.concatenate([before.corners, after.corners], axis=-1)
    return bool(find_jumps(corners, np.ones((1, 2), dtype=bool), 1 / seconds)[0, 1])
