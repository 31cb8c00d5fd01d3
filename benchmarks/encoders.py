"""Compare ways to train the encoder, in two stages and end to end, by log loss and training time.

Run ``python benchmarks/encoders.py``; it takes about two hours on one core. Models are trained on
random draws of people, and all are tested on the same clips of other people:

- "frozen": `make_smile_classifier`, whose encoder comes with the package.
- "label-free": the same, but the encoder is trained to reconstruct the training clips.
- "supervised": `make_fusion_pipeline`, with an encoder trained on the labels. The encoder and the
  fusion network use the same clips for early stopping.
- "supervised, folds": the mean of five such pipelines with one fusion network each. Each leaves
  out one fold of people, which its encoder and its network use for early stopping.
- "end to end": `HadaSmileNetClassifier`, which starts from the encoder of the package.

The first row of each table is a logistic regression on D-Markers with cross-validated C.
"""

import time
import warnings

import numpy as np
import pandas as pd
from common import calibration_error, read_options
from learning_curves import make_models
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from smilefusion import (
    DMarkerTransformer,
    HadaSmileNetClassifier,
    make_fusion_pipeline,
    make_smile_classifier,
)
from smilefusion.datasets import make_smiles

FPS = 25


def simulate(n_clips, seed, jitter):
    return make_smiles(n_clips, n_subjects=n_clips // 3, fps=FPS, jitter=jitter, random_state=seed)


def fit_ways(train, seed):
    """Yield the name of each way, the seconds to fit it, and the fitted pipelines."""
    y, groups = train.target, train.groups
    regression = make_models("dmarkers", seed, y, groups)["regression of D-Markers"][1]
    regression.steps.insert(0, ("dmarkers", DMarkerTransformer(fps=FPS)))

    def train_encoder(pipeline, objective, **settings):
        return pipeline.set_params(
            features__deep__objective=objective, features__deep__weights=None, **settings
        )

    settings = {"fps": FPS, "random_state": seed}
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(y, y, groups)
    masks = [np.isin(np.arange(len(y)), held) for _, held in folds]
    single = [
        (train_encoder(make_fusion_pipeline(**settings), "supervised", fusion__n_members=1), mask)
        for mask in masks
    ]
    ways = {
        "D-Markers, regression": [(regression, None)],
        "frozen": [(make_smile_classifier(**settings), None)],
        "label-free": [(train_encoder(make_smile_classifier(**settings), "reconstruction"), None)],
        "supervised": [(train_encoder(make_fusion_pipeline(**settings), "supervised"), None)],
        "supervised, folds": single,
        "end to end": [(HadaSmileNetClassifier(**settings), None)],
    }
    for name, members in ways.items():
        start = time.process_time()
        for pipeline, mask in members:
            given = {} if pipeline is regression else {"groups": groups}
            given |= {} if mask is None else {"early_stopping_mask": mask}
            pipeline.fit(train.clips, y, **given)
        yield name, time.process_time() - start, [pipeline for pipeline, _ in members]


def main():
    options = read_options(
        __doc__,
        jitter=(0.0075, 0.05),
        sizes=(40, 160, 400, 1116),
        n_draws=2,
        n_test=600,
        seed=1,
    )
    warnings.simplefilter("ignore")
    for jitter in options.jitter:
        test = simulate(options.n_test, options.seed, jitter)
        for n in options.sizes:
            rows = []
            for draw in range(options.n_draws):
                train = simulate(n, 10**6 * options.seed + 10**4 * draw + n, jitter)
                for name, seconds, models in fit_ways(train, draw):
                    each = [model.predict_proba(test.clips)[:, 1] for model in models]
                    p, y = np.mean(each, axis=0), test.target
                    scores = log_loss(y, p), roc_auc_score(y, p), calibration_error(y, p)
                    rows.append((name, *scores, seconds))
            table = pd.DataFrame(rows, columns=["encoder", "log loss", "AUC", "ECE", "seconds"])
            table = table.groupby("encoder", sort=False).agg(
                {"log loss": ["mean", "max"], "AUC": "mean", "ECE": "mean", "seconds": "mean"}
            )
            print(
                f"\njitter {jitter:g}, {n} clips", table.round(3).to_string(), sep="\n", flush=True
            )


if __name__ == "__main__":
    main()
