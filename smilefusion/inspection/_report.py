"""The report of a results folder: one file of HTML."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from smilefusion._atomic_files import replacing
from smilefusion._messages import count
from smilefusion._version import __version__
from smilefusion.benchmark._leakage import may_share
from smilefusion.benchmark.run._provenance import IMMATERIAL
from smilefusion.benchmark.stats._protocol_labels import HONEST, protocol_label, protocol_remarks
from smilefusion.benchmark.tables._tables import (
    format_difference,
    format_number,
    format_p_value,
    format_table,
)
from smilefusion.inspection._critical_difference import CriticalDifferenceDisplay
from smilefusion.inspection._estimator_rows import count_range
from smilefusion.inspection._fusion_comparison import FusionComparisonDisplay
from smilefusion.inspection._optimism import OptimismDisplay
from smilefusion.inspection._pyplot import import_pyplot
from smilefusion.inspection._reliability import ReliabilityDisplay
from smilefusion.inspection._report_data import (
    cell_costs,
    describe_machines,
    fold_sizes,
    read_parts,
    subject_facts,
)
from smilefusion.inspection._report_page import (
    fold_away,
    heading,
    let_scroll,
    make_matrix,
    make_page,
    make_table,
    paragraph,
    place_table,
    preformatted,
)
from smilefusion.inspection._report_pictures import draw_inline

_MOST_PAIRS_IN_ROWS = 10
_FILE = re.compile(r'File "[^"]*[/\\]([^"/\\]+)"')


def write_report(folder, path=None, *, n_resamples=2000, random_state=0):
    """Write a report of a results folder: one file of HTML that needs nothing else.

    It holds figures with intervals, comparisons, pictures, failures, fold sizes, costs, the
    estimators' parameters, and on what all was computed; names of hosts and paths of files are
    left out. Figures of optimistic protocols are stamped. Of a run that is not finished it shows
    what there is, and says what is missing as far as the folder tells it.

    Parameters
    ----------
    folder : str or path-like
        The folder given to `run_benchmark` as ``results``.
    path : str, path-like or None, default=None
        The file to write; None: ``report.html`` in the folder.
    n_resamples : int, default=2000
        Number of bootstrap samples of the subjects.
    random_state : int, RandomState instance or None, default=0
        Seed of bootstrap and permutations.

    Returns
    -------
    path : pathlib.Path
        The file.

    Raises
    ------
    InvalidDataError
        Where the folder holds no finished cell, or a file was changed.
    ImportError
        Where matplotlib is not installed.

    Notes
    -----
    An estimator is scored once it has finished all folds of all repeats that the folder knows of.
    Estimators that failed are named and take no part in comparisons and ranks. Comparisons are of
    balanced accuracy, as `compare` does them; ranks are over subjects, see
    `CriticalDifferenceDisplay`. Reliability is shown of two classes.
    """
    import_pyplot("write_report")
    folder = Path(folder)
    path = folder / "report.html" if path is None else Path(path)
    parts = read_parts(folder, n_resamples, random_state)
    name = folder.resolve().name
    body = "\n".join(
        [
            heading(1, f"Benchmark {name}"),
            *_remark_on_protocols(dict.fromkeys(part.protocol for part in parts)),
            _facts(parts),
            *_unfinished(parts),
            *_overview(parts),
            *(_describe_part(part, place) for place, part in enumerate(parts)),
            *_failures(parts),
            *_estimators(parts),
            *_warnings(parts),
            paragraph(f"Written by smilefusion {__version__}.", "note"),
        ]
    )
    with replacing(path) as file:
        page = make_page(f"Benchmark {name}", body)
        file.write_text(page, encoding="utf-8", errors="backslashreplace")  # of lone surrogates
    return path


def _remark_on_protocols(protocols):
    """Return what must be said of the protocols; of those with stamped figures in a box."""
    stamped = [name for name in protocols if protocol_label(name) != name]
    others = [name for name in protocols if name not in stamped]
    return [
        *(paragraph(text, "stamp") for text in protocol_remarks(stamped)),
        *(paragraph(text) for text in protocol_remarks(others)),
    ]


def _facts(parts):
    """Return the table at the head: what was run, when and on what."""
    records = [record for part in parts for record in part.records]
    finished = sorted(record["finished"][:16].replace("T", " ") for record in records)
    devices = Counter(record["device"] or "unknown (failed)" for record in records)
    n_failed = sum(record["error"] is not None for record in records)
    n_missing = sum(n for part in parts for n in part.missing.values())
    protocols = dict.fromkeys(protocol_label(part.protocol) for part in parts)
    estimators = dict.fromkeys(r["cell"]["estimator"] for r in records)
    rows = [
        ("protocol", ", ".join(protocols)),
        *(("data", _describe_data(part)) for part in parts),
        ("estimators", f"{len(estimators)}"),
        (
            "cells",
            f"{len(records)} (one estimator, fold and repeat each): {n_failed} failed, "
            f"{n_missing} known to be missing",
        ),
        ("computed", f"{finished[0]} to {finished[-1]} UTC"),
        ("device", ", ".join(f"{name}: {count(n, 'cell')}" for name, n in devices.items())),
        *(
            ("machine", f"{text} ({count(n, 'cell')})")
            for text, n in describe_machines(parts).items()
        ),
    ]
    return make_table(["", ""], rows, n_words=2, kind="facts").replace(
        '<thead><tr><th scope="col"></th><th scope="col"></th></tr></thead>\n', ""
    )


def _describe_data(part):
    """Return a data set's name, size and folds in words."""
    clips = part.predictions.drop_duplicates("clip")
    classes = clips["target"].astype(str).value_counts().sort_index()
    told = ", ".join(f"{n} of class {name}" for name, n in classes.items())
    n_repeats, n_folds = (part.predictions[name].nunique() for name in ("repeat", "fold"))
    folds = f"{n_folds} folds" if n_folds > 1 else "1 fold"
    repeats = f" × {n_repeats} repeats" if n_repeats > 1 else ""
    return (
        f"{part.title}: {len(clips)} clips ({told}) of {clips['group'].nunique()} subjects, "
        f"{folds}{repeats}"
    )


