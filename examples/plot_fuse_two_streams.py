"""
Is fusion better than a single stream?
======================================

Two streams of features describe a clip: handcrafted D-Markers, and the embedding of a network that
sees the whole face. Is a classifier that uses both better than a classifier that uses one? This
example tests all three on the same clips, of people who are not in the training data.
"""

# %%
# Three systems on the same folds
# -------------------------------
# All three systems start with the same features and standardise them. The single streams select
# their columns and use a logistic regression. The fused system uses the element-wise product of
# both streams (``"hadamard"``). With the cache, the three systems share the features of each
# fold. The settings are the same for all folds and were fixed beforehand.
import tempfile

import matplotlib.pyplot as plt
from joblib import Memory
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import make_fusion_pipeline
from smilefusion.benchmark import compare, format_table, run_benchmark, summarize
from smilefusion.datasets import make_smiles
from smilefusion.inspection import FusionComparisonDisplay

smiles = make_smiles(180, n_subjects=90, fps=25, random_state=0)
smiles.name = "simulated smiles"

cache = tempfile.TemporaryDirectory()
fused = make_fusion_pipeline("hadamard", memory=Memory(cache.name, verbose=0), random_state=0)
fused.set_params(fusion__hidden_dim=64)


def single(columns):
    select = ColumnTransformer([("kept", "passthrough", columns)])
    head = LogisticRegression(C=0.01, max_iter=1000)
    return clone(fused).set_params(scale=make_pipeline(select, StandardScaler()), fusion=head)


systems = {
    "D-Markers only": single(slice(-225, None)),
    "embedding only": single(slice(None, -225)),
    "fused": fused,
}

# %%
# Subject-disjoint folds
# ----------------------
# ``run_benchmark`` makes folds in which no person is in both the training and the test clips. It
# passes the subjects on to the early stopping of the networks, and returns one row per system and
# clip.
predictions = run_benchmark(systems, smiles, cv=3)
cache.cleanup()
predictions[["estimator", "fold", "clip", "group", "target", "prediction"]].head(3)

# %%
# Clips of one person are alike, so the intervals are bootstrapped over subjects. The time of the
# first system includes computing the features. The other two read them from the cache.
summary = summarize(predictions)
print(format_table(summary))

# %%
display = FusionComparisonDisplay(summary).plot()
display.axes_[0].set_xlim(0.45, 1.0)
plt.show()

# %%
# Is the difference significant?
# ------------------------------
# All systems are tested on the same clips, so ``compare`` looks at the differences clip by clip.
print(format_table(compare(predictions, reference="fused", n_permutations=9999)))

# %%
# The answer
# ----------
# Not on these clips. The embedding separates the classes at least as well as both streams
# together, and both systems score higher than the D-Markers. But 180 clips of 90 people are too
# few to confirm a difference of a few points. The page on
# :doc:`performance </user_guide/performance>` compares the same systems on 1240 simulated clips.
# The encoder was trained on simulated smiles, so simulated clips favour the embedding. Only real
# clips can show what each stream contributes.
