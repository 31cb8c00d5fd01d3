"""D-Markers from a cache: those of clips that were described before are not computed again."""

import numpy as np

from smilefusion._clip_keys import entry_keys
from smilefusion.caching import as_cache

# Raise by one where the same clip and settings give other D-Markers than before.
_METHOD = 1
_SETTINGS = ("definition", "pose", "smoothing", "segmentation", "bridge_blinks", "max_gap")
_CLIPS_AT_ONCE = 256  # enough for full batches of arithmetic


def cached_dmarkers(transformer, compute, clips, rates):
    """Return what a computation gives of clips, from a cache where it is there.

    Parameters
    ----------
    transformer : DMarkerTransformer
        Holds the cache and the settings.
    compute : callable
        Takes clips and frame rates and gives features, an ndarray with a row per clip, and a
        dict of bool ndarrays that tells which clips are irregular.
    clips : ClipSequence
        Checked clips.
    rates : ndarray of shape (n_clips,)
        Frames per second of each clip.

    Returns
    -------
    features : ndarray of shape (n_clips, 225)
        As `compute` gives it, of which a clip's row does not depend on the others.
    found : dict of str to bool ndarray of shape (n_clips,)
        As `compute` gives it.
    """

    def compute_some(places):
        features, found = compute(clips.take(places), rates[places])
        return [
            {"features": row, **{kind: chosen[i] for kind, chosen in found.items()}}
            for i, row in enumerate(features)
        ]

    settings = {"result": "dmarkers", "method": _METHOD}
    settings |= {name: getattr(transformer, name) for name in _SETTINGS}
    known = [None] * len(clips) if transformer.fps is None else rates.tolist()
    keys = entry_keys(clips, settings, known, packages=("numpy", "scipy"))
    entries = as_cache(transformer.cache).fetch(keys, compute_some, n_at_once=_CLIPS_AT_ONCE)
    tables = {name: np.array([entry[name] for entry in entries]) for name in entries[0]}
    return tables.pop("features"), tables
