"""
Explain the prediction for a smile
==================================

Why does a model classify a smile as posed? This example changes one property of the smile at a
time, such as its duration or amplitude, and measures how much the prediction changes. You need a
fitted classifier and a clip.
"""

# %%
# A model and a clip
# ------------------
# Any fitted two-class classifier of clips that has ``predict_proba`` can be explained.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning
from smilefusion.inspection import ExplanationDisplay, explain_in_words

warnings.simplefilter("ignore", DataWarning)  # some simulated smiles are faint
train = make_smiles(200, n_subjects=60, fps=25, random_state=0)
new = make_smiles(4, n_subjects=2, fps=25, random_state=1)
model = make_pipeline(DMarkerTransformer(), StandardScaler(), LogisticRegression(C=0.01))
model.fit(train.clips, np.array(["posed", "spontaneous"])[train.target])
# sphinx_gallery_thumbnail_number = 2

# %%
# Effects of properties, regions, phases and moments
# --------------------------------------------------
# Red shows effects in favour of the predicted class, and blue shows effects against it.
display = ExplanationDisplay.from_clip(model, new.clips[2:3])
plt.show()

# %%
# In words and as a table
# -----------------------
print(explain_in_words(display.effects)[0])
effects = display.effects.query("kind == 'property'").set_index("name")
effects[["changed", "effect"]].round(2)

# %%
# In the table, ``changed`` is the probability after the property has been made typical.
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.barh(effects.index, effects["effect"], color="#b2182b")
ax.invert_yaxis()
ax.set_xlabel("effect in favour of “posed” (logits)")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The answer
# ----------
# The lip amplitude is the main reason for the prediction "posed". The amplitude is larger than in
# a typical smile. The effects describe only this model. Another model may use other properties.
