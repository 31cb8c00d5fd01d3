"""Time training and prediction of the end-to-end network, and show what changes its results.

Run ``python benchmarks/end_to_end_speed.py``; the defaults take about ten minutes on one core.
``training`` fits one fold and ten folds of as many simulated clips as UvA-NEMO has. ``latency``
predicts one clip of 250 frames on one thread and compares it with its parts. ``batches`` compares
predictions at several batch sizes. ``gpu`` times epochs on a CUDA GPU against the CPU.
"""

import time
import warnings
from functools import partial

import numpy as np
import torch
from common import largest, print_times, read_options, time_in_turn
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import _safe_indexing
from threadpoolctl import threadpool_limits

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier
from smilefusion.benchmark import run_benchmark
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning

FPS, N_FOLDS, N_FRAMES = 50, 10, 250
SECTIONS = ("training", "latency", "batches", "gpu")
BRIEF = {"fps": FPS, "max_epochs": 3, "patience": None, "random_state": 0}


def simulate(options):
    """Return as many simulated clips as requested."""
    return make_smiles(options.n_clips, n_subjects=options.n_subjects, fps=FPS, random_state=0)


def take_training_clips(smiles):
    """Return clips, labels and subjects of the first fold's training part."""
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    train, _ = next(folds.split(smiles.target, smiles.target, smiles.groups))
    return _safe_indexing(smiles.clips, train), smiles.target[train], smiles.groups[train]


def run_training(options):
    """Print the time of one fit, its parts, and ten folds."""
    smiles = simulate(options)
    clips, target, groups = take_training_clips(smiles)
    model = HadaSmileNetClassifier(fps=FPS, random_state=0)
    ways = {
        "one fit": lambda: model.fit(clips, target, groups=groups),
        "D-Markers of its clips": lambda: DMarkerTransformer(fps=FPS).fit_transform(clips),
    }
    print(f"{len(clips)} training clips of {np.mean(list(map(len, clips))):.0f} frames")
    times, _ = time_in_turn(ways, 1, n_warm_up=0)
    print_times(times)
    epochs = model.history_["dur"]
    print(f"  {len(epochs)} epochs, {epochs.median():.2f} s each")
    start = time.perf_counter()
    smiles.name = "simulated smiles"
    run_benchmark({"net": model}, smiles, cv=N_FOLDS, n_jobs=options.n_jobs)
    print(f"  ten folds: {time.perf_counter() - start:.0f} s with n_jobs={options.n_jobs}")


def run_latency(options):
    """Print the time of one clip's probability and of its parts."""
    smiles = make_smiles(40, n_subjects=20, fps=FPS, random_state=0)
    clip = np.resize(smiles.clips[0], (N_FRAMES, *smiles.clips[0].shape[1:]))
    models = {
        f"predict_proba, dmarkers={role!r}": HadaSmileNetClassifier(dmarkers=role, **BRIEF)
        for role in ("fuse", "auxiliary", "none")
    }
    for model in models.values():
        model.fit(smiles.clips, smiles.target)
    ways = {name: partial(model.predict_proba, [clip]) for name, model in models.items()}
    fused = next(iter(models.values()))
    ways["D-Markers of the clip"] = partial(fused.dmarker_transformer_.transform, [clip])
    with threadpool_limits(1):
        times, _ = time_in_turn(ways, options.n_calls, n_warm_up=options.n_calls // 10)
    print(f"one clip of {N_FRAMES} frames, {options.n_calls} calls on one thread")
    print_times(times)
    print(
        f"  95th percentile of the first: {np.quantile(next(iter(times.values())), 0.95):.1f} ms"
    )


def run_batches(options):
    """Print the differences of probabilities that batch size and padding cause."""
    smiles = make_smiles(60, n_subjects=20, fps=FPS, random_state=0)
    model = HadaSmileNetClassifier(**BRIEF).fit(smiles.clips, smiles.target)
    one, many = (model.set_params(batch_size=n).predict_proba(smiles.clips) for n in (1, 64))
    print(f"batch size 1 and 64: {largest(one, many):.1e}")
    short = smiles.clips[0][: model.n_frames // 2]
    single = model.predict_proba([short])
    padded = model.predict_proba([short, *smiles.clips[1:]])[:1]
    print(f"a short clip, alone and with longer ones: {largest(single, padded):.1e}")


def run_gpu(options):
    """Print agreement with the CPU and the time of an epoch on both devices."""
    if not torch.cuda.is_available():
        print("No CUDA GPU was found; this section needs one.")
        return
    clips, target, groups = take_training_clips(simulate(options))
    print(f"{torch.cuda.get_device_name()}, {len(clips)} training clips")
    published = {"windows": {"n_windows": 5}, "n_frames": 16, "batch_size": 16}
    for encoder, settings in (("mesh_transformer", {}), ("curvenet", published)):
        for mixed in (False, True):
            torch.cuda.reset_peak_memory_stats()
            settings = BRIEF | settings | {"device": "cuda"}
            settings["net_params"] = {"module__mixed_precision": mixed}
            model = HadaSmileNetClassifier(encoder=encoder, **settings)
            model.fit(clips, target, groups=groups)
            epoch = model.history_["dur"].iloc[1:].median()  # the first epoch warms up
            peak = torch.cuda.max_memory_allocated() / 1e9
            ours = model.predict_proba(clips[:64])
            model.set_params(device="cpu")
            start = time.perf_counter()
            difference = largest(ours, model.predict_proba(clips[:64]))
            seconds = time.perf_counter() - start
            print(
                f"  {encoder}, {'mixed' if mixed else 'float32'}: epoch {epoch:.2f} s, peak "
                f"{peak:.2f} GB; 64 clips on the CPU take {seconds:.2f} s and "
                f"differ by {difference:.1e}"
            )


def main():
    options = read_options(
        __doc__, sections=SECTIONS, n_clips=1240, n_subjects=400, n_jobs=1, n_calls=200
    )
    warnings.simplefilter("ignore", DataWarning)  # faint smiles are timed like all others
    for name in options.sections:
        print(f"\n{name}")
        globals()[f"run_{name}"](options)


if __name__ == "__main__":
    main()
