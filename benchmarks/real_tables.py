"""Compare networks with simple models on published D-Markers of 576 real UvA-NEMO clips.

Run ``python benchmarks/real_tables.py --real ../shared/real``; it takes about ten minutes on one
core. The tables are only used for this comparison; no model in the package is trained on them. In
the ten folds, clips with the same gender and age stay together.
The network takes the columns of the apex as one stream, and those of the onset and offset as the
other. "recommended" is the mean of the network and a logistic regression with C=0.01. "change" is
the difference from the logistic regression with cross-validated C, and "SE" is its standard error
over the groups of gender and age.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from common import calibration_error, read_options
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import FusionClassifier


def make_models(X, y, groups, seed):
    """Return the models by name; the first is the reference."""
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(X, y, groups)
    search = GridSearchCV(
        LogisticRegression(max_iter=5000),
        {"C": np.logspace(-4.5, 1, 8)},
        cv=list(folds),
        scoring="neg_log_loss",
    )
    is_apex = X.columns.str.startswith("apex")
    streams = {"deep": list(X.columns[is_apex]), "dmarker": list(X.columns[~is_apex])}
    network = FusionClassifier(**streams, random_state=seed)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=5000))
    members = [("network", network), ("linear", linear)]
    return {
        "regression": make_pipeline(StandardScaler(), search),
        "forest": RandomForestClassifier(500, random_state=seed),
        "network": network,
        "recommended": VotingClassifier(members, voting="soft"),
    }


def predict(table, seed):
    """Return the probability of a spontaneous smile by each model, (n_clips,) each."""
    X, y = table.drop(columns=["posed", "gender", "age"]), 1 - table["posed"]
    groups = pd.factorize(pd.MultiIndex.from_frame(table[["gender", "age"]]))[0]
    found = {}
    folds = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
    for train, test in folds.split(X, y, groups):
        inputs, target = X.iloc[train], y.iloc[train].to_numpy()
        for name, model in make_models(inputs, target, groups[train], seed).items():
            is_network = name in ("network", "recommended")
            given = {"groups": groups[train]} if is_network else {}
            with sklearn.config_context(enable_metadata_routing=True):
                model.fit(inputs, target, **given)
            probability = model.predict_proba(X.iloc[test])[:, 1]
            found.setdefault(name, np.empty(len(y)))[test] = probability
    return found, y.to_numpy(), groups


def main():
    options = read_options(__doc__, real=Path("../shared/real"), n_repeats=3, seed=0)
    if not options.real.is_dir():
        print(f"{options.real} does not exist. Pass the folder of the tables with --real.")
        sys.exit()
    warnings.simplefilter("ignore")
    for part in ("lip", "eyelid"):
        table = pd.read_csv(options.real / f"uva_nemo_{part}_half.csv")
        repeats = [predict(table, options.seed + repeat) for repeat in range(options.n_repeats)]
        _, y, groups = repeats[0]
        rows, reference = [], None
        for name in repeats[0][0]:
            p = np.array([found[name] for found, _, _ in repeats])
            loss = -np.log(np.where(y == 1, p, 1 - p)).mean(axis=0)
            reference = loss if reference is None else reference
            change = loss - reference
            of_groups = pd.Series(change - change.mean()).groupby(groups).sum()
            rows.append(
                {
                    "model": name,
                    "log loss": loss.mean(),
                    "change": change.mean(),
                    "SE": np.sqrt((of_groups**2).sum()) / len(y),
                    "AUC": np.mean([roc_auc_score(y, each) for each in p]),
                    "ECE": np.mean([calibration_error(y, each) for each in p]),
                }
            )
        print(f"\n{part}", pd.DataFrame(rows).round(3).to_string(), sep="\n")


if __name__ == "__main__":
    main()
