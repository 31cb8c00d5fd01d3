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


def list_fits():
    """Return single fits on one CPU core against a plain skorch net."""
    rows = [("strategy", "width", "ours", "plain skorch", "plain / ours", "ours", "plain")]
    for row in read("table_networks_cpu")["fit"]:
        times = f"{row['ours']:.2f} s", f"{row['plain']:.2f} s", f"{row['ratio']:.1f}"
        accuracy = f"{row['accuracy_ours']:.3f}", f"{row['accuracy_plain']:.3f}"
        rows.append((row["fusion"], str(row["hidden_dim"]), *times, *accuracy))
    return rows


def list_searches():
    """Return searches over 15 strategies and 10 folds, trained together and one by one."""
    rows = [("search", *DEVICES.values())]
    runs = {kind: read(f"table_networks_{kind}")["search"][0] for kind in DEVICES}
    names = {
        "together_1": "FusionSearchCV, one process",
        "together_2": "FusionSearchCV, two processes",
        "one_by_one": "GridSearchCV over FusionClassifier",
        "plain_1": "GridSearchCV over plain skorch nets",
        "plain_2": "the same, two processes",
    }
    for name, label in names.items():
        cells = [tell_seconds(run[name]) if name in run else "" for run in runs.values()]
        if name == "one_by_one":
            cells[list(runs).index("gpu")] = ""  # measured when single fits still used graphs
        rows.append((label, *cells))
    ratios = []
    for run in runs.values():
        n_jobs = max(n for n in (1, 2) if f"together_{n}" in run)
        ratios.append(f"{run['plain_1'] / run[f'together_{n_jobs}']:.1f}")
    rows.append(("plain, one process / FusionSearchCV at its best", *ratios))
    rows.append(("epochs of a fit", *(str(run["epochs"]) for run in runs.values())))
    rows.append(
        ("folds that plain nets were run on", *(str(r["plain_folds"]) for r in runs.values()))
    )
    differences = [f"{run['largest_score_difference']:.3f}" for run in runs.values()]
    rows.append(("largest difference of a score to one by one", *differences))
    return rows


def list_candidates():
    """Return the time of a search against its number of candidates."""
    rows = [("candidates", "fits", "seconds", "seconds a fit")]
    for row in read("table_networks_cpu")["candidates"]:
        n_fits, seconds = 10 * row["candidates"], row["seconds"]
        cells = str(row["candidates"]), str(n_fits), f"{seconds:.1f}", f"{seconds / n_fits:.2f}"
        rows.append(cells)
    return rows


def list_protocols():
    """Return the time of the whole protocol."""
    rows = [("stages", "on", "folds run", "time of ten folds")]
    names = {"two": "two stages, 10 encoders and 150 fusions", "end": "end to end, 150 networks"}
    for kind, device in DEVICES.items():
        figures = read(f"full_protocol_{kind}")
        for name, label in names.items():
            if name in figures:
                run = figures[name]
                rows.append((label, device, str(run["folds_run"]), tell_seconds(run["seconds"])))
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


def list_encoder_steps():
    """Return training steps of the default encoder on a GPU."""
    header = ("clips", "arithmetic", "step", "as a graph", "clips a second", "TFLOP/s", "share")
    rows, steps = [header], read("encoder_gpu")["steps"]
    graphs = {(s["clips"], s["arithmetic"]): s for s in steps if s["form"] == "graph"}
    for step in (s for s in steps if s["form"] == "eager"):
        graph = graphs[step["clips"], step["arithmetic"]]
        times = f"{step['ms']:.1f} ms", f"{graph['ms']:.1f} ms"
        rates = f"{graph['clips_per_second']:,.0f}", f"{graph['tflops']:.1f}"
        share = f"{100 * graph['share']:.1f} %"
        rows.append((f"{step['clips']:,}", step["arithmetic"], *times, *rates, share))
    return rows


def list_onnx():
    """Return the latency of ONNX files."""
    rows = [("classifier", "clips", "predict_proba", "network", "onnxruntime", "difference")]
    for row in read("onnx"):
        times = (f"{row[name]:.2f} ms" for name in ("predict_proba", "network", "onnxruntime"))
        rows.append((row["model"], str(row["clips"]), *times, f"{row['difference']:.0e}"))
    return rows


TABLES = {
    "fits": list_fits,
    "searches": list_searches,
    "candidates": list_candidates,
    "protocols": list_protocols,
    "memory": list_memory,
    "sizes": list_sizes,
    "encoder_steps": list_encoder_steps,
    "onnx": list_onnx,
}
