"""Evaluate the pretrained model on real and simulated clips, and adapt it to labelled clips.

Run ``python benchmarks/shipped_model.py --real ../shared/real``; it takes about 20 minutes on one
core. ``--parts`` selects the tables:

- ``real``: the published D-Markers of 576 UvA-NEMO clips are defined differently from ours (see
  ``simulator_fit.py``). Therefore, models are trained in the same way on simulated clips that are
  measured like the real ones: 68 points, 50 frames per second, still heads and 72 lip columns.
  "simulation only" models are not trained on real clips. The first table contains the scores of
  each seed. The second table compares their mean probability ("simulation only") with a logistic
  regression trained on real clips and with the duration only. Brackets contain 95 % intervals from
  a bootstrap over groups of people of the same gender and age.
- ``conditions``: the pretrained model on new simulated clips with other recording settings.
  "answered" is the share of clips with an answer; the scores include all clips. ``coordination``
  is the largest change of a probability if the brows and chin move differently in the two classes.
- ``labels``: `adapt` with n labelled clips, compared with the pretrained model ("as shipped") and
  with models that are trained only on these clips. "adapt" only recalibrates. "recommended" is the
  average of a fusion network and a logistic regression. "mean of both" is the average of "adapt"
  and "recommended", which `adapt` returns from 500 clips on. The scores are means over random
  draws of groups. The standard errors are those of the difference from "as shipped" over draws.
- ``intervals``: intercepts and slopes that recalibrate the model on simulated populations with
  different effect sizes and recording settings, and the share of clips whose recalibrated
  probability is within the 90 % interval.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from common import calibration_error, read_options
from scipy.special import expit, logit
from simulator_fit import FPS, describe_clips
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from smilefusion import DMarkerTransformer, load_pretrained, make_smile_classifier
from smilefusion.benchmark.run._durations import match_durations
from smilefusion.reliability._checked import calibrate_logits

sys.path.append(str(Path(__file__).parents[1] / "tools"))
from train_model import CUES, HIDDEN_DIM, TRIMMING, simulate

CALIPER = 0.05  # maximum difference in ln duration within a matched pair
N_BOOTSTRAP = 500
SIZES = (10, 20, 40, 80, 160, 500)
CONDITIONS = {
    "as in training": {},
    **{f"{fps} frames per second": {"fps": float(fps)} for fps in (15, 25, 30, 60, 120)},
    "face of 70 pixels": {"face_size": 0.05, "jitter": 0.10},
    "head motion of 20 degrees": {"head_motion": 20.0},
    "10 % missing frames": {"missing_rate": 0.1},
}


def make_vote(columns, seed, is_deep):
    """Return the classifier of the recommended model for a table with these columns."""
    vote = make_smile_classifier(random_state=seed)[-1]
    streams = {"deep": list(columns[is_deep]), "dmarker": list(columns[~is_deep])}
    return vote.set_params(**{f"network__{name}": value for name, value in streams.items()})


def fit(model, X, y, groups):
    with sklearn.config_context(enable_metadata_routing=True):
        return model.fit(X, y, groups=groups)


def linear_model(y):
    """Return a logistic regression with cross-validated C."""
    search = GridSearchCV(
        LogisticRegression(max_iter=5000),
        {"C": np.logspace(-4.5, 1, 8)},
        cv=min(5, *np.unique(y, return_counts=True)[1]),
        scoring="neg_log_loss",
    )
    limit = FunctionTransformer(np.clip, kw_args={"a_min": -4, "a_max": 4})
    return make_pipeline(StandardScaler(), limit, search)


def score(y, p):
    """Return the scores of probabilities."""
    return {
        "AUC": roc_auc_score(y, p),
        "balanced": balanced_accuracy_score(y, p > 0.5),
        "log loss": log_loss(y, p),
        "ECE": calibration_error(y, p),
    }


def read_real(folder):
    """Return the columns, labels, groups and ages of the real lip table."""
    table = pd.read_csv(folder / "uva_nemo_lip_half.csv")
    groups = pd.factorize(pd.MultiIndex.from_frame(table[["gender", "age"]]))[0]
    columns = table.columns.drop(["posed", "gender", "age"])
    columns = columns[~columns.str.contains("left_right")]  # in pixels
    return table[columns], 1 - table["posed"], groups, table["age"]


def predict_real(real, seed):
    """Return the probabilities of real clips from a model trained on simulated clips only."""
    still = {"fps": FPS, "head_motion": 0.0, "missing_rate": 0.0}
    tables, targets, groups = [], [], []
    for number, trimming in enumerate(TRIMMING):
        smiles = simulate(68, trimming, 10 * seed + number, 2000, **still)
        tables.append(describe_clips(smiles.clips)["lip"])
        targets.append(smiles.target)
        groups.append(smiles.groups + 1000 * number)
    table = pd.concat(tables)[real.columns]
    vote = make_vote(table.columns, seed, table.columns.str.startswith("apex"))
    vote.set_params(network__hidden_dim=HIDDEN_DIM)
    fit(vote, table, np.concatenate(targets), np.concatenate(groups))
    return np.asarray(vote.predict_proba(real)[:, 1], dtype=float)


def cross_validate(X, y, groups):
    """Return out-of-fold probabilities of a logistic regression on the real clips."""
    found = np.empty(len(y))
    for train, test in StratifiedGroupKFold(10, shuffle=True, random_state=0).split(X, y, groups):
        model = linear_model(y.iloc[train])
        found[test] = model.fit(X.iloc[train], y.iloc[train]).predict_proba(X.iloc[test])[:, 1]
    return found


def with_intervals(y, p, groups, rng):
    """Return the scores as text with bootstrap intervals over groups."""
    y, rows = np.asarray(y), [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = []
    for _ in range(N_BOOTSTRAP):
        chosen = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        drawn.append(score(y[chosen], p[chosen]))
    low, high = pd.DataFrame(drawn).quantile([0.025, 0.975]).to_numpy()
    names = zip(score(y, p).items(), low, high, strict=True)
    return {name: f"{value:.3f} [{a:.3f}, {b:.3f}]" for (name, value), a, b in names}


def measure_real(folder, n_seeds):
    X, y, groups, age = read_real(folder)
    rng = np.random.default_rng(0)
    seeds = [predict_real(X, seed) for seed in range(n_seeds)]
    mean, own = np.mean(seeds, axis=0), cross_validate(X, y, groups)
    duration = X.filter(regex="duration_full$").sum(axis=1).to_numpy()
    rows = {f"simulation only, seed {i}": score(y, p) for i, p in enumerate(seeds)}
    print(pd.DataFrame(rows).T.round(3).to_string(), end="\n\n")
    sets = {
        "all clips": np.arange(len(y)),
        "adults": np.flatnonzero(age >= 18),
        "under 18": np.flatnonzero(age < 18),
        "matched by duration": match_durations(duration, y.to_numpy(), CALIPER),
    }
    rows = {}
    for name, chosen in sets.items():
        kept = y.to_numpy()[chosen], groups[chosen]
        for model, p in (("simulation only", mean), ("trained on real clips", own)):
            found = with_intervals(kept[0], p[chosen], kept[1], rng)
            rows[name, model] = {"clips": len(chosen), **found}
        rows[name, "duration only"] = {"AUC": f"{roc_auc_score(kept[0], duration[chosen]):.3f}"}
    print(pd.DataFrame(rows).T.to_string(), end="\n\n")
    return X, y.to_numpy(), groups, logit(mean)


def measure_conditions(n_clips):
    model, rows = load_pretrained(), {}
    for name, changes in CONDITIONS.items():
        for n_landmarks in (478, 68):
            smiles = simulate(n_landmarks, {}, 777, n_clips, **changes)
            answers = model.answer(smiles.clips)
            p = answers["probability"].to_numpy()
            answered = (answers["reason"] == "").mean()
            a, b = fit_calibration(logit(p), smiles.target)
            found = score(smiles.target, p) | {"intercept": a, "slope": b, "answered": answered}
            rows[name, n_landmarks] = found
    print(pd.DataFrame(rows).T.round(3).to_string())
    with_cue, without = (
        model.predict_proba(simulate(478, {}, 778, 200, cues=cues).clips)
        for cues in ((*CUES, "coordination"), CUES)
    )
    print(f"coordination: {np.abs(with_cue - without).max():.3g}\n")


def fit_calibration(logits, y):
    """Return the intercept and slope that fit best."""
    model = LogisticRegression(C=1e6, max_iter=1000).fit(logits[:, None], y)
    return model.intercept_[0], model.coef_[0, 0]


def compare_labels(X, y, groups, logits, n_draws, seed, is_deep):
    """Yield the scores of each model with n labelled clips, for random draws of groups."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(len(y)), logits])
    for n in (n for n in SIZES if n <= 0.9 * len(y)):
        for draw in range(n_draws):
            order = rng.permutation(np.unique(groups))
            train = np.concatenate([np.flatnonzero(groups == group) for group in order])[:n]
            if len(np.unique(y[train])) < 2:
                continue
            test = np.flatnonzero(~np.isin(groups, groups[train]))
            calibration, _ = calibrate_logits(design[train], y[train], 20.0)
            inputs, labels = X.iloc[train], y[train]
            n_rare = min(len(np.unique(groups[train][labels == k])) for k in (0, 1))
            found = {
                "as shipped": expit(logits[test]),
                "adapt": expit(design[test] @ calibration),
            }
            if n_rare >= 2:
                linear = linear_model(labels).fit(inputs, labels)
                vote = fit(make_vote(X.columns, draw, is_deep), inputs, labels, groups[train])
                found["logistic regression"] = linear.predict_proba(X.iloc[test])[:, 1]
                found["recommended"] = vote.predict_proba(X.iloc[test])[:, 1].astype(float)
                found["mean of both"] = (found["recommended"] + found["adapt"]) / 2
            for name, p in found.items():
                yield {"n": n, "model": name, "draw": (seed, draw)} | score(y[test], p)


