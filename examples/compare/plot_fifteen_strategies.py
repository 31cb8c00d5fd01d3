"""
Compare the fifteen fusion strategies
=====================================

The paper on HadaSmileNet compares 15 strategies of fusing D-Markers with a learned embedding. It
uses the best epoch on the test fold for each, and four strategies have a different backbone. What
does the table look like if all share one backbone, and nothing is chosen on the test clips?
"""

# %%
# The same conditions for all
# ---------------------------
# The clips are those of UvA-NEMO if ``SMILEFUSION_DATA`` names the folder of the published data
# sets. Otherwise, a tenth as many are simulated. The encoder is already trained, so the features
# of a clip do not depend on other clips, and they are computed only once for all folds and
# strategies. To keep the example short, there are only three folds, clips have 25 frames per
# second instead of 50, and the networks train for few epochs with a high learning rate. The
# settings were fixed beforehand.
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
# The table
# ---------
# Each system consists of five networks, and its prediction is the mean of their probabilities.
summary = summarize(predictions)
print(format_table(summary, sort_by="balanced_accuracy"))

# %%
FusionComparisonDisplay(summary).plot()
plt.show()

# %%
# Which pairs differ?
# -------------------
# At the 5 % level, about five of 105 pairs differ by chance. With Holm's correction, the
# probability of any false finding is at most 5 %.
comparison = compare(predictions, n_permutations=9999)
print(comparison["verdict"].value_counts().to_string())
print(*comparison.attrs["remarks"], sep="\n")

# %%
# The mean ranks over subjects lead to the same conclusion: strategies under one bar do not differ
# significantly.
CriticalDifferenceDisplay.from_predictions(predictions)
plt.show()

# %%
# Next to the published table
# ---------------------------
# The published scores come from another protocol; see the column ``source``. ``attention`` and
# ``cross_attention`` are two names of the same function. Here they have the same predictions, but
# their published accuracies differ by 3 to 6 points.
join_published(summary, table="fusions")

# %%
same = predictions.pivot(index="clip", columns="estimator", values="probability_1")
gap = (same["attention"] - same["cross_attention"]).abs().max()
print(f"Largest difference between attention and cross_attention: {gap:g}")

# %%
# The answer
# ----------
# The strategies do not differ significantly on so few clips, so their order means nothing.
# Published differences are a few points. It would take more than a thousand clips to detect such
# differences among 105 pairs. The two names of one function show how noisy the published protocol
# is.
