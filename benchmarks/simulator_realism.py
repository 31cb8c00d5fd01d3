"""Compare simulated smiles with measurements of the real smiles that they imitate.

Run ``python benchmarks/simulator_realism.py``; the defaults take some minutes. The column "real"
was measured on UvA-NEMO (1240 clips of 400 subjects, 50 fps): accuracies of logistic regressions
in ten subject-disjoint folds, and the dynamics of lips and eyelids per class.
"""

from functools import partial

import numpy as np
import pandas as pd
from common import read_options
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.benchmark.run._durations import match_durations
from smilefusion.datasets import make_smiles

CALIPER = 0.05  # largest difference of ln duration within a matched pair
TARGETS = {
    "duration alone, AUC": ".80 +- .03",
    "duration of the smile, AUC": ".777",
    "lead-in, AUC": ".602",
    "tail, AUC": ".468",
    "lip D-Markers, accuracy": ".79 +- .03",
    "lip D-Markers, matched, accuracy": ".70 +- .04",
    "eyelid D-Markers, matched, accuracy": ".60 +- .05",
    "lip durations, accuracy": ".75",
    "eyelid D-Markers, accuracy": ".76",
    "all D-Markers, accuracy": "",
    "all D-Markers, matched, accuracy": "",
    "true coordination alone, AUC": ".75 to .80",
    "true coordination seen in D-Markers, R2": "about 0",
    "all D-Markers and true coordination, accuracy": "",
    "duration alone, matched, AUC": "about .50",
    "matched pairs": "",
    "spontaneous longer within subject": ".877",
    "subject means of duration, correlation": ".15",
}
# D-Marker and its mean (SD) in spontaneous and posed clips of UvA-NEMO; speeds in 1/s.
DYNAMICS = {
    "clip length, s": (None, "4.93 (2.12)", "3.08 (0.90)"),
    "onset, s": ("lip__onset__duration", "1.27 (0.79)", "0.74 (0.33)"),
    "apex, s": ("lip__apex__duration", "1.75 (1.27)", "1.02 (0.60)"),
    "offset, s": ("lip__offset__duration", "1.72 (1.06)", "1.18 (0.58)"),
    "onset amplitude": ("lip__onset__net_amplitude", "0.144 (0.076)", "0.169 (0.072)"),
    "onset mean speed": ("lip__onset__mean_speed_rising", "0.157 (0.118)", "0.278 (0.149)"),
    "onset max speed": ("lip__onset__max_speed_rising", "0.836 (0.770)", "1.358 (0.768)"),
    "apex total rise": ("lip__apex__total_rise", "0.034", "0.018"),
    "apex total fall": ("lip__apex__total_fall", "0.033", "0.020"),
    "offset amplitude": ("lip__offset__net_amplitude", "-0.132 (0.072)", "-0.165 (0.072)"),
    "offset mean speed": ("lip__offset__mean_speed_falling", "0.136 (0.083)", "0.204 (0.115)"),
    "eyelid at onset": ("eyelid__onset__net_amplitude", "-0.028 (0.034)", "-0.020 (0.037)"),
    "eyelid at offset": ("eyelid__offset__net_amplitude", "0.013 (0.035)", "0.007 (0.043)"),
}
CORRELATIONS = {
    "ln onset amplitude, ln onset duration": ("lip__onset__duration", ".55", ".40"),
    "ln onset amplitude, ln max speed": ("lip__onset__max_speed_rising", ".81", ".81"),
}


def measure_accuracy(table, data, seed, rows=slice(None)):
    """Return the accuracy of a scaled logistic regression under ten subject-disjoint folds."""
    target, groups = data.target[rows], data.groups[rows]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
    predicted = cross_val_predict(model, table.iloc[rows], target, groups=groups, cv=folds)
    return accuracy_score(target, predicted)


def explain_coordination(table, data):
    """Return how much of the coordination, within classes, the D-Markers explain (adjusted R2)."""
    design = StandardScaler().fit_transform(table)
    design = np.column_stack([data.target, np.ones(len(design)), design])
    wanted = data.truth["coordination"].to_numpy()
    residuals, ranks = [], []
    for columns in (design[:, :2], design):
        solution, _, rank, _ = np.linalg.lstsq(columns, wanted)
        residuals.append(np.sum((wanted - columns @ solution) ** 2))
        ranks.append(rank)
    freedom = (len(design) - ranks[0]) / (len(design) - ranks[1])
    return 1.0 - residuals[1] / residuals[0] * freedom


