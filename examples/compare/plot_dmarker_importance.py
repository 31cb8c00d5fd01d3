"""
Find the D-Markers that a classifier uses
=========================================

Which of the 225 D-Markers does a classifier use? Many D-Markers are correlated, so the weight of a
single one means little. This example shuffles whole groups of D-Markers, such as those of the lips
or all speeds, and measures how much worse the classifier becomes on new people. You need labelled
clips. Here, they are simulated.
"""

# %%
# Train and test on different people
# ----------------------------------
# On training clips, importances would also reflect overfitting. Therefore, each third of the
# subjects is held out in turn, and each classifier is tested on people that it was not trained on.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles
from smilefusion.inspection import DMarkerImportanceDisplay

smiles = make_smiles(300, n_subjects=150, fps=25, random_state=0)
splitter = StratifiedGroupKFold(3, shuffle=True, random_state=0)
cases = []
for train, test in splitter.split(smiles.clips, smiles.target, smiles.groups):
    model = make_pipeline(
        DMarkerTransformer(fps=smiles.fps),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    )
    model.fit([smiles.clips[index] for index in train], smiles.target[train])
    cases.append((model, [smiles.clips[index] for index in test], smiles.target[test]))

# %%
# Signal, phase or kind of descriptor?
# ------------------------------------
# All columns of a group are shuffled together between the held-out clips. Each bar shows the drop
# in ROC AUC, as the mean over the three thirds of the people. The dots show the three thirds
# separately, and thus how much the importances depend on the people.
kinds = ("signal", "phase", "family")
options = {"scoring": "roc_auc", "n_repeats": 10, "random_state": 0}
drops, scores = {}, []
for kind in kinds:
    for third, case in enumerate(cases):
        display = DMarkerImportanceDisplay.from_estimator(*case, by=kind, **options)
        plt.close(display.figure_)
        found = display.importances.set_index(kind)["importance_mean"]
        drops[kind, third] = found
        scores.append(display.score)
print("ROC AUC in the three thirds:", np.round(scores[:3], 2).tolist())

figure, ax = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
for kind, color in zip(kinds, ("#1f3a5f", "#b45309", "#0f766e"), strict=True):
    thirds = pd.concat([drops[kind, third] for third in range(3)], axis=1)
    ax.barh(thirds.index, thirds.mean(axis=1), color=color, label=kind)
    for name, row in thirds.iterrows():
        ax.plot(row, [name] * 3, "o", color="white", markeredgecolor="black", markersize=5)
ax.invert_yaxis()
ax.set_xlabel("drop in ROC AUC")
ax.legend(frameon=False, loc="lower right")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Combinations of signal, phase and kind
# --------------------------------------
# Each combination of signal, phase and kind is a small group, 45 in all. The map shows the first
# third of the people. Dark blue means that the classifier needs the group.
combined = DMarkerImportanceDisplay.from_estimator(*cases[0], **options)
plt.show()

# %%
# Hardly any of these small groups matters, because other groups contain the same information.
# Therefore, the drops for the parts of a signal or phase add up to much less than the drop for the
# whole.
tables = {}
for kind in kinds:
    parts = combined.importances.groupby(kind, sort=False)["importance_mean"].sum()
    tables[kind] = pd.DataFrame({"whole": drops[kind, 0], "sum of parts": parts})
pd.concat(tables).round(3)

# %%
# The answer
# ----------
# This classifier mostly uses durations and amplitudes: in every third, shuffling either of them
# costs more than shuffling speeds or accelerations. Symmetry does not matter, as expected,
# because simulated posed and spontaneous smiles are equally asymmetric. The onset is the most
# important phase, and the lips are the most important signal, well before the cheeks and the
# eyelids.
#
# Be careful when you compare signals. The lip signal determines the phases of all signals, so the
# D-Markers contain the duration of each phase three times, once per signal. If one signal is
# shuffled, the other two copies remain. An importance shows what this classifier uses. To find out
# whether a classifier works without a group, train one without it.
