"""
Test whether one classifier is better than another
==================================================

One classifier has an accuracy of 84 %, another has 81 %. Is the first one also better on other
people, and how many clips do you need to find out? This example compares four classifiers on
UvA-NEMO if you have it, or on simulated clips.
"""

# %%
# Four classifiers on the same people
# -----------------------------------
# The four classifiers are logistic regressions: on D-Markers of the lips, of the eyelids, of all
# three regions, and on the length of the clip. All are tested on the same subject-disjoint
# folds. The test is repeated three times with different folds.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import DMarkerTransformer
from smilefusion.benchmark import (
    compare,
    format_table,
    run_benchmark,
    smallest_detectable_difference,
    summarize,
)
from smilefusion.clips import check_clips
from smilefusion.datasets import load_or_simulate
from smilefusion.inspection import CriticalDifferenceDisplay, ReliabilityDisplay

data = load_or_simulate("uva_nemo", n_clips=250, random_state=1)
dmarkers = DMarkerTransformer(fps=data.fps)
features = dmarkers.fit_transform(data.clips)  # nothing is learned
duration = np.log(check_clips(data.clips).n_frames / data.fps)
names = np.array([name.partition("__")[0] for name in dmarkers.get_feature_names_out()])
table = Bunch(
    clips=np.column_stack([features, duration]),
    target=data.target,
    groups=data.groups,
    name=data.name,
)


def regress(columns, strength=0.01):
    select = ColumnTransformer([("kept", "passthrough", columns)])
    return make_pipeline(select, StandardScaler(), LogisticRegression(C=strength, max_iter=1000))


systems = {
    "all D-Markers": regress(np.flatnonzero(names != "")),
    "lips": regress(np.flatnonzero(names == "lip")),
    "eyelids": regress(np.flatnonzero(names == "eyelid")),
    "clip duration": regress([225], 1.0),
}
predictions = run_benchmark(systems, table, cv=10, n_repeats=3)
format_table(summarize(predictions))
# sphinx_gallery_thumbnail_number = 3

# %%
# Pair by pair
# ------------
# Two classifiers can differ significantly although their intervals overlap, because they were
# tested on the same clips. ``compare`` therefore tests the differences clip by clip. Its
# permutation test treats subjects as units, and Holm's correction accounts for the number of
# pairs. The verdict is "equivalent" if the whole interval of the difference lies within one point
# of 0, and "undecided" if the clips do not suffice to decide.
comparison = compare(predictions, n_permutations=9999)
format_table(comparison)

# %%
# Who ranks where?
# ----------------
# The diagram shows mean ranks over subjects. Classifiers under one bar do not differ
# significantly in this test. It uses only the order of the classifiers for each subject, so it
# finds fewer differences than the permutation test.
CriticalDifferenceDisplay.from_predictions(predictions)
plt.show()

# %%
# Are the probabilities calibrated?
# ---------------------------------
# Two classifiers with the same accuracy can differ in calibration. If the points lie on the
# diagonal, the probabilities are calibrated: 70 % of the clips with a probability of 70 % are
# spontaneous.
ReliabilityDisplay.from_predictions(
    predictions[predictions["estimator"].isin(["all D-Markers", "clip duration"])], n_bins=6
)
plt.show()

# %%
# How many clips does it take?
# ----------------------------
# Suppose that two classifiers disagree on a fifth of the clips. The curves show how large the true
# difference in accuracy must be so that four of five studies detect it, for a number of
# independent clips. If you compare 15 classifiers, there are 105 pairs, and the difference must be
# larger.
n_clips = np.array([40, 80, 184, 400, 1240, 5000])
figure, ax = plt.subplots(figsize=(5.6, 4), layout="constrained")
for pairs, color in ((1, "#1f3a5f"), (105, "#b45309")):
    smallest = [
        100 * smallest_detectable_difference(n, power=0.8, discordance=0.2, n_pairs=pairs)
        for n in n_clips.tolist()
    ]
    label = "1 pair" if pairs == 1 else f"{pairs} pairs"
    ax.plot(n_clips, smallest, "o-", color=color, label=label, linewidth=2)
ax.axvline(1240, color="#9ca3af", linestyle="--")
ax.text(1300, 15, "UvA-NEMO")
ax.set(xscale="log", xlabel="clips", ylabel="detectable difference (points)", ylim=(0, None))
ax.set_xticks(n_clips, n_clips)
ax.minorticks_off()
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The answer
# ----------
# Only large differences can be confirmed. On 250 clips, the D-Markers of the lips are about nine
# points better than those of the eyelids, and about nine points better than the length of the
# clip. It remains undecided whether the D-Markers of all regions are better than those of the
# lips: a difference of two or three points cannot be significant here. On the 20 clips of BBC, no
# difference below 25 points can be significant, whatever the two classifiers are. Ranking 15
# strategies that differ by one point takes more clips than any of the public data sets contains.
