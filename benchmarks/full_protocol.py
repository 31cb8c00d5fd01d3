"""Print how long a whole honest protocol of UvA-NEMO's size takes, from landmarks to scores.

Run ``python benchmarks/full_protocol.py``: 1240 simulated clips of about 200 frames and 400
subjects in files, 15 strategies, 10 subject-disjoint folds, epochs chosen among the training
clips, `HadaSmileNetClassifier` trained end to end. ``--folds`` runs some of the folds and
multiplies their time.
"""

import argparse
import json
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

from smilefusion import HadaSmileNetClassifier, list_fusions
from smilefusion.datasets import make_smiles

FPS, N_FOLDS = 50, 10


def fit_and_score(fusion, fold, smiles, arguments):
    """Return the scores of a strategy on a fold."""
    train, test = fold
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
    }


def store_clips(folder, arguments):
    """Simulate clips into files; return the data with their paths."""
    smiles = make_smiles(
        arguments.n_clips, n_subjects=arguments.n_subjects, fps=FPS, random_state=0
    )
    paths = [folder / f"{number:05d}.npy" for number in range(len(smiles.clips))]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip.astype(np.float32))
    smiles.clips = [str(path) for path in paths]
    return smiles


def run(smiles, arguments):
    """Print the mean scores of each strategy and store the time."""
    cv = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    folds = list(cv.split(smiles.target, smiles.target, smiles.groups))[: arguments.folds]
    jobs = [(fusion, fold) for fold in folds for fusion in list_fusions()]
    began = time.perf_counter()
    rows = Parallel(n_jobs=arguments.n_jobs)(
        delayed(fit_and_score)(fusion, fold, smiles, arguments) for fusion, fold in jobs
    )
    seconds = (time.perf_counter() - began) * N_FOLDS / arguments.folds
    print(pd.DataFrame(rows).groupby("fusion", sort=False).mean().round(3).to_string())
    print(f"{seconds / 3600:.2f} h ({seconds:.0f} s), {arguments.folds} of {N_FOLDS} folds run")
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    settings = {"device": where, "torch": torch.__version__, "n_jobs": arguments.n_jobs}
    if arguments.output:
        end = {"seconds": seconds, "folds_run": arguments.folds}
        arguments.output.write_text(json.dumps(settings | {"end": end}, indent=1))


def main():
    """Simulate the clips and run the protocol."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-clips", type=int, default=1240)
    parser.add_argument("--n-subjects", type=int, default=400)
    parser.add_argument("--hidden-dim", type=int, default=64)
    parser.add_argument("--folds", type=int, default=N_FOLDS)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="a JSON file for the time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(store_clips(Path(folder), arguments), arguments)


if __name__ == "__main__":
    main()
