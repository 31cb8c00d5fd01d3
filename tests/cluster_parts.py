"""Code that workers of a cluster import in tests."""

import os
import signal
from pathlib import Path

from distributed import WorkerPlugin
from made_videos import SquareLandmarker
from sklearn.base import BaseEstimator, TransformerMixin


def die_once(note):
    """Kill this process, unless the file `note` exists already."""
    if note is None:
        return
    try:
        Path(note).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class Fragile(TransformerMixin, BaseEstimator):
    """Return the table unchanged; the first fit kills its process."""

    def __init__(self, note=None):
        self.note = note

    def fit(self, X, y=None):
        die_once(self.note)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


class SquareFinder(WorkerPlugin):
    """Make workers detect squares instead of faces; the first video kills its worker."""

    name = "squares"

    def __init__(self, note):
        self.note = note

    def setup(self, worker):
        import smilefusion.video._extraction

        def open_landmarker(*args, **kwargs):
            die_once(self.note)
            return SquareLandmarker(*args, **kwargs)

        smilefusion.video._extraction.FaceLandmarker = open_landmarker
