"""The report of a results folder: one HTML file."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from smilefusion._storage._atomic_files import replacing
from smilefusion._version import __version__
from smilefusion.benchmark.run._provenance import IMMATERIAL
from smilefusion.benchmark.stats._protocol_labels import HONEST, protocol_label, protocol_remarks
from smilefusion.benchmark.tables._tables import format_difference, format_p_value, format_table
from smilefusion.inspection._critical_difference import CriticalDifferenceDisplay
from smilefusion.inspection._estimator_rows import count_range
from smilefusion.inspection._fusion_comparison import FusionComparisonDisplay
from smilefusion.inspection._optimism import OptimismDisplay
from smilefusion.inspection._pyplot import import_pyplot
from smilefusion.inspection._reliability import ReliabilityDisplay
from smilefusion.report._checklists import check_checklists, describe_methods, fill_checklists
from smilefusion.report._pages import render_page
from smilefusion.report._pictures import draw_inline
from smilefusion.report._results import (
    ReportPart,
    cell_costs,
    fold_sizes,
    read_parts,
    subject_facts,
)

_MOST_PAIRS_IN_ROWS = 10
_FILE = re.compile(r'File "[^"]*[/\\]([^"/\\]+)"')


def write_report(
    folder: str | os.PathLike,
    path: str | os.PathLike | None = None,
    *,
    checklists: Sequence[str] = (),
    n_resamples: int = 2000,
    random_state: int | np.random.RandomState | None = 0,
) -> Path:
    """Write the results of a benchmark to one HTML file without external references.

    The report shows scores with intervals, comparisons, scores under recording shifts and by group
    of people, pictures, failures, fold sizes, costs, the parameters of the estimators and the
    machines. It contains no host names or file paths, and marks the scores of optimistic
    protocols. The report of an unfinished run shows the finished cells and lists the missing ones.

    Parameters
    ----------
    folder : str or path-like
        The folder given to `run_benchmark` as ``results``.
    path : str, path-like or None, default=None
        The file to write. None: ``report.html`` in the folder.
    checklists : sequence of {"reforms", "tripod+ai"}, default=()
        Reporting checklists to append: REFORMS [1]_ and TRIPOD+AI [2]_, in our own words. The
        report answers the items that the folder can answer, and names the source of each answer.
        The authors must answer the others. A draft of the methods section is also appended.
    n_resamples : int, default=2000
        Number of bootstrap samples of the subjects.
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap and the permutations.

    Returns
    -------
    path : pathlib.Path
        The file.

    Raises
    ------
    InvalidDataError
        If the folder contains no finished cell, or a file was changed.
    ValueError
        If a checklist is unknown.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    Estimators with missing cells are not scored. Estimators with failed cells are neither
    compared nor ranked. Reliability is shown only for two classes.

    References
    ----------
    .. [1] Kapoor et al., "REFORMS: Consensus-based recommendations for machine-learning-based
       science", Science Advances 10(18), 2024.
    .. [2] Collins et al., "TRIPOD+AI statement", BMJ 385, 2024.
    """
    check_checklists(checklists)
    import_pyplot("write_report")
    folder = Path(folder)
    path = folder / "report.html" if path is None else Path(path)
    parts = read_parts(folder, n_resamples, random_state)
    protocols = dict.fromkeys(part.protocol for part in parts)
    optimistic = [name for name in protocols if protocol_label(name) != name]
    page = render_page(
        "page.html",
        title=f"Benchmark {folder.resolve().name}",
        optimistic=protocol_remarks(optimistic),
        remarks=protocol_remarks(name for name in protocols if name not in optimistic),
        facts=_collect_facts(parts),
        missing=[(part.title, name, n) for part in parts for name, n in part.missing.items()],
        problems=[f"{part.title}: {remark}" for part in parts for remark in part.remarks],
        overview=_draw_overview(parts),
        parts=[_describe_part(part, place) for place, part in enumerate(parts)],
        failures=_list_failures(parts),
        estimators=_list_estimators(parts),
        warnings=_list_warnings(parts),
        checklists=fill_checklists(checklists, parts),
        methods=describe_methods(parts) if checklists else [],
        version=__version__,
    )
    with replacing(path) as file:
        file.write_text(page, encoding="utf-8", errors="backslashreplace")  # lone surrogates
    return path


def _collect_facts(parts: list[ReportPart]) -> dict[str, Any]:
    """Return the contents of the run, its times and its machines."""
    records = [record for part in parts for record in part.records]
    finished = sorted(record["finished"][:16].replace("T", " ") for record in records)
    machines = Counter(
        "{platform}, {n_cpus} processors, Python {python}; ".format(**machine)
        + ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
        for machine in (record["machine"] for record in records)
    )
    return {
        "protocols": dict.fromkeys(protocol_label(part.protocol) for part in parts),
        "n_estimators": len({record["cell"]["estimator"] for record in records}),
        "n_cells": len(records),
        "n_failed": sum(record["error"] is not None for record in records),
        "n_missing": sum(n for part in parts for n in part.missing.values()),
        "start": finished[0],
        "end": finished[-1],
        "devices": Counter(record["device"] or "unknown (failed)" for record in records),
        "machines": machines,
    }


def _draw_overview(parts: list[ReportPart]) -> list[tuple[str, str, Markup]]:
    """Return heading, subheading and SVG of each picture of all data sets."""
    scored = [part for part in parts if part.summary is not None]
    summaries = [part.summary for part in scored if part.summary is not None]
    if not summaries:
        return []
    summary = pd.concat(summaries, ignore_index=True)
    summary.attrs["confidence"] = summaries[0].attrs["confidence"]
    n_classes = max(part.predictions["target"].nunique() for part in scored)
    scores = FusionComparisonDisplay(summary, n_classes=n_classes).plot()
    picture = draw_inline(scores, "c", "Balanced accuracy of each estimator with its interval")
    pictures = [("Scores", "", picture)]
    if {HONEST, "published"} <= set(summary["protocol"]):
        optimism = OptimismDisplay(summary).plot()
        picture = draw_inline(optimism, "o", "Published and honest accuracy of each estimator")
        pictures.append(("Optimism of the published protocol", "", picture))
    return pictures + _draw_ranks(scored)


def _draw_ranks(parts: list[ReportPart]) -> list[tuple[str, str, Markup]]:
    """Return the diagrams of mean ranks, one per protocol with at least three estimators."""
    protocols = dict.fromkeys(part.protocol for part in parts)
    pictures: list[tuple[str, str, Markup]] = []
    for place, protocol in enumerate(protocols):
        own = [part for part in parts if part.protocol == protocol and part.compared]
        if not own or len(set.intersection(*(part.compared for part in own))) < 3:
            continue
        predictions = pd.concat([part.scored for part in own], ignore_index=True)
        display = CriticalDifferenceDisplay.from_predictions(predictions)
        subheading = protocol_label(protocol) if len(protocols) > 1 else ""
        picture = draw_inline(display, f"m{place}", display.note)
        pictures.append(("" if pictures else "Mean ranks", subheading, picture))
    return pictures


def _describe_part(part: ReportPart, place: int) -> dict[str, Any]:
    """Return the results of one protocol and data set for the template."""
    clips = part.predictions.drop_duplicates("clip")
    summary = comparison = matrix = picture = shifts = None
    if part.summary is not None:
        summary = _wrap_table(format_table(part.summary, style="html", comparison=part.comparison))
        if part.scored["target"].nunique() == 2:
            display = ReliabilityDisplay.from_predictions(part.scored)
            picture = draw_inline(display, f"r{place}", "Shares of a class by its probability")
    if part.comparison is not None and len(part.comparison) <= _MOST_PAIRS_IN_ROWS:
        comparison = _wrap_table(format_table(part.comparison, style="html"))
    elif part.comparison is not None:
        matrix = _compare_pairs(part.comparison)
    if part.shifts is not None:
        shifts = _wrap_table(format_table(part.shifts, style="html"))
    groups = {
        by: found if isinstance(found, str) else _wrap_table(format_table(found, style="html"))
        for by, found in part.subgroups.items()
    }
    sizes = fold_sizes(part)
    columns = ("training clips", "test clips", "test subjects")
    return {
        "title": part.title,
        "classes": clips["target"].astype(str).value_counts().sort_index().to_dict(),
        "n_clips": len(clips),
        "n_subjects": clips["group"].nunique(),
        "n_folds": part.predictions["fold"].nunique(),
        "n_repeats": part.predictions["repeat"].nunique(),
        "summary": summary,
        "comparison": comparison,
        "matrix": matrix,
        "shifts": shifts,
        "subgroups": {by: found for by, found in groups.items() if isinstance(found, Markup)},
        "ungrouped": [found for found in groups.values() if not isinstance(found, Markup)],
        "reliability": picture,
        "fold_ranges": ", ".join(f"{count_range(sizes[name])} {name}" for name in columns),
        "folds": (sizes.columns.tolist(), sizes.to_numpy()),
        "subjects": subject_facts(part) if part.records else None,
        "costs": cell_costs(part),
    }


def _wrap_table(html: str) -> Markup:
    """Return the HTML of `format_table` with a scrolling table and small notes."""
    table, end, notes = html.partition("</table>")
    notes = notes.replace("<p>", '<p class="note">')
    return Markup(f'<div class="scroll">{table}{end}</div>{notes}')  # format_table escapes


def _compare_pairs(comparison: pd.DataFrame) -> dict[str, Any]:
    """Return names, cells (text and class) and notes of a square table of many pairs."""
    names = list(dict.fromkeys(comparison[["first", "second"]].to_numpy().T.ravel()))
    cells = [[("", "")] * len(names) for _ in names]
    for row in comparison.to_dict("records"):
        above, left = names.index(row["first"]), names.index(row["second"])
        kind = {"first better": "worse", "second better": "better"}.get(row["verdict"], "")
        sign = "=" if row["verdict"] == "equivalent" else ""
        difference = format_difference(-100 * row["difference"], n_digits=1)
        cells[left][above] = (f"{sign}{difference}", kind)
        cells[above][left] = (format_p_value(row["p_holm"]), "")
    verdicts = comparison["verdict"].str.replace(".* better", "differ", regex=True)
    return {
        "names": names,
        "rows": cells,
        "verdicts": verdicts.value_counts().to_dict(),
        "n_pairs": len(comparison),
        "notes": comparison.attrs["remarks"],
    }


def _list_failures(parts: list[ReportPart]) -> list[tuple]:
    """Return data, estimator, error, cells and traceback of each distinct error."""
    kinds: dict[tuple, tuple[list[str], str]] = {}
    for part in parts:
        for record in (record for record in part.records if record["error"]):
            cell, error = record["cell"], record["error"]
            key = (part.title, cell["estimator"], f"{error['type']}: {error['message']}")
            cells, _ = kinds.setdefault(key, ([], _FILE.sub(r'File "\1"', error["traceback"])))
            cells.append(f"{cell['repeat']}/{cell['fold']}")
    return [(*key, ", ".join(cells), traceback) for key, (cells, traceback) in kinds.items()]


def _list_estimators(parts: list[ReportPart]) -> list[tuple]:
    """Return name, class, parameters and data sets of each distinct estimator."""
    titles: dict[tuple, dict[str, None]] = {}
    for part in parts:
        for record in part.records:
            name, settings = record["cell"]["estimator"], record["settings"]
            parameters = "\n".join(
                f"{parameter} = {value}"
                for parameter, value in settings["parameters"].items()
                if parameter.rpartition("__")[2] not in IMMATERIAL
            )
            titles.setdefault((name, settings["class"], parameters), {})[part.title] = None
    n_settings = Counter(name for name, *_ in titles)
    return [(*key, own if n_settings[key[0]] > 1 else ()) for key, own in titles.items()]


def _list_warnings(parts: list[ReportPart]) -> list[tuple]:
    """Return estimator, text and number of cells of each distinct warning."""
    records = [record for part in parts for record in part.records]
    texts = ((r["cell"]["estimator"], text) for r in records for text in r["warnings"])
    return [(*key, n) for key, n in Counter(texts).items()]
