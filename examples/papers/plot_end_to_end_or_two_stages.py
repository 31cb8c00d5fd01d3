"""
Train end to end or in two stages
=================================

The papers train encoder and fusion together. The alternative is a pipeline: an encoder embeds the
clips, then a network learns to fuse the embedding with the D-Markers. Each stage can be cached,
searched and replaced. Is a pipeline less accurate? You need labelled clips. Here, they are
simulated.
"""

# %%
# Two systems
# -----------
# Both systems have the same encoder, D-Markers and fusion strategy. They start from the encoder
# that the package contains, which was trained without labels to reconstruct simulated smiles. In
# the pipeline, the encoder does not change. In the end-to-end network, the encoder and the fusion
# are trained together on the labels. To keep the example short, the end-to-end network sees 16
# instead of 32 frames.
import matplotlib.pyplot as plt
import sklearn
from sklearn.model_selection import GroupShuffleSplit

from smilefusion import HadaSmileNetClassifier, make_fusion_pipeline
from smilefusion.benchmark import format_table, run_benchmark, summarize
from smilefusion.datasets import make_smiles
from smilefusion.inspection import EmbeddingDisplay, FusionComparisonDisplay

sklearn.set_config(enable_metadata_routing=True)  # passes the subjects on to early stopping
smiles = make_smiles(150, n_subjects=50, fps=25, random_state=1)
smiles.name = "simulated smiles"
systems = {
    "end to end": HadaSmileNetClassifier("hadamard", n_frames=16, random_state=0),
    "two stages": make_fusion_pipeline("hadamard", random_state=0),
}

# %%
# Results
# -------
# The three folds share no subject. The intervals are bootstrapped over subjects.
predictions = run_benchmark(systems, smiles, cv=3)
summary = summarize(predictions)
format_table(summary)

# %%
display = FusionComparisonDisplay(summary).plot()
display.figure_.set_size_inches(6, 2.8)
plt.show()

# %%
# The streams before and after fusion
# -----------------------------------
# To look inside the end-to-end network, this part trains it on some people and shows the clips
# of others: their D-Markers, their embeddings, and their features after fusion, each projected
# to its first two principal components. In all three, the classes overlap.
split = GroupShuffleSplit(n_splits=1, test_size=0.4, random_state=0)
train, test = next(split.split(smiles.clips, groups=smiles.groups))
seen, new = smiles.clips[train], smiles.clips[test]
network = systems["end to end"].fit(seen, smiles.target[train], groups=smiles.groups[train])

labels = smiles.target[test].astype(object)
labels[smiles.target[test] == 0], labels[smiles.target[test] == 1] = "posed", "spontaneous"
EmbeddingDisplay.from_embeddings(network.transform_streams(new), labels)
plt.show()

# %%
# The answer
# ----------
# This example does not show that the pipeline is less accurate. The intervals overlap, so more
# people are needed to find out. ``benchmarks/end_to_end_accuracy.py`` measures the difference on
# as many clips as UvA-NEMO has. Two stages train faster, and many strategies can share one
# embedding. Both systems start from an encoder that was trained on simulated smiles, so
# simulated clips favour both. To learn only from your own clips, train end to end with
# ``weights=None``, as in the papers.
sklearn.set_config(enable_metadata_routing=False)
