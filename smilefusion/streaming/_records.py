"""Results of a stream, and the entries of its buffer."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from smilefusion.streaming._meter import FacePoints


@dataclass(frozen=True, eq=False)
class StreamedSmile:
    """A smile in a stream, or the whole stream.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        The frames as they were pushed; NaN for frames without a face.
    first_frame : int
        Number of the first frame in the stream.
    fps : float or None
        Frames per second; for streams with timestamps, one over the median time step.
    phases : pandas.Series
        Limits, quality and flags as in `DMarkerTransformer.phases`; frame numbers and times are
        those of the stream.
    probability : ndarray of shape (n_classes,) or None
        Probability of each class, ``classifier.predict_proba([clip])[0]``; None without a
        classifier.
    classes : ndarray of shape (n_classes,) or None
        Labels of the classes.
    ended_by : {"settled", "risen", "gap", "jump", "length", "flush"}
        Why the smile ended: the lips came to rest; they rose again for another smile; the face
        was lost; it jumped; the buffer was full; the stream was flushed.
    """

    clip: np.ndarray
    first_frame: int
    fps: float | None
    phases: pd.Series
    probability: np.ndarray | None
    classes: np.ndarray | None
    ended_by: str

    @property
    def label(self) -> Any:
        """The most probable class; None without a classifier."""
        if self.probability is None or self.classes is None:
            return None
        return self.classes[self.probability.argmax()]


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """Result of pushing one frame.

    Parameters
    ----------
    number : int
        Number of the frame since the stream began or was flushed.
    time_s : float
        Time in seconds; NaN without a frame rate or timestamps.
    eyelid, cheek, lip : float
        Amplitudes in the units of `amplitude_signals`, measured from the current rest; NaN
        without a face, and before five frames with a face.
    smiling : bool
        Whether a smile is in progress.
    started : bool
        Whether this frame reports the start of a smile.
    smile : StreamedSmile or None
        The smile whose end this frame reports.
    """

    number: int
    time_s: float
    eyelid: float
    cheek: float
    lip: float
    smiling: bool
    started: bool
    smile: StreamedSmile | None


class BufferedFrame(NamedTuple):
    """A frame in the buffer; landmarks and points are None without a face."""

    number: int
    time: float
    landmarks: np.ndarray | None
    points: FacePoints | None
