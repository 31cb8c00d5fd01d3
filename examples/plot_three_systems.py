"""
What should D-Markers be to a deep network?
===========================================

Three published systems differ in what D-Markers are to the network that encodes a clip:
MeshSmileNet does without them, DeepMarkerNet learns to predict them as a second task, and
HadaSmileNet fuses them with the embedding. Here the three are one parameter, on the same
simulated clips and the same subject-disjoint folds, beside two baselines.
"""

# %%
# Clips
# -----
import matplotlib.pyplot as plt
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier
from smilefusion.datasets import make_smiles

sklearn.set_config(enable_metadata_routing=True)  # subjects reach the early-stopping splits
smiles = make_smiles(180, n_subjects=60, fps=25, random_state=0)

# %%
# Systems
# -------
# Everything but the role of the D-Markers is the same.
systems = {
    "D-Markers alone": make_pipeline(
        DMarkerTransformer(fps=25), StandardScaler(), LogisticRegression(max_iter=2000)
    ),
    "MeshSmileNet: none": HadaSmileNetClassifier(dmarkers="none", fps=25, random_state=0),
    "DeepMarkerNet: auxiliary": HadaSmileNetClassifier(
        dmarkers="auxiliary", fps=25, random_state=0
    ),
    "HadaSmileNet: fuse": HadaSmileNetClassifier(dmarkers="fuse", fps=25, random_state=0),
}

# %%
# Figures
# -------
# Three folds that share no subject; the network stops early on subjects of the training folds.
# Intervals are bootstrapped over subjects.
from smilefusion.benchmark import run_benchmark
from smilefusion.inspection import FusionComparisonDisplay

predictions = run_benchmark(systems, smiles, cv=3, random_state=0)
display = FusionComparisonDisplay.from_predictions(predictions)
plt.show()

# %%
# The course of one training
# --------------------------
# ``history_`` is a table with one row per epoch. The weights of the epoch with the least loss on
# the subjects set aside are kept.
model = systems["HadaSmileNet: fuse"].fit(smiles.clips, smiles.target, groups=smiles.groups)
history = model.history_
ax = history.plot(x="epoch", y=["train_loss", "valid_loss"], figsize=(6, 3))
ax.set(xlabel="epoch", ylabel="cross-entropy")
plt.show()

# %%
# The answer
# ----------
# On these clips D-Markers help as a stream of their own: the network alone has to find slow and
# fast movements in few clips, and fusion hands them to it; as a second task they add nothing here.
# The intervals tell how far to trust the order; on real clips it may be another.
sklearn.set_config(enable_metadata_routing=False)