def _unfinished(parts):
    """Return what is missing, as far as is known."""
    rows = [(part.title, name, n) for part in parts for name, n in part.missing.items()]
    remarks = [f"{part.title}: {remark}" for part in parts for remark in part.remarks]
    if not rows and not remarks:
        return []
    text = "Estimators with missing cells are not scored. Cells that no estimator has are unknown."
    return [
        heading(2, "Not finished"),
        *(paragraph(remark) for remark in remarks),
        *(
            [make_table(["data", "estimator", "missing cells"], rows, n_words=2), paragraph(text)]
            if rows
            else []
        ),
    ]


def _overview(parts):
    """Return the pictures of all data sets."""
    scored = [part for part in parts if part.summary is not None]
    if not scored:
        return []
    summary = pd.concat([part.summary for part in scored], ignore_index=True)
    summary.attrs["confidence"] = scored[0].summary.attrs["confidence"]
    n_classes = max(part.predictions["target"].nunique() for part in scored)
    display = FusionComparisonDisplay(summary, n_classes=n_classes).plot()
    pieces = [
        heading(2, "Figures"),
        _picture(display, "c", "Balanced accuracy of each estimator with its interval"),
    ]
    if {HONEST, "published"} <= set(summary["protocol"]):
        display = OptimismDisplay(summary).plot()
        pieces += [
            heading(2, "What the published protocol adds"),
            _picture(display, "o", "Published and honest accuracy of each estimator"),
        ]
    return [*pieces, *_ranks(scored)]


def _ranks(parts):
    """Return the diagram of mean ranks of each protocol that allows one."""
    pieces, protocols = [], dict.fromkeys(part.protocol for part in parts)
    for place, protocol in enumerate(protocols):
        own = [part for part in parts if part.protocol == protocol and part.comparison is not None]
        ranked = [set(part.comparison[["first", "second"]].to_numpy().ravel()) for part in own]
        if not own or len(set.intersection(*ranked)) < 3:
            continue
        predictions = pd.concat([part.scored for part in own], ignore_index=True)
        display = CriticalDifferenceDisplay.from_predictions(predictions)
        pieces += [heading(3, protocol_label(protocol))] * (len(protocols) > 1)
        pieces.append(_picture(display, f"m{place}", display.note))
    return [heading(2, "Mean ranks"), *pieces] if pieces else []


def _describe_part(part, place):
    """Return figures, comparison, folds and costs of one protocol and data set."""
    pieces = [heading(2, part.title)]
    if part.summary is not None:
        pieces.append(
            place_table(format_table(part.summary, style="html", comparison=part.comparison))
        )
    if part.comparison is not None:
        pieces += [heading(3, f"Comparison on {part.title}"), *_compare(part)]
    if part.summary is not None and part.scored["target"].nunique() == 2:
        display = ReliabilityDisplay.from_predictions(part.scored)
        picture = _picture(display, f"r{place}", "Shares of a class by its probability")
        pieces.append(fold_away("Reliability of the probabilities", picture))
    sizes = fold_sizes(part)
    table = make_table(sizes.columns, sizes.to_numpy(), n_words=0)
    columns = ("training clips", "test clips", "test subjects")
    ranges = ", ".join(f"{count_range(sizes[name])} {name}" for name in columns)
    pieces.append(fold_away(f"Folds: {ranges}", table))
    pieces += _tell_subjects(part)
    headers = ["estimator", "fit seconds", "predict seconds", "parameters", "peak memory, MiB"]
    costs = [
        (name, *map(format_number, figures, (".2f", ".3f", ",.0f", ",.0f")), device)
        for name, *figures, device in cell_costs(part)
    ]
    text = "Seconds and parameters are medians of the cells; the peak is the whole process's."
    content = make_table([*headers, "device"], costs) + paragraph(text, "note")
    return "\n".join([*pieces, fold_away("Seconds, parameters and memory", content)])


