"""
One's own row in the table of the field
=======================================

How does a system of one's own stand beside what was published on UvA-NEMO, MMI, SPOS and BBC? The
table is soon made. What may be read from it is another matter.
"""

# %%
# Four data sets at one frame rate
# --------------------------------
# They are loaded where ``SMILEFUSION_DATA`` names their folder, else small simulated ones take
# their place, in columns of their own. The data sets differ in frame rate, and an estimator knows
# one: all are brought to 25 frames per second. MMI and BBC do not tell their subjects. Counting
# each clip as a subject of its own, as done here, hides whether people are in both parts of a
# fold: whoever knows the subjects of MMI sets ``data.groups``.
import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.benchmark import (
    format_table,
    join_published,
    run_benchmark,
    summarize,
)
from smilefusion.clips import check_clips
from smilefusion.datasets import load_or_simulate, resample

FPS = 25
sizes = {"uva_nemo": 124, "mmi": 92, "spos": None, "bbc": None}
datasets = {}
for name, n_clips in sizes.items():
    data = resample(load_or_simulate(name, n_clips=n_clips, random_state=0), FPS)
    if data.groups is None:
        data.groups = np.arange(len(data.clips))
    datasets[data.name] = data
    print(f"{data.name}: {len(data.clips)} clips")

# %%
# A system and two yardsticks
# ---------------------------
# The system is a logistic regression on D-Markers, cheap enough for this page; put your own in its
# place. The yardsticks are the length of the clip alone and the majority class.


def log_duration(clips):
    return np.log(check_clips(clips).n_frames / FPS).reshape(-1, 1)


def regress(step, strength):
    return make_pipeline(step, StandardScaler(), LogisticRegression(C=strength, max_iter=1000))


systems = {
    "majority": DummyClassifier(strategy="prior"),
    "clip duration": regress(FunctionTransformer(log_duration), 1.0),
    "D-Markers, logistic": regress(DMarkerTransformer(fps=FPS), 0.01),
}
summary = summarize(run_benchmark(systems, datasets, cv=5))
print(format_table(summary))

# %%
# The table of the field
# ----------------------
# Published figures are accuracies. A data set whose classes are unequal gives the majority class a
# high one: 75 % on MMI, 82.5 % on SPOS.
join_published(summary, table="methods")

# %%
# The answer
# ----------
# The row can be put there, but the rows above it do not measure the same thing: figures of
# HadaSmileNet and its kin are the best of 300 epochs on the test fold, those of others follow
# protocols of their own. On SPOS and BBC a coin would stand near the top under such a choice. A
# comparison that means something trains both systems on the same folds, chooses nothing by the
# test clips and tests the difference (:ref:`sphx_glr_gallery_plot_significance.py`); and it asks
# what the length of the clips alone achieves.
