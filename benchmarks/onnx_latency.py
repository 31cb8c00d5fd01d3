"""Compare predictions of fitted classifiers with those of their ONNX files, on one thread.

Run ``python benchmarks/onnx_latency.py``; it takes about a minute and needs the extra ``onnx``.
Classifiers have their default sizes, 481 columns or clips of 250 frames at 50 per second, and are
trained for one epoch, on which times do not depend. The three ways alternate, so that other work
on the machine falls on all of them:

- ``predict_proba`` of the classifier, with its checks and, for clips, with D-Markers and frames;
- ``network``, the same torch network alone, on inputs that are ready;
- ``onnxruntime``, the file's graph on the same inputs.

Times are medians in ms, with quartiles; ``difference`` is the largest one between probabilities.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from threadpoolctl import threadpool_limits

from smilefusion import FusionClassifier, HadaSmileNetClassifier, export_onnx, onnx_inputs
from smilefusion.datasets import make_smiles

N_DEEP, N_DMARKERS = 256, 225
BATCHES = 1, 64


def fit_table(n_rows=256):
    """Return a classifier of both streams, and its table."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_DEEP + N_DMARKERS)).astype(np.float32)
    streams = {"deep": slice(0, N_DEEP), "dmarker": slice(N_DEEP, None)}
    model = FusionClassifier(**streams, max_epochs=1, device="cpu", random_state=0)
    return model.fit(X, np.arange(n_rows) % 2), X


def fit_clips(n_clips=64):
    """Return a classifier of clips, and clips of 250 frames."""
    smiles = make_smiles(n_clips, n_subjects=n_clips // 2, fps=50, random_state=0)
    clips = [np.resize(clip, (250, *clip.shape[1:])) for clip in smiles.clips]
    model = HadaSmileNetClassifier(
        fps=50, max_epochs=1, early_stopping=False, device="cpu", random_state=0
    )
    return model.fit(clips, smiles.target), clips


def open_session(model):
    """Return a session of one thread with the exported model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        export_onnx(model, path)
        print(f"{type(model).__name__}: file of {path.stat().st_size / 1e6:.1f} MB")
        return onnxruntime.InferenceSession(path, options)


def time_ways(ways, n_times):
    """Return the times of each way in ms, (n_times, n_ways), and their last results."""
    times, results = np.empty((n_times, len(ways))), {}
    for call in range(-2, n_times):  # two calls to warm up
        for place, (name, way) in enumerate(ways.items()):
            start = time.perf_counter()
            results[name] = way()
            if call >= 0:
                times[call, place] = 1000 * (time.perf_counter() - start)
    return times, results


def compare(model, X, n_times):
    """Print the lines of one classifier."""
    rows, session = [], open_session(model)
    network = model.net_.module_.eval()
    for n_clips in BATCHES:
        part = X[:n_clips]
        (inputs,) = onnx_inputs(model, part)
        (view,) = model._test_views(part)
        tensors = {name: torch.from_numpy(values) for name, values in view.items()}

        def run_network(tensors=tensors):
            with torch.inference_mode():
                return network(**tensors)

        ways = {
            "predict_proba": lambda part=part: model.predict_proba(part),
            "network": run_network,
            "onnxruntime": lambda inputs=inputs: session.run(None, inputs)[0],
        }
        times, results = time_ways(ways, n_times)
        difference = np.abs(results["onnxruntime"] - results["predict_proba"]).max()
        quartiles = np.percentile(times, [50, 25, 75], axis=0).T
        cells = [f"{m:8.3f} ({low:.3f} … {high:.3f})" for m, low, high in quartiles]
        print(f"{n_clips:5}  {'  '.join(cells)}  {difference:.0e}")
        medians = dict(zip(ways, np.median(times, axis=0), strict=True))
        row = {"model": type(model).__name__, "clips": n_clips, "difference": difference}
        rows.append(row | medians)
    return rows


def main():
    """Print what the module's docstring describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-times", type=int, default=100)
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("clips  predict_proba, network, onnxruntime: ms (quartiles)  difference")
    with threadpool_limits(1):
        rows = compare(*fit_table(), arguments.n_times)
        rows += compare(*fit_clips(), max(arguments.n_times // 5, 5))
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1, default=float))


if __name__ == "__main__":
    main()