def print_labels(title, rows):
    table = pd.DataFrame(rows)
    values = ["AUC", "log loss", "ECE"]
    shipped = table[table["model"] == "as shipped"].set_index(["n", "draw"])[values]
    change = table.set_index(["n", "draw"])[values] - shipped.reindex(
        pd.MultiIndex.from_frame(table[["n", "draw"]])
    )
    change = change.set_axis([f"{name} SE" for name in values], axis=1)
    table = pd.concat([table, change.reset_index(drop=True)], axis=1)
    grouped = table.groupby(["n", "model"], sort=False)
    shown = grouped[values].mean().join(grouped[list(change)].sem())
    print(title, shown.round(4).to_string(), sep="\n", end="\n\n")


def make_populations(n_populations, n_clips):
    """Yield D-Markers, labels, groups and logits of the pretrained model for populations."""
    model, rng = load_pretrained(), np.random.default_rng(1)
    measure = DMarkerTransformer(signals=("lip", "eyelid")).set_output(transform="pandas")
    for number in range(n_populations):
        settings = {
            "fps": float(rng.uniform(15, 60)),
            "effect": float(rng.uniform(0.5, 1.1)),
            "jitter": float(np.exp(rng.uniform(*np.log((0.01, 0.12))))),
            "head_motion": float(rng.uniform(0, 8)),
        }
        trimming = TRIMMING[int(rng.integers(2))]
        smiles = simulate((478, 68)[number % 2], trimming, 5000 + number, n_clips, **settings)
        logits = logit(model.predict_proba(smiles.clips)[:, 1])
        yield measure.fit_transform(smiles.clips), smiles.target, smiles.groups, logits


