"""Tables of the documentation that are generated from the code."""

import csv

import results

from smilefusion.dmarkers._descriptors import DESCRIPTORS
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.nn._fusion import FUSIONS
from smilefusion.nn._networks import TwoStreamNetwork

# What D, the unit of an amplitude, is for each signal.
UNITS = {"lip": "mouth widths", "eyelid": "eye widths", "cheek": "cheek distances"}


def list_fusions():
    """Return key, class, formula and parameters of each strategy, from registry and docstring."""
    rows = [("key", "class", "formula", "parameters")]
    for key, fusion in FUSIONS.items():
        formula = fusion.__doc__.splitlines()[0].rstrip(".").partition(": ")[2]
        network = TwoStreamNetwork(key, deep_dim=256, dmarker_dim=225, dim=256)
        n_parameters = sum(weight.numel() for weight in network.parameters())
        rows.append((f"``{key}``", f"``{fusion.__name__}``", formula, f"{n_parameters:,}"))
    return rows


def list_descriptors():
    """Return name, unit and formula of each descriptor."""
    rows = [(f"``{each.name}``", each.unit, f"``{each.formula}``") for each in DESCRIPTORS]
    return [("descriptor", "unit", "formula"), *rows]


def list_features():
    """Return number, name, unit and formula of each of the 225 features."""
    descriptors = {each.name: each for each in DESCRIPTORS}
    rows = [("no", "feature", "unit", "formula")]
    for number, name in enumerate(DMarkerTransformer(fps=50).get_feature_names_out()):
        signal, _, descriptor = name.split("__")
        unit = descriptors[descriptor].unit.replace("D", UNITS[signal])
        rows.append((str(number), f"``{name}``", unit, f"``{descriptors[descriptor].formula}``"))
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
