"""Measure the memory that fitting, cross-validating and predicting take, against size.

Clips lie on the disk, as .npy files or as one array of four axes that is mapped, and are simulated
ones, tiled and perturbed. Each measurement runs in a process of its own. Two figures are told:
"anonymous", the peak over time of the memory that is no file's (RssAnon, of the process and its
workers together, read every 10 ms), and "resident", the kernel's own peak of all resident pages
(VmHWM of the main process), which counts pages of mapped files too, although the system takes
them back whenever it needs them. Linux only.

Run ``python benchmarks/memory.py`` for the curves against clips, frames and landmarks, or one
measurement, ``python benchmarks/memory.py --clips 10000 --models dmarkers deep net``.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import (
    DeepFeatureExtractor,
    DMarkerTransformer,
    HadaSmileNetClassifier,
    make_fusion_pipeline,
)
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import SmileFusionWarning

FPS = 50
N_SIMULATED = 48  # clips that all others are made of
POLL_SECONDS = 0.01
MIB = 2**20
STAGES = ("import", "fit", "predict", "cross-validate")
_IBUG = 68
_LABELS = "labels.npy"


def make_clips(folder, n_clips, n_frames, n_landmarks):
    """Write clips of one length as .npy files; each is a simulated one, tiled and shifted."""
    simulated = make_smiles(N_SIMULATED, n_subjects=12, fps=FPS, random_state=0)
    rng = np.random.default_rng(0)
    bases = []
    for clip in simulated.clips:
        there = clip[~np.isnan(clip[:, 0, 0])][:, :n_landmarks]
        bases.append(np.resize(there, (n_frames, *there.shape[1:])))
    for index in range(n_clips):
        clip = bases[index % N_SIMULATED] + np.float32(rng.normal(0, 0.01))
        np.save(folder / f"{index:06d}.npy", clip)
    np.save(folder / _LABELS, np.resize(simulated.target, n_clips))


def stack_clips(folder, n_clips):
    """Write the clips of a folder as one array of four axes."""
    first = np.load(folder / "000000.npy", mmap_mode="r")
    path = folder / "clips.npy"
    shape = (n_clips, *first.shape)
    array = np.lib.format.open_memmap(path, "w+", dtype=first.dtype, shape=shape)
    for index in range(n_clips):
        array[index] = np.load(folder / f"{index:06d}.npy")
    array.flush()


def read_clips(folder, n_clips, form):
    """Return clips as paths, or as views of a mapped array, and their labels."""
    labels = np.load(folder / _LABELS)[:n_clips]
    if form == "paths":
        return [folder / f"{index:06d}.npy" for index in range(n_clips)], labels
    return list(np.load(folder / "clips.npy", mmap_mode="r")[:n_clips]), labels


def make_model(name, epochs):
    """Return one of the models that are measured."""
    options = {"fps": FPS, "max_epochs": epochs, "random_state": 0}
    if name == "dmarkers":
        return make_pipeline(
            DMarkerTransformer(fps=FPS), StandardScaler(), LogisticRegression(max_iter=200)
        )
    if name == "deep":
        return make_pipeline(
            DeepFeatureExtractor(**options), StandardScaler(), LogisticRegression(max_iter=200)
        )
    if name == "pipeline":
        return make_fusion_pipeline(fps=FPS, random_state=0).set_params(
            features__deep__max_epochs=epochs, fusion__max_epochs=epochs
        )
    if name == "windows":
        return HadaSmileNetClassifier(sampling="window", n_windows=1, **options)
    return HadaSmileNetClassifier(**options)


def measure(args):
    """Fit, predict and cross-validate; tell when each begins, by the clock of all processes."""
    warnings.simplefilter("ignore", SmileFusionWarning)
    clips, labels = read_clips(Path(args.folder), args.clips[0], args.form)
    model = make_model(args.models[0], args.epochs)
    print("fit", time.monotonic(), flush=True)
    model.fit(clips, labels)
    print("predict", time.monotonic(), flush=True)
    model.predict(clips)
    print("cross-validate", time.monotonic(), flush=True)
    cv = StratifiedKFold(2)
    cross_validate(model, clips, labels, cv=cv, n_jobs=args.n_jobs, error_score="raise")
    print("end", time.monotonic(), flush=True)
    status = Path("/proc/self/status").read_text()
    print("resident", *re.findall(r"VmHWM:\s+(\d+) kB", status), flush=True)


def anonymous_bytes(process):
    """Return the anonymous memory of a process and all its children, 0 where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        children = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    own = 1024 * int(found[1]) if found else 0
    return own + sum(map(anonymous_bytes, children))


