"""What a stream keeps of a frame, and what it tells."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from smilefusion.streaming._meter import FacePoints


@dataclass(frozen=True, eq=False)
class StreamedSmile:
    """A smile of a stream, or the whole of it.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Its frames as they were pushed, NaN where there was no face.
    first_frame : int
        Number of its first frame in the stream.
    fps : float or None
        Frames per second; where the stream has timestamps, one over the median step.
    phases : pandas.Series
        Limits, quality and flags as `DMarkerTransformer.phases` gives them for `clip`; frames
        are those of the stream, and seconds its time.
    probability : ndarray of shape (n_classes,) or None
        Probability of each class, ``classifier.predict_proba([clip])[0]``; None without one.
    classes : ndarray of shape (n_classes,) or None
        Labels of the classes.
    ended_by : {"settled", "risen", "gap", "jump", "length", "flush"}
        Why it ended: the lips came to rest; they rose again, to another smile; the face was
        lost; it jumped; the buffer was full; the stream was flushed.
    """

    clip: np.ndarray
    first_frame: int
    fps: float | None
    phases: pd.Series
    probability: np.ndarray | None
    classes: np.ndarray | None
    ended_by: str

    @property
    def label(self):
        """The most probable class; None without a classifier."""
        return None if self.probability is None else self.classes[self.probability.argmax()]


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """What is known when a frame has been pushed.

    Parameters
    ----------
    number : int
        Number of the frame since the stream began or was flushed.
    time_s : float
        Its time in seconds; NaN without frame rate and timestamps.
    eyelid, cheek, lip : float
        Amplitudes in the units of `amplitude_signals`, from the present rest; NaN without a
        face, and until five frames have shown it.
    smiling : bool
        Whether a smile has started and not ended.
    started : bool
        Whether it is announced with this frame.
    smile : StreamedSmile or None
        The smile whose end is announced with this frame.
    """

    number: int
    time_s: float
    eyelid: float
    cheek: float
    lip: float
    smiling: bool
    started: bool
    smile: StreamedSmile | None


class Entry(NamedTuple):
    """A frame in the buffer; landmarks and points are None without a face."""

    number: int
    time: float
    landmarks: np.ndarray | None
    points: FacePoints | None