def measure_accuracies(table, data, seed):
    """Return the figures of `TARGETS`."""
    duration = data.truth["duration"].to_numpy()
    coordination = data.truth["coordination"]
    matched = match_durations(duration, data.target, CALIPER)
    part = {name: table.filter(regex=f"^{name}__") for name in ("lip", "eyelid")}
    accuracy = partial(measure_accuracy, data=data, seed=seed)
    per_subject = pd.DataFrame({"y": data.target, "s": data.groups, "ln": np.log(duration)})
    per_subject = per_subject.groupby(["s", "y"])["ln"].mean().unstack().dropna()
    truth = data.truth
    tail = truth["duration"] - truth["offset_end_s"]
    tail = tail.where(~truth["cut_at_end"], 0.0)
    return {
        "duration alone, AUC": roc_auc_score(data.target, duration),
        "duration of the smile, AUC": roc_auc_score(
            data.target, truth["offset_end_s"] - truth["onset_start_s"]
        ),
        "lead-in, AUC": roc_auc_score(data.target, truth["onset_start_s"]),
        "tail, AUC": roc_auc_score(data.target, tail),
        "lip D-Markers, accuracy": accuracy(part["lip"]),
        "lip D-Markers, matched, accuracy": accuracy(part["lip"], rows=matched),
        "eyelid D-Markers, matched, accuracy": accuracy(part["eyelid"], rows=matched),
        "lip durations, accuracy": accuracy(table.filter(regex="^lip__.*__duration$")),
        "eyelid D-Markers, accuracy": accuracy(part["eyelid"]),
        "all D-Markers, accuracy": accuracy(table),
        "all D-Markers, matched, accuracy": accuracy(table, rows=matched),
        "true coordination alone, AUC": roc_auc_score(data.target, coordination),
        "true coordination seen in D-Markers, R2": explain_coordination(table, data),
        "all D-Markers and true coordination, accuracy": accuracy(
            table.assign(coordination=coordination.to_numpy())
        ),
        "duration alone, matched, AUC": roc_auc_score(data.target[matched], duration[matched]),
        "matched pairs": len(matched) / 2,
        "spontaneous longer within subject": (per_subject[1] > per_subject[0]).mean(),
        "subject means of duration, correlation": per_subject.corr().loc[0, 1],
    }


def measure_dynamics(table, data):
    """Return mean (SD) of `DYNAMICS` and the `CORRELATIONS`, per class."""
    rows = {}
    for name, (column, *_) in DYNAMICS.items():
        values = data.truth["duration"] if column is None else table[column]
        for label in (1, 0):
            chosen = values[data.target == label]
            rows[name, label] = chosen.mean()
            rows[f"{name}, SD", label] = chosen.std()
    smiling = (table[["lip__onset__net_amplitude", "lip__onset__duration"]] > 0).all(axis=1)
    for name, (column, *_) in CORRELATIONS.items():
        for label in (1, 0):
            chosen = table[smiling & (data.target == label)]
            logs = np.log(chosen[["lip__onset__net_amplitude", column]])
            rows[name, label] = logs.corr().iloc[0, 1]
    return rows


def measure_seed(seed, n_clips, n_subjects, effect):
    """Simulate once and measure everything."""
    data = make_smiles(n_clips, n_subjects=n_subjects, effect=effect, random_state=seed)
    transformer = DMarkerTransformer(fps=data.fps).set_output(transform="pandas")
    table = transformer.fit_transform(data.clips)
    return measure_accuracies(table, data, seed), measure_dynamics(table, data)


def print_accuracies(results):
    """Print mean and range over seeds, and the real value."""
    table = pd.DataFrame([accuracies for accuracies, _ in results]).agg(["mean", "min", "max"]).T
    print(table.round(3).assign(real=pd.Series(TARGETS)).to_string())


def print_dynamics(results):
    """Print the dynamics per class and those of real clips."""
    mean = pd.DataFrame([dynamics for _, dynamics in results]).mean()
    rows = {}
    for name, (_, *real) in DYNAMICS.items():
        ours = [f"{mean[name, k]:.3f} ({mean[f'{name}, SD', k]:.3f})" for k in (1, 0)]
        rows[name] = [ours[0], real[0], ours[1], real[1]]
    for name, (_, *real) in CORRELATIONS.items():
        rows[name] = [f"{mean[name, 1]:.2f}", real[0], f"{mean[name, 0]:.2f}", real[1]]
    print("\nMean (SD) and correlations, per class")
    columns = ["spontaneous", "real", "posed", "real"]
    print(pd.DataFrame(rows, index=columns).T.to_string())


def main():
    options = read_options(__doc__, n_clips=1240, n_subjects=400, n_seeds=5, effect=1.0, n_jobs=1)
    sizes = options.n_clips, options.n_subjects, options.effect
    seeds = (delayed(measure_seed)(seed, *sizes) for seed in range(options.n_seeds))
    results = Parallel(options.n_jobs)(seeds)
    print_accuracies(results)
    print_dynamics(results)


if __name__ == "__main__":
    main()