def _tell_subjects(part):
    """Return who was on two sides, and by whom training was stopped."""
    sentences, leaks = subject_facts(part)
    if not sentences:
        return []
    kind = "stamp" if leaks and not may_share(part.protocol) else "note"
    table = make_table(["estimator", "repeat/fold", "subjects on two sides"], leaks, n_words=3)
    return [paragraph(" ".join(sentences), kind), *([table] if leaks else [])]


def _compare(part):
    """Return a comparison: rows where there are few pairs, else a matrix; and its power."""
    comparison = part.comparison
    if len(comparison) <= _MOST_PAIRS_IN_ROWS:
        return [place_table(format_table(comparison, style="html"))]
    names = list(dict.fromkeys(comparison[["first", "second"]].to_numpy().T.ravel()))
    cells = [[("", "")] * len(names) for _ in names]
    for row in comparison.itertuples():
        above, left = names.index(row.first), names.index(row.second)
        kind = {"first better": "worse", "second better": "better"}.get(row.verdict, "")
        sign = "=" if row.verdict == "equivalent" else ""
        difference = format_difference(-100 * row.difference, n_digits=1)
        cells[left][above] = (f"{sign}{difference}", kind)
        cells[above][left] = (format_p_value(row.p_holm), "")
    counts = comparison["verdict"].str.replace(".* better", "differ", regex=True).value_counts()
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    legend = (
        "Below the diagonal: difference in balanced accuracy, row less column, in points; on blue "
        "the row is shown to be better, on amber the column; = equivalent within ±1 point. Above: "
        "p of the permutation test over subjects, with Holm's correction. A difference without "
        f"colour is undecided, not nil. Verdicts of {len(comparison)} pairs: {told}."
    )
    return [
        make_matrix(names, cells),
        paragraph(legend, "note"),
        *(paragraph(remark, "note") for remark in comparison.attrs["remarks"]),
    ]


def _picture(display, name, description):
    """Return a drawn display as a part of the page."""
    return let_scroll(draw_inline(display, name, description), "picture")


def _failures(parts):
    """Return the errors of failed cells, equal ones together."""
    kinds = {}
    for part in parts:
        for record in part.failures:
            cell, error = record["cell"], record["error"]
            key = (part.title, cell["estimator"], error["type"], error["message"])
            place = f"{cell['repeat']}/{cell['fold']}"
            kinds.setdefault(key, ([], error["traceback"]))[0].append(place)
    if not kinds:
        return []
    rows = [
        (*key[:2], f"{key[2]}: {key[3]}", ", ".join(places)) for key, (places, _) in kinds.items()
    ]
    headers = ["data", "estimator", "error", "repeat/fold"]
    traces = [
        fold_away(f"{key[1]} on {key[0]}", preformatted(_FILE.sub(r'File "\1"', trace)))
        for key, (_, trace) in kinds.items()
    ]
    return [heading(2, "Failures"), make_table(headers, rows, n_words=4), *traces]


def _estimators(parts):
    """Return class and parameters of each estimator, folded away."""
    settings = {}
    for part in parts:
        for record in part.records:
            told = record["settings"]
            text = tuple(
                f"{name} = {value}"
                for name, value in told["parameters"].items()
                if name.rpartition("__")[2] not in IMMATERIAL
            )
            key = (record["cell"]["estimator"], told["class"], text)
            settings.setdefault(key, {})[part.title] = None
    n_settings = Counter(name for name, *_ in settings)
    return [
        heading(2, "Estimators"),
        *(
            fold_away(
                f"{name}: {kind}" + (f" (on {', '.join(where)})" if n_settings[name] > 1 else ""),
                preformatted("\n".join(text)),
            )
            for (name, kind, text), where in settings.items()
        ),
    ]


def _warnings(parts):
    """Return the warnings of the cells, equal ones together."""
    counts = Counter(
        (record["cell"]["estimator"], text)
        for part in parts
        for record in part.records
        for text in record["warnings"]
    )
    if not counts:
        return []
    rows = [(name, text, n) for (name, text), n in counts.items()]
    table = make_table(["estimator", "warning", "cells"], rows, n_words=2)
    return [heading(2, "Warnings"), fold_away(f"{len(rows)} kinds of warnings", table)]