def watch(arguments):
    """Run a measurement; return anonymous peak and seconds by stage, and the resident peak."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--measure", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )
    samples = []
    while child.poll() is None:
        samples.append((time.monotonic(), anonymous_bytes(child.pid)))
        time.sleep(POLL_SECONDS)
    if child.returncode:
        raise SystemExit(f"The measurement {arguments} ended with {child.returncode}.")
    told = {word: float(number) for word, number in map(str.split, child.stdout)}
    resident = 1024 * told.pop("resident")
    limits = [0.0, *told.values()]
    peaks, seconds = {}, {}
    for stage, (start, stop) in zip(STAGES, pairwise(limits), strict=True):
        peaks[stage] = max(n_bytes for moment, n_bytes in samples if start <= moment < stop)
        seconds[stage] = stop - start
    return peaks, seconds, resident


def report(args, folder, name, n_clips, n_frames, n_landmarks):
    """Measure one model at one size; print and return a row."""
    options = ["--clips", n_clips, "--models", name, "--epochs", args.epochs]
    options += ["--n-jobs", args.n_jobs, "--form", args.form, "--folder", folder]
    peaks, seconds, resident = watch(options)
    size = n_clips * n_frames * n_landmarks * 3 * 4
    told = " ".join(f"{peaks[stage] / MIB:8.0f}" for stage in STAGES)
    spent = " ".join(f"{seconds[stage]:7.1f}" for stage in STAGES[1:])
    print(
        f"{name:9s} {n_clips:7d} {n_frames:7d} {n_landmarks:10d} {size / MIB:9.0f} {told} "
        f"{resident / MIB:9.0f} {spent}",
        flush=True,
    )
    return {
        "model": name,
        "clips": n_clips,
        "frames": n_frames,
        "landmarks": n_landmarks,
        "n_jobs": args.n_jobs,
        "mib_on_disk": size / MIB,
        "anonymous": {stage: peak / MIB for stage, peak in peaks.items()},
        "resident": resident / MIB,
        "seconds": seconds,
    }


def run(args):
    """Print the memory of models at several sizes."""
    print(
        f"MiB; anonymous at import and at its peak in each stage; cross-validation in 2 folds "
        f"with n_jobs={args.n_jobs}; {args.epochs} epochs; clips as {args.form}"
    )
    print(
        "model       clips  frames  landmarks   on disk   import      fit  predict cross-val  "
        "resident  fit, s  pred, s  cv, s"
    )
    curves = [(n, args.frames, args.landmarks) for n in sorted(args.clips)]
    if args.curves:
        middle = sorted(args.clips)[len(args.clips) // 2]
        curves += [(middle, frames, args.landmarks) for frames in (50, 400)]
        curves += [(middle, args.frames, _IBUG)]
    rows = []
    for n_clips, n_frames, n_landmarks in curves:
        folder = Path(tempfile.mkdtemp(prefix="memory-", dir=args.folder))
        try:
            make_clips(folder, n_clips, n_frames, n_landmarks)
            if args.form == "array":
                stack_clips(folder, n_clips)
            sizes = n_clips, n_frames, n_landmarks
            rows += [report(args, folder, name, *sizes) for name in args.models]
        finally:
            shutil.rmtree(folder)
    if args.output:
        args.output.write_text(json.dumps(rows, indent=1))


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--landmarks", type=int, default=478, choices=(_IBUG, 478))
    parser.add_argument("--curves", action="store_true", help="vary frames and landmarks too")
    parser.add_argument("--models", nargs="+", default=["dmarkers", "deep", "net"])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--form", default="paths", choices=("paths", "array"))
    parser.add_argument("--folder", help="where clips are written, about 1.15 MB each")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    (measure if args.measure else run)(args)


if __name__ == "__main__":
    main()
