"""Measure how often an explanation names the cue that made the difference.

Run ``python benchmarks/explanations.py``. On one core, the linear model takes 4 minutes. The
pipeline takes 5 minutes with ``--n-train 600``.

1. The classes of each population differ in a single cue of the simulator. A model is trained on
   it, and the explanation names the property, region, phase or moment with the largest effect in
   favour of the predicted class. Only test clips that the model classifies correctly and with
   above-median confidence are explained. In "speed of the onset" and "speed of the offset", the
   classes differ only in the speed of this phase. "duration of the apex" has clips of equal
   duration.
2. A model is trained on a population with all cues. Each test clip is simulated twice, with and
   without the class difference in a single cue. Only clips that the model classifies correctly
   with the cue and wrongly without it are explained, so the cue made the difference.

`explain` does not change repeated rises, because explanations name them no more often than chance.
The linear model and the pipeline cannot separate classes that differ only in them. To show this,
the benchmark adds a change that fills the dips in the apex.

Random explanations name each candidate with the same probability. The mean map always names the
candidate with the largest mean absolute effect on 200 training clips. In part 1, it is always
right or always wrong, because all clips of a population have the same cue.
"""

from unittest.mock import patch

import numpy as np
import pandas as pd
from common import read_options
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier, make_fusion_pipeline
from smilefusion.datasets import make_smiles
from smilefusion.datasets.simulated import _time_courses
from smilefusion.inspection import _occlusion, explain
from smilefusion.landmarks import landmark_scheme

FPS = 25
RISES, APEX = "repeated rises", "duration of the apex"
# Population → kind of explanation → the right names.
TRUTHS = {
    "duration": {"property": ["duration"]},
    "speed": {"property": ["speed"]},
    "amplitude": {"property": ["amplitude"]},
    "eyelids": {"property": ["eyelids"], "region": ["eyelids"]},
    RISES: {"property": [RISES]},
    "coordination": {"property": ["coordination"], "region": ["brows", "chin"]},
    APEX: {"phase": ["apex"]},
    "speed of the onset": {"phase": ["onset"], "moment": ["onset"]},
    "speed of the offset": {"phase": ["offset"], "moment": ["offset"]},
}
MODELS = {
    "linear": lambda: make_pipeline(
        DMarkerTransformer(), StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
    ),
    "pipeline": lambda: make_fusion_pipeline(random_state=0),
    "end-to-end": lambda: HadaSmileNetClassifier(max_epochs=12, random_state=0),
}


def simulate(cue, n_clips, seed, effect, *, on=True):
    """Simulate clips of different people whose classes differ in a single cue, if it is on."""
    draw, phase = _time_courses._draw_burst, cue.removeprefix("speed of the ")
    calls = []

    def draw_one(rng, weight, start, stop):  # called for the onset and the offset in turn
        calls.append(weight)
        is_onset = len(calls) % 2 == 1
        return draw(rng, weight if is_onset == (phase == "onset") else 0.5, start, stop)

    seconds = {}
    if cue == APEX:
        for name, classes in _time_courses._LN_SECONDS.items():
            own = _time_courses.mix_classes(*classes, 0.5)
            shift = 0.4 * (name == "apex")
            seconds[name] = tuple((own[0] + sign * shift, own[1]) for sign in (-1, 1))
    name = "speed" if phase != cue else "duration" if cue == APEX else cue
    cues = [name] if on else []
    options = {"n_subjects": n_clips, "fps": FPS, "effect": effect, "random_state": seed}
    with (
        patch.dict(_time_courses._LN_SECONDS, seconds),
        patch.object(_time_courses, "_draw_burst", draw_one if phase != cue else draw),
    ):
        return make_smiles(n_clips, cues=cues, **options)


def fill_dips(smile):
    """Fill the dips of the lip movement within the apex."""
    part, strength = smile.phase("apex"), np.zeros(len(smile.lip))
    lip, highest = smile.lip[part], np.maximum.accumulate
    strength[part] = (np.minimum(highest(lip), highest(lip[::-1])[::-1]) - lip) / smile.amplitude
    regions = _occlusion.region_weights(landmark_scheme(smile.clip.shape[1]), ("lips", "cheeks"))
    return smile.shift(strength, regions * smile.field)


