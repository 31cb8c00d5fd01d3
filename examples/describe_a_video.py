"""
Describe and classify the smile in a video
==========================================

When does the smile in a video start, how large is it, and does it look posed or spontaneous? You
need a video of one face, such as ``smile.mp4``, and the extras ``video`` and ``plot`` of the
package. You need no labels and no training.

This example is not run when the documentation is built, because it needs a video. The results
below come from a real video of 2.4 seconds: a face at rest, a smile, and almost rest again.
"""

# %%
# Landmarks
# ---------
# The extractor finds 478 landmarks of the face in every frame. If the environment variable
# ``SMILEFUSION_FACE_MODEL`` does not name a file with the face model, the model is downloaded
# once.
from smilefusion.video import FaceMeshExtractor

clips = FaceMeshExtractor().transform(["smile.mp4"])
print(clips)
# sphinx_gallery_thumbnail_path = 'images/real_smile.png'

# %%
# .. code-block:: none
#
#    1 clip, 478 landmarks, 30 fps, 72 frames
#
# Phases and amplitudes
# ---------------------
# :func:`~smilefusion.report.describe_clips` needs no trained model. Times are in seconds, and
# the amplitude of the lips is in mouth widths.
from smilefusion.report import describe_clips

facts = describe_clips(clips)
shown = ["onset_start_s", "apex_start_s", "offset_start_s", "lip_amplitude", "n_blinks"]
print(facts[shown].round(2).to_string())
print("Flags:", facts["flags"][0])

# %%
# .. code-block:: none
#
#       onset_start_s  apex_start_s  offset_start_s  lip_amplitude  n_blinks
#    0            0.5          0.77            2.23           0.28         1
#    Flags: ['the clip ends during the smile']
#
# The curves
# ----------
# The lip corners move apart by 0.28 mouth widths within 0.27 seconds. The cheeks rise with
# them, and the eyes narrow. The eyelid curve is interpolated over the blink, which is hatched.
import matplotlib.pyplot as plt

from smilefusion.inspection import SmileDynamicsDisplay

SmileDynamicsDisplay.from_clip(clips[0], fps=clips.fps[0])
plt.show()

# %%
# .. image:: /images/real_smile.png
#    :alt: Lip, cheek and eyelid curves of a real smile, with onset, apex, offset and a blink
#    :width: 80%
#
# D-Markers
# ---------
# D-Markers describe each phase of each curve by 25 numbers. You can use all of them as features of
# a classifier, or analyse individual ones.
from smilefusion import DMarkerTransformer

dmarkers = DMarkerTransformer().set_output(transform="pandas").fit_transform(clips)
names = ["lip__onset__duration", "lip__onset__max_speed_rising", "eyelid__apex__mean_amplitude"]
print(dmarkers[names].round(2).to_string())

# %%
# .. code-block:: none
#
#       lip__onset__duration  lip__onset__max_speed_rising  eyelid__apex__mean_amplitude
#    0                  0.27                          1.93                         -0.03
#
# Posed or spontaneous?
# ---------------------
# The package contains a model that was trained on simulated smiles. ``low`` and ``high`` are the
# limits of a 90 % interval of the probability that the smile is spontaneous.
from smilefusion import load_pretrained
from smilefusion.inspection import explain, explain_in_words

model = load_pretrained()
answers = model.answer(clips)
print(answers[["class", "probability", "low", "high"]].round(2).to_string())
print(explain_in_words(explain(model, clips))[0])

# %%
# .. code-block:: none
#
#       class  probability   low  high
#    0  posed         0.06  0.02  0.15
#    Class posed has a probability of 0.94, mainly because of the amplitude of the lips: if it
#    were typical, the probability would be 0.88 (strongest region: eyelids, phase: onset,
#    moment: 0.55 s).
#
# The answer
# ----------
# The smile starts after half a second, reaches its full size within about a quarter of a second,
# and lasts about two seconds. The model considers it posed, mainly because of its large amplitude.
# The model knows only how the face moves, not what the person feels, and it gets some smiles wrong
# (:doc:`/guide/shipped_model`).
