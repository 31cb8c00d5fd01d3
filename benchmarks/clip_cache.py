"""Time hits and misses of a clip cache against no cache.

Run ``python benchmarks/clip_cache.py [VIDEO …]``. Networks embed simulated clips; the landmarks
of videos are extracted if their files are given.
"""

import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from smilefusion import ClipCache, DeepFeatureExtractor
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.video import FaceMeshExtractor

FPS = 50
N_CLIPS = 40
ROUNDS = 3


def make_extractors(smiles, folder):
    """Return frozen extractors by name; their result depends only on the clip."""
    options = {"fps": FPS, "random_state": 0}
    trained = DeepFeatureExtractor(objective="reconstruction", max_epochs=1, **options)
    trained.fit(smiles.clips)
    weights = Path(folder, "encoder.pt")
    torch.save(trained.net_.module_.encoder.state_dict(), weights)
    frozen = {"objective": "frozen", "scaling": (trained.offset_, trained.scale_), **options}
    return {
        "mesh_transformer": DeepFeatureExtractor(weights=weights, **frozen),
        "resnet18 on landmarks": DeepFeatureExtractor("resnet18", **frozen),
    }


def milliseconds(extractor, clips):
    """Return the milliseconds per clip of a transformation."""
    start = time.perf_counter()
    extractor.transform(clips)
    return 1e3 * (time.perf_counter() - start) / len(clips)


def time_extractor(name, extractor, clips):
    """Print the times without a cache, with an empty one, and with a full one."""
    rows = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            extractor.set_params(cache=None).fit(clips)
            rows.append([milliseconds(extractor, clips)])
            extractor.set_params(cache=ClipCache(folder)).fit(clips)
            rows[-1] += [milliseconds(extractor, clips) for _ in ("miss", "hit")]
    none, miss, hit = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{name:40s} {none:8.2f} {miss:8.2f} {hit:8.2f} {none / hit:8.1f}", flush=True)


def main(videos):
    """Print the times."""
    warnings.simplefilter("ignore", SmileFusionWarning)
    smiles = make_smiles(N_CLIPS, n_subjects=N_CLIPS // 4, fps=FPS, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{index}.npy") for index in range(N_CLIPS)]
        for path, clip in zip(paths, smiles.clips, strict=True):
            np.save(path, clip)
        extractors = make_extractors(smiles, folder)
        time.sleep(2.5)  # digests of files written just now are not remembered
        print(f"Milliseconds per clip, medians of {ROUNDS} rounds")
        print(f"{'':40s} {'no cache':>8s} {'miss':>8s} {'hit':>8s} {'gain':>8s}")
        for name, extractor in extractors.items():
            time_extractor(f"{name}, arrays", extractor, smiles.clips)
            time_extractor(f"{name}, files", extractor, paths)
        if videos:
            time_extractor("landmarks of videos", FaceMeshExtractor(), videos)


if __name__ == "__main__":
    main(sys.argv[1:])
