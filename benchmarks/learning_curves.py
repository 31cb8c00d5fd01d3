"""Compare networks with simple models on 20 to 1116 simulated clips, and 15 fusion strategies.

Run ``python benchmarks/learning_curves.py``; it takes about half an hour on two cores. Models are
trained on random draws of people and tested on the same 1000 clips of other people. ``--models``
selects the models:

- ``dmarkers`` (default): models on D-Markers. The network takes the lips as one stream, and the
  eyelids and cheeks as the other. "recommended" is the mean of the network and a logistic
  regression with C=0.01.
- ``clips``: the same models on D-Markers and the embedding from the package's encoder, as in
  `make_smile_classifier`. "late fusion" is the mean of one network per stream.
- ``strategies``: the 15 fusion strategies and late fusion, with 64 hidden units.

The reference is a logistic regression on D-Markers with cross-validated C, or "hadamard" for
``strategies``. The table shows the log loss, its difference from the reference with the standard
errors over draws and over test people, the AUC, the expected calibration error (about .03 for a
perfectly calibrated model), the largest log loss of any draw, and the seconds per fit.
"""

import time
import warnings
from itertools import chain

import numpy as np
import pandas as pd
import sklearn
from common import calibration_error, read_options
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DeepFeatureExtractor, DMarkerTransformer, FusionClassifier
from smilefusion.datasets import make_smiles
from smilefusion.datasets.simulated._time_courses import CUES
from smilefusion.nn import FUSIONS

FPS, N_AT_ONCE, N_DMARKERS, N_TEST = 25, 300, 225, 1000
FEW = 160  # more draws up to this number of clips
NOT_LIPS, LIPS = slice(-N_DMARKERS, -75), slice(-75, None)
DEEP, DMARKERS = slice(None, -N_DMARKERS), slice(-N_DMARKERS, None)


def simulate(n_clips, seed, settings):
    """Return features (duration, embedding, D-Markers), classes and people."""
    parts = []
    for start in range(0, n_clips, N_AT_ONCE):
        n = min(N_AT_ONCE, n_clips - start)
        smiles = make_smiles(
            n, n_subjects=n // 3, fps=FPS, random_state=10**6 * seed + start, **settings
        )
        embedding = DeepFeatureExtractor(objective="frozen", weights="simulated", fps=FPS)
        features = [
            np.log([[len(clip) / FPS] for clip in smiles.clips]),
            embedding.fit_transform(smiles.clips),
            DMarkerTransformer(fps=FPS).fit_transform(smiles.clips),
        ]
        parts.append((np.hstack(features), smiles.target, smiles.groups + start))
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def make_models(kind, seed, y, groups):
    """Return the models by name, each with its columns; the first is the reference."""
    n_folds = min(5, *(len(np.unique(groups[y == label])) for label in (0, 1)))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)

    def regress(strength=None):
        model = LogisticRegression(C=strength or 1.0, max_iter=2000)
        if strength is None:
            parts = list(folds.split(y, y, groups))
            model = GridSearchCV(
                model, {"C": np.logspace(-4.5, 1, 8)}, cv=parts, scoring="neg_log_loss"
            )
        return make_pipeline(StandardScaler(), model)

    def network(deep, dmarker, fusion="hadamard", **settings):
        return FusionClassifier(fusion, deep=deep, dmarker=dmarker, random_state=seed, **settings)

    def average(**members):
        return VotingClassifier(list(members.items()), voting="soft")

    small = {"hidden_dim": 64} if kind == "strategies" else {}
    late = average(deep=network(DEEP, DEEP, **small), dmarker=network(DMARKERS, DMARKERS, **small))
    both, lips = slice(1, None), DMARKERS
    if kind == "strategies":
        models = {key: network(DEEP, DMARKERS, key, **small) for key in ["hadamard", *FUSIONS]}
        return {name: (both, model) for name, model in models.items()} | {
            "late fusion": (both, late)
        }
    forest = RandomForestClassifier(500, random_state=seed)
    columns, streams = (lips, (NOT_LIPS, LIPS)) if kind == "dmarkers" else (both, (DEEP, DMARKERS))
    fused = network(*streams)
    models = {
        "regression of D-Markers": (lips, regress()),
        "duration": (slice(0, 1), regress()),
        "forest of D-Markers": (lips, forest),
        "regression": (columns, regress()),
        "forest": (columns, clone(forest)),
        "network": (columns, fused),
        "late fusion": (columns, late),
        "recommended": (columns, average(network=clone(fused), linear=regress(0.01))),
    }
    left_out = ("regression", "forest", "late fusion") if kind == "dmarkers" else ()
    return {name: model for name, model in models.items() if name not in left_out}


