"""Phases of classified clips, as columns of a table and as pictures."""

from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.base import clone

from smilefusion._atomic_files import replacing
from smilefusion.clips import read_fps
from smilefusion.dmarkers._phase_table import BOUNDARIES
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import InvalidDataError
from smilefusion.inspection._dynamics import SmileDynamicsDisplay
from smilefusion.inspection._pyplot import import_pyplot


def prepare_pictures(folder):
    """Make the folder of the pictures and return pyplot, before any work is done."""
    pyplot = import_pyplot("smilefusion predict --plots")
    folder = Path(folder)
    if not folder.parent.is_dir():
        raise InvalidDataError(
            f"There is no folder {str(folder.parent)!r} to make {folder.name} in; create it or "
            "correct the path."
        )
    if folder.exists() and not folder.is_dir():
        raise InvalidDataError(
            f"{str(folder)!r} is a file; --plots takes a folder. Name another one."
        )
    folder.mkdir(exist_ok=True)
    return pyplot


def known_rates(paths, fps):
    """Return the frame rate of each file, `fps` where given; None unless all are known."""
    if fps is not None:
        return np.full(len(paths), float(fps))
    rates = [read_fps(path) for path in paths]
    return None if None in rates else np.array(rates)


def find_dmarkers(model):
    """Return the transformer of standard D-Markers in a model, or one with the defaults."""
    parts = [getattr(model, "dmarker_transformer_", None), *model.get_params().values()]
    for part in parts:
        if isinstance(part, DMarkerTransformer) and part.definition == "standard":
            return clone(part).set_params(fps=None)
    return DMarkerTransformer()


def tabulate_limits(clips, rates, dmarkers):
    """Return the limits of the phases by column, in seconds, or in frames without rates."""
    phases = clone(dmarkers).set_params(fps=rates).phases(clips)
    names = BOUNDARIES if rates is None else [f"{name}_s" for name in BOUNDARIES]
    return {name: phases[name].to_numpy() for name in names}


def draw_pictures(pyplot, folder, clips, names, titles, *, rates, dmarkers):
    """Draw signals and phases of each clip to a file named after it.

    Parameters
    ----------
    pyplot : module
        ``matplotlib.pyplot``.
    folder : path-like
        Folder of the files, which exists.
    clips : sequence of array-like or path
        The clips.
    names, titles : sequence of str
        Name of each file without its suffix, and title of each picture. Of several files of
        one name all have the clip's position before it.
    rates : ndarray of shape (n_clips,) or None
        Frames per second.
    dmarkers : DMarkerTransformer
        Transformer whose signals and phases are drawn.
    """
    counts = Counter(names)
    rates = [None] * len(names) if rates is None else rates
    for position, (clip, name, title, fps) in enumerate(
        zip(clips, names, titles, rates, strict=True)
    ):
        display = SmileDynamicsDisplay.from_clip(clip, fps=fps, dmarkers=dmarkers, title=title)
        file = name if counts[name] == 1 else f"{position}-{name}"
        with replacing(Path(folder) / f"{file}.png") as part:
            display.figure_.savefig(part, dpi=150)
        pyplot.close(display.figure_)
