"""Explanations: effects, sentences and picture."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.inspection import ExplanationDisplay, explain, explain_in_words

FEW = {"n_subjects": 30, "fps": 25, "effect": 2.0}


def train(cue):
    smiles = make_smiles(120, cues=[cue], random_state=0, **FEW)
    linear = LogisticRegression(C=0.01, max_iter=1000)
    return make_pipeline(DMarkerTransformer(), StandardScaler(), linear).fit(
        smiles.clips, smiles.target
    )


@pytest.fixture(scope="module")
def model():
    return train("duration")


@pytest.fixture(scope="module")
def clips():
    return make_smiles(30, cues=["duration"], random_state=1, **FEW).clips


class MeasuringModel:
    """A classifier whose logit is a D-Marker."""

    classes_ = np.array(["posed", "spontaneous"])

    def __init__(self, name):
        self.name = name

    def predict_proba(self, X):
        table = DMarkerTransformer().set_output(transform="pandas").fit_transform(X)
        p = 1 / (1 + np.exp(-table[self.name].to_numpy()))
        return np.column_stack([1 - p, p])


@pytest.mark.parametrize("cue", ["duration", "amplitude", "eyelids"])
def test_explanation_names_the_only_cue_of_the_training_clips(cue):
    smiles = make_smiles(60, cues=[cue], random_state=1, **FEW)
    effects = explain(train(cue), smiles.clips, kinds=["property"])
    named = effects.loc[effects.groupby("clip")["effect"].idxmax()]
    sure = named["probability"] > named["probability"].median()
    assert (named.loc[sure, "name"] == cue).mean() > 0.4  # random: 0.2


def test_effect_is_the_change_of_the_logit(model, clips):
    effects = explain(model, clips[:2])
    logits = [np.log(effects[name] / (1 - effects[name])) for name in ("probability", "changed")]
    assert effects["effect"].to_numpy() == pytest.approx((logits[0] - logits[1]).to_numpy())
    assert ((effects["direction"] == "for") == (effects["effect"] > 0)).all()
    own = model.predict_proba(clips[:1]).max()
    assert effects["probability"].iloc[0] == pytest.approx(own)


@pytest.mark.parametrize(
    ("name", "marker"),
    [("amplitude", "lip__apex__max_amplitude"), ("eyelids", "eyelid__apex__mean_amplitude")],
)
def test_typical_value_replaces_that_of_the_clip(clips, name, marker):
    effects = explain(MeasuringModel(marker), clips, kinds=["property"])
    p = effects.loc[effects["name"] == name, ["class", "probability", "changed"]]
    values = np.log(p[["probability", "changed"]] / (1 - p[["probability", "changed"]]))
    values[p["class"] == "posed"] *= -1
    assert values["changed"].std() < 0.6 * values["probability"].std()


def test_other_frame_rate_gives_the_same_sentence_start(model):
    slow, fast = (
        make_smiles(2, n_subjects=1, fps=fps, jitter=0, random_state=3) for fps in (25, 50)
    )
    texts = [explain_in_words(explain(model, each.clips[1:2]))[0] for each in (slow, fast)]
    assert texts[0].split(":")[0][-30:] == texts[1].split(":")[0][-30:]


def test_clips_of_68_points_and_without_rate_are_explained():
    smiles = make_smiles(40, n_subjects=20, fps=25, n_landmarks=68, random_state=0)
    plain = list(smiles.clips)
    model = make_pipeline(DMarkerTransformer(signals=["lip"]), LogisticRegression(C=0.01))
    model.fit(plain, smiles.target)
    effects = explain(model, plain[:1])
    assert set(effects["kind"]) == {"property", "region", "phase", "moment"}
    assert np.isfinite(effects["effect"]).all()


def test_clips_that_start_or_end_during_the_smile_are_explained(model):
    smiles = make_smiles(8, n_subjects=4, fps=25, lead_in=-0.4, tail=-0.6, random_state=0)
    clips = check_clips([*smiles.clips, smiles.clips[0][25:]], fps=25)
    effects = explain(model, clips, kinds=["property", "region"])
    assert np.isfinite(effects["effect"]).all()
    assert effects["effect"].abs().max() < 12


def test_clip_without_smile_has_no_explanation(model, clips):
    still = np.repeat(clips[0][:1], 40, axis=0)
    assert explain(model, [still]).empty
    with pytest.raises(ValueError, match="no smile"):
        ExplanationDisplay.from_clip(model, still)


def test_sentence_admits_that_no_property_speaks_for_the_class():
    row = {"clip": 0, "class": 1, "probability": 0.8, "kind": "property", "name": "speed"}
    effects = pd.DataFrame([row | {"changed": 0.9, "effect": -0.8, "direction": "against"}])
    assert "no property" in explain_in_words(effects)[0]


def test_unknown_kinds_and_unfitted_models_are_refused(model, clips):
    with pytest.raises(ValueError, match="kinds must be among"):
        explain(model, clips[:1], kinds=["hour"])
    with pytest.raises(ValueError, match="must contain the kind"):
        explain_in_words(explain(model, clips[:1], kinds=["phase"]))
    with pytest.raises(ValueError, match="two classes"):
        explain(make_pipeline(DMarkerTransformer()), clips[:1])


def test_display_shows_all_moments_and_the_sentence(model, clips):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    display = ExplanationDisplay.from_clip(model, clips[0:1])
    moments = display.effects.loc[display.effects["kind"] == "moment", "effect"]
    drawn = display.axes_[2].lines[-1].get_ydata()
    assert drawn == pytest.approx(moments.to_numpy())
    assert display.figure_.get_suptitle().startswith("Class ")
    plt.close("all")
