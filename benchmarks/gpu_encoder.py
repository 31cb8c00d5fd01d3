"""Print how well a training step of the default encoder uses a CUDA GPU, and what bounds it.

Run ``python benchmarks/gpu_encoder.py`` on a machine with a GPU; it takes two minutes. Printed
are, for batch sizes and kinds of arithmetic, the time of a training step of encoder and head
(forward, backward, AdamW) on clips of 32 frames of 478 landmarks that lie on the GPU, the rate of
its floating-point operations, and that rate as a share of what a large matrix product reaches on
the same card in the same run; then the kernels of one step by time. ``--device cpu`` tries the
script without a GPU, on small batches.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from smilefusion.estimators._losses import WeightedClassificationLoss
from smilefusion.landmarks import landmark_scheme
from smilefusion.nn import MeshTransformer
from smilefusion.nn._networks import SmileNetwork

N_FRAMES, N_LANDMARKS, N_DIMS = 32, 478, 3
N_WARM_UP, N_TIMED = 5, 20


def make_network(device, mixed):
    """Return the default encoder with a head, its loss and its optimiser."""
    torch.manual_seed(0)
    network = SmileNetwork(
        MeshTransformer,
        n_landmarks=N_LANDMARKS,
        n_dims=N_DIMS,
        mirror=landmark_scheme(N_LANDMARKS).mirror,
        dmarkers="none",
        mixed_precision=mixed,
    ).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-3, fused=True, capturable=device == "cuda"
    )
    return network, WeightedClassificationLoss(), optimizer


def make_batch(n_clips, device):
    """Return inputs and target of random clips."""
    inputs = {
        "landmarks": torch.randn(n_clips, N_FRAMES, N_LANDMARKS, N_DIMS, device=device),
        "mask": torch.ones(n_clips, N_FRAMES, dtype=torch.bool, device=device),
        "time": torch.arange(N_FRAMES, device=device).float().repeat(n_clips, 1) / 50,
        "duration": torch.full((n_clips,), N_FRAMES / 50, device=device),
    }
    label = torch.randint(2, (n_clips,), device=device).float()
    return inputs, torch.stack([label, torch.ones_like(label), torch.zeros_like(label)], dim=1)


def make_step(network, criterion, optimizer, batch):
    """Return a function that takes one training step."""
    inputs, target = batch

    def step():
        optimizer.zero_grad()
        loss = criterion(network(**inputs), target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def time_calls(function, device, n_calls=N_TIMED):
    """Return the median seconds of a call, the GPU's work included."""
    seconds = []
    for number in range(N_WARM_UP + n_calls):
        began = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        if number >= N_WARM_UP:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def measure_peak(device):
    """Return the operations per second of large matrix products, by kind of arithmetic."""
    size = 8192 if device == "cuda" else 512
    rates = {}
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("TF32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        set_tf32(tf32)
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        rates[name] = 2 * size**3 / time_calls(lambda a=a, b=b: a @ b, device)
    return rates


def set_tf32(allowed):
    """Say whether products of float32 may be rounded to TF32."""
    torch.backends.cuda.matmul.allow_tf32 = allowed


def measure_copy(device):
    """Return bytes per second of a large copy on the device, read and written."""
    source = torch.empty(2**30 if device == "cuda" else 2**24, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / time_calls(lambda: target.copy_(source), device)


def count_operations(n_clips, device):
    """Return the floating-point operations of a training step, per clip."""
    step = make_step(*make_network(device, mixed=False), make_batch(n_clips, device))
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / n_clips


def measure_steps(arguments, peaks, n_operations):
    """Print a row for each batch size and kind of arithmetic."""
    rows = []
    kinds = {"float32": (False, False), "TF32": (False, True), "bfloat16": (True, False)}
    for n_clips in arguments.batch_sizes:
        batch = make_batch(n_clips, arguments.device)
        for kind, (mixed, tf32) in kinds.items():
            set_tf32(tf32)
            for form in ("eager", *arguments.forms):
                network, criterion, optimizer = make_network(arguments.device, mixed)
                if form == "compiled":
                    network = torch.compile(network)
                step = make_step(network, criterion, optimizer, batch)
                if form == "graph":
                    try:
                        step = capture(step)
                    except RuntimeError as error:
                        print(f"{n_clips:6d} clips {kind:9s}graph: {str(error).splitlines()[0]}")
                        continue
                if arguments.device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                seconds = time_calls(step, arguments.device)
                rate = n_operations * n_clips / seconds
                gib = (
                    torch.cuda.max_memory_allocated() / 2**30 if arguments.device == "cuda" else 0
                )
                row = {
                    "clips": n_clips,
                    "arithmetic": kind,
                    "form": form,
                    "ms": 1000 * seconds,
                    "clips_per_second": n_clips / seconds,
                    "tflops": rate / 1e12,
                    "share": rate / peaks[kind],
                    "gib": gib,
                }
                rows.append(row)
                print(
                    f"{n_clips:6d} clips {kind:9s}{form:9s}{row['ms']:9.2f} ms "
                    f"{row['clips_per_second']:10.0f} clips/s {row['tflops']:7.2f} TFLOP/s "
                    f"{100 * row['share']:5.1f} % of a matrix product's, {gib:5.1f} GiB",
                    flush=True,
                )
    set_tf32(False)
    return rows


def capture(step):
    """Return a training step as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def show_kernels(arguments):
    """Print the kernels of a step in bfloat16 at the largest batch, by time."""
    batch = make_batch(arguments.batch_sizes[-1], arguments.device)
    step = make_step(*make_network(arguments.device, mixed=True), batch)
    for _ in range(N_WARM_UP):
        step()
    activities = [ProfilerActivity.CPU]
    if arguments.device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        step()
        if arguments.device == "cuda":
            torch.cuda.synchronize()
    name = "self_device_time_total" if arguments.device == "cuda" else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda each: -getattr(each, name))
    total = sum(getattr(each, name) for each in events)
    rows = []
    for each in events[:14]:
        rows.append({"kernel": each.key[:100], "share": getattr(each, name) / total})
        print(f"{100 * rows[-1]['share']:5.1f} %  {each.count:4d} ×  {each.key[:100]}")
    return rows


def main():
    """Print peaks, steps and kernels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 256, 2048, 16384])
    parser.add_argument("--forms", nargs="*", default=["graph", "compiled"])
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("not measured, there is no GPU here")
        return
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    peaks, copy = measure_peak(arguments.device), measure_copy(arguments.device)
    told = ", ".join(f"{name} {rate / 1e12:.1f}" for name, rate in peaks.items())
    print(
        f"{where}, torch {torch.__version__}: matrix products {told} TFLOP/s, copy "
        f"{copy / 1e12:.2f} TB/s"
    )
    n_operations = count_operations(16, arguments.device)
    print(f"{n_operations / 1e6:.1f} MFLOP per clip and training step")
    figures = {
        "device": where,
        "torch": torch.__version__,
        "peaks": peaks,
        "copy": copy,
        "flops_per_clip": n_operations,
        "steps": measure_steps(arguments, peaks, n_operations),
        "kernels": show_kernels(arguments),
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
