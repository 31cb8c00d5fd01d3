"""
What do D-Markers measure?
==========================

D-Markers describe how a smile unfolds: how long its phases last, and how far and how fast lips,
cheeks and eyelids move. This example computes the signals, the phases and some of the 225
D-Markers of one simulated smile. Then it compares measured and simulated values of 60 smiles.
"""

# %%
# A clip and its truth
# --------------------
# A clip is an array of landmarks, one row per frame. For a simulated clip, the truth is known:
# when the phases of the smile begin and end, and how far the lip corners move.
import matplotlib.pyplot as plt
import numpy as np

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles

smiles = make_smiles(60, n_subjects=30, random_state=4)
clip, truth = smiles.clips[25], smiles.truth.loc[25]
print(f"{clip.shape[0]} frames at {smiles.fps:g} per second, {clip.shape[1]} landmarks in 3-D")
limits = ["onset_start_s", "apex_start_s", "offset_start_s", "offset_end_s"]
print(truth[[*limits, "amplitude"]])

# %%
# Signals and phases
# ------------------
# The head pose is removed first. The lip signal is the mean distance of the lip corners to their
# centre at rest, divided by the width of the mouth at rest. The cheek signal is the same for two
# points on the cheeks, and the eyelid signal is the opening of the eyes in eye widths. All signals
# are zero at rest. The phases are found in the lip signal. The dashed vertical lines are the
# simulated limits of the phases. Blinks would hide how the smile narrows the eyes, so the eyelid
# signal is interpolated over the blink.
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
# ``phases`` returns a table of the phases of many clips. It has a measure of quality, and flags
# for problems: no smile, no onset or offset, clips that start or end inside the smile, several
# peaks, many missing frames.
phases = dmarkers.phases(smiles.clips)
print(phases[["onset_start_s", "offset_end_s", "amplitude", "phase_quality", "n_blinks"]].head())
flags = phases.select_dtypes("bool").sum()
print(flags[flags > 0])

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
print(table.loc[25, chosen].round(3))

# %%
# Measured and simulated values of 60 smiles
# ------------------------------------------
# The landmarks of real clips are noisy, and simulated ones are as noisy by default. The same
# smiles without noise show which errors come from the noise and which from the rule that finds the
# phases.
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
# D-Markers measure the amplitude of a smile well, a few per cent too low. Measured onsets are
# about half as long as simulated ones, even without noise: a simulated smile starts and settles so
# gently that the rule finds only its fast part. But without noise, measured and simulated
# durations agree closely up to this factor. The noise of real clips adds errors of its own, mostly
# to small smiles, whose onsets may seem much longer than they are. So compare durations only
# between clips that were measured with the same rule, and trust the durations of small smiles
# less.
