"""
Is the better of two classifiers better?
========================================

One classifier has 84 % and the other 81 %. Would it be so on other people? And how many clips does
it take to know?
"""

# %%
# Four classifiers on the same people
# -----------------------------------
# D-Markers of the lips, of the eyelids, of all three regions, and the length of the clip: each
# goes into the same logistic regression, and is tested on the same subject-disjoint folds, three
# times over with other folds.
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
features = dmarkers.fit_transform(data.clips)  # of each clip by itself: nothing is learned
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
print(format_table(summarize(predictions)))

# %%
# Pair by pair
# ------------
# Intervals that overlap do not say that two classifiers are alike: they were tested on the same
# clips, and the differences clip by clip are what counts. The permutation test takes subjects as
# units; Holm's correction takes care of the number of pairs. "Equivalent" is what lies within one
# point with certainty, "undecided" what the clips cannot tell.
comparison = compare(predictions, n_permutations=9999)
print(format_table(comparison))

# %%
# Who ranks where?
# ----------------
# Mean ranks over subjects; classifiers under one bar do not differ significantly.
CriticalDifferenceDisplay.from_predictions(predictions)
plt.show()

# %%
# Are the probabilities any good?
# -------------------------------
# A classifier may be right as often as another and know less well when. Where the points lie on
# the diagonal, of the clips that are called spontaneous with 70 %, 70 % are.
ReliabilityDisplay.from_predictions(
    predictions[predictions["estimator"].isin(["all D-Markers", "clip duration"])], n_bins=6
)
plt.show()

# %%
# How many clips does it take?
# ----------------------------
# Suppose that two classifiers disagree on a fifth of the clips. With what number of independent
# clips is a true difference found in four of five studies?
n_clips = np.array([20, 80, 184, 400, 1240, 5000])
for pairs in (1, 105):
    smallest = [
        smallest_detectable_difference(n, power=0.8, discordance=0.2, n_pairs=pairs)
        for n in n_clips.tolist()
    ]
    points = [f"{100 * least:.1f}" if np.isfinite(least) else "none" for least in smallest]
    told = ", ".join(f"{n}: {each}" for n, each in zip(n_clips, points, strict=True))
    print(f"{pairs} pairs, points by number of clips: {told}")

# %%
# The answer
# ----------
# The comparison says which differences stand and which remain undecided; a difference of two or
# three points on 250 clips is of the latter kind. On the 20 clips of BBC nothing below 25 points
# can be told, whatever the classifiers. To rank 15 strategies that differ by a point takes more
# clips than any of the public data sets has.
