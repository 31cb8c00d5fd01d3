"""Tables of the documentation that are generated from what the benchmarks measured."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
MODELS = {
    "dmarkers": "D-Markers, logistic regression",
    "deep": "DeepFeatureExtractor, logistic regression",
    "net": "HadaSmileNetClassifier",
}
DEVICES = {"cpu": "two CPU cores", "gpu": "one H100"}


def read(name):
    """Return the figures of a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def tell_seconds(seconds):
    """Return seconds in a unit that suits them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 1000 else f"{seconds / 3600:.2f} h"


def list_protocols():
    """Return the time of the whole protocol."""
    rows = [("networks", "on", "folds run", "time of ten folds")]
    for kind, device in DEVICES.items():
        run = read(f"full_protocol_{kind}")["end"]
        time = tell_seconds(run["seconds"])
        rows.append(("150, trained end to end", device, str(run["folds_run"]), time))
    return rows


def list_memory():
    """Return the peak memory against the number of clips."""
    rows = [("clips", "model", "fit", "predict", "2 folds in 2 processes")]
    for row in read("memory"):
        peaks = [f"{row['anonymous'][s]:,.0f}" for s in ("fit", "predict", "cross-validate")]
        rows.append((f"{row['clips']:,}", MODELS[row["model"]], *peaks))
    return rows


def list_sizes():
    """Return the seconds of fit and predict against the numbers of clips, frames, landmarks."""
    header = ("clips", "frames", "landmarks", *MODELS.values())
    seconds = {}
    for row in read("memory_curves") + read("memory"):
        size = tuple(row[name] for name in ("clips", "frames", "landmarks"))
        times = f"{row['seconds']['fit']:.1f} / {row['seconds']['predict']:.1f}"
        seconds.setdefault(size, {})[row["model"]] = times
    rows = [
        (*(f"{number:,}" for number in size), *(times[model] for model in MODELS))
        for size, times in sorted(seconds.items())
    ]
    return [header, *rows]


def list_onnx():
    """Return the latency of ONNX files."""
    rows = [("classifier", "clips", "predict_proba", "network", "onnxruntime", "difference")]
    for row in read("onnx"):
        times = (f"{row[name]:.2f} ms" for name in ("predict_proba", "network", "onnxruntime"))
        rows.append((row["model"], str(row["clips"]), *times, f"{row['difference']:.0e}"))
    return rows


TABLES = {
    "protocols": list_protocols,
    "memory": list_memory,
    "sizes": list_sizes,
    "onnx": list_onnx,
}
