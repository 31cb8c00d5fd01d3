"""Count what a search computes with a clip cache, and time hits and misses against no cache.

Run ``python benchmarks/clip_cache.py [N_CLIPS]``.
"""

import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from smilefusion import (
    ClipCache,
    DeepFeatureExtractor,
    DMarkerTransformer,
    list_fusions,
    make_fusion_pipeline,
)
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import SmileFusionWarning

FPS = 50
ROUNDS = 3


def make_extractors(smiles, folder):
    """Return extractors whose result depends on the clip alone, by name."""
    options = {"fps": FPS, "random_state": 0}
    trained = DeepFeatureExtractor(objective="reconstruction", max_epochs=1, **options)
    trained.fit(smiles.clips)
    weights = Path(folder, "encoder.pt")
    torch.save(trained.net_.module_.encoder.state_dict(), weights)
    scaling = trained.offset_, trained.scale_
    frozen = {"objective": "frozen", "scaling": scaling, **options}
    return {
        "D-Markers": DMarkerTransformer(fps=FPS),
        "mesh_transformer": DeepFeatureExtractor(weights=weights, **frozen),
        "resnet18 on landmarks": DeepFeatureExtractor("resnet18", **frozen),
    }


def milliseconds(extractor, clips):
    """Return the milliseconds per clip of a transformation."""
    start = time.perf_counter()
    extractor.transform(clips)
    return 1e3 * (time.perf_counter() - start) / len(clips)


def time_extractor(name, extractor, clips):
    """Print the times of an extractor without a cache, with an empty one, and with a full one."""
    rows = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            extractor.set_params(cache=None).fit(clips)
            rows.append([milliseconds(extractor, clips)])
            extractor.set_params(cache=ClipCache(folder)).fit(clips)
            rows[-1] += [milliseconds(extractor, clips) for _ in ("miss", "hit")]
    none, miss, hit = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{name:40s} {none:8.2f} {miss:8.2f} {hit:8.2f} {none / hit:8.1f}")


def count_search(smiles, frozen, n_jobs):
    """Print what the search over all strategies has computed."""
    with tempfile.TemporaryDirectory() as folder:
        cache = ClipCache(folder)
        pipeline = make_fusion_pipeline(fps=FPS, cache=cache, random_state=0).set_params(
            features__deep=frozen.set_params(cache=cache), fusion__max_epochs=3
        )
        search = GridSearchCV(
            pipeline, {"fusion__fusion": list_fusions()}, cv=StratifiedKFold(5), n_jobs=n_jobs
        )
        start = time.perf_counter()
        search.fit(smiles.clips, smiles.target)
        seconds = time.perf_counter() - start
        print(f"n_jobs={n_jobs}: {seconds:.1f} s, {dict(cache.statistics())}")


def main(n_clips):
    """Print the figures."""
    warnings.simplefilter("ignore", SmileFusionWarning)
    smiles = make_smiles(n_clips, n_subjects=n_clips // 4, fps=FPS, random_state=0)
    n_frames = np.mean([len(clip) for clip in smiles.clips])
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{index}.npy") for index in range(n_clips)]
        for path, clip in zip(paths, smiles.clips, strict=True):
            np.save(path, clip)
        extractors = make_extractors(smiles, folder)
        time.sleep(2.5)  # the digests of files that have just been written are not remembered
        print(f"{n_clips} clips of {n_frames:.0f} frames; medians of {ROUNDS} rounds, ms per clip")
        print(f"{'':40s} {'no cache':>8s} {'miss':>8s} {'hit':>8s} {'gain':>8s}")
        for name, extractor in extractors.items():
            time_extractor(f"{name}, arrays", extractor, smiles.clips)
            time_extractor(f"{name}, files", extractor, paths)
        print("\n15 strategies x 5 folds, two streams of features:")
        for n_jobs in (1, 2):
            count_search(smiles, extractors["mesh_transformer"], n_jobs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 80)