def measure_intervals(populations):
    design = load_pretrained()
    found, inside = [], []
    for _, y, _, logits in populations:
        a, b = fit_calibration(logits, y)
        columns = np.column_stack([np.ones(len(y)), logits])
        margin = 1.645 * np.sqrt(np.einsum("ij,jk,ik->i", columns, design.covariance_, columns))
        inside.append(np.abs(columns @ [a, b] - logits) <= margin)
        found.append({"intercept": a, "slope": b})
    table = pd.DataFrame(found)
    print(table.agg(["mean", "std"]).round(3).to_string())
    print(f"share within the 90 % interval: {np.mean(np.concatenate(inside)):.3f}\n")


def main():
    options = read_options(
        __doc__,
        real=Path("../shared/real"),
        parts=("real", "conditions", "labels", "intervals"),
        n_seeds=3,
        n_clips=600,
        n_draws=20,
    )
    warnings.simplefilter("ignore")
    has_real = options.real.is_dir()
    if not has_real:
        print(f"{options.real} does not exist. Pass the folder of the real tables with --real.")
    if has_real and {"real", "labels"} & {*options.parts}:
        X, y, groups, logits = measure_real(options.real, options.n_seeds)
    if "conditions" in options.parts:
        measure_conditions(options.n_clips)
    if "labels" in options.parts and has_real:
        is_deep = X.columns.str.startswith("apex")
        rows = compare_labels(X, y, groups, logits, options.n_draws, 0, is_deep)
        print_labels("real clips", list(rows))
    if {"labels", "intervals"} & {*options.parts}:
        populations = list(make_populations(options.n_draws, options.n_clips))
        measure_intervals(populations)
    if "labels" in options.parts:
        rows = []
        for seed, population in enumerate(populations):
            is_deep = population[0].columns.str.startswith("lip__")
            rows += compare_labels(*population, 1, seed, is_deep)
        print_labels("simulated populations", rows)


if __name__ == "__main__":
    main()
