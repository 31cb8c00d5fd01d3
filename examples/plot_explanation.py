"""
Explain the prediction for a smile
==================================

Why does a model call a smile posed? This example changes one thing about the smile at a time, such
as its duration or its amplitude, and measures how far the prediction moves.
"""

# %%
# A model and a clip
# ------------------
# Any fitted classifier of clips with two classes can be explained. Class 0 is posed.
import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles
from smilefusion.inspection import ExplanationDisplay, explain_in_words

train = make_smiles(200, n_subjects=60, fps=25, random_state=0)
new = make_smiles(4, n_subjects=2, fps=25, random_state=1)
model = make_pipeline(DMarkerTransformer(), StandardScaler(), LogisticRegression(C=0.01))
model.fit(train.clips, train.target)

# %%
# Which property, region, phase and moment?
# -----------------------------------------
# Red speaks for the predicted class, blue against it.
display = ExplanationDisplay.from_clip(model, new.clips[2:3])
plt.show()

# %%
print(explain_in_words(display.effects)[0])

# %%
# **The amplitude of the lips speaks most for a posed smile**, because it is larger than in a
# typical smile. The effects describe this model. Another model may use other properties.
