"""
Compare the fusion strategies
=============================

Which of the 15 strategies that fuse D-Markers with an embedding is best? The paper on HadaSmileNet
compares them, but it selects the best epoch on the test fold, and four strategies have a different
backbone. In this example, all strategies have the same backbone, and nothing is chosen on the test
clips. It uses UvA-NEMO if you have it, or simulated clips.
"""

# %%
# The same conditions for all
# ---------------------------
# The clips are those of UvA-NEMO if the environment variable ``SMILEFUSION_DATA`` names the folder
# of the published data sets. Otherwise, a tenth as many are simulated. The encoder is already
# trained, so the features are computed only once, for all folds and strategies. To keep the
# example short, there are three folds, clips have 25 frames per second, and the networks are
# small.
import matplotlib.pyplot as plt
from sklearn.utils import Bunch

from smilefusion import FusionClassifier, list_fusions, make_fusion_pipeline
from smilefusion.benchmark import (
    compare,
    format_table,
    join_published,
    run_benchmark,
    summarize,
)
from smilefusion.datasets import load_or_simulate, resample
from smilefusion.inspection import CriticalDifferenceDisplay, FusionComparisonDisplay

data = resample(load_or_simulate("uva_nemo", n_clips=124, random_state=0), fps=25)
print(data.name, len(data.clips), "clips")

features = make_fusion_pipeline(fps=data.fps)[:1]
table = Bunch(
    clips=features.fit_transform(data.clips),
    target=data.target,
    groups=data.groups,
    name=data.name,
)
streams = {"deep": slice(None, -225), "dmarker": slice(-225, None)}
small = {"hidden_dim": 32, "max_epochs": 10, "lr": 0.002}
systems = {
    key: FusionClassifier(key, **streams, **small, random_state=0) for key in list_fusions()
}
predictions = run_benchmark(systems, table, cv=3)

# %%
# Scores
# ------
# Each system consists of five networks, and its prediction is the mean of their probabilities.
summary = summarize(predictions)
format_table(summary, sort_by="balanced_accuracy")

# %%
FusionComparisonDisplay(summary).plot()
plt.show()

# %%
# Which pairs differ?
# -------------------
# At the 5 % level, about five of 105 pairs differ by chance. With Holm's correction, the
# probability of any false finding is at most 5 %. "Undecided" means that there are too few clips
# to decide.
comparison = compare(predictions, n_permutations=9999)
print(*comparison.attrs["remarks"], sep="\n")
comparison["verdict"].value_counts().to_frame("pairs")

# %%
# The mean ranks over people lead to the same conclusion. Strategies under one bar do not differ
# significantly.
CriticalDifferenceDisplay.from_predictions(predictions)
plt.show()

# %%
# Published scores
# ----------------
# The published scores are maxima over epochs on the test fold. ``attention`` and
# ``cross_attention`` are two names of the same function. Here they have the same predictions,
# but their published accuracies differ by up to 6 points.
table = join_published(summary, table="fusions").round(1)
table[table["fusion"].isin(["concat", "hadamard", "attention", "cross_attention"])]

# %%
same = predictions.pivot(index="clip", columns="estimator", values="probability_1")
gap = (same["attention"] - same["cross_attention"]).abs().max()
print(f"Largest difference between attention and cross_attention: {gap:g}")

# %%
# The answer
# ----------
# On so few clips, the strategies do not differ significantly, so their order means nothing.
# Published differences are a few points. It would take more than a thousand clips to detect such
# differences among 105 pairs. The two published scores of the same function show how noisy the
# published protocol is.
