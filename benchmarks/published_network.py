"""Compare the published network with its plain formulation: results, time, memory and FLOPs.

Run ``python benchmarks/published_network.py`` (Linux); the defaults take about ten minutes and
20 GB of memory. It prints

1. the difference of logits, gradients and BatchNorm statistics of a training step in double
   precision without dropout;
2. time and peak memory of a training step (forward, backward, AdamW) as ratios to the plain
   network, also for the default network with as many and twice as many frames. Each measurement
   runs in a process of its own, in turn. glibc's malloc keeps freed memory, without which the
   plain network is much slower; ``--default-malloc`` keeps malloc's own settings;
3. FLOPs per clip of matrix products, convolutions and attention, by torch's counter.
"""

import json
import statistics
import time
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from common import read_options, read_status, run_script
from plain_network import PlainNetwork
from torch.utils.flop_counter import FlopCounterMode

from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.nn import MeshTransformer, PublishedEncoder, convert_published_state
from smilefusion.nn._networks import SmileNetwork
from smilefusion.nn.published._state_dicts import convert_published_encoder_state

ENCODER_ENTRIES = ("encoder.", "downsample.", "transformer.", "time.")
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
IN_PLACE = {  # an operation that torch's counter does not know
    torch.ops.aten.addmm_: lambda _, left, right, **options: 2 * left[0] * left[1] * right[1]
}


class Curvenet(SmileNetwork):
    """The package's published network, with the plain one's arguments."""

    def __init__(self, dropout=0.1):
        super().__init__(PublishedEncoder, dropout=dropout)

    def forward(self, landmarks, dmarker):
        """Return the logits (B, 1) of landmarks (B, T, 478, 3) and D-Markers (B, 225)."""
        return super().forward(dmarker=dmarker, landmarks=landmarks)


class Default(SmileNetwork):
    """The package's default network, with the plain one's arguments."""

    def __init__(self):
        mirror = MEDIAPIPE_478.mirror
        super().__init__(MeshTransformer, n_landmarks=478, n_dims=3, mirror=mirror)

    def forward(self, landmarks, dmarker):
        """Return the logits (B, 1) of landmarks (B, T, 478, 3) and D-Markers (B, 225)."""
        n_clips, n_frames = landmarks.shape[:2]
        times = torch.linspace(0, 3, n_frames).expand(n_clips, -1)
        mask = torch.ones(n_clips, n_frames, dtype=torch.bool)
        frames = {"landmarks": landmarks, "mask": mask, "time": times}
        return super().forward(dmarker=dmarker, duration=times[:, -1], **frames)


def build(kind, **params):
    """Return a network in training mode."""
    torch.manual_seed(0)
    return {"plain": PlainNetwork, "curvenet": Curvenet, "default": Default}[kind](**params)


def make_inputs(n_clips, n_frames):
    """Return landmarks of a moving face within about [0, 1], D-Markers and labels."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    steps = 0.01 * draw(n_clips, n_frames, 478, 3)
    landmarks = 0.5 + 0.2 * draw(478, 3) + steps.cumsum(dim=1)
    return landmarks, draw(n_clips, 225), (torch.arange(n_clips) % 2).to(landmarks)[:, None]


def train_step(network, landmarks, dmarkers, labels):
    """Return the logits (B, 1); the gradients stay in the network."""
    logits = network(landmarks, dmarkers)
    F.binary_cross_entropy_with_logits(logits, labels).backward()
    return logits.detach()


def convert(state):
    """Return a state dict of the plain network under the package's names."""
    state = {name: entry for name, entry in state.items() if not name.endswith(".pe")}
    encoder = {name: entry for name, entry in state.items() if name.startswith(ENCODER_ENTRIES)}
    head = {name: entry for name, entry in state.items() if name not in encoder}
    encoder = convert_published_encoder_state(encoder).items()
    return {f"encoder.{name}": entry for name, entry in encoder} | convert_published_state(head)


