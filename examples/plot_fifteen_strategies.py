"""
Fifteen strategies on one bench
===============================

HadaSmileNet's paper compares 15 ways of joining D-Markers and a learned embedding, each by the
best epoch on the test fold, four of them on a backbone of their own. What does the table look like
when all share one backbone, and nothing is chosen by the test clips?
"""

# %%
# One bench for all
# -----------------
# The clips are UvA-NEMO's where ``SMILEFUSION_DATA`` names the folder of the published data sets,
# else a simulated tenth of it. In each fold one encoder is trained, on the training clips alone;
# the cache lets all strategies share its embedding. So that the example runs in a minute, the
# encoder is small and there are three folds; the settings were fixed beforehand.
import tempfile

import matplotlib.pyplot as plt
from joblib import Memory

from smilefusion import list_fusions, make_fusion_pipeline
from smilefusion.benchmark import (
    compare,
    format_table,
    join_published,
    run_benchmark,
    summarize,
)
from smilefusion.datasets import load_or_simulate
from smilefusion.inspection import CriticalDifferenceDisplay, FusionComparisonDisplay

data = load_or_simulate("uva_nemo", n_clips=124, random_state=0)
print(data.name, len(data.clips), "clips")

cache = tempfile.TemporaryDirectory()
small = {
    "features__deep__max_epochs": 15,
    "features__deep__n_frames": 16,
    "features__deep__embedding_dim": 32,
    "fusion__hidden_dim": 32,
    "fusion__max_epochs": 30,
}
systems = {
    key: make_fusion_pipeline(
        key, fps=data.fps, memory=Memory(cache.name, verbose=0), random_state=0
    ).set_params(**small)
    for key in list_fusions()
}
predictions = run_benchmark(systems, data, cv=3)
cache.cleanup()

# %%
# The table
# ---------
summary = summarize(predictions)
print(format_table(summary, sort_by="balanced_accuracy"))

# %%
FusionComparisonDisplay(summary).plot()
plt.show()

# %%
# Which pairs differ?
# -------------------
# Of 105 pairs, five differ at the 5 % level by chance alone. Holm's correction keeps the
# probability of a single false finding at 5 %.
comparison = compare(predictions, n_permutations=9999)
print(comparison["verdict"].value_counts().to_string())
print(*comparison.attrs["remarks"], sep="\n")

# %%
# The mean ranks over subjects say the same: strategies under one bar are not told apart.
CriticalDifferenceDisplay.from_predictions(predictions)
plt.show()

# %%
# Beside the published table
# --------------------------
# The published figures come from another protocol, which the column ``source`` says. ``attention``
# and ``cross_attention`` are one function under two names; here they give the same predictions,
# there they differ by 3 to 6 points.
join_published(summary, table="fusions")

# %%
same = predictions.pivot(index="clip", columns="estimator", values="probability_1")
gap = (same["attention"] - same["cross_attention"]).abs().max()
print(f"Largest difference between attention and cross_attention: {gap:g}")

# %%
# The answer
# ----------
# The strategies cannot be told apart on so few clips, and their order means nothing. Differences
# as large as the published ones, of some points, would need a thousand clips and more to be seen
# among 105 pairs. The noise of the published protocol can be read off the two names of one
# function.
