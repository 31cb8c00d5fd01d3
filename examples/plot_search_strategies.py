"""
Choose a fusion strategy
========================

If you pick the strategy with the best test score, that score is too high, because the test clips
made the choice. This example chooses inside the training folds instead, by a grid search nested
in a cross-validation. Does the search find a winner?
"""

# %%
# A search inside a cross-validation
# ----------------------------------
# ``groups`` are the subjects. Metadata routing passes them to the outer folds, the inner folds
# and the early stopping of the network, so no subject is on both sides of a split. ``memory`` is a
# cache: the search computes the features of each training part once for all strategies. The search
# has only three strategies to keep the example short.
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_validate

from smilefusion import make_fusion_pipeline
from smilefusion.datasets import make_smiles

strategies = ["concat", "hadamard", "film"]
smiles = make_smiles(80, n_subjects=40, fps=25, random_state=1)
folder = TemporaryDirectory()

pipeline = make_fusion_pipeline(fps=smiles.fps, memory=folder.name, random_state=0)
pipeline.set_params(fusion__hidden_dim=32)
search = GridSearchCV(
    pipeline,
    {"fusion__fusion": strategies},
    cv=StratifiedGroupKFold(2, shuffle=True, random_state=0),
    scoring="roc_auc",
)
with sklearn.config_context(enable_metadata_routing=True):
    outer = cross_validate(
        search,
        smiles.clips,
        smiles.target,
        cv=StratifiedGroupKFold(3, shuffle=True, random_state=0),
        params={"groups": smiles.groups},
        scoring=("balanced_accuracy", "roc_auc"),
        return_estimator=True,
    )
folder.cleanup()

# %%
# The choices and their test scores
# ---------------------------------
# Each outer fold makes its own choice. The test scores evaluate the whole procedure, including
# the search, on new people.
searches = outer["estimator"]
table = pd.DataFrame(
    {
        "chosen": [fitted.best_params_["fusion__fusion"] for fitted in searches],
        "inner ROC AUC": [fitted.best_score_ for fitted in searches],
        "test balanced accuracy": outer["test_balanced_accuracy"],
        "test ROC AUC": outer["test_roc_auc"],
    }
).rename_axis("outer fold")
print(table.round(3))

# %%
# How far apart are the strategies?
# ---------------------------------
# Each line is an outer fold. Each dot is the mean ROC AUC of a strategy in its inner folds. The
# ring marks the choice.
scores = np.array([fitted.cv_results_["mean_test_score"] for fitted in searches])
figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for fold, (score, color) in enumerate(zip(scores, ("#1f3a5f", "#b45309", "#0f766e"), strict=True)):
    ax.plot(strategies, score, "o-", color=color, alpha=0.8, label=f"outer fold {fold}")
    ax.plot(score.argmax(), score.max(), "o", color=color, markersize=13, fillstyle="none")
ax.set(ylabel="inner ROC AUC", xlabel="fusion strategy")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

print(f"spread between strategies: {np.ptp(scores, axis=1).mean():.3f} within a fold")
print(f"spread between folds:      {np.ptp(scores, axis=0).mean():.3f} for a strategy")

# %%
# The answer
# ----------
# No. The scores of the strategies within a fold differ no more than the scores of one strategy in
# different folds, so the choice is largely due to chance. The test scores are valid for the
# procedure "search, then train". With so few clips, a fixed strategy is as good as a search. To
# find a difference between strategies, collect clips of more people.
