"""Amplitude signals of single frames, measured from a rest that adapts."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from smilefusion.dmarkers._batches import find_jumps
from smilefusion.dmarkers._signals import (
    N_REST_FRAMES,
    SIGNALS,
    amplitudes,
    frontal_points,
    signal_landmarks,
)
from smilefusion.landmarks import landmark_scheme

# The rest is the median of the neutral frames of so many seconds: long against a blink, of up to
# half a second, and the slow jitter of landmarks; short against the drift of a posture.
REST_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class FacePoints:
    """What the signals of one frame are measured from.

    Parameters
    ----------
    corners : ndarray of shape (n_dims, 4, 1, 1)
        Corners of the eyes in the image.
    frontal : ndarray of shape (2, n_names, 2, 1, 1)
        The named points without the head's pose, as `frontal_points` returns them.
    """

    corners: np.ndarray
    frontal: np.ndarray


class SignalMeter:
    """Measure lip, eyelid and cheek of one frame after another.

    Parameters
    ----------
    n_landmarks : int
        Number of landmarks of a frame.
    pose : {"rigid", "eyes"} or None
        How the head's pose is taken out.
    """

    def __init__(self, n_landmarks, *, pose):
        self._scheme = landmark_scheme(n_landmarks)
        self._pose = pose
        self._landmarks = signal_landmarks(self._scheme)
        self._rest = deque()  # of (time, frontal points)

    def locate(self, frame, name):
        """Find the points of a frame, with the errors of `frontal_points`."""
        paths = frame[self._landmarks].T.astype(np.float64)[..., None, None]
        n_stable = len(self._scheme.stable)
        frontal = frontal_points(paths, self._scheme, pose=self._pose, names=[name])
        return FacePoints(paths[:, n_stable : n_stable + 4], frontal)

    def forget(self):
        """Forget the rest."""
        self._rest.clear()

    def rest(self, time, points):
        """Take a frame for neutral; those that are too old are forgotten, but for five."""
        self._rest.append((time, points.frontal))
        while time - self._rest[0][0] > REST_SECONDS and len(self._rest) > N_REST_FRAMES:
            self._rest.popleft()

    @property
    def is_ready(self):
        """Whether the rest is known."""
        return len(self._rest) >= N_REST_FRAMES

    def measure(self, points, name):
        """Return a frame's amplitudes by signal, and the lips' frame-to-frame jitter at rest.

        None, after the checks of `amplitudes`, where the rest is not known.
        """
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
        jitter = 1.4826 * np.median(np.abs(steps)) / 2**0.5
        return dict(zip(SIGNALS, both[:, -1].tolist(), strict=True)), float(jitter)


def has_jumped(before, after, seconds):
    """Tell whether a face has jumped to another place or size, or is another face.

    Parameters
    ----------
    before, after : FacePoints
        Two frames in a row that hold a face.
    seconds : float
        Time between them.

    Returns
    -------
    jumped : bool
        Whether it moved further than `find_jumps` allows.
    """
    corners = np.concatenate([before.corners, after.corners], axis=-1)
    return bool(find_jumps(corners, np.ones((1, 2), dtype=bool), 1 / seconds)[0, 1])
