"""What workers of a cluster import in tests: a kill, steps that are killed, and a stand-in."""

import os
import signal
from pathlib import Path

from distributed import WorkerPlugin
from made_videos import open_square_detector
from sklearn.base import BaseEstimator, TransformerMixin


def die_once(note):
    """End this process as the kernel does, by SIGKILL, unless the note of that is there."""
    if note is None:
        return
    try:
        Path(note).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def die():
    """End this process."""
    os.kill(os.getpid(), signal.SIGKILL)


class Fragile(TransformerMixin, BaseEstimator):
    """Pass a table on; the first fit of all ends its process."""

    def __init__(self, note=None):
        self.note = note

    def fit(self, X, y=None):
        die_once(self.note)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


def score_once(model, X, y, note):
    """Return the accuracy; the first call of all ends its process."""
    die_once(note)
    return model.score(X, y)


def find_squares(note=None):
    """Let this process find squares in place of faces; the first video ends the process."""

    def open_detector(*args, **kwargs):
        die_once(note)
        return open_square_detector(*args, **kwargs)

    import smilefusion._video_landmarks

    smilefusion._video_landmarks.open_detector = open_detector


class SquareFinder(WorkerPlugin):
    """Let workers find squares, also those that take the place of dead ones."""

    name = "squares"

    def __init__(self, note):
        self.note = note

    def setup(self, worker):
        find_squares(self.note)
