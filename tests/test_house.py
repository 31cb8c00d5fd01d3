"""The import table, light imports and what public names promise."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import smilefusion

PACKAGE = Path(smilefusion.__file__).parent

# Layer -> what it may import; a layer is a module or a folder. Arrows go down only.
BASE = {"_documentation", "_messages", "_version", "exceptions", "landmarks", "tags"}
ALLOWED = {
    **{name: set() for name in BASE},
    "clips": set(),
    "pose": {"clips"},
    "_storage": {"clips"},
    "caching": {"_storage"},
    "readers": {"clips"},
    "datasets": {"clips", "_storage"},  # never dmarkers: the simulator is their oracle
    "video": {"clips", "_storage"},
    "dmarkers": {"clips", "pose", "_storage"},
    "nn._fusion": {"nn._layers"},
    "nn": set(),
    "_training": {"nn", "clips"},
    "estimators": {"_training", "nn", "dmarkers", "clips", "pose", "_storage"},
    "reliability": {"_training", "dmarkers", "clips", "pose"},
    "benchmark.stats": set(),
    "benchmark": {"clips", "_storage"},
    "inspection": {"benchmark", "dmarkers", "clips", "pose"},
    "report": {"inspection", "benchmark", "dmarkers", "clips", "_storage"},
    "streaming": {"dmarkers", "clips", "pose"},
    "testing": {"datasets", "clips"},
    "persistence": {"estimators", "reliability", "_training", "nn", "dmarkers", "_storage"},
    "cli": None,  # may import everything
}
FORBIDDEN_AT_IMPORT = ("torch", "timm", "matplotlib", "mediapipe", "av", "sklearn", "pandas")


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}


def prefixes(module):
    """A module and the folders around it, the innermost first."""
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


def layer(module):
    """The entry of the table for a module: its own or that of its innermost folder."""
    return next(prefix for prefix in prefixes(module) if prefix in ALLOWED)


def imported_modules(path):
    """Names below smilefusion that a file imports, as written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from [node.module] if node.module.startswith("smilefusion") else []
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("smilefusion"))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_table(module):
    allowed = ALLOWED[layer(module)]
    for full_name in imported_modules(MODULES[module]):
        imported = full_name.removeprefix("smilefusion").removeprefix(".")
        assert imported in MODULES, f"{module} imports {full_name}, not a defining module"
        permitted = allowed is None or {*allowed, *BASE, layer(module)} & {*prefixes(imported)}
        assert permitted, f"{module} must not import {imported}"


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_of_the_package_is_light_and_gives_its_modules():
    code = (
        "import sys, smilefusion; from smilefusion import datasets, benchmark, testing; "
        f"print([m for m in {FORBIDDEN_AT_IMPORT!r} if m in sys.modules]); "
        "print([getattr(smilefusion, name).__name__ for name in "
        "('caching', 'clips', 'landmarks', 'pose', 'tags')]); "
        "datasets.make_smiles; print('smilefusion.dmarkers' in sys.modules)"
    )
    names = [f"smilefusion.{name}" for name in ("caching", "clips", "landmarks", "pose", "tags")]
    assert run_python(code).splitlines() == ["[]", str(names), "False"]


@pytest.mark.parametrize("name", smilefusion.__all__)
def test_public_name_resolves(name):
    assert getattr(smilefusion, name) is not None


def test_constructors_have_at_most_24_parameters():
    public = [getattr(smilefusion, name) for name in smilefusion.__all__]
    estimators = [each for each in public if isinstance(each, type) and hasattr(each, "fit")]
    counts = {each.__name__: len(each._get_param_names()) for each in estimators}
    assert {"HadaSmileNetClassifier", "FusionClassifier", "DMarkerTransformer"} <= set(counts)
    assert max(counts.values()) <= 24, counts
