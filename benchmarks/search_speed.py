"""Print how fast networks on tables are trained, against a plain skorch net and a plain search.

Run ``python benchmarks/search_speed.py``; on two cores all sections take some 40 minutes. The
table is as large as the streams of UvA-NEMO: 1240 clips of 400 subjects, 256 + 225 columns of
normal numbers, the class shifts some of both. "Plain" is the same module in a `skorch.NeuralNet`
with its default iterator, which goes through the samples one by one, and torch's default AdamW.
``--sections`` chooses among

- ``fit``: `FusionClassifier.fit` on 1116 clips against the plain net, for widths of the fusion.
- ``search``: 15 strategies × 10 folds, `FusionSearchCV` against `GridSearchCV` over the plain net
  and over `FusionClassifier`, and how far the scores agree.
- ``candidates``: time of a search against the number of candidates.

Plain fits are the same work again and again: ``--plain-share`` runs a part of their folds and
multiplies; the output says so.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import skorch
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from smilefusion import FusionClassifier, FusionSearchCV, list_fusions
from smilefusion.nn import TwoStreamNetwork

N_CLIPS, N_SUBJECTS, N_DEEP, N_DMARKERS = 1240, 400, 256, 225
N_FOLDS = 10
WIDTHS = (16, 64, 256)
CANDIDATES = (1, 5, 15, 60)


def make_table(random_state=0):
    """Return a table, labels and subjects."""
    random = np.random.default_rng(random_state)
    y = random.integers(2, size=N_CLIPS)
    X = random.normal(size=(N_CLIPS, N_DEEP + N_DMARKERS)).astype(np.float32)
    informative = np.r_[:12, N_DEEP : N_DEEP + 12]
    X[:, informative] += 0.25 * (2 * y[:, None] - 1)
    return X, y, random.integers(N_SUBJECTS, size=N_CLIPS)


class PlainClassifier(ClassifierMixin, BaseEstimator):
    """The network of FusionClassifier in a plain skorch net, without early stopping."""

    def __init__(self, fusion="hadamard", hidden_dim=64, max_epochs=100, device="cpu"):
        self.fusion = fusion
        self.hidden_dim = hidden_dim
        self.max_epochs = max_epochs
        self.device = device

    def fit(self, X, y):
        """Train the net."""
        torch.manual_seed(0)
        self.classes_ = np.unique(y)
        self.net_ = skorch.NeuralNetBinaryClassifier(
            TwoStreamNetwork,
            module__fusion=self.fusion,
            module__deep_dim=N_DEEP,
            module__dmarker_dim=N_DMARKERS,
            module__dim=self.hidden_dim,
            max_epochs=self.max_epochs,
            batch_size=64,
            lr=1e-3,
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=1e-2,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
            device=self.device,
        ).fit(self._streams(X), y.astype(np.float32))
        return self

    def predict_proba(self, X):
        """Return the probability of each class."""
        return self.net_.predict_proba(self._streams(X))

    def predict(self, X):
        """Return the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _streams(self, X):
        return {"deep": X[:, :N_DEEP], "dmarker": X[:, N_DEEP:]}


def our_classifier(arguments, **params):
    """Return a FusionClassifier of the same network and training."""
    return FusionClassifier(
        deep=slice(0, N_DEEP),
        dmarker=slice(N_DEEP, None),
        max_epochs=arguments.epochs,
        device=arguments.device,
        random_state=0,
        **params,
    )


