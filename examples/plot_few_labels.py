"""
Adapt the pretrained model with a few labels
============================================

The package contains a trained model. Is it worth adapting it if you have labels for 20 to 40 of
your own clips? This example compares the pretrained model, the adapted model, and a model that
learns only from the labelled clips.
"""

# %%
# Clips of another population
# ---------------------------
# The pretrained model assumes that posed and spontaneous smiles are equally frequent. In this
# simulated study, there are three posed smiles for each spontaneous one. The clips of up to 16
# people have labels. All models are tested on the clips of other people.
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer, adapt, load_pretrained
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning

warnings.simplefilter("ignore", DataWarning)  # faint smiles are part of the data
smiles = make_smiles(400, n_subjects=100, fps=30, random_state=0)
rng = np.random.default_rng(0)
kept = np.flatnonzero((smiles.target == 0) | (rng.random(len(smiles.target)) < 1 / 3))
clips, y, people = smiles.clips[kept], smiles.target[kept], smiles.groups[kept]
print(f"{len(y)} clips, {np.mean(y):.0%} of them spontaneous")

# %%
# Before and after
# ----------------
# ``adapt`` changes two numbers of the model: the intercept and the slope of its logits. With so
# few labels, a prior keeps both near their old values. The model for comparison is a logistic
# regression on D-Markers that is trained only on the labelled clips. All scores are means of five
# random draws of labelled people.
model = load_pretrained()
dmarkers = DMarkerTransformer().fit_transform(clips)
rows = []
for draw in range(5):
    order = np.random.default_rng(draw).permutation(np.unique(people))
    test = np.isin(people, order[16:])
    for n_people in (8, 12, 16):
        learn = np.isin(people, order[:n_people])
        adapted = adapt(model, clips[learn], y[learn])
        own = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        own.fit(dmarkers[learn], y[learn])
        probabilities = {
            "pretrained": model.predict_proba(clips[test]),
            "adapted": adapted.predict_proba(clips[test]),
            "labelled clips only": own.predict_proba(dmarkers[test]),
        }
        for name, values in probabilities.items():
            loss = log_loss(y[test], values[:, 1])
            area = roc_auc_score(y[test], values[:, 1])
            rows.append((name, n_people, learn.sum(), values[:, 1].mean(), loss, area))
columns = ["model", "people", "labelled clips", "mean probability", "log loss", "ROC AUC"]
scores = pd.DataFrame(rows, columns=columns).groupby(["people", "model"]).mean()
scores.round(2)

# %%
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
colors = {"pretrained": "#6b7280", "adapted": "#1f3a5f", "labelled clips only": "#b45309"}
for name, color in colors.items():
    part = scores.xs(name, level="model")
    ax.plot(part["labelled clips"], part["log loss"], "o-", color=color, label=name, linewidth=2)
ax.set(xlabel="labelled clips", ylabel="log loss on new people", ylim=(0.38, None))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# What changed in the model
# -------------------------
# The intercept is negative, so the adapted model considers spontaneous smiles less probable.
print("intercept and slope:", adapted.calibration_.round(1))
before, after = (each.answer(clips[test][:5]) for each in (model, adapted))
pd.DataFrame({"before": before["probability"], "after": after["probability"]}).round(2)

# %%
# The answer
# ----------
# Yes, if one class is more frequent in your clips. A few dozen labels lower the log loss a
# little, because the probabilities come closer to the share of spontaneous smiles. The ROC AUC
# does not change, because recalibration does not change the order of the clips. The regression
# that learns only from the labelled clips is worse than both.
#
# The pretrained model was trained on simulated smiles, so these results are optimistic. On real
# clips with equally frequent classes, recalibration changed little
# (:doc:`/guide/shipped_model`).
