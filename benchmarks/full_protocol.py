"""Print how long a whole honest protocol of UvA-NEMO's size takes, from landmarks to the table.

Run ``python benchmarks/full_protocol.py``: 1240 simulated clips of about 200 frames and 400
subjects, 15 strategies, 10 folds that share no subject, epochs chosen among the training clips.
``--stages`` chooses among

- ``two``: `make_fusion_pipeline` in `FusionSearchCV`; the encoder is trained once a fold.
- ``end``: `HadaSmileNetClassifier`, encoder and fusion trained together, once a strategy and fold.
  ``--end-folds`` runs some of the folds and multiplies; the output says so.

Clips lie in files and travel as paths. The table that it prints holds the mean of the folds'
figures. The authors' code would take some 2 years of two cores, extrapolated from the time of a
step.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import _safe_indexing

from smilefusion import (
    FusionSearchCV,
    HadaSmileNetClassifier,
    list_fusions,
    make_fusion_pipeline,
)
from smilefusion.datasets import make_smiles

FPS, N_FOLDS = 50, 10


def run_two_stages(smiles, splits, arguments):
    """Return the figures of each strategy and the seconds of the search."""
    pipeline = make_fusion_pipeline(fps=FPS, random_state=0)
    pipeline.set_params(
        fusion__hidden_dim=arguments.hidden_dim,
        fusion__device=arguments.device,
        features__deep__device=arguments.device,
    )
    search = FusionSearchCV(
        pipeline,
        {"fusion__fusion": list_fusions()},
        cv=splits,
        scoring=["balanced_accuracy", "roc_auc", "neg_log_loss"],
        refit=False,
        n_jobs=arguments.n_jobs,
    )
    began = time.perf_counter()
    search.fit(smiles.clips, smiles.target, groups=smiles.groups)
    seconds = time.perf_counter() - began
    results = search.cv_results_
    names = ("balanced_accuracy", "roc_auc", "neg_log_loss")
    table = {name.removeprefix("neg_"): results[f"mean_test_{name}"] for name in names}
    table["log_loss"] = -table["log_loss"]
    return pd.DataFrame(table, index=list_fusions()), seconds


def run_end_to_end(smiles, splits, arguments):
    """Return the figures of each strategy and the seconds of the folds that were run."""
    jobs = [(fusion, fold) for fusion in list_fusions() for fold in splits[: arguments.end_folds]]
    began = time.perf_counter()
    rows = Parallel(arguments.n_jobs)(
        delayed(fit_and_score)(fusion, fold, smiles, arguments) for fusion, fold in jobs
    )
    seconds = time.perf_counter() - began
    table = pd.DataFrame(rows).groupby("fusion", sort=False).mean()
    return table, seconds * len(splits) / arguments.end_folds


def fit_and_score(fusion, fold, smiles, arguments):
    """Return the figures of a strategy on a fold."""
    train, test = fold
    began = time.perf_counter()
    model = HadaSmileNetClassifier(
        fusion,
        fps=FPS,
        hidden_dim=arguments.hidden_dim,
        device=arguments.device,
        random_state=0,
    )
    clips = _safe_indexing(smiles.clips, train)
    model.fit(clips, smiles.target[train], groups=smiles.groups[train])
    probability = model.predict_proba(_safe_indexing(smiles.clips, test))[:, 1]
    target = smiles.target[test]
    return {
        "fusion": fusion,
        "balanced_accuracy": balanced_accuracy_score(target, probability > 0.5),
        "roc_auc": roc_auc_score(target, probability),
        "log_loss": log_loss(target, probability),
        "seconds": time.perf_counter() - began,
    }


STAGES = {"two": run_two_stages, "end": run_end_to_end}


def store_clips(folder, arguments):
    """Simulate clips into files; return the data with their paths."""
    began = time.perf_counter()
    size = {"n_subjects": arguments.n_subjects, "fps": FPS}
    smiles = make_smiles(arguments.n_clips, random_state=0, **size)
    paths = [folder / f"{number:05d}.npy" for number in range(len(smiles.clips))]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip.astype(np.float32))
    n_frames = np.mean([len(clip) for clip in smiles.clips])
    seconds = time.perf_counter() - began
    print(f"{len(paths)} clips of {n_frames:.0f} frames, simulated in {seconds:.0f} s", flush=True)
    smiles.clips = [str(path) for path in paths]
    return smiles


def run_stages(smiles, where, arguments):
    """Run the chosen stages and print their tables."""
    splits = list(
        StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0).split(
            smiles.target, smiles.target, smiles.groups
        )
    )
    figures = {"device": where, "torch": torch.__version__, "n_jobs": arguments.n_jobs}
    for name in arguments.stages:
        table, seconds = STAGES[name](smiles, splits, arguments)
        run = N_FOLDS if name == "two" else arguments.end_folds
        print(f"\n{name}: {seconds / 3600:.2f} h ({seconds:.0f} s), {run} of {N_FOLDS} folds run")
        print(table.round(3).to_string(), flush=True)
        figures[name] = {
            "seconds": seconds,
            "folds_run": run,
            "table": table.reset_index(names="fusion").to_dict("records")
            if name == "two"
            else table.reset_index().to_dict("records"),
        }
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1, default=float))


def main():
    """Run the chosen stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--n-clips", type=int, default=1240)
    parser.add_argument("--n-subjects", type=int, default=400)
    parser.add_argument("--hidden-dim", type=int, default=64)
    parser.add_argument("--end-folds", type=int, default=N_FOLDS)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {where}, {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        run_stages(store_clips(Path(folder), arguments), where, arguments)


if __name__ == "__main__":
    main()
