"""
Use your own encoder
====================

Can a network of your own replace the encoder of the package? The encoder turns the landmarks of a
clip into one vector. Instead of the name of an encoder, you can pass your own `torch.nn.Module`
class. This example compares a recurrent network with the encoder of the package.
"""

# %%
# The class
# ---------
# The constructor takes the number of landmarks, the number of coordinates, the size of the
# embedding and the dropout probability. The attribute ``out_dim`` is the size of the output. The
# inputs of ``forward`` are the displacements of the landmarks from the resting face, a mask, the
# time of each frame in seconds, and the duration of the smile in seconds. ``mask`` is False in
# frames that only pad a clip to the length of the longest clip in its batch.
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import torch
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from torch import nn

from smilefusion import make_fusion_pipeline
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning

warnings.simplefilter("ignore", DataWarning)  # faint smiles are part of the data


class RecurrentEncoder(nn.Module):
    """Recurrent network over the frames of a clip; the embedding is its mean output."""

    def __init__(self, n_landmarks, n_dims, embedding_dim, dropout):
        super().__init__()
        self.out_dim = embedding_dim
        self.projection = nn.Linear(n_landmarks * n_dims + 1, 32)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.GRU(32, embedding_dim, batch_first=True)

    def forward(self, landmarks, mask, time, duration):
        frames = torch.cat([landmarks.flatten(2), time.unsqueeze(2)], dim=2)
        outputs, _ = self.recurrent(self.dropout(self.projection(frames)))
        weight = mask.unsqueeze(2).to(outputs.dtype)
        return (outputs * weight).sum(dim=1) / weight.sum(dim=1)


# %%
# Train it
# --------
# `make_fusion_pipeline` trains the class on the labels and fuses its embedding with the
# D-Markers. `DeepFeatureExtractor` and `HadaSmileNetClassifier` accept the class in the same
# way.
smiles = make_smiles(90, n_subjects=30, fps=25, random_state=3)
own = make_fusion_pipeline(encoder=RecurrentEncoder, fps=25, random_state=0)
own.set_params(features__deep__embedding_dim=32, features__deep__max_epochs=20)
shipped = make_fusion_pipeline(fps=25, random_state=0)

folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
scores = {
    name: -cross_val_score(
        pipeline,
        smiles.clips,
        smiles.target,
        groups=smiles.groups,
        params={"groups": smiles.groups},
        cv=folds,
        scoring="neg_log_loss",
    )
    for name, pipeline in {"own encoder": own, "encoder of the package": shipped}.items()
}
table = pd.DataFrame(scores, index=[f"fold {fold}" for fold in range(3)])
table.rename_axis("log loss", axis="columns").round(2)

# %%
figure, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
ax.barh(list(scores), table.mean(), color=["#b45309", "#1f3a5f"])
for place, name in enumerate(scores):
    ax.plot(scores[name], [place] * 3, "o", color="white", markeredgecolor="black")
ax.set(xlabel="log loss on new people (dots: folds)", ylim=(-0.6, 1.6))
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Mistakes are detected
# ---------------------
# ``fit`` creates the encoder and tests it on random clips. For example, the following class uses
# the padding, so its embeddings would depend on the other clips in the batch:


class Careless(RecurrentEncoder):
    def forward(self, landmarks, mask, time, duration):
        return super().forward(landmarks, torch.ones_like(mask), time, duration)


try:
    own.set_params(features__deep__encoder=Careless).fit(smiles.clips, smiles.target)
except ValueError as error:
    print(error)

# %%
# The answer
# ----------
# Yes, but here the encoder of the package is better. It was trained without labels on many more
# clips, whereas the recurrent network starts from random weights and learns from the labels of
# 60 clips. Your own encoder is worthwhile if you have many clips, or trained weights. To use
# trained weights, save the encoder's ``state_dict()`` to a file and pass the file as
# ``weights``. Add ``objective="frozen"`` if the encoder needs no further training.
