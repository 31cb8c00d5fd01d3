"""Tables of the documentation that are generated from the code."""

import csv
import re

import results

from smilefusion.dmarkers._descriptors import DESCRIPTORS
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.nn._fusion import FUSIONS
from smilefusion.nn._networks import TwoStreamNetwork

# What D, the unit of an amplitude, is for each signal.
UNITS = {"lip": "mouth widths", "eyelid": "eye widths", "cheek": "cheek distances"}

# Formulas in docstrings and tables of the code, and what they are in LaTeX.
LATEX = (
    (r"(max|mean|sum) of (\S+) (?:over|where) (\S+(?: [<>] 0)?)", r"\\\1_{\3} \2"),
    (r"SD of A", r"\\operatorname{SD}(A)"),
    (r"(max|mean)( of)? ", r"\\\1 "),
    (r"\\mean", r"\\operatorname{mean}"),
    (r"_(left|right)\b", r"_{\\text{\1}}"),
    (r"\b((?:total|net)_\w+|fps|head|dim)(?![a-z])", r"\\text{\1}"),
    (r"\b(ReLU-MLP|MLP|ReLU|softmax|LayerNorm)\b", r"\\operatorname{\1}"),
    (r"(amplitude}) (.text)", r"\1 \\cdot \2"),
    (r"√(\\text{dim})", r"\\sqrt{\1}"),
    (r"([₀-₉])", lambda match: f"_{ord(match[1]) - ord('₀')}"),
)
SYMBOLS = {
    "∘": r"\circ ",
    "σ": r"\sigma",
    "γ": r"\gamma",
    "β": r"\beta",
    "ᵀ": r"^\top ",
    "…": r"\ldots",
}


def show_formula(formula):
    """Return a formula as reStructuredText: mathematics, and remarks in words."""
    parts = re.split(
        r"(; the .*|; dim³ .*| with 2 .*|, both .*|, γ .*| with |population )", formula
    )
    shown = []
    for part in parts:
        if re.match(r"; |, | with |the |population ", part):
            shown.append(part)
        elif part:
            for pattern, replacement in LATEX:
                part = re.sub(pattern, replacement, part)
            for symbol, replacement in SYMBOLS.items():
                part = part.replace(symbol, replacement)
            shown.append(f":math:`{part}`")
    return "".join(shown)


def show_unit(unit):
    """Return a unit with a dash for numbers without one, and a raised exponent."""
    return "–" if unit == "1" else unit.replace("^2", "²")


def list_fusions():
    """Return key, class, formula and parameters of each strategy, from registry and docstring."""
    rows = [("key", "class", "formula", "parameters")]
    for key, fusion in FUSIONS.items():
        formula = fusion.__doc__.splitlines()[0].rstrip(".").partition(": ")[2]
        network = TwoStreamNetwork(key, deep_dim=256, dmarker_dim=225, dim=256)
        n_parameters = sum(weight.numel() for weight in network.parameters())
        rows.append(
            (f"``{key}``", f"``{fusion.__name__}``", show_formula(formula), f"{n_parameters:,}")
        )
    return rows


def list_descriptors():
    """Return name, unit and formula of each descriptor."""
    rows = [
        (f"``{each.name}``", show_unit(each.unit), show_formula(each.formula))
        for each in DESCRIPTORS
    ]
    return [("descriptor", "unit", "formula"), *rows]


def list_features():
    """Return number, name, unit and formula of each of the 225 features."""
    descriptors = {each.name: each for each in DESCRIPTORS}
    rows = [("no", "feature", "unit", "formula")]
    for number, name in enumerate(DMarkerTransformer(fps=50).get_feature_names_out()):
        signal, _, descriptor = name.split("__")
        unit = descriptors[descriptor].unit.replace("D", UNITS[signal])
        formula = show_formula(descriptors[descriptor].formula)
        rows.append((str(number), f"``{name}``", show_unit(unit), formula))
    return rows


TABLES = {
    "fusions": list_fusions,
    "descriptors": list_descriptors,
    "features": list_features,
    **results.TABLES,
}


def write_tables(folder):
    """Write every table as a CSV file."""
    folder.mkdir(exist_ok=True)
    for name, make in TABLES.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(make())
