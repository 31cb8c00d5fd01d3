"""
Measure a smile with D-Markers
==============================

What do D-Markers measure, and how accurately? D-Markers describe how a smile unfolds: how long its
phases last, and how far and how fast the lips, cheeks and eyelids move. This example measures
simulated smiles, because their true phases and amplitudes are known. You need no data.
"""

# %%
# A clip and its true phases
# --------------------------
# A clip is an array with the landmarks of each frame. The table shows the limits of the phases of
# the simulated smile in seconds, and its amplitude in mouth widths.
import matplotlib.pyplot as plt
import numpy as np

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles

smiles = make_smiles(60, n_subjects=30, random_state=4)
clip, truth = smiles.clips[25], smiles.truth.loc[25]
print(f"{clip.shape[0]} frames at {smiles.fps:g} per second, {clip.shape[1]} landmarks in 3-D")
limits = ["onset_start_s", "apex_start_s", "offset_start_s", "offset_end_s"]
truth[[*limits, "amplitude"]].to_frame("simulated").T.astype(float).round(2)

# %%
# Signals and phases
# ------------------
# First, the head pose is removed. The lip signal is the mean distance of the lip corners to
# their centre at rest, divided by the width of the mouth at rest. The cheek signal is the same
# for two points on the cheeks, and the eyelid signal is the opening of the eyes in eye widths.
# All signals are zero at rest. The lip signal determines the phases. The dashed lines are the
# simulated limits of the phases. The eyelid signal is interpolated over blinks, because they
# would hide how the smile narrows the eyes.
from smilefusion.inspection import SmileDynamicsDisplay

dmarkers = DMarkerTransformer(fps=smiles.fps)
display = SmileDynamicsDisplay.from_clip(clip, dmarkers=dmarkers, title="One simulated smile")
for ax in display.axes_:
    for limit in limits:
        ax.axvline(truth[limit], color="#374151", linestyle="--", linewidth=1)
plt.show()

# %%
# How reliable are the phases?
# ----------------------------
# ``phases`` returns a table of the phases of all clips, with a measure of their quality from 0 to
# 1. Flags mark problems, for example a clip without a smile or a clip that ends during the smile.
phases = dmarkers.phases(smiles.clips)
flags = phases.select_dtypes("bool").sum()
print("Number of clips with a flag:", flags[flags > 0].to_dict())
phases[["onset_start_s", "offset_end_s", "amplitude", "phase_quality", "n_blinks"]].head().round(2)

# %%
# D-Markers of this smile
# -----------------------
# There are three signals and three phases, with 25 D-Markers each. Durations are in seconds.
table = dmarkers.set_output(transform="pandas").fit_transform(smiles.clips)
chosen = [
    "lip__onset__duration",
    "lip__onset__net_amplitude",
    "lip__onset__max_speed_rising",
    "lip__apex__duration",
    "lip__offset__duration",
    "eyelid__onset__net_amplitude",
]
table.loc[25, chosen].to_frame("measured").round(3)

# %%
# Measured and simulated values of 60 smiles
# ------------------------------------------
# By default, simulated landmarks are as noisy as those of real clips. The same smiles without
# noise show which errors come from the noise and which from the rule that finds the phases.
quiet = make_smiles(60, n_subjects=30, jitter=0, random_state=4)
table_quiet = dmarkers.fit_transform(quiet.clips)
duration = smiles.truth["apex_start_s"] - smiles.truth["onset_start_s"]
amplitude = smiles.truth["amplitude"]
pairs = {
    "onset duration (s), no noise": (duration, table_quiet["lip__onset__duration"]),
    "onset duration (s)": (duration, table["lip__onset__duration"]),
    "onset amplitude (mouth widths)": (amplitude, table["lip__onset__net_amplitude"]),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, (name, (true, measured)) in zip(axes, pairs.items(), strict=True):
    ax.axline((0, 0), slope=1, color="#9ca3af", linestyle="--", linewidth=1)
    for label, color, kind in ((0, "#b45309", "posed"), (1, "#1f3a5f", "spontaneous")):
        of_kind = smiles.target == label
        ax.plot(true[of_kind], measured[of_kind], "o", color=color, alpha=0.7, label=kind)
    ax.set(xlabel="simulated", ylabel="measured")
    ax.set_title(name, fontsize="medium")
    correlation = f"r = {np.corrcoef(true, measured)[0, 1]:.2f}"
    ax.text(0.97, 0.05, correlation, transform=ax.transAxes, ha="right")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False)
plt.show()

for name, (true, measured) in pairs.items():
    print(f"{name}: measured / simulated = {np.median(measured / true):.2f} (median)")

# %%
# The answer
# ----------
# D-Markers measure the amplitude of a smile well, but a few per cent too low. Measured onsets are
# about half as long as simulated ones, even without noise, because a simulated onset starts and
# ends so gently that the rule finds only its fast part. Apart from this factor, measured and
# simulated durations agree closely without noise. Noise adds errors, mostly to small smiles.
# Therefore, compare durations only between clips that were measured with the same rule, and do not
# rely on the durations of small smiles.
