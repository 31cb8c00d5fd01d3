"""Tables of the documentation that are generated from the code."""

import csv
import re
from itertools import groupby

import options
import results

from smilefusion.dmarkers._descriptors import DESCRIPTORS
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.nn._fusion import FUSIONS
from smilefusion.nn._networks import TwoStreamNetwork

# What D, the unit of an amplitude, is for each signal.
UNITS = {"lip": "mouth widths", "eyelid": "eye widths", "cheek": "cheek distances"}

# Characters of the formulas in the code, in LaTeX.
LATEX = {
    "∘": r"\circ",
    "·": r"\cdot",
    "√dim": r"\sqrt{dim}",
    "…": r"\ldots",
    "≥": r"\ge",
    "β": r"\beta",
    "γ": r"\gamma",
    "σ": r"\sigma",
    "ᵀ": r"^\top",
    "₁": "_1",
    "₂": "_2",
    "₄": "_4",
    "³": "^3",
}


def as_mathematics(formula):
    """Return a formula as reStructuredText: symbols as LaTeX, words unchanged."""
    parts = []
    for is_word, group in groupby(formula.split(), is_plain_word):
        text = " ".join(group)
        parts.append(text.replace("`", "``") if is_word else f":math:`{as_latex(text)}`")
    return " ".join(parts)


def is_plain_word(text):
    """Whether a part of a formula is a word and not a symbol."""
    return bool(re.fullmatch(r"(?!fps)[A-Za-z]{2,}'?[,;]?|`.*`", text))


def as_latex(text):
    """Return symbols as LaTeX, with names in upright type."""
    for symbol, latex in LATEX.items():
        text = text.replace(symbol, latex)
    names = r"[a-z]{2,}_[a-z]{2,}|(?<![\\A-Za-z])[A-Za-z][A-Za-z-]+"
    return re.sub(names, lambda name: as_upright(name[0]), text).strip()


def as_upright(name):
    """Return a name in upright type."""
    return r"\mathrm{" + name.replace("_", r"\_").replace("-", r"\text{-}") + "}"


def show_unit(unit):
    """Return a unit with a dash for numbers without one, and a raised exponent."""
    return "–" if unit == "1" else unit.replace("^2", "²")


def list_fusions():
    """Return key, name, formula and parameters of each strategy, from registry and docstring."""
    rows = [("strategy", "name", "formula", "parameters")]
    for key, fusion in FUSIONS.items():
        name, _, formula = fusion.__doc__.splitlines()[0].rstrip(".").partition(": ")
        formula = formula.replace(f"`{FUSIONS['attention'].__name__}`", "`attention`")
        network = TwoStreamNetwork(key, deep_dim=256, dmarker_dim=225, dim=256)
        n_parameters = sum(weight.numel() for weight in network.parameters())
        rows.append((f"``{key}``", name, as_mathematics(formula), f"{n_parameters:,}"))
    return rows


def list_descriptors():
    """Return name, unit and formula of each descriptor."""
    rows = [
        (f"``{each.name}``", show_unit(each.unit), as_mathematics(each.formula))
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
        formula = as_mathematics(descriptors[descriptor].formula)
        rows.append((str(number), f"``{name}``", show_unit(unit), formula))
    return rows


TABLES = {
    "fusions": list_fusions,
    "descriptors": list_descriptors,
    "features": list_features,
    **options.TABLES,
    **results.TABLES,
}


def write_tables(folder):
    """Write every table as a CSV file."""
    folder.mkdir(exist_ok=True)
    for name, make in TABLES.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(make())
