"""Print the times of HadaSmileNetClassifier, whether its results repeat, and what a GPU gives.

Run ``python benchmarks/end_to_end_speed.py``; with the defaults it takes some ten minutes on an
idle machine. ``--sections`` chooses among

- ``training``: one fit and ten folds on as many simulated clips as UvA-NEMO has, at 50 frames per
  second, with the defaults: subjects reach the early stopping, D-Markers are computed anew in
  every fold. All of it is run, nothing extrapolated.
- ``latency``: landmarks of one clip of 250 frames to its probability, on one thread, for each role
  of the D-Markers, and the parts of it. Where other work shares the machine, the processor's time
  tells more than the clock.
- ``agreement``: whether the same seed gives the same bits in another process and however many
  jobs there are; differences from batch size and padding.
- ``gpu``: CUDA against CPU, times of an epoch and memory. Where there is no GPU it says so.
"""

import argparse
import os
import platform
import time
import warnings
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.utils import _safe_indexing
from threadpoolctl import threadpool_limits

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier
from smilefusion.benchmark import run_benchmark
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning

FPS = 50
N_FOLDS = 10
N_CALLS, N_WARM_UP = 200, 20
CLIP_FRAMES = 250
ROLES = ("fuse", "auxiliary", "none")
BRIEF = {"fps": FPS, "max_epochs": 3, "early_stopping": False, "random_state": 0}


def measure_call(function):
    """Return what a call gives, and its seconds on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - clock, time.process_time() - processor


def print_latency(name, function):
    """Print how long a function takes, in ms, after some calls to warm up."""
    with threadpool_limits(1):
        calls = [measure_call(function)[1:] for _ in range(N_WARM_UP + N_CALLS)]
    clock, processor = 1000 * np.array(calls[N_WARM_UP:]).T
    figures = np.median(clock), np.quantile(clock, 0.95), np.median(processor)
    print(f"{name:36s}" + "".join(f"{figure:11.1f}" for figure in figures))


def simulate(arguments):
    """Return simulated clips, as many as asked for."""
    size = {"n_subjects": arguments.n_subjects, "fps": FPS}
    return make_smiles(arguments.n_clips, random_state=0, **size)


def split_first(smiles):
    """Return clips, labels and subjects of the first fold's training part."""
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    train, _ = next(folds.split(smiles.target, smiles.target, smiles.groups))
    return _safe_indexing(smiles.clips, train), smiles.target[train], smiles.groups[train]


def time_training(arguments):
    """Print the times of one fit, its parts, and of ten folds."""
    smiles = simulate(arguments)
    clips, target, groups = split_first(smiles)
    n_frames = np.mean([len(clip) for clip in clips])
    dmarkers = measure_call(lambda: DMarkerTransformer(fps=FPS).fit_transform(clips))[1:]
    model = HadaSmileNetClassifier(fps=FPS, random_state=0)
    _, clock, processor = measure_call(lambda: model.fit(clips, target, groups=groups))
    epochs = model.history_["dur"]
    print(f"{len(clips)} training clips of {n_frames:.0f} frames on average")
    print(f"one fit            {clock:6.1f} s, {processor:.1f} s of the processor, of which")
    print(f"  D-Markers        {dmarkers[0]:6.1f} s, {dmarkers[1]:.1f} s (timed on their own)")
    print(f"  {len(epochs):3d} epochs       {epochs.sum():6.1f} s, {epochs.median():.2f} s each")
    print(f"  frames and rest  {clock - dmarkers[0] - epochs.sum():6.1f} s")
    estimators = {"end to end": HadaSmileNetClassifier(fps=FPS, random_state=0)}
    predictions, clock, processor = measure_call(
        lambda: run_benchmark(estimators, smiles, cv=N_FOLDS, n_jobs=arguments.n_jobs)
    )
    parts = predictions.drop_duplicates("fold")[["fit_seconds", "predict_seconds"]].sum()
    print(
        f"ten folds          {clock:6.1f} s, {arguments.n_jobs} at a time; fits "
        f"{parts['fit_seconds']:.1f} s, predictions {parts['predict_seconds']:.1f} s"
        + (f"; {processor:.1f} s of the processor" if arguments.n_jobs == 1 else "")
    )


def time_latency(arguments):
    """Print how long the probability of one clip takes, and its parts."""
    smiles = make_smiles(40, n_subjects=20, fps=FPS, random_state=0)
    clip = next(clip for clip in smiles.clips if len(clip) >= CLIP_FRAMES)[:CLIP_FRAMES]
    print(f"{CLIP_FRAMES} frames of {clip.shape[1]} points, {N_CALLS} calls on one thread, ms")
    print(f"{'':36s}" + "".join(f"{name:>11s}" for name in ("median", "95 %", "processor")))
    for role in ROLES:
        model = HadaSmileNetClassifier(dmarkers=role, **BRIEF).fit(smiles.clips, smiles.target)
        print_latency(f"predict_proba, dmarkers={role!r}", partial(model.predict_proba, [clip]))
        if role == "fuse":
            print_latency("  D-Markers", partial(model.dmarker_transformer_.transform, [clip]))
            print_latency("  network", prepare_network(model))


