"""Audit stand-ins of the published data sets, a table of real clips, and clips without confounds.

Run ``python benchmarks/audits.py --real ../shared/real``; it takes about ten minutes on one core.

1. `audit_dataset` of simulated stand-ins of UvA-NEMO, MMI, SPOS and BBC. The classes of MMI were
   filmed with different cameras, so its clips have 25 and 29 frames per second.
2. The durations in the published D-Markers of 576 real UvA-NEMO clips, in the same way.
3. The share of properties with a note or a warning if the classes do not differ.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from common import read_options

from smilefusion import audit_dataset
from smilefusion.datasets import make_smiles, make_standin
from smilefusion.reliability._audit import rate_variable

SETS = ("uva_nemo", "mmi", "spos", "bbc")
DURATIONS = ("onset_duration_full", "apex_duration_full", "offset_duration_full")


def audit_real(folder):
    """Return the ratings of the durations of real clips."""
    table = pd.read_csv(folder / "uva_nemo_lip_half.csv")
    groups = pd.factorize(pd.MultiIndex.from_frame(table[["gender", "age"]]))[0]
    columns = {name: table[name] for name in DURATIONS}
    columns["duration of all phases"] = table[list(DURATIONS)].sum(axis=1)
    y = 1 - table["posed"].to_numpy()
    return {name: rate_variable(values, y, groups, 0) for name, values in columns.items()}


def count_alarms(n_sets):
    """Return the share of rated properties with each verdict if the classes are alike."""
    verdicts = []
    for seed in range(n_sets):
        smiles = make_smiles(120, n_subjects=30, fps=25, effect=0, random_state=seed)
        audit = audit_dataset(smiles.clips, smiles.target)
        verdicts += audit.loc[audit["low"].notna(), "verdict"].tolist()
    return pd.Series(verdicts).value_counts(normalize=True)


def main():
    options = read_options(__doc__, real=Path("../shared/real"), n_clips=400, n_sets=20)
    warnings.simplefilter("ignore")
    for name in SETS:
        data = make_standin(name)
        if len(data.clips) > options.n_clips:
            data = make_standin(name, n_clips=options.n_clips)
        clips = data.clips
        if name == "mmi":
            clips = clips.replace(fps=np.where(data.target == 1, 29.0, 25.0))
        audit = audit_dataset(clips, data.target, data.groups)
        shown = audit[~audit["verdict"].isin(["unknown"])]
        print(f"\n{name}, {len(data.clips)} clips", shown.round(3).to_string(), sep="\n")
    if options.real.is_dir():
        print("\nreal clips", pd.DataFrame(audit_real(options.real)).T.to_string(), sep="\n")
    else:
        print(f"{options.real} does not exist. Pass the folder of the tables with --real.")
        sys.exit()
    print("\nalike classes", count_alarms(options.n_sets).round(3).to_string(), sep="\n")


if __name__ == "__main__":
    main()
