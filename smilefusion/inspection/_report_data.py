"""What a results folder tells a report: parts of one protocol and data set, and their cells."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from smilefusion._messages import count
from smilefusion.benchmark._leakage import has_leak, may_share, tabulate_subjects
from smilefusion.benchmark._store import load_results
from smilefusion.benchmark.stats._comparisons import compare
from smilefusion.benchmark.stats._protocol_labels import (
    HONEST,
    TABLE_KEYS,
    table_title,
    with_protocol,
)
from smilefusion.benchmark.tables._tables import summarize

_N_PERMUTATIONS = 9999
_CONFIDENCE = 0.95
_STOPPED_BY = {
    "subjects": "whole subjects",
    "rows": "clips of subjects unknown, who may be trained on too",
    "none": "nobody",
    "unknown": "what the estimator does not tell",
}


@dataclass(frozen=True)
class Part:
    """What is known of one protocol and data set."""

    protocol: str
    dataset: str
    records: list  # of its cells, as stored
    predictions: pd.DataFrame  # of its cells
    missing: dict  # estimator → number of cells that are not finished
    summary: pd.DataFrame | None  # of the estimators without missing cells
    comparison: pd.DataFrame | None  # of those that did not fail either
    remarks: list  # sentences on what could not be computed

    @property
    def title(self):
        """Return the data set's name, with the protocol where that is not the honest one."""
        return table_title(self.protocol, self.dataset)

    @property
    def scored(self):
        """Return the predictions that the summary rests on."""
        return self.predictions[~self.predictions["estimator"].isin(self.missing)]

    @property
    def failures(self):
        """Return the records of the failed cells."""
        return [record for record in self.records if record["error"]]


def read_parts(folder, n_resamples, random_state):
    """Return the parts of a results folder, scored and compared."""
    predictions = with_protocol(load_results(folder))
    records = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(Path(folder, "cells").glob("*.json"))
        if not path.name.startswith(".")
    ]
    records.sort(key=lambda record: (record["rank"], *record["cell"].values()))
    parts = []
    for (protocol, dataset), rows in predictions.groupby(list(TABLE_KEYS), sort=False):
        own = [
            record
            for record in records
            if record["cell"].get("protocol", HONEST) == protocol
            and record["cell"]["dataset"] == dataset
        ]
        parts.append(_score(protocol, dataset, own, rows, n_resamples, random_state))
    return sorted(parts, key=lambda part: part.protocol != HONEST)


def fold_sizes(part):
    """Return a row per repeat and fold: training clips, test clips, subjects, and each class."""
    counts = []
    for (repeat, fold), rows in part.predictions.groupby(["repeat", "fold"]):
        rows = rows[rows["estimator"] == rows["estimator"].iloc[0]]
        classes = rows["target"].astype(str).value_counts().sort_index()
        counts.append(
            {
                "repeat": repeat,
                "fold": fold,
                "training clips": rows["n_train"].iloc[0],
                "test clips": len(rows),
                "test subjects": rows["group"].nunique(),
                **{f"test clips of class {name}": n for name, n in classes.items()},
            }
        )
    return pd.DataFrame(counts).fillna(0).astype(int)


def subject_facts(part):
    """Return sentences on whom the cells were trained, stopped and tested, and rows of leaks.

    The rows hold estimator, repeat/fold and the names of subjects on two sides.
    """
    if not part.records:
        return [], []
    table = tabulate_subjects(part.records)
    leaks = has_leak(table)
    known = table["n_train_subjects"].notna()
    kinds = table["early_stopping"].value_counts()
    sentences = [
        f"Subjects on two sides of a split: in {leaks.sum()} of {known.sum()} cells with records"
        + (", as this protocol allows." if leaks.any() and may_share(part.protocol) else "."),
        "Early stopping by "
        + ", ".join(f"{_STOPPED_BY[kind]}: {count(n, 'cell')}" for kind, n in kinds.items())
        + ".",
    ]
    n_chosen = int(table["epoch_chosen_by_test"].sum())
    if n_chosen:
        sentences.append(f"The test clips chose the epoch in {count(n_chosen, 'cell')}.")
    places = table["repeat"].astype(str) + "/" + table["fold"].astype(str)
    rows = zip(table["estimator"], places, table["shared_subjects"], strict=True)
    return sentences, [row for row, leaked in zip(rows, leaks, strict=True) if leaked]


def cell_costs(part):
    """Return a row per estimator: median seconds, peak memory, parameters, devices."""
    rows = []
    for name in part.predictions["estimator"].unique():
        own = [r for r in part.records if r["cell"]["estimator"] == name and not r["error"]]
        figures = pd.DataFrame([record["figures"] for record in own], dtype=float)
        peaks = [r["peak_memory_bytes"] for r in own if r.get("peak_memory_bytes")]
        names = ("fit_seconds", "predict_seconds", "n_parameters")
        medians = [figures[each].dropna().median() if own else np.nan for each in names]
        devices = sorted({record["device"] for record in own if record["device"]})
        peak = max(peaks) / 2**20 if peaks else np.nan
        rows.append((name, *medians, peak, ", ".join(devices)))
    return rows


def describe_machines(parts):
    """Return the distinct machines, without their names, and the number of cells of each."""
    told = Counter()
    for record in (record for part in parts for record in part.records):
        machine = record["machine"]
        packages = ", ".join(f"{name} {v}" for name, v in machine["packages"].items())
        text = (
            f"{machine['platform']}, {machine['n_cpus']} processors, Python {machine['python']}; "
            f"{packages}"
        )
        told[text] += 1
    return told


def _score(protocol, dataset, records, rows, n_resamples, random_state):
    """Return a part with its figures, as far as its cells allow any."""
    done = rows.groupby("estimator", sort=False)[["repeat", "fold"]].apply(
        lambda cells: set(map(tuple, cells.to_numpy()))
    )
    expected = set(product(*(range(int(rows[name].max()) + 1) for name in ("repeat", "fold"))))
    n_missing = {name: len(expected - cells) for name, cells in done.items()}
    missing = {name: n for name, n in n_missing.items() if n}
    failed = rows.loc[rows["prediction"].isna(), "estimator"].unique()
    complete = rows[~rows["estimator"].isin(missing)]
    summary = comparison = None
    remarks = []
    try:
        if len(complete):
            summary = summarize(complete, n_resamples=n_resamples, random_state=random_state)
        else:
            remarks.append("No estimator has finished all folds, so that none is scored.")
        sound = complete[~complete["estimator"].isin(failed)]
        n_sound = sound["estimator"].nunique()
        if n_sound > 1:
            n_pairs = n_sound * (n_sound - 1) // 2
            comparison = compare(
                sound,
                n_permutations=max(_N_PERMUTATIONS, 2 * int(n_pairs / (1 - _CONFIDENCE))),
                confidence=_CONFIDENCE,
                random_state=random_state,
            )
    except ValueError as error:
        remarks.append(f"What could not be computed: {error}")
    return Part(protocol, dataset, records, rows, missing, summary, comparison, remarks)
