"""
Fuse two streams of your choice
===============================

Can a strategy fuse features other than the embedding and the D-Markers? Yes, it can fuse any two
sets of features. In this example, the clips also have the signals of two action units, and a
search compares pairs of streams and strategies. You need clips with signals. Here, both are
simulated.
"""

# %%
# Clips with signals
# ------------------
# Programs such as OpenFace output the intensity of action units for every frame.
# ``with_signals`` adds them to the clips, and all splits of the clips keep them. Here, the
# signals are simulated: they are the movements of the lips and eyelids with additional noise.
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from smilefusion import (
    DeepFeatureExtractor,
    DMarkerTransformer,
    SignalMarkerTransformer,
    make_fusion_pipeline,
)
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import DataWarning

warnings.simplefilter("ignore", DataWarning)  # faint smiles are part of the data

smiles = make_smiles(60, n_subjects=20, fps=25, missing_rate=0, random_state=3)
rng = np.random.default_rng(0)
tables = []
for i in range(len(smiles.clips)):
    moves = amplitude_signals(smiles.clips[i : i + 1])[["lip", "eyelid"]]
    noisy = moves + rng.normal(0, 0.01, moves.shape)
    tables.append(noisy.set_axis(["AU12", "AU06"], axis=1))
clips = smiles.clips.with_signals(tables)
print(clips)

# %%
# Pairs of streams
# ----------------
# ``streams`` contains two named transformers. The first stream replaces the embedding, and the
# second replaces the D-Markers. Each transformer uses either the landmarks or the signals of the
# clips.
embedding = DeepFeatureExtractor(objective="frozen", weights="simulated")
units = SignalMarkerTransformer(["AU12", "AU06"])
pipeline = make_fusion_pipeline(
    streams={"first": embedding, "second": DMarkerTransformer()}, random_state=0
)
pipeline.set_params(fusion__hidden_dim=64)

# %%
# The names of the streams are parameters, so a search can replace the transformers.
grid = [
    {
        "features__first": [embedding],
        "features__second": [DMarkerTransformer(), units],
        "fusion__fusion": ["hadamard", "concat"],
    },
    {
        "features__first": [units],
        "features__second": [DMarkerTransformer()],
        "fusion__fusion": ["hadamard", "concat"],
    },
]
folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
with sklearn.config_context(enable_metadata_routing=True):
    search = GridSearchCV(pipeline, grid, cv=folds, scoring="neg_log_loss", refit=False)
    search.fit(clips, smiles.target, groups=smiles.groups)

rows = []
for params, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    names = [type(params[f"features__{stream}"]).__name__ for stream in ("first", "second")]
    rows.append((*names, params["fusion__fusion"], -score))
table = pd.DataFrame(rows, columns=["first", "second", "strategy", "log loss"])
table = table.sort_values("log loss", ignore_index=True)
table.round(3)

# %%
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
short = {
    "DeepFeatureExtractor": "embedding",
    "DMarkerTransformer": "D-Markers",
    "SignalMarkerTransformer": "action units",
}
names = [f"{short[row.first]} + {short[row.second]}" for row in table.itertuples()]
for strategy, color in {"hadamard": "#1f3a5f", "concat": "#b45309"}.items():
    chosen = table["strategy"] == strategy
    ax.plot(
        table["log loss"][chosen],
        [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen],
        "o",
        color=color,
        markersize=9,
        label=strategy,
    )
ax.set(xlabel="log loss on new people", ylim=(-0.5, 2.5))
ax.invert_yaxis()
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The answer
# ----------
# The pairs with the embedding are better than the pair without it. The choice of the second stream
# matters little, because with 60 clips, such differences may be due to chance. All signals in this
# example come from the same landmarks, so they contain no additional information. Action units
# from another program may contain more.
