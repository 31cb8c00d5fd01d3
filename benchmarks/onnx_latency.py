"""Compare the prediction times of fitted classifiers and their ONNX files on one thread.

Run ``python benchmarks/onnx_latency.py``; it takes about a minute and needs the extra ``onnx``.
``predict_proba`` includes checks and, for clips, D-Markers and frames; ``network`` is the torch
network alone, and ``onnxruntime`` the graph of the file, both on inputs that are ready. The three
alternate. ``--output`` writes the rows for the documentation.
"""

import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from common import largest, print_times, read_options, time_in_turn
from threadpoolctl import threadpool_limits

from smilefusion import FusionClassifier, HadaSmileNetClassifier, export_onnx, onnx_inputs
from smilefusion.datasets import make_smiles

BATCHES = 1, 64
BRIEF = {"max_epochs": 1, "patience": None, "device": "cpu", "random_state": 0}


def fit_table():
    """Return a classifier of both streams, 256 and 225 columns, and its table."""
    X = np.random.default_rng(0).normal(size=(256, 481)).astype(np.float32)
    model = FusionClassifier(deep=slice(0, 256), dmarker=slice(256, None), **BRIEF)
    return model.fit(X, np.arange(256) % 2), X


def fit_clips():
    """Return a classifier of clips, and clips of 250 frames."""
    smiles = make_smiles(64, n_subjects=32, fps=50, random_state=0)
    clips = [np.resize(clip, (250, *clip.shape[1:])) for clip in smiles.clips]
    return HadaSmileNetClassifier(fps=50, **BRIEF).fit(clips, smiles.target), clips


def open_session(model):
    """Export a model and return a session of one thread."""
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = threads.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        export_onnx(model, path)
        return onnxruntime.InferenceSession(path, threads)


def compare(model, X, n_times):
    """Print times and the largest difference of probabilities; return one row per batch size."""
    session, network, rows = open_session(model), model.net_.module_.eval(), []
    for n_clips in BATCHES:
        part = X[:n_clips]
        (inputs,) = onnx_inputs(model, part)
        ready = {name: torch.from_numpy(array) for name, array in network_inputs(model, part)}
        times, results = time_in_turn(
            {
                "predict_proba": partial(model.predict_proba, part),
                "network": torch.inference_mode()(partial(network, **ready)),
                "onnxruntime": partial(session.run, None, inputs),
            },
            n_times,
            n_warm_up=2,
        )
        difference = largest(results["onnxruntime"][0], results["predict_proba"])
        print(f"{type(model).__name__}, {n_clips} clips; largest difference {difference:.0e}")
        print_times(times)
        row = {"model": type(model).__name__, "clips": n_clips, "difference": difference}
        rows.append(row | {name: np.median(each) for name, each in times.items()})
    return rows


def network_inputs(model, part):
    """Return the names and arrays that the torch network takes."""
    (view,) = model._test_views(part)
    return view.items()


def main():
    options = read_options(__doc__, n_times=100, output=None)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        rows = compare(*fit_table(), options.n_times)
        rows += compare(*fit_clips(), max(options.n_times // 5, 5))
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
