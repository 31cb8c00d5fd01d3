"""
Compare your system with published results
==========================================

How does your own system compare with published results on UvA-NEMO, MMI, SPOS and BBC? This
example adds it to the published table, and explains why the rows are hard to compare. It uses the
data sets that you have, and simulates the others.
"""

# %%
# Four data sets at one frame rate
# --------------------------------
# The data sets are loaded if ``SMILEFUSION_DATA`` names their folder. Otherwise, the example
# simulates small ones, which have their own columns in the table. The data sets differ in frame
# rate, so all clips are resampled to 25 frames per second. MMI and BBC do not name their subjects.
# Here, each of their clips counts as a subject of its own, so the same person may be on both sides
# of a fold. If you know the subjects of MMI, set ``data.groups``.
import matplotlib.pyplot as plt
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
# A system and two baselines
# --------------------------
# The system is a logistic regression on D-Markers, because it is fast. Replace it with your own.
# The baselines are the length of the clip and the majority class.


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
format_table(summary)

# %%
# The published table
# -------------------
# Published scores are accuracies. If one class is more frequent, always answering with it has a
# high accuracy: 75 % on MMI, 82.5 % on SPOS.
table = join_published(summary, table="methods")
table.round(1)

# %%
# The most recent methods, and the example's own systems, on UvA-NEMO:
recent = table.tail(10).set_index("method")
own = "UvA-NEMO, simulated" if "UvA-NEMO, simulated" in recent else "uva_nemo"
figure, ax = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
ax.barh(recent.index, recent["uva_nemo"], color="#9ca3af", label="published")
ax.barh(recent.index[-3:], recent[own][-3:], color="#1f3a5f", label="own, honest")
ax.axvline(50, color="black", linestyle="--", linewidth=1)
ax.invert_yaxis()
ax.set(xlabel="accuracy (%)", xlim=(40, 100))
figure.legend(frameon=False, loc="outside lower center", ncols=2)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The answer
# ----------
# It is easy to add a row, but the rows above do not measure the same thing. The accuracies of
# HadaSmileNet are the best of 300 epochs on the test fold, and the other methods use different
# protocols. On SPOS and BBC, even a coin would be near the top if its best epoch counted. For a
# fair comparison, train both systems on the same folds, choose nothing on the test clips, and test
# the difference (:ref:`sphx_glr_gallery_compare_plot_significance.py`). Also compare with the
# baselines. Here, the length of the clip is about as accurate as D-Markers on most of the data
# sets, and on SPOS, neither is clearly better than the majority class.
