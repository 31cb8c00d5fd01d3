"""Train the model of `load_pretrained` on simulated smiles, and write it into the package.

Run ``python tools/train_model.py``; it takes about a minute. On the same kind of
processor, the result is the same bit for bit. ``--output FILE`` writes the model elsewhere.

Half of the clips have 478 landmarks and half have 68, and half of each are trimmed as in UvA-NEMO
and half at random. All settings of the recording vary. The coordination of brows and chin with
the lips is the same in both classes, because it is an assumption of the simulator.
"""

import argparse
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from sklearn.frozen import FrozenEstimator

from smilefusion import (
    CheckedClassifier,
    DistributionChecker,
    DMarkerTransformer,
    make_smile_classifier,
    save_model,
)
from smilefusion.clips import pool_clips
from smilefusion.datasets import make_smiles
from smilefusion.persistence._pretrained import CLASSES, pretrained_path

N_CLIPS, N_SUBJECTS = 500, 125  # of each part
N_ROUNDS, SEED, HIDDEN_DIM = 2, 20261130, 64
CUES = ("duration", "speed", "amplitude", "repeated rises", "eyelids")
RECORDING = {
    "fps": (12.0, 60.0),
    "effect": (0.5, 1.1),
    "jitter": (0.01, 0.15),
    "missing_rate": (0.0, 0.05),
    "head_motion": (0.0, 8.0),
    "face_size": (0.04, 0.30),
}
TRIMMING: tuple[dict, ...] = ({}, {"lead_in": (-0.3, 1.5), "tail": (-0.8, 1.5)})
IGNORED = ("face_size",)  # D-Markers do not depend on the unit of the coordinates
CARD = {
    "summary": "Tells spontaneous from posed smiles in clips of facial landmarks. This is the "
    "model of `smilefusion.load_pretrained` and of `smilefusion predict` without a model file.",
    "data": f"{4 * N_ROUNDS * N_CLIPS} simulated clips of {4 * N_ROUNDS * N_SUBJECTS} people, "
    "with 478 or 68 landmarks, 12 to 60 frames per second, landmark noise of 1 to 15 % of the "
    "smile, up to 5 % missing frames, head motion of up to 8 degrees and class differences of "
    "0.5 to 1.1 times those of UvA-NEMO. Half of the clips are cut at random. It was not trained "
    "on real clips. But the simulator follows class means and spreads that were measured on "
    "UvA-NEMO, including the people of the real clips below.",
    "protocol": "`tools/train_model.py`: the mean of a fusion network and a logistic regression, "
    "on D-Markers of the lips and eyelids. It does not use cheeks, brows or chin.",
    "metrics": {
        "How the real results were measured": "On published D-Markers of the lips of 576 real "
        "clips from UvA-NEMO. Their definition differs from that of this package, so the model "
        "was trained again in the same way on simulated clips that were measured like the real "
        "ones. 95 % intervals are in brackets.",
        "576 real clips": "AUC .859 [.826, .893], balanced accuracy .767 [.727, .800], log loss "
        ".463 [.422, .509], ECE .050",
        "Logistic regression trained on these real clips, 10 folds": "AUC .860 [.828, .896], "
        "log loss .465",
        "Duration of the movement only": "AUC .782",
        "Real pairs of equal duration": "AUC .693 [.627, .751]; duration only .502",
        "Adults and people under 18": "AUC .834 [.783, .884] and .883 [.838, .926]. On 660 other "
        "clips, a similar model was worse for people under 18: .83 instead of .89.",
    },
    "intended_use": "Research on smiles, a first look at clips, and a starting point for `adapt` "
    "with your own labels. It answers only for clips like the simulated ones.",
    "limits": "Most of its signal is the duration of the smile: expect an AUC of about .70, not "
    ".86, if both classes are equally long, for instance because all clips were cut to the same "
    "length. It was tested on one real data set only, and never on the landmarks of MediaPipe "
    "with labels. Its probabilities assume that half of the smiles are spontaneous. In two "
    "dimensions, it cannot see that a head is turned, and is then much less accurate. It does not "
    "know what a person feels and must not be used to judge people.",
}


def simulate(n_landmarks, trimming, seed, n_clips=N_CLIPS, **changes):
    """Return a part of the training data."""
    settings = RECORDING | trimming | {"n_landmarks": n_landmarks, "cues": CUES} | changes
    n_subjects = n_clips * N_SUBJECTS // N_CLIPS
    return make_smiles(n_clips, n_subjects=n_subjects, random_state=seed, **settings)


def train(n_rounds=N_ROUNDS, n_clips=N_CLIPS, hidden_dim=HIDDEN_DIM, seed=SEED):
    """Return the fitted model."""
    streams = {name: DMarkerTransformer(signals=(name,)) for name in ("lip", "eyelid")}
    pipeline = make_smile_classifier(streams=streams, random_state=seed)
    pipeline.set_params(vote__network__hidden_dim=hidden_dim)
    tables, targets, groups, seen = [], [], [], []
    for number, (part, (n_landmarks, trimming)) in enumerate(
        product(range(n_rounds), product((478, 68), TRIMMING))
    ):
        smiles = simulate(n_landmarks, trimming, seed + number, n_clips)
        tables.append(pipeline[:-1].fit_transform(smiles.clips))
        targets.append(np.array(CLASSES)[smiles.target])
        groups.append(smiles.groups + number * n_clips)
        if part == 0 and n_landmarks == 478:
            seen.append(smiles)
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline[-1].fit(pd.concat(tables), np.concatenate(targets), groups=np.concatenate(groups))
    for member in pipeline[-1].estimators_:
        for name in ("split_", "oof_proba_"):
            vars(member).pop(name, None)
    checker = DistributionChecker(any_landmarks=True, ignore=IGNORED)
    model = CheckedClassifier(FrozenEstimator(pipeline), checker=checker)
    labels = np.array(CLASSES)[np.concatenate([smiles.target for smiles in seen])]
    return model.fit(pool_clips([smiles.clips for smiles in seen]), labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=pretrained_path())
    path = parser.parse_args().output
    warnings.simplefilter("ignore")  # a few simulated clips show no smile
    metadata = {"n_clips": 4 * N_ROUNDS * N_CLIPS, "seed": SEED}
    save_model(train(), path, metadata=metadata, card=CARD)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
