"""
What do D-Markers say about a smile?
====================================

D-Markers describe how a smile unfolds: how long its phases last, how far and how fast lips,
cheeks and eyelids move. Here one simulated smile is followed from its landmarks to its signals
and to some of its 225 D-Markers, and the D-Markers are held against what was simulated.
"""

# %%
# A clip and its truth
# --------------------
# A clip is an array of landmarks, one row per frame. A simulated clip comes with the truth: when
# the phases of the smile begin and end, and how far the lip corners move.
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles

smiles = make_smiles(60, n_subjects=30, random_state=4)
clip, truth = smiles.clips[1], smiles.truth.loc[1]
print(f"{clip.shape[0]} frames at {smiles.fps:g} per second, {clip.shape[1]} landmarks in 3-D")
print(truth[["onset_start_s", "apex_start_s", "offset_start_s", "offset_end_s", "amplitude"]])

# %%
# From landmarks to signals
# -------------------------
# Once the head's pose is taken out, the lip signal is the mean distance of the lip corners to
# their centre at rest, over twice the mouth's width at rest, minus its own value at rest. The
# eyelid signal is the opening of the eyes in eye widths. The shades are the phases as they were
# simulated: onset, apex and offset.
from smilefusion.landmarks import landmark_scheme
from smilefusion.pose import align_rigid, fill_missing

scheme = landmark_scheme(clip.shape[1])
face = align_rigid(fill_missing(clip, max_gap=10), scheme)[..., :2]
n_rest = 5


def distance(a, b):
    return np.linalg.norm(a - b, axis=-1)


corners = np.stack([scheme.locate(face, f"{side}_lip_corner") for side in ("right", "left")])
centre = np.median(corners[:, :n_rest].mean(axis=0), axis=0)
width = np.median(distance(*corners[:, :n_rest]))
lip = distance(corners, centre).mean(axis=0) / width
opening = [
    distance(
        (scheme.locate(face, f"{side}_eye_outer") + scheme.locate(face, f"{side}_eye_inner")) / 2,
        scheme.locate(face, f"{side}_eye_upper"),
    )
    / distance(scheme.locate(face, f"{side}_eye_outer"), scheme.locate(face, f"{side}_eye_inner"))
    for side in ("right", "left")
]
eyelid = np.mean(opening, axis=0)

seconds = np.arange(len(clip)) / smiles.fps
limits = truth[["onset_start_s", "apex_start_s", "offset_start_s", "offset_end_s"]]
phases, shades = list(pairwise(limits)), ("#dbe7f3", "#f6ead0", "#dbe7f3")
figure, axes = plt.subplots(2, sharex=True, figsize=(7, 4.5), layout="constrained")
for ax, signal, label in (
    (axes[0], lip, "lip corners\n(mouth widths)"),
    (axes[1], eyelid, "eyelids\n(eye widths)"),
):
    ax.plot(seconds, signal - np.median(signal[:n_rest]), color="#1f3a5f")
    for (start, stop), shade in zip(phases, shades, strict=True):
        ax.axvspan(start, stop, color=shade, linewidth=0)
    ax.set_ylabel(label)
    ax.spines[["top", "right"]].set_visible(False)
for (start, stop), name in zip(phases, ("onset", "apex", "offset"), strict=True):
    top = axes[0].get_xaxis_transform()
    axes[0].text((start + stop) / 2, 1.02, name, transform=top, ha="center")
axes[1].set_xlabel("time (s)")
plt.show()

# %%
# From signals to D-Markers
# -------------------------
# The transformer does all this by itself and finds the phases in the lip signal. A name such as
# ``lip__onset__duration`` tells signal, phase and descriptor.
dmarkers = DMarkerTransformer(fps=smiles.fps).set_output(transform="pandas")
features = dmarkers.fit_transform(smiles.clips)
found = features.loc[
    1,
    [
        "lip__onset__duration",
        "lip__apex__duration",
        "lip__offset__duration",
        "lip__onset__net_amplitude",
        "lip__onset__max_speed_rising",
        "eyelid__onset__net_amplitude",
    ],
]
print(f"{features.shape[1]} D-Markers of {len(features)} clips; of this clip, for instance:")
print(found.round(3))

# %%
# Against the truth
# -----------------
# All 60 clips: the duration and the amplitude of the onset, as found and as simulated.
pairs = {
    "onset duration (s)": (
        smiles.truth["apex_start_s"] - smiles.truth["onset_start_s"],
        features["lip__onset__duration"],
    ),
    "onset amplitude (mouth widths)": (
        smiles.truth["amplitude"],
        features["lip__onset__net_amplitude"],
    ),
}
figure, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
for ax, (name, (true, measured)) in zip(axes, pairs.items(), strict=True):
    ax.axline((0, 0), slope=1, color="#9ca3af", linestyle="--", linewidth=1)
    for label, color, kind in ((0, "#b45309", "posed"), (1, "#1f3a5f", "spontaneous")):
        chosen = smiles.target == label
        ax.plot(true[chosen], measured[chosen], "o", color=color, alpha=0.7, label=kind)
    ax.set(xlabel="simulated", ylabel="found")
    ax.set_title(name, fontsize="medium")
    correlation = f"r = {np.corrcoef(true, measured)[0, 1]:.3f}"
    ax.text(0.97, 0.05, correlation, transform=ax.transAxes, ha="right")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False)
plt.show()

for name, (true, measured) in pairs.items():
    print(f"{name}: median error {np.median(measured - true):+.3f}")

# %%
# The answer
# ----------
# D-Markers say how far a smile goes almost exactly, and how long its onset takes nearly so: the
# onset found is shorter than the one simulated, by more the slower it is, for a smile sets off
# and settles so gently that the first and the last of it do not stand out from the flat signal.
# Take the durations for comparisons between clips, not as absolute figures.