def measure(function):
    """Return what a function gives, and its seconds on the clock and of this process."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - clock, time.process_time() - processor


def time_fits(arguments):
    """Compare single fits on the training part of a fold."""
    X, y, groups = make_table()
    train, test = next(StratifiedGroupKFold(N_FOLDS).split(X, y, groups))
    rows = []
    for width in WIDTHS:
        for fusion in ("concat", "hadamard"):
            settings = {"fusion": fusion, "hidden_dim": width}
            models = {
                "ours": our_classifier(arguments, **settings),
                "plain": PlainClassifier(
                    **settings, max_epochs=arguments.epochs, device=arguments.device
                ),
            }
            seconds = {name: [] for name in models}
            for _ in range(arguments.repeats):
                for name, model in models.items():
                    seconds[name].append(measure(lambda m=model: m.fit(X[train], y[train]))[1])
            accuracy = {
                name: balanced_accuracy_score(y[test], model.predict(X[test]))
                for name, model in models.items()
            }
            ours, plain = np.median(seconds["ours"]), np.median(seconds["plain"])
            rows.append(
                {
                    "fusion": fusion,
                    "hidden_dim": width,
                    "ours": ours,
                    "plain": plain,
                    "ratio": plain / ours,
                    "accuracy_ours": accuracy["ours"],
                    "accuracy_plain": accuracy["plain"],
                }
            )
            print(
                f"fit {fusion:9s} width {width:3d}: ours {ours:6.2f} s, plain {plain:6.2f} s, "
                f"ratio {plain / ours:5.2f}; balanced accuracy {accuracy['ours']:.3f}, "
                f"{accuracy['plain']:.3f}",
                flush=True,
            )
    return rows


def time_search(arguments):
    """Compare searches over 15 strategies and 10 folds."""
    X, y, groups = make_table()
    splits = list(StratifiedGroupKFold(N_FOLDS).split(X, y, groups))
    grid = {"fusion": list_fusions()}
    settings = {"hidden_dim": arguments.hidden_dim}
    options = {"scoring": "roc_auc", "refit": False}
    share = max(1, round(arguments.plain_share * N_FOLDS))
    plain = PlainClassifier(**settings, max_epochs=arguments.epochs, device=arguments.device)
    ours = our_classifier(arguments, **settings)
    row = {"hidden_dim": arguments.hidden_dim, "epochs": arguments.epochs, "plain_folds": share}
    for n_jobs in dict.fromkeys((1, arguments.n_jobs)):
        search = FusionSearchCV(ours, grid, cv=splits, n_jobs=n_jobs, **options)
        _, row[f"together_{n_jobs}"], _ = measure(lambda s=search: s.fit(X, y))
        print(f"FusionSearchCV, n_jobs={n_jobs}: {row[f'together_{n_jobs}']:.1f} s", flush=True)
    one_by_one = GridSearchCV(ours, grid, cv=splits[:share], **options)
    _, seconds, _ = measure(lambda: one_by_one.fit(X, y))
    row["one_by_one"] = seconds * N_FOLDS / share
    first = [f"split{k}_test_score" for k in range(share)]
    differences = [
        np.abs(search.cv_results_[name] - one_by_one.cv_results_[name]).max() for name in first
    ]
    row["largest_score_difference"] = max(differences)
    print(
        f"GridSearchCV over FusionClassifier: {row['one_by_one']:.1f} s ({share} folds run); "
        f"scores differ by {max(differences):.2g} at most",
        flush=True,
    )
    for n_jobs in dict.fromkeys((1, arguments.n_jobs)):
        search = GridSearchCV(plain, grid, cv=splits[:share], n_jobs=n_jobs, **options)
        _, seconds, _ = measure(lambda s=search: s.fit(X, y))
        row[f"plain_{n_jobs}"] = seconds * N_FOLDS / share
        print(
            f"GridSearchCV over plain nets, n_jobs={n_jobs}: {row[f'plain_{n_jobs}']:.1f} s "
            f"({share} folds run)",
            flush=True,
        )
    return [row]


def time_candidates(arguments):
    """Print the time of searches of more and more candidates, over 10 folds."""
    X, y, groups = make_table()
    splits = list(StratifiedGroupKFold(N_FOLDS).split(X, y, groups))
    rows = []
    for n_candidates in CANDIDATES:
        fusions = list_fusions()[: min(n_candidates, 15)]
        rates = np.geomspace(3e-4, 3e-3, n_candidates // len(fusions)).tolist()
        search = FusionSearchCV(
            our_classifier(arguments, hidden_dim=arguments.hidden_dim),
            {"fusion": fusions, "lr": rates},
            cv=splits,
            n_jobs=arguments.n_jobs,
            refit=False,
        )
        _, seconds, _ = measure(lambda s=search: s.fit(X, y))
        rows.append({"candidates": n_candidates, "seconds": seconds})
        print(f"{n_candidates:3d} candidates × {N_FOLDS} folds: {seconds:.1f} s", flush=True)
    return rows


SECTIONS = {"fit": time_fits, "search": time_search, "candidates": time_candidates}


def main():
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--hidden-dim", type=int, default=64)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plain-share", type=float, default=1.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="threads of torch for the plain nets")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    on = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor()
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, {on}, load {os.getloadavg()[0]:.1f}"
    )
    figures = {name: SECTIONS[name](arguments) for name in arguments.sections}
    if arguments.output:
        settings = {"torch": torch.__version__, "fit_epochs": arguments.epochs}
        arguments.output.write_text(json.dumps(settings | figures, indent=1, default=float))


if __name__ == "__main__":
    main()
