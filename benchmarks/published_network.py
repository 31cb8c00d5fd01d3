"""Compare the published network with its plain formulation: results, time, memory and FLOPs.

Run ``python benchmarks/published_network.py``; it takes about ten minutes and, at the default
sizes, 20 GB of memory. Linux, of which it asks the resident memory.

1. Both networks against the golden files, if the folder ``shared`` lies beside the checkout.
2. A training step of both with the same weights: outputs, gradients and statistics of BatchNorm,
   in single and in double precision. Dropout is off, since each draws its own random numbers.
3. Time and peak memory of a training step (forward, backward, AdamW): each network in processes
   of its own, in turn. glibc's malloc keeps what it is given back, which is the faster for the
   plain network; ``--default-malloc`` leaves malloc as it is shipped.
4. FLOPs per clip by torch's counter: matrix products, convolutions and attention alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from plain_network import PlainNetwork
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.nn import MeshTransformer, convert_published_state
from smilefusion.nn._published_encoder import PublishedEncoder, convert_published_encoder_state
from smilefusion.nn._smile_network import SmileNetwork

GOLDEN = Path(__file__).resolve().parents[1].parent / "shared" / "golden"
ENCODER_ENTRIES = ("encoder.", "downsample.", "transformer.", "time.")
NETWORKS = ("plain", "curvenet", "default, 32 frames", "default, 16 frames")
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
SHORTEST_RUN = 2.0  # seconds of steps that a process measures, at least one step
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


def build(name):
    """Return a network in training."""
    torch.manual_seed(0)
    return {"plain": PlainNetwork, "curvenet": Curvenet}.get(name, Default)().train()


def make_inputs(n_clips, n_frames, dtype=torch.float32):
    """Return faces that move, scaled to [0, 1], random D-Markers and labels."""
    generator = torch.Generator().manual_seed(0)
    face = torch.rand(478, 3, generator=generator)
    steps = 0.01 * torch.randn(n_clips, n_frames, 478, 3, generator=generator)
    landmarks = (face + steps.cumsum(dim=1)).to(dtype)
    dmarkers = torch.randn(n_clips, 225, generator=generator).to(dtype)
    return landmarks, dmarkers, (torch.arange(n_clips) % 2).to(dtype).unsqueeze(1)


def load_published(network, state):
    """Load weights in the authors' names into a network of either kind."""
    if isinstance(network, Curvenet):
        encoder = {k: v for k, v in state.items() if k.startswith(ENCODER_ENTRIES)}
        rest = {k: v for k, v in state.items() if k not in encoder}
        converted = convert_published_encoder_state(encoder)
        network.encoder.load_state_dict(converted)
        missing, unexpected = network.load_state_dict(convert_published_state(rest), strict=False)
        missing = [name for name in missing if not name.startswith("encoder.")]
    else:
        missing, unexpected = network.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith(".pe")]
    if missing or unexpected:
        raise ValueError(f"Missing entries {missing}, unknown entries {unexpected}")
    return network


def relative_difference(ours, theirs):
    """Return the largest difference over the largest magnitude."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compare_golden():
    """Print how far both networks are from the golden files at each tap."""
    print("Largest relative difference from the golden files")
    if not GOLDEN.is_dir():
        print(f"  not compared: the folder {GOLDEN.parent.name}/{GOLDEN.name} is absent")
        return
    state, golden = (
        {name: torch.from_numpy(array) for name, array in np.load(GOLDEN / file).items()}
        for file in ("hadasmilenet_state.npz", "hadasmilenet_io.npz")
    )
    for name in ("plain", "curvenet"):
        network = load_published(build(name), state).eval()
        with torch.no_grad():
            taps = network.forward_taps(golden["clips"], golden["dmarkers"])
        cells = [f"{key} {relative_difference(tap(taps), golden[key]):.1e}" for key, tap in TAPS.items()]
        print(f"  {name:10s}", "   ".join(cells))
