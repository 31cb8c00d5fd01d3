"""
Compare the curves of posed and spontaneous smiles
==================================================

Do spontaneous smiles rise more slowly than posed ones? Single numbers, such as the highest speed,
answer this only in part. This example compares the whole curves of both conditions, aligned at the
onset, and tests in which period they differ.
"""

# %%
# Mean amplitude
# --------------
# Each person has both kinds of smiles. The clips of a person are averaged first. The bands cover
# the whole curves with a confidence of 95 %. The bar below marks a period in which the conditions
# differ, according to a cluster permutation test that exchanges the conditions within people.
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
# ``measures`` contains how much later the left side of the mouth moves, in seconds, and the
# acceleration of the lips in the first 0.1 s, with intervals over people. In the simulation, both
# sides move at the same time.
print(display.measures.round(3))
print(display.clusters.round(3))

# %%
# **In these simulated clips, posed smiles rise faster and higher.** The curves differ during the
# onset. They do not differ clearly after one second. The test shows that the conditions differ,
# but not exactly when the difference starts and ends. Times with fewer than 80 % of the people are
# left out, because otherwise the late part would only show people with long smiles.