def fit_and_predict(kind, n, draw, pool, test, seed):
    """Return rows of one draw: size, draw, model, seconds, and test probabilities."""
    warnings.simplefilter("ignore")
    X, y, groups = pool
    people = np.random.default_rng([seed, n, draw]).permutation(np.unique(groups))
    rows = np.flatnonzero(np.isin(groups, people[: -(-n // 3)]))[:n]
    found = []
    for name, (columns, model) in make_models(kind, draw, y[rows], groups[rows]).items():
        is_network = isinstance(model, (FusionClassifier, VotingClassifier))
        given = {"groups": groups[rows]} if is_network else {}
        start = time.process_time()
        with sklearn.config_context(enable_metadata_routing=True):
            model.fit(X[rows][:, columns], y[rows], **given)
        seconds = time.process_time() - start
        found.append((n, draw, name, seconds, model.predict_proba(test[:, columns])[:, 1]))
    return found


def tabulate(rows, y, groups):
    """Return the scores of each model for one size of the training set."""
    probability = {name: np.array(list(each["p"])) for name, each in rows.groupby("model")}
    seconds = rows.groupby("model")["seconds"].mean()
    names = list(dict.fromkeys(rows["model"]))
    losses = {name: -np.log(np.where(y == 1, p, 1 - p)) for name, p in probability.items()}
    table = []
    for name in names:
        p, loss = probability[name], losses[name]
        change = loss - losses[names[0]]  # (n_draws, n_test_clips)
        of_people = pd.Series(change.mean(axis=0) - change.mean()).groupby(groups).sum()
        table.append(
            {
                "model": name,
                "log loss": loss.mean(),
                "change": change.mean(),
                "SE draws": change.mean(axis=1).std(ddof=1) / np.sqrt(len(p)),
                "SE people": np.sqrt((of_people**2).sum()) / len(y),
                "AUC": np.mean([roc_auc_score(y, each) for each in p]),
                "ECE": np.mean([calibration_error(y, each) for each in p]),
                "worst": loss.mean(axis=1).max(),
                "seconds": seconds[name],
            }
        )
    return pd.DataFrame(table).round(3)


def main():
    options = read_options(
        __doc__,
        models="dmarkers",
        sizes=(20, 40, 80, 160, 400, 1116),
        n_draws=6,
        n_large_draws=3,
        n_pool=4464,
        jitter=0.057,
        without_cue="",
        seed=1,
        n_jobs=1,
    )
    cues = [cue for cue in CUES if cue != options.without_cue]
    settings = {"jitter": options.jitter, "cues": cues}
    pool = simulate(options.n_pool, 2 * options.seed, settings)
    test, y, groups = simulate(N_TEST, 2 * options.seed + 1, settings)
    for n in options.sizes:
        n_draws = options.n_draws if n <= FEW else options.n_large_draws
        parts = Parallel(options.n_jobs)(
            delayed(fit_and_predict)(options.models, n, draw, pool, test, options.seed)
            for draw in range(n_draws)
        )
        rows = pd.DataFrame(chain(*parts), columns=["n", "draw", "model", "seconds", "p"])
        print(f"\n{n} clips, {n_draws} draws", tabulate(rows, y, groups).to_string(), sep="\n")


if __name__ == "__main__":
    main()
