"""
Which fusion strategy learns from few clips?
============================================

Strategies differ in their number of weights and in how they join the streams. Does one of them
need fewer clips than the others? This example trains all 15 on 30 and on 120 simulated clips and
tests them on 150 clips of other people.
"""

# %%
# Training and test clips
# -----------------------
# The encoder comes with the package, so only the fusion networks are trained. They have 64 hidden
# units instead of 256, to keep the example fast. Faint smiles cause warnings. These
# smiles are part of the data, so the warnings are ignored.
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smilefusion import FusionClassifier, list_fusions, make_fusion_pipeline
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning

warnings.simplefilter("ignore", DataWarning)
FPS = 25
DEEP, DMARKERS = slice(None, -225), slice(-225, None)


def simulate(n_clips, seed):
    """Return features, classes and people of simulated clips."""
    smiles = make_smiles(n_clips, n_subjects=n_clips // 3, fps=FPS, random_state=seed)
    features = make_fusion_pipeline(fps=FPS)[:1].fit_transform(smiles.clips)
    return features, smiles.target, smiles.groups


X, y, people = simulate(180, seed=1)
X_test, y_test, people_test = simulate(150, seed=2)

# %%
# The models
# ----------
# Late fusion averages the probabilities of one network per stream. It is the simplest alternative
# to the strategies.


def predict_all(n_clips, draw):
    """Train on clips of random people; return the probabilities of the test clips by model."""
    chosen = np.random.default_rng(draw).permutation(np.unique(people))
    rows = np.flatnonzero(np.isin(people, chosen[: n_clips // 3]))

    def predict(fusion="hadamard", deep=DEEP, dmarker=DMARKERS):
        model = FusionClassifier(
            fusion, deep=deep, dmarker=dmarker, hidden_dim=64, random_state=draw
        )
        model.fit(X[rows], y[rows], groups=people[rows])
        return model.predict_proba(X_test)[:, 1]

    found = {fusion: predict(fusion) for fusion in list_fusions()}
    late = [predict(deep=stream, dmarker=stream) for stream in (DEEP, DMARKERS)]
    return found | {"late fusion": np.mean(late, axis=0)}


# %%
# Differences from ``hadamard``
# -----------------------------
# The log loss of each clip is averaged over two random draws of training people. All models see
# the same clips, so differences between models are more precise than their losses. The interval of
# a difference is two standard errors, computed over the test people. It does not include the
# variation between draws of training people, so the real uncertainty is larger.
rows = []
for n_clips in (30, 120):
    draws = [predict_all(n_clips, draw) for draw in range(2)]
    for name in draws[0]:
        loss, reference = (
            -np.mean(
                [np.log(np.where(y_test, draw[key], 1 - draw[key])) for draw in draws], axis=0
            )
            for key in (name, "hadamard")
        )
        change = loss - reference
        of_people = pd.Series(change - change.mean()).groupby(people_test).sum()
        interval = 2 * np.sqrt((of_people**2).sum()) / len(change)
        rows.append((n_clips, name, loss.mean(), change.mean(), interval))
table = pd.DataFrame(rows, columns=["clips", "model", "log loss", "difference", "interval"])
print(table.round(3).to_string(index=False))

# %%
figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
for n_clips, part in table.groupby("clips"):
    place = np.arange(len(part)) + (0.15 if n_clips == 120 else -0.15)
    axes.errorbar(
        part["difference"], place, xerr=part["interval"], fmt="o", label=f"{n_clips} clips"
    )
axes.set_yticks(range(len(part)), part["model"])
axes.axvline(0, color="0.6", zorder=0)
axes.invert_yaxis()
axes.set_xlabel("log loss, difference from hadamard")
axes.legend(loc="lower left")
plt.show()

# %%
# The answer
# ----------
# No strategy needs clearly fewer clips than ``hadamard``: most differences are smaller than their
# interval, and the order of the strategies changes from 30 to 120 clips. The
# larger comparison in the user guide, with 40 to 1116 clips (:doc:`/guide/fusion`), leads to
# the same conclusion.