def predict_logits(model, clips):
    """Return the logit of the second class."""
    return logit(np.clip(model.predict_proba(clips)[:, 1], 1e-6, 1 - 1e-6))


def moments_in_phase(effects, truth, phase):
    """Return whether each moment of `explain` overlaps a phase of its clip."""
    edges = {"onset": ("onset_start", "apex_start"), "offset": ("offset_start", "offset_end")}
    start, stop = (truth[f"{edge}_s"].to_numpy()[effects["clip"]] for edge in edges[phase])
    middle = effects["name"].str.removesuffix(" s").astype(float)
    return (middle + 0.15 > start) & (middle - 0.15 < stop)


def rate_names(effects, is_right, reference):
    """Return the hit rate of explanations, its standard error, and those of two other maps."""
    table = effects.assign(right=np.asarray(is_right))
    best = table.loc[table.groupby("clip")["effect"].idxmax()]
    hits, n = best["right"].mean(), len(best)
    found = {"n": n, "hit": hits, "error": np.sqrt(hits * (1 - hits) / n)}
    found["random"] = table.groupby("clip")["right"].mean().mean()
    if reference is not None:
        named = reference["effect"].abs().groupby(reference["name"]).mean().idxmax()
        found["mean_map"] = table.loc[table["name"] == named, "right"].mean()
    return {name: round(float(value), 2) for name, value in found.items()}


def explain_population(name, cue, options):
    """Return the rows of part 1 for one model and one cue."""
    train = simulate(cue, options.n_train, 0, options.effect)
    test = simulate(cue, options.n_test, 1, options.effect)
    model = MODELS[name]().fit(train.clips, train.target)
    logits = predict_logits(model, test.clips)
    is_sure = np.abs(logits) > np.median(np.abs(logits))
    chosen = np.flatnonzero(is_sure & ((logits > 0) == test.target))
    rows = []
    for kind, right in TRUTHS[cue].items():
        effects = explain(model, test.clips[chosen], kinds=[kind])
        if kind == "moment":
            is_right = moments_in_phase(effects, test.truth.iloc[chosen], right[0])
            found = rate_names(effects, is_right, None)
        else:
            reference = explain(model, train.clips[:200], kinds=[kind])
            found = rate_names(effects, effects["name"].isin(right), reference)
        auc = round(roc_auc_score(test.target, logits), 2)
        rows.append({"model": name, "cue": cue, "kind": kind, "auc": auc, **found})
    return rows


def explain_pairs(name, options):
    """Return the rows of part 2 for one model."""
    train = make_smiles(options.n_train, n_subjects=options.n_train, fps=FPS, random_state=0)
    model = MODELS[name]().fit(train.clips, train.target)
    reference = explain(model, train.clips[:200], kinds=["property"])
    rows = []
    for cue in options.cues:
        if cue not in _occlusion.PROPERTIES:
            continue
        on, off = (simulate(cue, options.n_pairs, 2, 2.0, on=value) for value in (True, False))
        right = predict_logits(model, on.clips) > 0
        chosen = (right == on.target) & ((predict_logits(model, off.clips) > 0) != on.target)
        effects = explain(model, on.clips[np.flatnonzero(chosen)], kinds=["property"])
        if len(effects):
            found = rate_names(effects, effects["name"] == cue, reference)
            rows.append({"model": name, "cue": cue, **found})
    return rows


def main():
    options = read_options(
        __doc__,
        models=tuple(MODELS),
        cues=tuple(TRUTHS),
        n_train=1000,
        n_test=400,
        n_pairs=600,
        effect=2.0,
    )
    for name in options.models:
        rows = []
        for cue in options.cues:
            extra = {RISES: fill_dips} if cue == RISES else {}
            with patch.dict(_occlusion.PROPERTIES, extra):
                new = explain_population(name, cue, options)
            print(*new, sep="\n", flush=True)
            rows += new
        print(f"\nA single cue\n{pd.DataFrame(rows).to_string(index=False)}\n")
        pairs = pd.DataFrame(explain_pairs(name, options))
        print(f"A cue that made the difference\n{pairs.to_string(index=False)}\n", flush=True)


if __name__ == "__main__":
    main()
