"""Compare the published network with its plain formulation: results, time, memory and FLOPs.

Run ``python benchmarks/published_network.py``; it takes about ten minutes and, at the default
sizes, 20 GB of memory. Linux, of which it asks the resident memory.

1. Both networks against the golden files, if the folder ``shared`` lies beside the checkout.
2. A training step of both with the same weights: outputs, gradients and statistics of BatchNorm.
   Dropout is off, since each draws its own random numbers. Hard choices make the published
   network jump where rounding decides: how far is told by either network in single precision
   against itself in double.
3. Time and peak memory of a training step (forward, backward, AdamW) of these and of the default
   network, with as many frames and with twice as many: each in processes of its own, in turn.
   glibc's malloc is told to keep what it is given back, without which the plain network is much
   slower; ``--default-malloc`` leaves malloc as it is shipped.
4. FLOPs per clip by torch's counter, which sees matrix products, convolutions and attention.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from plain_network import PlainNetwork
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.nn import MeshTransformer, convert_published_state
from smilefusion.nn._networks import SmileNetwork
from smilefusion.nn.published._encoder import PublishedEncoder
from smilefusion.nn.published._state_dicts import convert_published_encoder_state

GOLDEN = Path(__file__).resolve().parents[1].parent / "shared" / "golden"
ENCODER_ENTRIES = ("encoder.", "downsample.", "transformer.", "time.")
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
SHORTEST_RUN = 2.0  # seconds of steps that a process measures, at least one step
IN_PLACE = {  # FLOPs of an operation that torch's counter does not know
    torch.ops.aten.addmm_: lambda _, left, right, **options: 2 * left[0] * left[1] * right[1]
}
TAPS = {  # of the golden file, and of forward_taps
    "encoder_frame0": lambda taps: taps["encoder"][0],
    "tokens_frame0": lambda taps: taps["tokens"][0, 0],
    "space_time": lambda taps: taps["space_time"],
    "deep": lambda taps: taps["deep"],
    "probability": lambda taps: taps["logit"].sigmoid(),
}


class Curvenet(SmileNetwork):
    """The package's network, with the plain one's arguments and taps."""

    def __init__(self, dropout=0.1):
        super().__init__(PublishedEncoder, dropout=dropout)

    def forward(self, landmarks, dmarker):
        """Return the logits (B, 1) of landmarks (B, T, 478, 3) and D-Markers (B, 225)."""
        return super().forward(dmarker=dmarker, landmarks=landmarks)

    def forward_taps(self, landmarks, dmarker):
        """Return the logits and what leads to them."""
        taps = self.encoder.forward_taps(landmarks)
        return taps | {"logit": self.head(self.fusion(taps["deep"], dmarker))}


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
    """Return a network in training, in torch's default precision."""
    torch.manual_seed(0)
    return {"plain": PlainNetwork, "curvenet": Curvenet, "default": Default}[kind](**params)


def make_inputs(n_clips, n_frames):
    """Return landmarks of a moving face within about [0, 1], D-Markers and labels."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float32)
    steps = 0.01 * draw(n_clips, n_frames, 478, 3)
    landmarks = 0.5 + 0.2 * draw(478, 3) + steps.cumsum(dim=1)
    labels = torch.arange(n_clips).view(-1, 1) % 2
    precision = torch.get_default_dtype()
    return [table.to(precision) for table in (landmarks, draw(n_clips, 225), labels)]


def train_step(network, landmarks, dmarkers, labels):
    """Return the logits (B, 1); gradients are left in the network."""
    logits = network(landmarks, dmarkers)
    F.binary_cross_entropy_with_logits(logits, labels).backward()
    return logits.detach()


def convert(state):
    """Return a state dict of the plain network in the names of the package's."""
    state = {name: entry for name, entry in state.items() if not name.endswith(".pe")}
    encoder = {name: entry for name, entry in state.items() if name.startswith(ENCODER_ENTRIES)}
    rest = {name: entry for name, entry in state.items() if name not in encoder}
    encoder = convert_published_encoder_state(encoder).items()
    return {f"encoder.{name}": entry for name, entry in encoder} | convert_published_state(rest)


