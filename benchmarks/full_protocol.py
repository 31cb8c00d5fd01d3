"""Time an honest protocol of UvA-NEMO's size with networks that are trained end to end.

Run ``python benchmarks/full_protocol.py``: 1240 simulated clips in files, 15 strategies, 10
subject-disjoint folds, from landmarks to the table of scores. ``--folds`` runs fewer folds and
extrapolates; ``--device cuda`` uses the GPU. ``--output`` writes the time for the documentation.
"""

import json
import tempfile
import time

import torch
from common import read_options, store_clips
from sklearn.model_selection import StratifiedGroupKFold

from smilefusion import HadaSmileNetClassifier, list_fusions
from smilefusion.benchmark import format_table, run_benchmark, summarize
from smilefusion.datasets import make_smiles

N_FOLDS = 10


def main():
    options = read_options(
        __doc__,
        n_clips=1240,
        n_subjects=400,
        hidden_dim=64,
        folds=N_FOLDS,
        n_jobs=2,
        device="cpu",
        output=None,
    )
    settings = {"hidden_dim": options.hidden_dim, "device": options.device, "random_state": 0}
    with tempfile.TemporaryDirectory() as folder:
        smiles = make_smiles(options.n_clips, n_subjects=options.n_subjects, random_state=0)
        data = store_clips(smiles, folder)
        data.name = "simulated smiles"
        models = {
            key: HadaSmileNetClassifier(key, fps=data.fps, **settings) for key in list_fusions()
        }
        folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
        cv = list(folds.split(data.target, data.target, data.groups))[: options.folds]
        start = time.perf_counter()
        predictions = run_benchmark(models, data, cv=cv, n_jobs=options.n_jobs)
        seconds = (time.perf_counter() - start) * N_FOLDS / options.folds
    print(format_table(summarize(predictions)))
    print(f"{seconds / 3600:.2f} h ({seconds:.0f} s), {options.folds} of {N_FOLDS} folds run")
    if options.output:
        device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
        record = {"device": device, "torch": torch.__version__, "n_jobs": options.n_jobs}
        record["end"] = {"seconds": seconds, "folds_run": options.folds}
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
