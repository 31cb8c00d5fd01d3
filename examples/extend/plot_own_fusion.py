"""
Use your own fusion module
==========================

Can a module of ten lines replace a fusion strategy of the package? This example defines such a
module and compares it with three built-in strategies in a search. You need to know
`torch.nn.Module`.
"""

# %%
# The module
# ----------
# The constructor takes the sizes of both streams, the size of the common space and the dropout
# probability. The attribute ``out_dim`` is the size of the output. This module projects both
# streams and takes the element-wise maximum.
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import sklearn
import torch
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from torch import nn

from smilefusion import FusionClassifier, make_fusion_pipeline
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning

warnings.simplefilter("ignore", DataWarning)  # faint smiles are part of the data


class MaximumFusion(nn.Module):
    def __init__(self, deep_dim, dmarker_dim, dim, dropout):
        super().__init__()
        self.out_dim = dim
        self.deep_projection = nn.Linear(deep_dim, dim)
        self.dmarker_projection = nn.Linear(dmarker_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, deep, dmarker):  # (B, deep_dim), (B, dmarker_dim) -> (B, out_dim)
        fused = torch.maximum(self.deep_projection(deep), self.dmarker_projection(dmarker))
        return self.dropout(fused)


# %%
# Compare it with built-in strategies
# -----------------------------------
# A class is a valid value of ``fusion``, like the name of a built-in strategy. The features are
# computed once, because neither the D-Markers nor the encoder of the package learn from these
# clips. The last 225 columns are D-Markers.
smiles = make_smiles(120, n_subjects=40, fps=25, random_state=0)
features = make_fusion_pipeline()[:1].fit_transform(smiles.clips)
model = FusionClassifier(
    deep=slice(None, -225), dmarker=slice(-225, None), hidden_dim=64, random_state=0
)
strategies = {
    "own: maximum": MaximumFusion,
    "concat": "concat",
    "hadamard": "hadamard",
    "attention": "attention",
}
folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
with sklearn.config_context(enable_metadata_routing=True):
    search = GridSearchCV(
        model, {"fusion": list(strategies.values())}, cv=folds, scoring="roc_auc", refit=False
    )
    search.fit(features, smiles.target, groups=smiles.groups)

scores = pd.DataFrame(search.cv_results_, index=list(strategies))
scores = scores.rename(columns={"mean_test_score": "ROC AUC", "std_test_score": "SD over folds"})
scores[["ROC AUC", "SD over folds"]].round(3)

# %%
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.errorbar(
    scores["ROC AUC"],
    scores.index,
    xerr=scores["SD over folds"],
    fmt="o",
    color="#1f3a5f",
)
ax.margins(y=0.2)
ax.invert_yaxis()
ax.set_xlabel("ROC AUC, mean and SD over four folds")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Mistakes are detected
# ---------------------
# ``fit`` tests the module on random inputs. For example, ``out_dim`` must be correct:


class WrongSize(MaximumFusion):
    def __init__(self, deep_dim, dmarker_dim, dim, dropout):
        super().__init__(deep_dim, dmarker_dim, dim, dropout)
        self.out_dim = 17


try:
    model.set_params(fusion=WrongSize).fit(features, smiles.target, groups=smiles.groups)
except ValueError as error:
    print(error)

# %%
# The answer
# ----------
# Yes: pass the class as ``fusion``, also in a search. It works in `FusionClassifier`,
# `make_fusion_pipeline` and `HadaSmileNetClassifier`. Here, its score is similar to those of the
# built-in strategies, and all differences are within the spread of the folds. To save a model
# with your own class, name the class in ``trusted`` (:doc:`/guide/model_files`).