def difference(ours, theirs):
    """Return the largest difference over the largest magnitude."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compare_golden():
    """Print how far both networks are from the golden files at each tap."""
    print("Largest difference from the golden files, over the largest magnitude")
    if not GOLDEN.is_dir():
        print(f"  not compared: {GOLDEN.parent.name}/{GOLDEN.name} is absent")
        return
    state, golden = (
        {name: torch.from_numpy(array) for name, array in np.load(GOLDEN / file).items()}
        for file in ("hadasmilenet_state.npz", "hadasmilenet_io.npz")
    )
    plain, ours = build("plain"), build("curvenet")
    positions = {name: entry for name, entry in plain.state_dict().items() if name[-3:] == ".pe"}
    plain.load_state_dict(state | positions)
    ours.load_state_dict(convert(state))
    for kind, network in (("plain", plain), ("curvenet", ours)):
        with torch.no_grad():
            taps = network.eval().forward_taps(golden["clips"], golden["dmarkers"])
        cells = [f"{name} {difference(tap(taps), golden[name]):.1e}" for name, tap in TAPS.items()]
        print(f"  {kind:9s} {'  '.join(cells)}")


def trace_step(kind, state, inputs, precision):
    """Return tensors of a training step: logits, BatchNorm statistics, gradients and curves."""
    network, curves = build(kind, dropout=0.0).to(precision), []
    network.load_state_dict(state if kind == "plain" else convert(state))
    for name, module in network.named_modules():
        if name.endswith("walk"):
            module.register_forward_hook(
                lambda module, given, curve: curves.append(curve.detach())
            )
    logits = train_step(network, *(table.to(precision) for table in inputs))
    traced = network.state_dict()
    traced |= {name: weight.grad for name, weight in network.named_parameters()}
    if kind == "plain":
        traced, curves = convert(traced), [curve.permute(0, 2, 3, 1) for curve in curves]
    moments = [traced[name] for name in sorted(traced) if ".running_" in name]
    gradients = [traced[name] for name, _ in build("curvenet").named_parameters()]
    return [logits], moments, gradients, curves


def describe(ours, theirs):
    """Return the differences of two traced steps as text."""
    cells = []
    for tensors, expected in list(zip(ours, theirs, strict=True))[:3]:
        together, all_expected = (
            torch.cat([t.flatten() for t in part]) for part in (tensors, expected)
        )
        cells.append(float((together - all_expected).norm() / all_expected.norm()))
    cells.append(max(map(difference, ours[2], theirs[2])))
    flips = [
        (curve - expected).abs().amax(dim=-1) > 1e-3 * expected.abs().max()
        for curve, expected in zip(ours[3], theirs[3], strict=True)
    ]
    n_flips, n_points = sum(map(torch.sum, flips)), sum(map(torch.numel, flips))
    return "".join(f"{cell:10.1e}" for cell in cells) + f"{n_flips:8d} of {n_points}"


def compare_step(n_clips, n_frames):
    """Print how far the package's training step is from the plain one."""
    torch.set_default_dtype(torch.float64)  # also of the constants of both networks
    inputs, state = make_inputs(n_clips, n_frames), build("plain").state_dict()
    traces = {
        (kind, precision): trace_step(kind, state, inputs, precision)
        for kind in ("plain", "curvenet")
        for precision in (torch.float32, torch.float64)
    }
    torch.set_default_dtype(torch.float32)
    print(f"\nTraining step of {n_clips} clips of {n_frames} frames: norm of the difference over")
    print("the norm, of all logits, BatchNorm statistics and gradients; largest difference over")
    print("the largest magnitude, of any tensor's gradient; points of curves that are others")
    print(f"{'':34s}    logits BatchNorm gradients  gradient  curve points")
    single, double = torch.float32, torch.float64
    for name, ours, theirs in (
        ("curvenet against plain, double", ("curvenet", double), ("plain", double)),
        ("curvenet against plain, single", ("curvenet", single), ("plain", single)),
        ("plain, single against double", ("plain", single), ("plain", double)),
        ("curvenet, single against double", ("curvenet", single), ("curvenet", double)),
    ):
        print(f"  {name:32s}{describe(traces[ours], traces[theirs])}")


