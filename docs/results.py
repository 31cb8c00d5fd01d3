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
    header = ("clips", "on disk", "model", "fit", "predict", "2 folds, 2 processes", "resident")
    rows = [header]
    for row in read("memory"):
        peaks = [f"{row['anonymous'][s]:,.0f}" for s in ("fit", "predict", "cross-validate")]
        clips, disk = f"{row['clips']:,}", f"{row['mib_on_disk']:,.0f}"
        rows.append((clips, disk, MODELS[row["model"]], *peaks, f"{row['resident']:,.0f}"))
    return rows


def list_sizes():
    """Return memory and seconds against the numbers of clips, frames and landmarks."""
    stages = ("fit", "predict", "cross-validate")
    rows = [
        ("model", "clips", "frames", "landmarks", "peak of fit, MiB", *(f"{s}, s" for s in stages))
    ]
    curves = [
        row for row in read("memory_curves") if (row["frames"], row["landmarks"]) != (200, 478)
    ]
    for row in sorted(read("memory") + curves, key=lambda row: row["model"]):
        sizes = (f"{row[name]:,}" for name in ("clips", "frames", "landmarks"))
        seconds = (f"{row['seconds'][stage]:.1f}" for stage in stages)
        rows.append((MODELS[row["model"]], *sizes, f"{row['anonymous']['fit']:,.0f}", *seconds))
    return rows


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
