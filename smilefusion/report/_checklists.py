"""Reporting checklists, filled in from the results of a benchmark."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smilefusion._messages import count, unknown_key
from smilefusion.benchmark.stats._protocol_labels import HONEST
from smilefusion.report._results import ReportPart

# Number, question in our words, and the key of the fact that answers it (None: ask the authors).
_Items = tuple[tuple[str, str, str | None], ...]
# Kapoor et al., "REFORMS: Consensus-based recommendations for machine-learning-based science",
# Science Advances 10(18), 2024: eight modules with 32 items.
_REFORMS: _Items = (
    ("1a", "To which population do the claims apply?", None),
    ("1b", "Why was this population chosen?", None),
    ("1c", "Why is machine learning used for this question?", None),
    ("2a", "Which data were used, and can others obtain exactly these?", "data"),
    ("2b", "Which code and version were used?", "software"),
    ("2c", "On which machines and with which packages did it run?", "machines"),
    ("2d", "Where is the documentation of code and data?", None),
    ("2e", "How can the results be reproduced?", "reproduction"),
    ("3a", "Where do the data come from?", None),
    ("3b", "From which people were they sampled, and how?", None),
    ("3c", "Why are the data suitable for the question?", None),
    ("3d", "What is predicted, and how often does each class occur?", "classes"),
    ("3e", "How many people and clips are there?", "size"),
    ("3f", "How many values are missing, and how were they handled?", "missing"),
    ("3g", "Are the people representative of the population?", None),
    ("4a", "Which data were excluded, and why?", None),
    ("4b", "How were impossible or damaged data handled?", None),
    ("4c", "How were the data transformed?", "pipelines"),
    ("5a", "Which models were trained?", "models"),
    ("5b", "Why were these models chosen?", None),
    ("5c", "How were the models evaluated?", "protocol"),
    ("5d", "How was the final model selected?", "selection"),
    ("5e", "How were the hyperparameters chosen?", None),
    ("5f", "Which baselines were compared?", "baselines"),
    ("6a", "Are training and test data separate, including all preprocessing?", "separation"),
    ("6b", "Are there dependencies or copies between training and test data?", None),
    ("6c", "Is each feature legitimate, for example, known at the time of prediction?", None),
    ("7a", "Which metrics were used, and why?", "metrics"),
    ("7b", "How uncertain are the results?", "intervals"),
    ("7c", "Which statistical tests were used?", "tests"),
    ("8a", "Is there evidence that the results hold for other people and settings?", None),
    ("8b", "Where are the results not expected to hold?", None),
)
# Collins et al., "TRIPOD+AI statement: updated guidance for reporting clinical prediction models
# that use regression or machine learning methods", BMJ 385, 2024: 27 items.
_TRIPOD: _Items = (
    ("1", "Does the title name the prediction model, the population and the outcome?", None),
    ("2", "Does the abstract follow TRIPOD+AI for abstracts?", None),
    ("3", "What is the context, who will use the model, and are there known inequalities?", None),
    ("4", "What are the objectives: development, evaluation, or both?", None),
    ("5", "Where do the data come from, and when were they recorded?", None),
    ("6", "Where and how were the people recruited, and which of them were eligible?", None),
    ("7", "How were the data prepared, and was this the same for all groups?", "pipelines"),
    ("8", "How is the outcome defined, and who assessed it?", None),
    ("9", "Which predictors were used, and how were they measured?", "pipelines"),
    ("10", "How was the sample size determined?", None),
    ("11", "How were missing data handled?", "missing"),
    ("12", "How were the data split, and which models and metrics were used?", "protocol"),
    ("13", "How frequent are the classes, and how was imbalance handled?", "classes"),
    ("14", "How was fairness addressed?", None),
    ("15", "What does the model output, such as probabilities or classes?", "output"),
    ("16", "How do training and evaluation data differ?", None),
    ("17", "Which ethics committee approved the study?", None),
    (
        "18",
        "What are the funding, conflicts of interest, protocol and registration, and where are "
        "data and code?",
        None,
    ),
    ("19", "How were patients and the public involved?", None),
    ("20", "How many people and clips are in each part?", "size"),
    ("21", "How many people and outcomes are in each analysis?", "classes"),
    ("22", "Is the complete model available to others?", None),
    ("23", "How well does the model perform, with intervals and by group?", "scores"),
    ("24", "Was the model updated, and with which results?", None),
    ("25", "What do the results mean, including for fairness?", None),
    ("26", "What are the limitations?", None),
    ("27", "How should the model be used, and which input and expertise does it need?", None),
)
CHECKLISTS: dict[str, tuple[str, _Items]] = {
    "reforms": ("REFORMS", _REFORMS),
    "tripod+ai": ("TRIPOD+AI", _TRIPOD),
}
_ASK = "to be answered by the authors"


def check_checklists(names: Sequence[str]) -> None:
    """Raise if a checklist is unknown."""
    for name in names:
        if name not in CHECKLISTS:
            raise ValueError(unknown_key(str(name), list(CHECKLISTS), "Each of checklists"))


def fill_checklists(
    names: Sequence[str], parts: Sequence[ReportPart]
) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """Return the title and the rows of each checklist: number, question, answer and evidence."""
    facts = _collect(parts) if names else {}
    filled = []
    for name in names:
        title, items = CHECKLISTS[name]
        rows = []
        for number, question, key in items:
            answer, evidence = facts.get(key or "", (_ASK, ""))
            rows.append((number, question, answer, evidence))
        filled.append((title, rows))
    return filled


def describe_methods(parts: Sequence[ReportPart]) -> list[str]:
    """Return a methods paragraph for each part."""
    compared = (
        "Models were compared in pairs with permutation tests that exchange the predictions for "
        "all clips of a person, and p values were corrected with Holm's method. "
    )
    return [
        f"We evaluated {count(len(_estimators(part)), 'model')} on {_size(part)}. "
        f"{_protocol(part)} Scores are given with 95 % intervals from a bootstrap over people. "
        f"{compared if part.compared else ''}We used {_software(part)}."
        for part in parts
    ]


def _collect(parts: Sequence[ReportPart]) -> dict[str, tuple[str, str]]:
    """Return the facts of a benchmark: the answer and where it was found, by key."""
    records = [record for part in parts for record in part.records]
    cells = "cells/*.json"
    digests = sorted({record["settings"]["data"][:12] for record in records})
    machines = sorted({record["machine"]["platform"] for record in records})
    facts = {
        "data": (f"Data sets with the digests {', '.join(digests)}.", f"{cells}: settings.data"),
        "software": (_software(parts[0]) + ".", f"{cells}: machine.packages"),
        "machines": ("; ".join(machines) + ".", f"{cells}: machine"),
        "reproduction": (
            "Every cell can be repeated with the stored settings, seeds and splits.",
            f"{cells}: settings, seed, settings.split",
        ),
        "classes": (_join(_classes, parts), "predictions: target"),
        "size": (_join(_size, parts) + ".", "predictions: clip, group"),
        "pipelines": (
            "All steps and parameters are listed in the section on estimators.",
            f"{cells}: settings.parameters",
        ),
        "models": (_join(_models, parts), f"{cells}: cell.estimator"),
        "protocol": (_join(_protocol, parts), f"{cells}: settings.protocol"),
        "separation": (_join(_separation, parts), f"{cells}: subjects, networks"),
        "metrics": (
            "Accuracy, balanced accuracy, ROC AUC, log loss and calibration error.",
            "table of scores",
        ),
        "intervals": ("95 % intervals from a bootstrap over people.", "table of scores"),
        "output": ("The probability of each class.", "predictions: probability"),
        "scores": (_join(_scores, parts), "table of scores"),
    }
    gaps = {
        int(value)
        for record in records
        for name, value in record["settings"]["parameters"].items()
        if name.split("__")[-1] == "max_gap" and isinstance(value, int)
    }
    if gaps:
        longest = " or ".join(map(str, sorted(gaps)))
        facts["missing"] = (
            f"Gaps of up to {longest} missing frames are interpolated. If a gap is longer, "
            "only the longest part of the clip is described.",
            f"{cells}: settings.parameters, max_gap",
        )
    baselines = sorted({each for part in parts for each in _baselines(part)})
    if baselines:
        facts["baselines"] = (", ".join(baselines) + ".", f"{cells}: settings.class")
    if {part.protocol for part in parts} == {HONEST}:
        facts["selection"] = (
            "The protocol chooses no setting on test people. Searches inside a model use only "
            "training people.",
            f"{cells}: settings.protocol",
        )
    if any(part.compared for part in parts):
        facts["tests"] = (
            "Permutation tests over people, corrected with Holm's method.",
            "table of comparisons",
        )
    return facts


def _join(describe: Any, parts: Sequence[ReportPart]) -> str:
    """Describe each part, with its title if there are several."""
    if len(parts) == 1:
        return describe(parts[0])
    return " ".join(f"{part.title}: {describe(part)}" for part in parts)


def _estimators(part: ReportPart) -> list[str]:
    return list(dict.fromkeys(record["cell"]["estimator"] for record in part.records))


def _models(part: ReportPart) -> str:
    return ", ".join(_estimators(part)) + "."


def _baselines(part: ReportPart) -> list[str]:
    """Return the names of the baselines, which do not use the movement of the smile."""
    simple = ("majority class", "clip duration")
    return [
        record["cell"]["estimator"]
        for record in part.records
        if record["settings"]["class"].endswith("DummyClassifier")
        or record["cell"]["estimator"] in simple
    ]


def _clips(part: ReportPart) -> Any:
    """Return one row for each clip."""
    return part.predictions.drop_duplicates("clip")


def _size(part: ReportPart) -> str:
    clips = _clips(part)
    return f"{count(len(clips), 'clip')} of {clips['group'].nunique()} people"


def _classes(part: ReportPart) -> str:
    counts = _clips(part)["target"].value_counts().sort_index()
    return ", ".join(f"{label}: {count(n, 'clip')}" for label, n in counts.items()) + "."


def _software(part: ReportPart) -> str:
    packages = part.records[0]["machine"]["packages"]
    chosen = ("smilefusion", "scikit-learn", "torch")
    return ", ".join(f"{name} {packages[name]}" for name in chosen if name in packages)


def _protocol(part: ReportPart) -> str:
    n_folds = len({record["cell"]["fold"] for record in part.records})
    n_repeats = len({record["cell"]["repeat"] for record in part.records})
    repeats = "" if n_repeats == 1 else f", repeated {n_repeats} times"
    folds = f"{n_folds} folds{repeats}"
    if part.protocol != HONEST:
        return f"The models were evaluated under the protocol {part.protocol} with {folds}."
    return (
        f"The models were evaluated by subject-disjoint cross-validation with {folds}, so nobody "
        "is in both training and test."
    )


def _separation(part: ReportPart) -> str:
    shared = sum(
        bool(set(record["subjects"]["train"] or ()) & set(record["subjects"]["test"] or ()))
        for record in part.records
    )
    return f"{shared} of {len(part.records)} cells have a person in both training and test."


def _scores(part: ReportPart) -> str:
    if part.summary is None:
        return "No model has finished all cells."
    best = part.summary.sort_values("log_loss").iloc[0]
    values = {name: float(best[name]) for name in ("balanced_accuracy", "roc_auc", "log_loss")}
    shown = ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}"
        for name, value in values.items()
        if np.isfinite(value)
    )
    return f"{best['estimator']} has the lowest log loss. Its scores are: {shown}."
