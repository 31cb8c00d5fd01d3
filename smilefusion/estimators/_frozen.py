"""Embeddings by frozen networks, each clip by itself, and kept in a cache where there is one."""

import hashlib

import numpy as np
from sklearn.utils import gen_batches

from smilefusion._storage._cache import as_cache
from smilefusion._storage._clip_keys import entry_keys
from smilefusion._training._torch_state import resolve_device
from smilefusion._training._trainer import run_network, run_settings

# Raise by one where the same clip, settings and weights give another embedding than before.
_METHOD = 1
_CLIPS_AT_ONCE = 32  # that are read before the network sees the first


def embed_frozen(extractor, clips):
    """Return the embeddings of clips by a frozen network.

    The network sees one clip at a time. In a batch the last bits of its sums would depend on the
    number of clips, and what a cache gives on what it was computed with.

    Parameters
    ----------
    extractor : DeepFeatureExtractor
        The fitted extractor; its method `_inputs` makes the network's inputs.
    clips : ClipSequence or list of ndarray
        Checked clips.

    Returns
    -------
    embedding : ndarray of shape (n_clips, n_features_out)
        One row per clip.
    """
    images = extractor.input_ == "frames"
    n_at_once = 1 if images else _CLIPS_AT_ONCE  # images of a batch are padded to its longest clip

    def compute(places):
        chosen = [clips[place] for place in places] if images else clips[places]
        inputs = extractor._scale(extractor._inputs(chosen))
        options = run_settings(extractor) | {"batch_size": 1}
        return run_network(extractor.net_, "forward", inputs, **options)

    if extractor.cache is None:
        places = np.arange(len(clips))
        return np.concatenate([compute(places[p]) for p in gen_batches(len(clips), n_at_once)])
    rates = [np.nan] * len(clips) if images else clips.fps.tolist()
    known = [None if np.isnan(rate) else rate for rate in rates]
    packages = ("numpy", "torch", "timm")
    keys = entry_keys(clips, _frozen_settings(extractor), known, packages=packages)
    entries = as_cache(extractor.cache).fetch(
        keys,
        lambda places: [{"embedding": row} for row in compute(places)],
        n_at_once=n_at_once,
    )
    return np.stack([entry["embedding"] for entry in entries])


def _frozen_settings(extractor):
    """Return what decides the embedding of a clip beside the clip and its frame rate."""
    net = extractor.net_
    module = net.get_params_for("module")
    settings = {
        "result": "embedding",
        "method": _METHOD,
        "network": type(net.module_).__qualname__,
        "module": {name: repr(value) for name, value in module.items()},
        "weights": digest_state(net.module_.state_dict()),
        "input": extractor.input_,
        "encoder": extractor.encoder,
        "n_frames": int(extractor.n_frames),
        "precision": extractor.precision,
        "n_threads": extractor.n_threads,
        "device": resolve_device(extractor.device).partition(":")[0],
    }
    if extractor.input_ == "landmarks":
        for name in ("offset_", "scale_"):
            settings[name] = np.ravel(getattr(extractor, name)).tolist()
    return settings


def digest_state(state):
    """Return the SHA-256 of a state dict in hexadecimal.

    Parameters
    ----------
    state : dict of str to tensor
        The weights.

    Returns
    -------
    digest : str
        Digest of the names, types, shapes and values.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name} {array.dtype.str} {tuple(tensor.shape)}".encode())
        digest.update(array.data)
    return digest.hexdigest()
