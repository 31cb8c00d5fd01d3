"""Print how far the package is from what the authors' code returned.

Usage: python benchmarks/golden_agreement.py GOLDEN_FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import torch

from smilefusion import DMarkerTransformer
from smilefusion.nn import FUSIONS, TwoStreamNetwork, convert_published_state


def relative_difference(ours, theirs):
    """Return the largest difference relative to the larger of the two magnitudes."""
    scale = np.maximum(np.abs(ours), np.abs(theirs))
    return float(np.max(np.abs(ours - theirs) / np.where(scale > 0, scale, 1)))


def compare_fusion(key, path):
    """Return the largest relative difference of the published probabilities."""
    golden = np.load(path)
    state = {
        name.removeprefix("state."): torch.from_numpy(golden[name])
        for name in golden.files
        if name.startswith("state.")
    }
    params = {"context": "dmarker"} if "attention" in key else None
    network = TwoStreamNetwork(key, 256, 225, fusion_params=params).eval()
    network.load_state_dict(convert_published_state(state))
    with torch.no_grad():
        logit = network(torch.from_numpy(golden["deep"]), torch.from_numpy(golden["dmarker"]))
    return relative_difference(torch.sigmoid(logit).numpy(), golden["probability"])


def compare_dmarkers(path):
    """Return the largest relative difference of the published D-Markers and the exact clips."""
    golden = np.load(path)
    transformer = DMarkerTransformer(definition="hadasmilenet")
    pairs = [
        (transformer.fit_transform([golden[f"clip_{i}"]])[0], golden[f"features_{i}"])
        for i in range(sum(name.startswith("clip_") for name in golden.files))
    ]
    exact = sum(np.array_equal(ours, theirs) for ours, theirs in pairs)
    return max(relative_difference(*pair) for pair in pairs), exact, len(pairs)


def main(folder):
    difference, exact, n_clips = compare_dmarkers(folder / "published_dmarkers.npz")
    print(f"D-Markers: {exact} of {n_clips} clips equal bit for bit, largest {difference:.1e}")
    for key in FUSIONS:
        path = folder / f"fusion_{key}.npz"
        network = TwoStreamNetwork(key, 256, 225)
        n_parameters = sum(p.numel() for p in network.parameters())
        agreement = f"{compare_fusion(key, path):.1e}" if path.exists() else "no golden file"
        print(f"{key:30s} {n_parameters:12,d} parameters   {agreement}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