def trace_step(kind, state, inputs):
    """Return logits, gradients and BatchNorm statistics of a training step, one vector each."""
    network = build(kind, dropout=0.0)
    network.load_state_dict(state if kind == "plain" else convert(state))
    logits = train_step(network, *inputs)
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    buffers = network.state_dict()
    if kind == "plain":
        buffers, gradients = convert(buffers), convert(buffers | gradients)
    moments = [buffers[name] for name in sorted(buffers) if ".running_" in name]
    names = [name for name, _ in build("curvenet").named_parameters()]
    parts = [logits], [gradients[name] for name in names], moments
    return [torch.cat([tensor.flatten() for tensor in part]) for part in parts]


def compare_step(n_clips, n_frames):
    """Print how far the package's training step is from the plain one."""
    torch.set_default_dtype(torch.float64)
    inputs, state = make_inputs(n_clips, n_frames), build("plain").state_dict()
    traces = [trace_step(kind, state, inputs) for kind in ("curvenet", "plain")]
    torch.set_default_dtype(torch.float32)
    print("Double precision: norm of the difference / norm")
    for name, ours, plain in zip(("logits", "gradients", "statistics"), *traces, strict=True):
        print(f"  {name:12s}{float((ours - plain).norm() / plain.norm()):.1e}")


def measure(kind, n_clips, n_frames, n_threads):
    """Return seconds and MiB of a training step; runs in a process of its own."""
    torch.set_num_threads(n_threads)
    before, seconds = read_status("VmRSS"), []
    network, inputs = build(kind), make_inputs(n_clips, n_frames)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0)
    while len(seconds) < 2 or sum(seconds[1:]) < 2.0:  # the first step warms up
        start = time.perf_counter()
        optimizer.zero_grad()
        train_step(network, *inputs)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), read_status("VmHWM") - before


def compare_cost(networks, options):
    """Print time and memory of a training step of each network."""
    sizes = "--clips", options.clips, "--threads", options.threads
    environment = {} if options.default_malloc else MALLOC
    runs = [
        [
            run_script(__file__, *sizes, "--measure", kind, "--frames", n_frames, **environment)
            for kind, n_frames in networks
        ]
        for _ in range(options.repeats)
    ]
    runs = np.array(runs)  # (repeats, networks, 2)
    costs, ratios = np.median(runs, axis=0), np.median(runs[:, :1] / runs, axis=0)
    print(f"\nTraining step of {options.clips} clips, medians of {options.repeats} runs")
    for (kind, n_frames), (seconds, peak), (faster, less) in zip(
        networks, costs, ratios, strict=True
    ):
        print(
            f"  {kind:9s}{n_frames:4d} frames: {seconds:8.4f} s, plain / this {faster:7.1f}; "
            f"{peak:8.0f} MiB, plain / this {less:6.1f}"
        )


def print_flops(networks):
    """Print FLOPs per clip of a forward pass and of a training step."""
    print("\nGFLOP per clip")
    for kind, n_frames in networks:
        network, inputs = build(kind), make_inputs(1, n_frames)
        counts = []
        for run in (partial(network.eval(), *inputs[:2]), partial(train_step, network, *inputs)):
            with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
                run()
            counts.append(counter.get_total_flops() / 1e9)
        print(f"  {kind:9s}{n_frames:4d} frames: forward {counts[0]:.4f}, step {counts[1]:.4f}")


def main():
    options = read_options(
        __doc__, clips=16, frames=16, threads=2, repeats=3, default_malloc=False, measure=""
    )
    if options.measure:
        sizes = options.clips, options.frames, options.threads
        print(json.dumps(measure(options.measure, *sizes)))
        return
    torch.set_num_threads(options.threads)
    networks = [(kind, options.frames) for kind in ("plain", "curvenet", "default")]
    networks.append(("default", 2 * options.frames))
    compare_step(min(options.clips, 4), options.frames)
    compare_cost(networks, options)
    print_flops(networks)


if __name__ == "__main__":
    main()