def prepare_network(model):
    """Return a function that runs the model's network on one clip."""
    module = model.net_.module_.eval()
    inputs = {
        "landmarks": torch.zeros(1, model.n_frames, model.n_landmarks_, model.n_dims_),
        "mask": torch.ones(1, model.n_frames, dtype=torch.bool),
        "time": torch.linspace(0, 5, model.n_frames)[None],
        "duration": torch.full((1,), 5.0),
        "dmarker": torch.zeros(1, len(model.dmarker_scaler_.scale_)),
    }
    return torch.inference_mode()(lambda: module(**inputs))


def fit_and_predict(model, smiles):
    """Return the process and the probabilities of a clone of a model, fitted."""
    fitted = clone(model).fit(smiles.clips, smiles.target, groups=smiles.groups)
    return os.getpid(), fitted.predict_proba(smiles.clips)


def difference(ours, theirs):
    """Return the largest difference of probabilities, in words where there is none."""
    largest = np.abs(ours - theirs).max()
    return "equal bit for bit" if largest == 0 else f"{largest:.1e}"


def compare_results(arguments):
    """Print whether results repeat, and what batch size and padding change."""
    smiles = make_smiles(60, n_subjects=20, fps=FPS, random_state=0)
    model = HadaSmileNetClassifier(fps=FPS, max_epochs=5, patience=3, random_state=0)
    here, ours = fit_and_predict(model, smiles)
    again = Parallel(n_jobs=2)(delayed(fit_and_predict)(model, smiles) for _ in range(2))
    assert here not in [process for process, _ in again]
    for _, theirs in again:
        print(f"the same seed in another process      {difference(ours, theirs)}")
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    options = {"groups": smiles.groups, "cv": folds, "method": "predict_proba"}
    one, two = (
        cross_val_predict(model, smiles.clips, smiles.target, n_jobs=n_jobs, **options)
        for n_jobs in (1, 2)
    )
    print(f"cross_val_predict with 1 and 2 jobs   {difference(one, two)}")
    fitted = clone(model).fit(smiles.clips, smiles.target)
    one, many = (
        fitted.set_params(batch_size=size).predict_proba(smiles.clips) for size in (1, 64)
    )
    print(f"batch size 1 and 64                   {difference(one, many)}")
    short = smiles.clips[0][: model.n_frames // 2]
    alone = fitted.predict_proba([short])
    beside = fitted.predict_proba([short, *smiles.clips[1:]])[:1]
    print(f"a short clip alone and beside longer  {difference(alone, beside)}")


def use_gpu(arguments):
    """Print what a CUDA GPU gives: agreement with the CPU, times of an epoch, memory."""
    if not torch.cuda.is_available():
        print("torch finds no CUDA GPU here; nothing was measured on one.")
        return
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    clips, target, groups = split_first(simulate(arguments))
    for encoder in ("mesh_transformer", "curvenet"):
        model = HadaSmileNetClassifier(encoder=encoder, device="cuda", **BRIEF)
        model.fit(clips[:64], target[:64])
        ours, theirs = (
            model.set_params(device=device).predict_proba(clips[:64]) for device in ("cuda", "cpu")
        )
        print(f"{encoder}: CUDA against CPU {difference(ours, theirs)}")
    print(f"{len(clips)} training clips")
    print(f"{'':42s}" + "".join(f"{name:>10s}" for name in ("epoch, ms", "step, ms", "peak, GB")))
    published = {"sampling": "window", "n_frames": 16, "batch_size": 16}
    for precision in ("float32", "mixed"):
        for encoder, kind, settings in (
            ("mesh_transformer", "default", {}),
            ("curvenet", "default", {}),
            ("curvenet", "16 windows of 16 frames", published),
        ):
            settings = BRIEF | settings | {"device": "cuda", "precision": precision}
            model = HadaSmileNetClassifier(encoder=encoder, **settings)
            torch.cuda.reset_peak_memory_stats()
            model.fit(clips, target, groups=groups)
            epoch = 1000 * model.history_["dur"].iloc[1:].median()  # the first one warms up
            step = epoch / -(-len(clips) // model.batch_size)
            peak = torch.cuda.max_memory_allocated() / 1e9
            name = f"{encoder}, {kind}, {precision}"
            print(f"{name:42s}{epoch:10.0f}{step:10.1f}{peak:10.2f}", flush=True)


SECTIONS = {
    "training": time_training,
    "latency": time_latency,
    "agreement": compare_results,
    "gpu": use_gpu,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--n-clips", type=int, default=1240)
    parser.add_argument("--n-subjects", type=int, default=400)
    parser.add_argument("--n-jobs", type=int, default=1, help="folds at a time")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)  # faint smiles are timed like the others
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}")
    for name in arguments.sections:
        print(f"\n{name}")
        SECTIONS[name](arguments)


if __name__ == "__main__":
    main()
