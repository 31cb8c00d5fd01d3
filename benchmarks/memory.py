"""Measure peak memory and time of fit, predict and cross-validation against the data's size.

Run ``python benchmarks/memory.py`` (Linux); ``--clips 1000 --models dmarkers`` measures one size
and model. The clips are .npy files. Each measurement runs in a process of its own and reports two
peaks: the anonymous memory of the process and its workers (RssAnon, sampled every 10 ms) and all
resident pages of the main process (VmHWM), which includes pages of mapped files that the system
can take back. ``--output`` writes the rows for the documentation.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from common import read_options, read_status
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DeepFeatureExtractor, DMarkerTransformer, HadaSmileNetClassifier
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import SmileFusionWarning

FPS = 50
N_SIMULATED = 48  # clips that all others are copies of
STAGES = ("import", "fit", "predict", "cross-validate")
OPTIONS = {
    "clips": (100, 1000, 10_000),
    "frames": 200,
    "landmarks": 478,
    "curves": False,  # other numbers of frames and landmarks too
    "models": ("dmarkers", "deep", "net"),
    "n_epochs": 2,
    "n_jobs": 2,
    "output": None,
    "measure": None,  # a folder of clips: be the measured process
}


def write_clips(folder, n_clips, n_frames, n_landmarks):
    """Write clips of one length: simulated clips, tiled and shifted."""
    smiles = make_smiles(N_SIMULATED, n_subjects=12, fps=FPS, missing_rate=0.0, random_state=0)
    rng = np.random.default_rng(0)
    for index in range(n_clips):
        clip = smiles.clips[index % N_SIMULATED][:, :n_landmarks]
        clip = np.resize(clip, (n_frames, *clip.shape[1:])) + np.float32(rng.normal(0, 0.01))
        np.save(folder / f"{index:06d}.npy", clip)
    np.savetxt(folder / "labels.txt", np.resize(smiles.target, n_clips), fmt="%d")


def make_model(name, n_epochs):
    """Return one of the measured models."""
    training = {"fps": FPS, "max_epochs": n_epochs, "random_state": 0}
    regress = StandardScaler(), LogisticRegression(max_iter=200)
    return {
        "dmarkers": make_pipeline(DMarkerTransformer(fps=FPS), *regress),
        "deep": make_pipeline(DeepFeatureExtractor(**training), *regress),
        "net": HadaSmileNetClassifier(**training),
    }[name]


def measure(options):
    """Fit, predict and cross-validate; print when each stage ends."""
    warnings.simplefilter("ignore", SmileFusionWarning)
    clips = sorted(options.measure.glob("*.npy"))
    labels = np.loadtxt(options.measure / "labels.txt", dtype=int)
    model = make_model(options.models[0], options.n_epochs)
    print(time.monotonic(), flush=True)
    model.fit(clips, labels)
    print(time.monotonic(), flush=True)
    model.predict(clips)
    print(time.monotonic(), flush=True)
    cross_validate(
        model, clips, labels, cv=StratifiedKFold(2), n_jobs=options.n_jobs, error_score="raise"
    )
    print(time.monotonic(), flush=True)
    print(read_status("VmHWM"), flush=True)


def anonymous_memory(process):
    """Return the anonymous memory of a process and all its children in MiB."""
    try:
        tasks = Path(f"/proc/{process}/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        children = []
    return read_status("RssAnon", process) + sum(map(anonymous_memory, children))


def watch(folder, model, options):
    """Run one measurement; return anonymous peaks and seconds by stage, and the resident peak."""
    command = [sys.executable, __file__, "--measure", folder, "--models", model]
    command += ["--n-epochs", options.n_epochs, "--n-jobs", options.n_jobs]
    start, samples = time.monotonic(), []
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            samples.append((time.monotonic(), anonymous_memory(child.pid)))
            time.sleep(0.01)
        *ends, resident = map(float, child.stdout)
    if child.returncode:
        raise SystemExit(f"The measurement of {model} failed; its message is above.")
    peaks, seconds = {}, {}
    for stage, (first, last) in zip(STAGES, pairwise([start, *ends]), strict=True):
        peaks[stage] = max((mib for when, mib in samples if first <= when < last), default=0.0)
        seconds[stage] = last - first
    return {"anonymous": peaks, "resident": resident, "seconds": seconds}


def main():
    options = read_options(__doc__, **OPTIONS)
    if options.measure:
        measure(options)
        return
    sizes = [(n_clips, options.frames, options.landmarks) for n_clips in options.clips]
    if options.curves:
        middle = options.clips[len(options.clips) // 2]
        sizes += [(middle, 50, 478), (middle, 400, 478), (middle, options.frames, 68)]
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_clips(Path(folder), *size)
            for model in options.models:
                row = dict(zip(("clips", "frames", "landmarks"), size, strict=True))
                row |= {"model": model, "n_jobs": options.n_jobs}
                row["mib_on_disk"] = 12 * np.prod(size) / 2**20
                rows.append(row | watch(folder, model, options))
                print(json.dumps(rows[-1], default=float), flush=True)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