def resident(field):
    """Return a size of resident memory that Linux states of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure(kind, n_clips, n_frames, n_threads):
    """Print, for the process that started this one, time and memory of training steps."""
    torch.set_num_threads(n_threads)
    before, durations = resident("VmRSS"), []
    network, inputs = build(kind), make_inputs(n_clips, n_frames)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0)
    while len(durations) < 2 or sum(durations[1:]) < SHORTEST_RUN:
        start = time.perf_counter()
        optimizer.zero_grad()
        train_step(network, *inputs)
        optimizer.step()
        durations.append(time.perf_counter() - start)
    peak = resident("VmHWM") - before
    print(json.dumps([statistics.median(durations[1:]), peak, before]))


def measure_apart(kind, n_frames, arguments):
    """Return time (s) and memory (bytes) of training steps in a process of its own."""
    environment = {name: text for name, text in os.environ.items() if name not in MALLOC}
    command = [sys.executable, __file__, "--measure", kind, "--frames", n_frames]
    command += ["--clips", arguments.clips, "--threads", arguments.threads]
    printed = subprocess.run(
        [str(word) for word in command],
        env=environment | ({} if arguments.default_malloc else MALLOC),
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return json.loads(printed)


def compare_cost(networks, arguments):
    """Print time and memory of a training step of each network."""
    runs = np.array(
        [
            [measure_apart(kind, n_frames, arguments) for kind, n_frames in networks]
            for _ in range(arguments.repeats)
        ]
    )  # (repeats, networks, 3)
    malloc = "malloc as shipped" if arguments.default_malloc else "malloc keeping its memory"
    print(f"\nTraining step of {arguments.clips} clips, {arguments.threads} threads, {malloc};")
    print(f"medians of {arguments.repeats} runs in turn. Peak of resident memory above that of")
    print(f"the interpreter with torch and the package, {np.median(runs[:, :, 2]) / 1e6:.0f} MB")
    times, peaks = np.median(runs[:, :, :2], axis=0).T
    ratios = np.median(runs[:, :1, :2] / runs[:, :, :2], axis=0)
    for (kind, n_frames), duration, peak, ratio in zip(
        networks, times, peaks, ratios, strict=True
    ):
        print(
            f"  {kind:9s}{n_frames:4d} frames  {duration:9.4f} s  {peak / 1e6:9.1f} MB   "
            f"{ratio[0]:7.1f} times as fast, 1/{ratio[1]:.1f} of the memory"
        )


class Operations(TorchDispatchMode):
    """Collects the operations that are run."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation."""
        self.seen.add(func._overloadpacket)
        return func(*args, **(kwargs or {}))


def count_flops(run):
    """Return the FLOPs of a call; raise if it multiplies matrices unseen by the counter."""
    counter = FlopCounterMode(display=False, custom_mapping=IN_PLACE)
    with Operations() as operations, counter:
        run()
    unseen = operations.seen - set(flop_registry) - set(IN_PLACE)
    unseen = [str(operation) for operation in unseen if "mm" in str(operation)]
    if unseen:
        raise RuntimeError(f"FLOPs of {', '.join(unseen)} are not counted; add them to IN_PLACE")
    return counter.get_total_flops()


def print_flops(networks):
    """Print FLOPs per clip of a forward pass in evaluation and of a training step."""
    print("\nFLOPs per clip of matrix products, convolutions and attention")
    for kind, n_frames in networks:
        network, inputs = build(kind), make_inputs(1, n_frames)
        training = count_flops(partial(train_step, network, *inputs))
        with torch.no_grad():
            forward = count_flops(partial(network.eval(), *inputs[:2]))
        print(
            f"  {kind:9s}{n_frames:4d} frames  forward {forward / 1e9:8.4f} G   "
            f"training {training / 1e9:8.4f} G"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--default-malloc", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.clips, arguments.frames, arguments.threads)
        return
    torch.set_num_threads(arguments.threads)
    networks = [(kind, arguments.frames) for kind in ("plain", "curvenet", "default")]
    networks.insert(2, ("default", 2 * arguments.frames))
    print(f"torch {torch.__version__} on {processor()}")
    compare_golden()
    compare_step(min(arguments.clips, 4), arguments.frames)
    compare_cost(networks, arguments)
    print_flops(networks)


def processor():
    """Return the name that Linux states of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


if __name__ == "__main__":
    main()
