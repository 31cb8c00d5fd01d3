"""Compare a prior-fitted network with recalibration of a trained model, given few labelled clips.

Run ``python benchmarks/prior_fitted.py --real ../shared/real``; it takes about 45 minutes on one
core. ``--folder`` stores the results of the slow steps; if interrupted, rerun the command to
resume. The network is a small transformer, as in TabPFN. It takes n labelled clips as context and
predicts all other clips in one forward pass, without fitting. It is trained on simulated
populations (``simulated_populations.py``). The populations differ at random in the cues that
separate the classes, the effects of these cues, the meaning of the label, the recordings, the
label noise and the deviations from the simulation.

- "shipped" is the mean of a logistic regression and boosted trees, trained on 6000 simulated
  clips. Its logit is an input of the network, which corrects this logit by means of the context.
  Without context, the network predicts the same as "shipped".
- "adapt" recalibrates the logit of "shipped" on the n clips, with a ridge penalty of 20.
- "regression", "forest" and "recommended" are trained on the n clips only, as in
  ``learning_curves.py``.

"real clips" are D-Markers of 576 UvA-NEMO clips, as defined in ``simulator_fit.py``. Each draw
uses half of the people for the context and the others for the test. The real clips of the context
are the only real clips that any model uses for training. The other tables are for simulated clips,
with the package's D-Markers of lips and eyelids. There, the classes in the training data of
"shipped" differ in duration, speed and amplitude, but not in repeated rises and eyelids. The same
holds for the network, except for random deviations, and for 8 % of the populations, in which the
label depends on random properties of the smile or random D-Markers:

- "same cues": duration, speed and amplitude differ, as in the training data.
- "new cues": only repeated rises and eyelids differ, with 2.5 times the usual effect.
- "mainly new cues": repeated rises and eyelids differ with 2 times the usual effect, and the cues
  of the training data with 0.4 times the usual effect.
- "other meaning": at least one cue of the training data has the opposite direction.

The tables show the log loss, and the network's log loss minus that of each model, with standard
errors over draws and over people (groups of gender and age for real clips). Negative differences
favour the network. The last columns are the AUC, the expected calibration error (about .05 for a
perfectly calibrated model), and the largest log loss of any draw.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from common import calibration_error, read_options
from joblib import Memory
from scipy.special import expit, logit
from simulated_populations import (
    FILMING,
    KINDS,
    Bank,
    draw_population,
    simulate_bank,
    simulate_labelled,
    simulate_population,
    squash,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from smilefusion import FusionClassifier
from smilefusion.estimators._scaling import learn_centre_and_scale

N_SHIPPED = 6000
NOISE = 0.3


class ShippedModel:
    """Robust scaling, and the mean of a logistic regression and boosted trees."""

    def __init__(self, X, y):
        self.columns = list(X)
        X = X.to_numpy(float)
        self.centre, self.scale = learn_centre_and_scale(X, np.ones(len(X)))
        linear = LogisticRegressionCV(
            Cs=np.logspace(-4, 1, 6), scoring="neg_log_loss", max_iter=5000
        )
        trees = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=120, max_leaf_nodes=8, random_state=0
        )
        z = squash(self.standardise(X))
        self.members = [model.fit(z, y) for model in (linear, trees)]

    def standardise(self, X):
        """Centre and scale the columns."""
        return np.clip((np.asarray(X, float) - self.centre) / self.scale, -20.0, 20.0)

    def score(self, z):
        """Return the logits of standardised, limited columns."""
        return logit(np.mean([model.predict_proba(z)[:, 1] for model in self.members], axis=0))


def recalibrate(score, y, ridge=20.0):
    """Return the intercept and slope of the penalised recalibration."""
    design = np.column_stack([np.ones(len(score)), score])
    centre = weights = np.array([0.0, 1.0])
    for _ in range(25):
        p = expit(design @ weights)
        gradient = design.T @ (p - y) + ridge * (weights - centre)
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + ridge * np.eye(2)
        weights = weights - np.linalg.solve(curvature, gradient)
    return weights


def predict_baselines(X, y, people, pool, test, n, seed):
    """Return test logits of the models that are trained on the first n clips of the pool."""
    rows = pool[:n]
    n_folds = min(5, *(len(np.unique(people[rows][y[rows] == label])) for label in (0, 1)))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    search = GridSearchCV(
        LogisticRegression(max_iter=5000),
        {"C": np.logspace(-4.5, 1, 8)},
        cv=list(folds.split(rows, y[rows], people[rows])),
        scoring="neg_log_loss",
    )
    first = X.columns.str.startswith(("apex", "lip"))
    streams = {"deep": list(X.columns[first]), "dmarker": list(X.columns[~first])}
    network = FusionClassifier(**streams, random_state=seed)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=5000))
    models = {
        "regression": make_pipeline(StandardScaler(), search),
        "forest": RandomForestClassifier(200, random_state=seed),
        "recommended": VotingClassifier([("network", network), ("linear", linear)], voting="soft"),
    }
    found = {}
    for name, model in models.items():
        given = {"groups": people[rows]} if name == "recommended" else {}
        with sklearn.config_context(enable_metadata_routing=True):
            model.fit(X.iloc[rows], y[rows], **given)
        p = model.predict_proba(X.iloc[test])[:, 1]
        found[name] = logit(np.clip(p, 0.001, 0.999))
    return found


def split(y, people, n_context, seed):
    """Return rows for the context in random order, and rows of other people for the test."""
    rng = np.random.default_rng([seed, 3])
    order = rng.permutation(np.unique(people))
    sizes = np.cumsum([(people == person).sum() for person in order])
    in_pool = np.isin(people, order[: np.searchsorted(sizes, n_context) + 1])
    pool = rng.permutation(np.flatnonzero(in_pool))
    while not 2 <= y[pool[:10]].sum() <= 8:
        pool = rng.permutation(pool)
    return pool, np.flatnonzero(~in_pool)


class Layer(nn.Module):
    """Attention to the context, and a step that reduces the residuals of the context."""

    def __init__(self, width, n_heads, rank):
        super().__init__()
        self.n_heads = n_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))
        self.expand, self.reduce = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(0.1)
        self.marks = nn.Parameter(0.1 * torch.randn(2, width))
        self.registers = nn.Parameter(0.1 * torch.randn(2, width))
        self.project = nn.Linear(width, rank)
        self.step = nn.Parameter(torch.full((rank + 2,), 0.1))
        self.shrinkage = nn.Parameter(torch.tensor(3.0))

    def forward(self, h, f, y, score):
        """Return the new tokens (B, n + m, D) and logits (B, n + m)."""
        n = y.shape[1]
        residual = y - torch.sigmoid(f[:, :n])  # (B, n)
        marks = torch.stack([residual, 2 * y - 1], dim=-1) @ self.marks
        h = h + F.pad(marks, (0, 0, 0, h.shape[1] - n))  # (B, n + m, D)
        inputs = self.norms[0](h)
        h = h + self.dropout(self.mix(self.attend(inputs, inputs[:, :n])))
        h = h + self.dropout(self.reduce(F.gelu(self.expand(self.norms[1](h)))))
        basis = torch.cat([self.project(self.norms[2](h)), torch.ones_like(score), score], dim=-1)
        moment = torch.einsum("bn,bnr->br", residual, basis[:, :n])
        step = self.step * moment / (n + 10 * F.softplus(self.shrinkage))
        return h, f + torch.einsum("bmr,br->bm", basis, step)

    def attend(self, inputs, context):
        """Return the attention of each clip to the context, (B, n + m, D)."""
        context = torch.cat([context, self.registers.expand(len(inputs), -1, -1)], dim=1)
        q, k, v = (
            part(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for part, x in ((self.query, inputs), (self.key, context), (self.value, context))
        )
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class PriorFittedNetwork(nn.Module):
    """Predict the classes of clips from n labelled clips, starting from given logits."""

    def __init__(self, centre, axes, width=64, n_layers=4, n_heads=4, rank=16):
        super().__init__()
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32))
        self.register_buffer("axes", torch.tensor(axes, dtype=torch.float32))
        self.embed = nn.Linear(axes.shape[1] + 2, width)
        self.layers = nn.ModuleList(Layer(width, n_heads, rank) for _ in range(n_layers))

    def forward(self, z, score, y):
        """Return the logits (B, m) after each layer, from (B, n + m, F), (B, n + m), (B, n)."""
        x = (z - self.centre) @ self.axes  # principal components with unit variance
        if self.training:
            x = x + NOISE * torch.randn_like(x)  # otherwise, it memorises the clips
        n = y.shape[1]
        score = score[..., None]
        size = torch.full_like(score, np.log1p(n) / 5)
        h, f = self.embed(torch.cat([x, score, size], dim=-1)), score[..., 0]
        found = []
        for layer in self.layers:
            h, f = layer(h, f, y, score)
            found.append(f[:, n:])
        return found


def train(clips, shipped, n_steps, seed, n_populations=16, n_queries=96):
    """Train a network on new populations in each step."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 4])
    bank = Bank(clips, shipped)
    network = PriorFittedNetwork(bank.centre, bank.whitening)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, n_steps, pct_start=0.05)
    losses = []
    for step in range(n_steps):
        n = int(np.exp(rng.uniform(np.log(3), np.log(200))))
        drawn = [draw_population(bank, n + n_queries, rng) for _ in range(n_populations)]
        z, y = (np.stack(each) for each in zip(*drawn, strict=True))
        score = bank.shipped.score(np.concatenate(z)).reshape(y.shape)
        z, score, y = (torch.tensor(each, dtype=torch.float32) for each in (z, score, y))
        found = network(z, score, y[:, :n])
        each = [F.binary_cross_entropy_with_logits(f, y[:, n:]) for f in found]
        optimizer.zero_grad()
        (each[-1] + 0.2 * sum(each[:-1]) / len(each)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(each[-1].item())
        if step % 500 == 499:
            print(f"step {step + 1}: log loss {np.mean(losses[-500:]):.3f}", flush=True)
    return network.eval()


def predict_adapted(shipped, network, X, y, rows, test):
    """Return test logits of the models that are trained on simulated clips."""
    z = squash(shipped.standardise(X))
    score = shipped.score(z)
    intercept, slope = recalibrate(score[rows], y[rows])
    both = np.concatenate([rows, test])
    given = [torch.tensor(each, dtype=torch.float32)[None] for each in (z, score, y)]
    with torch.no_grad():
        logits = network(given[0][:, both], given[1][:, both], given[2][:, rows])[-1][0]
    logits = logits.numpy().astype(float)
    return {"shipped": score[test], "adapt": intercept + slope * score[test], "network": logits}


def tabulate(found, truths):
    """Return the scores of each model for one number of labelled clips."""
    losses = {
        name: [
            np.logaddexp(0.0, np.where(y == 1, -each[name], each[name]))
            for each, (y, _) in zip(found, truths, strict=True)
        ]
        for name in found[0]
    }
    people = np.concatenate([people for _, people in truths])
    rows = []
    for name, loss in losses.items():
        scored = [(y, expit(each[name])) for each, (y, _) in zip(found, truths, strict=True)]
        gains = [a - b for a, b in zip(losses["network"], loss, strict=True)]
        means = np.array([each.mean() for each in gains])
        excess = pd.Series(np.concatenate(gains) - means.mean()).groupby(people).sum()
        rows.append(
            {
                "model": name,
                "log loss": np.mean([each.mean() for each in loss]),
                "network minus it": means.mean(),
                "SE draws": means.std(ddof=1) / np.sqrt(len(means)),
                "SE people": np.sqrt((excess**2).sum()) / len(people),
                "AUC": np.mean([roc_auc_score(y, p) for y, p in scored]),
                "ECE": np.mean([calibration_error(y, p) for y, p in scored]),
                "worst": np.max([each.mean() for each in loss]),
            }
        )
    return pd.DataFrame(rows)


def read_real(folder):
    """Return the features, classes and people of the real clips."""
    table = pd.read_csv(folder / "uva_nemo_lip_half.csv")
    people = pd.factorize(pd.MultiIndex.from_frame(table[["gender", "age"]]))[0]
    X = table.drop(columns=["posed", "gender", "age"])
    return X.loc[:, ~X.columns.str.contains("left_right")], 1 - table["posed"].to_numpy(), people


def main():
    options = read_options(
        __doc__,
        real=Path("../shared/real"),
        folder=None,
        parts=tuple(FILMING),
        sizes=(0, 10, 20, 40, 80, 160),
        n_draws=20,
        n_clips=100_000,
        n_steps=1500,
        seed=0,
    )
    if not options.real.is_dir():
        print(f"{options.real} does not exist. Pass the folder of the tables with --real.")
        options.parts = [part for part in options.parts if part != "real"]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    cache = Memory(options.folder, verbose=0).cache
    for part in options.parts:
        kinds = {"real": ["real clips"], "simulated": KINDS}[part]
        shipped = ShippedModel(*cache(simulate_labelled)(part, N_SHIPPED, options.seed))
        clips = cache(simulate_bank)(part, options.n_clips, options.seed)
        network = cache(train)(clips, shipped, options.n_steps, options.seed)
        for kind in kinds:
            found, truths = {n: [] for n in options.sizes}, []
            for draw in range(options.n_draws):
                if part == "real":
                    X, y, people = read_real(options.real)
                else:
                    X, y, people = cache(simulate_population)(kind, draw, options.seed)
                n_context = len(y) // 2 if part == "real" else 180
                pool, test = split(y, people, n_context, draw)
                truths.append((y[test], people[test] + (part != "real") * 1000 * draw))
                for n in options.sizes:
                    logits = predict_adapted(shipped, network, X, y, pool[:n], test)
                    if n > 0:
                        logits |= cache(predict_baselines)(X, y, people, pool, test, n, draw)
                    found[n].append(logits)
            for n, each in found.items():
                print(f"\n{kind}, {n} labelled clips")
                print(tabulate(each, truths).round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
