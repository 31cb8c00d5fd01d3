"""Train the pretrained model on simulated smiles, and write it into the package.

Run ``python tools/train_model.py``; it takes about a minute. On the same kind of processor, each
run writes an identical file. ``--output FILE`` writes the model elsewhere.

Half of the clips have 478 landmarks, and the other half have 68. Half of each start and end as in
UvA-NEMO, and the other half start and end at random times. All recording settings vary. The
coordination of the brows and chin with the lips is the same in both classes, because a difference
would be an assumption of the simulator.
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
    "summary": "Classifies smiles in clips of facial landmarks as spontaneous or posed. "
    "`smilefusion.load_pretrained` loads this model, and `smilefusion predict` uses it if no "
    "model file is given.",
    "data": f"{4 * N_ROUNDS * N_CLIPS} simulated clips of {4 * N_ROUNDS * N_SUBJECTS} people, "
    "with 478 or 68 landmarks, 12 to 60 frames per second, landmark noise of 1 to 15 % of the "
    "lip movement in an average smile, up to 5 % missing frames, head motion of up to 8 degrees "
    "and class differences of 0.5 to 1.1 times those of UvA-NEMO. Half of the clips start and end "
    "at random times. The model was not trained on real clips. However, the simulator uses class "
    "means and spreads that were measured on UvA-NEMO, including the people in the real clips "
    "below.",
    "protocol": "`tools/train_model.py`: the average of a fusion network and a logistic "
    "regression on D-Markers of the lips and eyelids. The model does not use the cheeks, brows or "
    "chin.",
    "metrics": {
        "Test on real clips": "The model itself was not tested on real clips. The scores below "
        "are for published lip D-Markers of 576 real clips from UvA-NEMO, which are defined "
        "differently from those of this package. They are the scores of the mean probability of "
        "three models that were trained in the same way, but on simulated clips that were "
        "measured like the real ones. Brackets contain 95 % intervals from a bootstrap over "
        "groups of people of the same gender and age.",
        "576 real clips": "AUC .859 [.826, .893], balanced accuracy .767 [.727, .800], log loss "
        ".463 [.422, .509], ECE .050",
        "Logistic regression trained on these clips, 10-fold cross-validation": "AUC .860 "
        "[.828, .896], "
        "log loss .465",
        "Duration of the movement only": "AUC .782",
        "286 real clips of equal duration": "AUC .693 [.627, .751]; duration only .502",
        "Adults and people under 18": "AUC .834 [.783, .884] and .883 [.838, .926]. On 660 other "
        "clips, a similar model had AUCs of .89 and .83, so neither difference is reliable.",
    },
    "intended_use": "Research on smiles, a first analysis of clips, and a starting point for "
    "`adapt` with your own labels. The model abstains on clips unlike the simulated ones and on "
    "clips without a clear smile.",
    "limits": "Most of the accuracy comes from the duration of the smile. Expect an AUC of about "
    ".70 instead of .86 if both classes are equally long, for example because all clips were cut "
    "to the same length. The test used only one real data set. The model was not tested on "
    "labelled clips from MediaPipe. Its probabilities assume that half of the smiles are "
    "spontaneous. With landmarks in two dimensions, it cannot detect a turned head and is then "
    "much less accurate. The model does not detect what a person feels and must not be used to "
    "judge people.",
}


def simulate(n_landmarks, trimming, seed, n_clips=N_CLIPS, **changes):
    """Return one part of the training data."""
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
    for epoch in pipeline[-1].named_estimators_["network"].net_.history:
        del epoch["dur"]  # run times would make the files of identical models differ
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
