"""Measure how much models depend on the recording instead of the smile.

Run ``python benchmarks/recording_shifts.py``; the defaults take about ten minutes. Each model is
trained on simulated clips. Clips of other people then test it under every recording shift. The
first row is the log loss for the clips as recorded, and the second row is their ROC AUC. The other
rows are changes in log loss. ``--varied 1`` trains the models on clips of `make_varied_smiles`.
"""

import warnings

import numpy as np
import pandas as pd
from common import read_options
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier, make_smile_classifier
from smilefusion.benchmark import evaluate_shifts
from smilefusion.datasets import make_smiles, make_varied_smiles
from smilefusion.exceptions import SmileFusionWarning


def make_models(seed):
    """Return the models: linear, recommended with two strategies, and end to end."""
    linear = LogisticRegressionCV(Cs=np.logspace(-4, 1, 6), scoring="neg_log_loss", max_iter=2000)
    return {
        "D-Markers": make_pipeline(DMarkerTransformer(), StandardScaler(), linear),
        "hadamard": make_smile_classifier("hadamard", random_state=seed),
        "concat": make_smile_classifier("concat", random_state=seed),
        "end to end": HadaSmileNetClassifier(random_state=seed),
    }


def measure_seed(seed, n_train, n_test, varied):
    """Return log losses under every shift, and ROC AUC as recorded, by model."""
    people = n_train // 3, n_test // 3
    if varied:
        train = make_varied_smiles(n_train, n_subjects=people[0], random_state=seed)
    else:
        train = make_smiles(n_train, n_subjects=people[0], fps=25, random_state=seed)
    test = make_smiles(n_test, n_subjects=people[1], fps=50, random_state=seed + 1000)
    columns = {}
    for name, model in make_models(seed).items():
        groups = {} if name == "D-Markers" else {"groups": train.groups}
        model.fit(train.clips, train.target, **groups)
        scores = evaluate_shifts(model, test.clips, test.target)
        columns[name] = pd.concat(
            [scores["log_loss"], scores["roc_auc"].iloc[:1].add_suffix(" AUC")]
        )
    return pd.DataFrame(columns)


def main():
    options = read_options(__doc__, n_train=400, n_test=300, n_seeds=2, varied=0)
    for category in (SmileFusionWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    sizes = options.n_train, options.n_test, options.varied
    tables = [measure_seed(seed, *sizes) for seed in range(options.n_seeds)]
    mean = sum(tables) / len(tables)
    first, auc = mean.iloc[:1], mean.iloc[-1:]
    changes = mean.iloc[1:-1] - first.to_numpy()
    print(pd.concat([first, auc, changes]).round(3).to_string())


if __name__ == "__main__":
    main()
