"""Print the lowest versions that pyproject.toml allows, or the licences of all dependencies.

``python tools/check_dependencies.py floors`` prints pip requirements with the lowest versions;
``make floors`` runs the fast tests with them. ``python tools/check_dependencies.py licences``
prints the installed dependencies of smilefusion and its user extras with their licences, as in
the guide's table.
"""

import argparse
import re
import tomllib
from importlib import metadata
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
USER_EXTRAS = ("dask", "onnx", "plot", "video")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*([0-9.]+))?")
_EXTRA = re.compile(r"\bextra\s*==")
# Names that packages use instead of the SPDX identifier.
_NAMES = {
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF",
}
_LONGEST_NAME = 40  # characters; longer entries are full licence texts


def read_requirements(*extras):
    """Return {name: lowest version} for the requirements of the package and the given extras."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    matches = [match for match in map(_REQUIREMENT.match, lines) if match]
    # If an extra needs a later version, the package's own requirement wins.
    return {normalise(match[1]): match[2] for match in reversed(matches)}


def normalise(name):
    """Return a package name in the spelling of the registry."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_licences():
    """Return {name: licence} for all installed dependencies of the package and its extras."""
    found, names = {}, list(read_requirements(*USER_EXTRAS))
    while names:
        name = normalise(names.pop())
        if name in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # needed only on another system or Python version
            continue
        found[name] = read_licence(package.metadata)
        needed = [line for line in package.requires or () if not _EXTRA.search(line)]
        names += [_REQUIREMENT.match(line)[1] for line in needed]
    return dict(sorted(found.items()))


def read_licence(fields):
    """Return the licence in a package's metadata, or "not stated"."""
    expression, text = fields.get("License-Expression"), (fields.get("License") or "").strip()
    classes = [
        each for each in fields.get_all("Classifier") or () if each.startswith("License ::")
    ]
    named = [each.rpartition(" :: ")[2] for each in classes]
    stated = [name for name in named if name in _NAMES]
    if expression:
        return expression
    if text and len(text) <= _LONGEST_NAME and "=" not in text and "Copyright" not in text:
        return _NAMES.get(text, text)
    return " AND ".join(_NAMES[name] for name in stated) or "not stated"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("floors", "licences"))
    if parser.parse_args().part == "floors":
        for name, version in read_requirements().items():
            print(f"{name}=={version}")
    else:
        for name, licence in find_licences().items():
            print(f"   {name} ; {licence}")


if __name__ == "__main__":
    main()
