"""Explain which properties, regions, phases and moments of a smile affected a prediction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from smilefusion.clips._sequence import check_clips
from smilefusion.dmarkers._markers import ignoring_data_warnings
from smilefusion.inspection._occlusion import list_changes, read_smile

KINDS = ("property", "region", "phase", "moment")
_SURE = 1e-6  # probabilities are clipped to this distance from 0 and 1
_COLUMNS = (
    *("clip", "class", "probability", "kind", "name"),
    *("changed", "effect", "direction"),
)
_WORDS = {
    "speed": "speed of the onset and offset",
    "amplitude": "amplitude of the lips",
    "eyelids": "movement of the eyelids",
    "coordination": "movement of the brows and the chin",
}


def explain(model: Any, clips: Any, *, kinds: Sequence[str] = KINDS) -> pd.DataFrame:
    """Measure the effect of properties, regions, phases and moments of a smile on its prediction.

    One aspect of the smile is changed at a time: a property, region or phase becomes typical, or a
    moment is interpolated. The model then predicts the changed clip.

    Parameters
    ----------
    model : estimator
        Fitted classifier of clips that has `predict_proba` and two classes.
    clips : sequence of clips
        Clips in any form that `smilefusion.clips.check_clips` accepts.
    kinds : sequence of {"property", "region", "phase", "moment"}, default=("property", \
"region", "phase", "moment")
        What to change. Moments need many more predictions than the other kinds.

    Returns
    -------
    effects : DataFrame
        One row per clip and change: ``clip`` (position of the clip), ``class`` (predicted class),
        ``probability`` (of this class), ``kind``, ``name``, ``changed`` (probability of the same
        class after the change), ``effect`` (logit of ``probability`` minus logit of ``changed``)
        and ``direction`` ("for" if the effect is positive, otherwise "against"). Clips without a
        smile have no rows.

    Raises
    ------
    ValueError
        If the model is not a fitted classifier with two classes, or if a kind is unknown.
    InvalidClipError
        If a clip is invalid.

    Notes
    -----
    Typical values are medians over simulated smiles, which are based on measurements from
    UvA-NEMO. Head motion and landmark noise remain.

    - duration: the slow parts of onset, apex and offset are stretched or shortened.
    - speed: onset and offset are played faster or slower, and the apex is adjusted to keep the
      total duration.
    - amplitude: the movement of lips and cheeks is scaled.
    - eyelids: their movement is replaced by a typical narrowing, but blinks remain.
    - coordination: brows and chin move with the lips as in the mean smile.

    A changed region moves with the lips as in the mean smile of the same amplitude. The onset or
    offset gets a typical speed, and the apex gets a typical duration. A moment is 0.3 s in which
    the smile is replaced by linear interpolation. If a clip has no frame rate, 30 frames per
    second are assumed. Zeiler and Fergus introduced the underlying idea, occlusion, for images
    [1]_. :doc:`A benchmark </reference/explanation_accuracy>` shows how often the property with
    the largest effect is the true cue in simulated smiles.

    References
    ----------
    .. [1] M. D. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
       2014.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from smilefusion import DMarkerTransformer
    >>> from smilefusion.datasets import make_smiles
    >>> from smilefusion.inspection import explain
    >>> smiles = make_smiles(60, fps=25, random_state=0)
    >>> model = make_pipeline(DMarkerTransformer(), StandardScaler(), LogisticRegression(C=0.01))
    >>> model = model.fit(smiles.clips[:56], smiles.target[:56])
    >>> explain(model, smiles.clips[56:57], kinds=["property"])["name"].tolist()
    ['duration', 'speed', 'amplitude', 'eyelids', 'coordination']
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kinds must be among {list(KINDS)}; got {kind!r}.")
    classes = getattr(model, "classes_", ())
    if len(classes) != 2:
        raise ValueError(
            f"model must be a fitted classifier with two classes, but it has {len(classes)}. Fit "
            "the model, or use one with two classes."
        )
    clips = check_clips(clips)
    rows = []
    for index in range(len(clips)):
        clip = clips[index : index + 1]
        smile = read_smile(clip)
        if smile is None:
            continue
        changes = {
            (kind, name): changed
            for kind in kinds
            for name, changed in list_changes(smile, kind).items()
        }
        rate = None if np.isnan(clip.fps[0]) else clip.fps[0]
        changed = check_clips([smile.clip, *changes.values()], fps=rate)
        with ignoring_data_warnings():
            second = np.asarray(model.predict_proba(changed)[:, 1], dtype=np.float64)
        is_second = second[0] > 0.5
        logits = logit(second.clip(_SURE, 1 - _SURE)) * (1 if is_second else -1)
        for (kind, name), value in zip(changes, logits[1:], strict=True):
            effect = logits[0] - value
            start = (index, classes[int(is_second)], expit(logits[0]), kind, name)
            rows.append((*start, expit(value), effect, "for" if effect > 0 else "against"))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def explain_in_words(effects: pd.DataFrame) -> pd.Series:
    """State the main reason for each prediction in one sentence.

    Parameters
    ----------
    effects : DataFrame
        Result of `explain` with the kind "property".

    Returns
    -------
    sentences : Series of str
        One sentence per clip, indexed by the position of the clip.

    Raises
    ------
    ValueError
        If `effects` has no rows of the kind "property".

    Examples
    --------
    >>> import pandas as pd
    >>> from smilefusion.inspection import explain_in_words
    >>> row = {"clip": 0, "class": 1, "probability": 0.8, "kind": "property", "name": "duration"}
    >>> effects = pd.DataFrame([row | {"changed": 0.6, "effect": 0.98, "direction": "for"}])
    >>> print(explain_in_words(effects)[0])
    Class 1 has a probability of 0.80, mainly because of the duration: if it were typical, the \
probability would be 0.60.
    """
    if not (effects["kind"] == "property").any():
        raise ValueError(
            'effects must contain the kind "property". Include it in the kinds passed to explain, '
            "and pass at least one clip with a smile."
        )
    sentences = {}
    for clip, rows in effects.groupby("clip"):
        best = rows.loc[rows.groupby("kind")["effect"].idxmax()].to_dict("records")
        strongest = {row["kind"]: row for row in best}
        named = strongest.pop("property")
        words = _WORDS.get(named["name"], named["name"])
        reason = (
            f"mainly because of the {words}: if it were typical, the probability would be "
            f"{named['changed']:.2f}"
            if named["effect"] > 0
            else "although no property of the smile supports it"
        )
        others = [
            f"{kind}: {strongest[kind]['name']}"
            for kind in KINDS
            if kind in strongest and strongest[kind]["effect"] > 0
        ]
        places = f" (strongest {', '.join(others)})" if others else ""
        start = f"Class {named['class']} has a probability of {named['probability']:.2f}"
        sentences[clip] = f"{start}, {reason}{places}."
    return pd.Series(sentences, name="sentence", dtype=object)
