"""
Compare the curves of posed and spontaneous smiles
==================================================

Do spontaneous smiles rise more slowly than posed ones? A single number, such as the highest speed,
answers this only in part. This example compares the whole curves of both conditions, aligned at
the onset, and tests in which period they differ. You need clips of two conditions, preferably from
the same people.
"""

# %%
# Mean amplitude
# --------------
# Each person has both kinds of smiles. First, the clips of each person and condition are averaged.
# The 95 % bands are simultaneous: they hold for the whole curve, not only for single times. The
# bar at the bottom marks a period in which the conditions differ according to a cluster
# permutation test. The test exchanges the two conditions within people.
import matplotlib.pyplot as plt
import numpy as np

from smilefusion.datasets import make_smiles
from smilefusion.inspection import SmileCurvesDisplay

smiles = make_smiles(160, n_subjects=40, random_state=0)
condition = np.array(["posed", "spontaneous"])[smiles.target]
display = SmileCurvesDisplay.from_clips(smiles.clips, condition, random_state=0)
plt.show()

# %%
# Speed
# -----
SmileCurvesDisplay.from_clips(smiles.clips, condition, speed=True, random_state=0)
plt.show()

# %%
# Asymmetry and initial acceleration
# ----------------------------------
# ``measures`` contains the lag of the left side of the mouth in seconds, and the acceleration of
# the lips in the first 0.1 s, with intervals over people. In the simulation, both sides move at
# the same time, so the true lag is 0.
display.measures.round(3)

# %%
# The periods in which the curves differ, in seconds from the onset:
display.clusters.round(3)

# %%
# The answer
# ----------
# Yes. In these simulated clips, posed smiles rise faster and higher. The curves differ during
# the onset, but not clearly after one second. The test shows that the conditions differ, but not
# exactly when the difference starts and ends. Times at which fewer than 80 % of the people have
# values are omitted. Otherwise, the late part of the curves would show only long smiles.
