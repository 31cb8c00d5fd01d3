"""
Describe action units with D-Markers
====================================

For many recordings, the videos no longer exist, and only tables of action units (AUs) remain. Do
the 25 descriptors of such a signal agree with those of the lip signal? You need a table of action
units for each clip, for example from OpenFace. Here, the tables are simulated.
"""

# %%
# Signals of simulated clips
# --------------------------
# ``amplitude_signals`` measures the lips of a clip. The intensity of an action unit is not a
# distance: it ranges from 0 to 5, is 0 at rest, and saturates. The simulated AU12 (lip corner
# puller) has these properties. It is computed from the lip signal, with additional noise.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smilefusion import SignalMarkerTransformer
from smilefusion.clips import check_signals
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals

smiles = make_smiles(80, n_subjects=40, fps=25, missing_rate=0, random_state=1)
rng = np.random.default_rng(0)
tables = []
for i in range(len(smiles.clips)):
    lip = amplitude_signals(smiles.clips[i : i + 1])["lip"]
    noise = pd.Series(0.15 * rng.standard_normal(len(lip))).rolling(5, min_periods=1).mean()
    intensity = (5 * (1 - np.exp(-lip / 0.15)) + noise).clip(0, 5)
    tables.append(pd.DataFrame({"lip": lip, "AU12_r": intensity}))
signals = check_signals(tables, fps=smiles.clips.fps, subjects=smiles.groups)
print(signals)

# %%
# Markers of both signals
# -----------------------
# In this example, each signal determines its own phases. A change of AU12 by less than 0.5 does
# not count as a smile.
lip = SignalMarkerTransformer(["lip"]).set_output(transform="pandas")
au12 = SignalMarkerTransformer(["AU12_r"], min_amplitude=0.5).set_output(transform="pandas")
lip_table, au_table = lip.fit_transform(signals), au12.fit_transform(signals)
lip_phases, au_phases = lip.find_phases(signals), au12.find_phases(signals)

example = int(lip_phases["phase_quality"].argmax())
figure, axes = plt.subplots(2, 1, figsize=(8, 4.5), sharex=True, layout="constrained")
parts = (("lip", lip_phases, "mouth widths"), ("AU12_r", au_phases, "intensity"))
for ax, (name, phases, unit) in zip(axes, parts, strict=True):
    curve = signals.table(example)[name]
    ax.plot(curve.index, curve, color="#1f3a5f")
    for limit in ("onset_start_s", "apex_start_s", "offset_start_s", "offset_end_s"):
        ax.axvline(phases.loc[example, limit], color="#b45309", linestyle="--", linewidth=1)
    ax.set(ylabel=f"{name} ({unit})")
    ax.spines[["top", "right"]].set_visible(False)
axes[1].set(xlabel="time (s)")
figure.suptitle("Phases of the same smile in two signals")
plt.show()

# %%
# Which descriptors agree?
# ------------------------
# Markers have the units of their signals: mouth widths for the lips, and intensities for AU12.
# Rank correlations do not depend on the units.
chosen = [
    "onset__duration",
    "apex__duration",
    "offset__duration",
    "onset__max_speed_rising",
    "apex__max_amplitude",
    "apex__std_amplitude",
]
agreement = pd.Series(
    {
        name: lip_table[f"lip__{name}"].corr(au_table[f"AU12_r__{name}"], method="spearman")
        for name in chosen
    }
)
agreement.to_frame("rank correlation").round(2)

# %%
pairs = {
    "apex__max_amplitude": "maximum amplitude in the apex",
    "onset__duration": "duration of the onset (s)",
}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, (name, title) in zip(axes, pairs.items(), strict=True):
    ax.plot(
        lip_table[f"lip__{name}"], au_table[f"AU12_r__{name}"], "o", color="#1f3a5f", alpha=0.7
    )
    ax.set(xlabel="lip", ylabel="AU12_r")
    ax.set_title(title, fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
ratio = au_table["AU12_r__onset__duration"] / lip_table["lip__onset__duration"]
print(f"The onset of AU12 lasts {ratio.median():.2f} times as long as that of the lips (median).")

# %%
# Do both signals predict the class equally well?
# -----------------------------------------------
# A logistic regression on the markers of each signal predicts the class of smiles of people who
# are not in the training data.
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

for name, transformer in (("lip", lip), ("AU12_r", au12)):
    model = make_pipeline(transformer, StandardScaler(), LogisticRegression(C=0.01))
    scores = cross_val_score(
        model,
        signals,
        smiles.target,
        groups=signals.subjects,
        cv=GroupKFold(5),
        scoring="roc_auc",
    )
    print(f"{name}: area under the ROC curve {scores.mean():.2f} (SD {scores.std():.2f})")

# %%
# The answer
# ----------
# The durations of the apex and the ranks of amplitudes agree closely, although the units differ.
# However, the intensity saturates, so it does not distinguish large smiles, and the onset of AU12
# ends slightly earlier than the onset of the lips. Both signals predict the class about equally
# well here, because most of the information is in the durations. Therefore, you can use action
# units if landmarks are no longer available. But do not mix both in one analysis, and compare
# amplitudes and speeds only if they come from the same program.
