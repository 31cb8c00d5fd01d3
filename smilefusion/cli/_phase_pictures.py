"""Phases of classified clips, as columns of a table and as pictures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from smilefusion._storage._atomic_files import prepare_folder
from smilefusion.cli._common import check_folder, check_not_input, save_picture
from smilefusion.clips._sequence import ClipSequence
from smilefusion.dmarkers._phases import BOUNDARIES
from smilefusion.dmarkers._signals import SIGNALS
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import InvalidDataError
from smilefusion.inspection._dynamics import SmileDynamicsDisplay
from smilefusion.inspection._pyplot import import_pyplot


def prepare_pictures(folder: Path, files: list[Path], inputs: Iterable[Path]) -> list[Path]:
    """Check and create the picture folder; return the path of each picture."""
    import_pyplot("smilefusion predict --plots")
    folder = Path(folder)
    check_folder(folder, "--plots")
    if not folder.parent.is_dir():
        raise InvalidDataError(
            f"There is no folder {str(folder.parent)!r} to create {folder.name} in. Create it or "
            "correct the path."
        )
    paths = [folder / f"{stem}.png" for stem in _distinct_stems(files)]
    for path in paths:
        check_not_input(path, inputs)
    prepare_folder(folder, alternative="another folder with --plots")
    return paths


def find_dmarkers(model: Any) -> DMarkerTransformer:
    """Return the transformer of standard D-Markers in a model, or one with the defaults."""
    parts = [getattr(model, "dmarker_transformer_", None), *model.get_params().values()]
    for part in parts:
        if isinstance(part, DMarkerTransformer) and part.definition == "standard":
            return clone(part).set_params(fps=None, signals=SIGNALS)
    return DMarkerTransformer()


def tabulate_limits(clips: ClipSequence, dmarkers: DMarkerTransformer) -> dict[str, np.ndarray]:
    """Return the limits of the phases by column, in seconds, or in frames if rates are unknown."""
    phases = dmarkers.phases(clips)
    names = BOUNDARIES if clips.time_unit == "frames" else [f"{name}_s" for name in BOUNDARIES]
    return {name: phases[name].to_numpy() for name in names}


def draw_pictures(
    clips: ClipSequence, paths: Sequence[Path], titles: Sequence[str], dmarkers: DMarkerTransformer
) -> None:
    """Draw the signals and phases of each clip and save the picture."""
    for index, (path, title) in enumerate(zip(paths, titles, strict=True)):
        display = SmileDynamicsDisplay.from_clip(clips[[index]], dmarkers=dmarkers, title=title)
        save_picture(display, path)


def _distinct_stems(paths: list[Path]) -> list[str]:
    """Return file names without suffix; repeated names are prefixed with their position."""
    counts = Counter(path.stem for path in paths)
    names = []
    for position, path in enumerate(paths):
        name = path.stem
        while counts[name] > 1 or name in names or (name != path.stem and name in counts):
            name = f"{position}-{name}"
        names.append(name)
    return names
