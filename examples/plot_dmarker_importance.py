"""
Which D-Markers does a classifier live on?
==========================================

A classifier of 225 D-Markers has 225 weights, and since D-Markers are much alike, no single
weight says much. What the classifier would lose without a whole group of them does: without the
lips, the apex, the speeds. This is measured on people whom it has not seen.
"""

# %%
# Train and test on different people
# ----------------------------------
# On the training clips, importances would also tell what was learned by heart. So each third of
# the subjects is held out in turn, and each classifier is asked about the people whom it has not
# met.
import matplotlib.pyplot as plt
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
# The columns of a group are shuffled together between the held-out clips; a bar is what the ROC
# AUC drops by. The first step of the pipeline turns the clips into D-Markers, once; the other
# steps score the shuffled tables. These are the first third of the people.
kinds = ("signal", "phase", "family")
options = {"scoring": "roc_auc", "n_repeats": 20, "random_state": 0}
figure, axes = plt.subplots(3, figsize=(7, 6.5), layout="constrained", sharex=True)
wholes = {
    kind: DMarkerImportanceDisplay.from_estimator(*cases[0], by=kind, ax=ax, **options)
    for kind, ax in zip(kinds, axes, strict=True)
}
plt.show()

# %%
# All three at once
# -----------------
# Each of the 45 groups alone, blue where it is missed.
combined = DMarkerImportanceDisplay.from_estimator(*cases[0], **options)
plt.show()

# %%
# Hardly one is missed: what it tells, others tell as well. So the drops of the parts of a group
# add up to less than the drop for the whole of it.
for kind, display in wholes.items():
    whole = display.importances.set_index(kind)["importance_mean"]
    parts = combined.importances.groupby(kind, sort=False)["importance_mean"].sum()
    print(pd.DataFrame({"whole": whole, "sum of parts": parts}).round(3), end="\n\n")

# %%
# Other people, other importances?
# --------------------------------
# The bars' standard deviations are over shufflings of the same clips. How far the importances
# hold for people in general shows when other people are held out.
for kind in kinds:
    drops = {
        f"third {number}": DMarkerImportanceDisplay.from_estimator(
            *case, by=kind, **options
        ).importances.set_index(kind)["importance_mean"]
        for number, case in enumerate(cases)
    }
    print(pd.DataFrame(drops).round(3), end="\n\n")
plt.close("all")
