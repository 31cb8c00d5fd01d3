"""The content of a results folder, by protocol and data set."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from smilefusion.benchmark._leakage import has_leak, may_share, tabulate_subjects
from smilefusion.benchmark.run._store import read_cells, tidy, tidy_shifts
from smilefusion.benchmark.stats._comparisons import compare
from smilefusion.benchmark.stats._protocol_labels import HONEST, TABLE_KEYS, table_title
from smilefusion.benchmark.stats._shift_scores import score_shifts
from smilefusion.benchmark.stats._subgroups import list_metadata
from smilefusion.benchmark.tables._tables import format_number, summarize

_N_PERMUTATIONS = 9999
_CONFIDENCE = 0.95
_COSTS = ["fit_seconds", "predict_seconds", "n_parameters"]
_SPLITS = {
    "subjects": "by subject",
    "folds": "by folds of subjects",
    "rows": "by clip, subjects unknown",
    "none": "none",
    "unknown": "not recorded",
}


@dataclass(frozen=True)
class ReportPart:
    """Results of one protocol and data set."""

    protocol: str
    dataset: str
    records: list  # of the cells, as stored
    predictions: pd.DataFrame
    missing: dict  # estimator → number of unfinished cells
    summary: pd.DataFrame | None  # of estimators without missing cells
    comparison: pd.DataFrame | None  # of estimators without missing or failed cells
    remarks: list  # sentences about results that could not be computed
    shifts: pd.DataFrame | None  # as `summary`, under recording shifts
    subgroups: dict  # column of the metadata → summary by group, or a sentence

    @property
    def title(self) -> str:
        return table_title(self.protocol, self.dataset)

    @property
    def compared(self) -> set[str]:
        """Return the names of the compared estimators."""
        table = self.comparison
        return set() if table is None else {*table["first"], *table["second"]}

    @property
    def scored(self) -> pd.DataFrame:
        """Return the predictions of estimators without missing cells."""
        return self.predictions[~self.predictions["estimator"].isin(self.missing)]


def read_parts(
    folder: str | os.PathLike, n_resamples: int, random_state: int | np.random.RandomState | None
) -> list[ReportPart]:
    """Return the parts of a results folder, scored and compared."""
    cells = read_cells(folder)
    parts = []
    for keys, rows in tidy(cells).groupby(list(TABLE_KEYS), sort=False):
        own = [each for each in cells if tuple(each[0]["cell"].values())[:2] == keys]
        parts.append(_make_part(own, rows, n_resamples, random_state))
    return sorted(parts, key=lambda part: part.protocol != HONEST)


def fold_sizes(part: ReportPart) -> pd.DataFrame:
    """Return a row per repeat and fold: clips and subjects, and test clips of each class."""
    rows = part.predictions.drop_duplicates(["repeat", "fold", "clip"])
    columns = {
        "training clips": ("n_train", "first"),
        "test clips": ("clip", "size"),
        "test subjects": ("group", "nunique"),
    }
    sizes = rows.groupby(["repeat", "fold"]).agg(**columns)
    classes = pd.crosstab([rows["repeat"], rows["fold"]], rows["target"].astype(str))
    return sizes.join(classes.add_prefix("test clips of class ")).astype(int).reset_index()


def subject_facts(part: ReportPart) -> dict[str, Any]:
    """Return leaks and early-stopping splits of the cells that recorded their subjects."""
    table = tabulate_subjects(part.records)
    table["cell"] = table["repeat"].astype(str) + "/" + table["fold"].astype(str)
    leaks = table.loc[has_leak(table), ["estimator", "cell", "shared_subjects"]]
    return {
        "leaks": leaks.to_numpy().tolist(),
        "leaks_allowed": may_share(part.protocol),
        "n_known": table["n_train_subjects"].notna().sum(),
        "splits": table["early_stopping"].map(_SPLITS).value_counts().to_dict(),
        "n_chosen": int(table["epoch_chosen_by_test"].sum()),
    }


def cell_costs(part: ReportPart) -> list[tuple[str, ...]]:
    """Return a row per estimator: median seconds and parameters, peak memory, devices."""
    rows = []
    for name in part.predictions["estimator"].unique():
        own = [r for r in part.records if r["cell"]["estimator"] == name and not r["error"]]
        figures = pd.DataFrame([record["figures"] for record in own], dtype=float)
        medians = figures.reindex(columns=_COSTS).median().tolist()
        peak = max((r["peak_memory_bytes"] or np.nan for r in own), default=np.nan) / 2**20
        devices = sorted({record["device"] for record in own if record["device"]})
        costs = map(format_number, (*medians, peak), (".2f", ".3f", ",.0f", ",.0f"))
        rows.append((name, *costs, ", ".join(devices)))
    return rows


def _make_part(
    results: list[tuple[dict, pd.DataFrame]],
    rows: pd.DataFrame,
    n_resamples: int,
    random_state: int | np.random.RandomState | None,
) -> ReportPart:
    """Return a part with its scores and comparisons, as far as its cells allow."""
    cells = rows[["estimator", "repeat", "fold"]].drop_duplicates()
    n_cells = (rows["repeat"].max() + 1) * (rows["fold"].max() + 1)
    n_missing = n_cells - cells["estimator"].value_counts(sort=False)
    missing = {name: int(n) for name, n in n_missing.items() if n}
    failed = rows.loc[rows["prediction"].isna(), "estimator"]
    complete = rows[~rows["estimator"].isin(missing)]
    sound = complete[~complete["estimator"].isin(failed)]
    n_sound = sound["estimator"].nunique()
    summary = comparison = shifts = None
    subgroups: dict[str, Any] = {}
    remarks = ["No estimator has finished all folds, so none is scored."] if complete.empty else []
    try:
        if not complete.empty:
            summary = summarize(complete, n_resamples=n_resamples, random_state=random_state)
            own = [each for each in results if each[0]["cell"]["estimator"] not in missing]
            predictions = tidy_shifts(own)
            shifts = None if predictions is None else score_shifts(predictions)
            subgroups = _summarize_subgroups(complete, n_resamples, random_state)
        if n_sound > 1:
            least = int(n_sound * (n_sound - 1) / (1 - _CONFIDENCE))  # for Holm's correction
            comparison = compare(
                sound,
                confidence=_CONFIDENCE,
                n_permutations=max(_N_PERMUTATIONS, least),
                random_state=random_state,
            )
    except ValueError as error:
        remarks.append(f"Some results could not be computed: {error}")
    protocol, dataset = rows[list(TABLE_KEYS)].iloc[0]
    records = [record for record, _ in results]
    return ReportPart(
        protocol,
        dataset,
        records,
        rows,
        missing,
        summary,
        comparison,
        remarks,
        shifts,
        subgroups,
    )


def _summarize_subgroups(
    predictions: pd.DataFrame, n_resamples: int, random_state: int | np.random.RandomState | None
) -> dict[str, Any]:
    """Return a summary by each column of the metadata, or the reason why there is none."""
    found: dict[str, Any] = {}
    for by in list_metadata(predictions):
        try:
            found[by] = summarize(
                predictions, by=by, n_resamples=n_resamples, random_state=random_state
            )
        except ValueError as error:
            found[by] = str(error)
    return found
