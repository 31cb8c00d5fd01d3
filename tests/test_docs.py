"""Docstrings against signatures, and documentation, README and examples against the code."""

import ast
import doctest
import inspect
import re
import shlex
import sys
import tomllib
import warnings
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc
from numpydoc.validate import validate
from skorch import NeuralNet
from test_house import ALLOWED, BASE

import smilefusion
from smilefusion import datasets
from smilefusion.cli import _main
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import TrainingWarning
from smilefusion.nn._fusion import FUSIONS

ROOT = Path(__file__).resolve().parents[1]
DOCS, EXAMPLES = ROOT / "docs", sorted((ROOT / "examples").rglob("plot_*.py"))
sys.path.insert(0, str(DOCS))
import gallery_setup  # noqa: E402
import tables  # noqa: E402

FOLDERS = ("start", "guide", "reference", "contributing")
PAGES = [page for folder in FOLDERS for page in sorted((DOCS / folder).glob("*.rst"))]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", DOCS / "index.rst", *PAGES]
SLOW_PAGES = {"deployment", "first_model", "leakage", "own_table", "testing"}
with (ROOT / "pyproject.toml").open("rb") as _stream:
    CHECKS = set(tomllib.load(_stream)["tool"]["numpydoc_validation"]["checks"])

# Packages list their public names; the names of a module are those that it defines.
PACKAGES = (
    "smilefusion",
    "smilefusion.benchmark",
    "smilefusion.datasets",
    "smilefusion.dmarkers",
    "smilefusion.inspection",
    "smilefusion.nn",
    "smilefusion.persistence",
    "smilefusion.report",
    "smilefusion.streaming",
    "smilefusion.testing",
    "smilefusion.video",
)
PUBLIC_MODULES = (
    "smilefusion.clips",
    "smilefusion.exceptions",
    "smilefusion.landmarks",
    "smilefusion.pose",
    "smilefusion.readers",
    "smilefusion.tags",
)
# Names without underscore that other modules use, but no user.
SHARED_HELPERS = {
    f"smilefusion.pose.{name}" for name in ("rigid_motion", "eye_motion", "eye_corners", "no_pose")
}


def public_objects():
    """Return the public functions and classes by their full names, each once."""
    found = {}
    for package in map(import_module, PACKAGES):
        found |= {f"{package.__name__}.{name}": getattr(package, name) for name in package.__all__}
    for module in map(import_module, PUBLIC_MODULES):
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__ and name[0] != "_":
                found[f"{module.__name__}.{name}"] = value
    kept = {}
    for name, value in found.items():
        if callable(value) and value not in kept.values() and name not in SHARED_HELPERS:
            kept[name] = value
    return kept


def own_methods(cls):
    """Return the public methods and properties that a class of ours defines itself."""
    for name, value in vars(cls).items():
        function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        module = getattr(function, "__module__", None) or ""
        if name[0] != "_" and callable(function) and module.startswith("smilefusion"):
            yield name, getattr(cls, name)


OBJECTS = public_objects()
METHODS = {
    f"{full_name}.{name}": method
    for full_name, cls in OBJECTS.items()
    if inspect.isclass(cls)
    for name, method in own_methods(cls)
}
DOCUMENTED = OBJECTS | METHODS


def documented_types(value):
    """Return the types of the Parameters section, as written, by parameter."""
    doc = ClassDoc(value, config={"show_class_members": False}) if inspect.isclass(value) else None
    parameters = (doc or FunctionDoc(value))["Parameters"]
    return {
        name.strip(): parameter.type
        for parameter in parameters
        for name in parameter.name.split(",")
    }


def takes_parameters(name):
    """Whether a public name is called with parameters of ours; those of exceptions are not."""
    value = DOCUMENTED[name]
    exception = inspect.isclass(value) and issubclass(value, BaseException)
    return not (exception or isinstance(value, property))


def command_lines():
    """Return the commands that the documents run in a shell."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [
        line for page in PAGES for line in re.findall(r"^   \$ (.+)$", page.read_text(), re.M)
    ]
    return sorted({line for line in lines if line.startswith("smilefusion ")})


def subparsers():
    """Return the parsers of the commands by name."""
    parser = _main._make_parser()
    (action,) = (a for a in parser._actions if a.dest == "command")
    return parser, action.choices


@pytest.fixture
def run_script(tmp_path, monkeypatch):
    """Function that runs a script in an empty folder: few clips and strategies, two epochs."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    fit_loop = NeuralNet.fit_loop

    def brief_loop(net, X, y=None, epochs=None, **params):
        return fit_loop(net, X, y, epochs=min(epochs or net.max_epochs, 2), **params)

    monkeypatch.setattr(NeuralNet, "fit_loop", brief_loop)
    make_smiles, load_or_simulate = datasets.make_smiles, datasets.load_or_simulate

    def make_few(n_clips, *, n_subjects, **params):
        return make_smiles(min(n_clips, 48), n_subjects=min(n_subjects, 24), **params)

    def load_few(name, *, n_clips=None, **params):
        return load_or_simulate(name, n_clips=n_clips and min(n_clips, 48), **params)

    few = ["concat", "hadamard", "attention", "cross_attention"]
    monkeypatch.setattr(smilefusion, "list_fusions", lambda: few)
    monkeypatch.setattr(datasets, "make_smiles", make_few)
    monkeypatch.setattr(datasets, "load_or_simulate", load_few)
    with warnings.catch_warnings(action="error"):
        warnings.simplefilter("ignore", TrainingWarning)
        yield lambda code: exec(compile(code, "script", "exec"), {"__name__": "__main__"})
    plt.close("all")


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_docstring_follows_numpydoc(name):
    errors = [error for error in validate(name)["errors"] if error[0] in CHECKS]
    assert errors == []


@pytest.mark.parametrize("name", sorted(filter(takes_parameters, DOCUMENTED)))
def test_docstring_defaults_equal_the_signature(name):
    value = DOCUMENTED[name]
    types = documented_types(value)
    for parameter in inspect.signature(value).parameters.values():
        text = types.get(parameter.name, "")
        if "default=" in text:
            assert ast.literal_eval(text.partition("default=")[2]) == parameter.default, text
        elif parameter.name != "y" and parameter.name in types:
            ignored = text == "None"
            assert ignored or parameter.default is inspect.Parameter.empty, parameter.name


def test_api_page_lists_every_public_name():
    listed = set(re.findall(r"^   (\w+)$", (DOCS / "api.rst").read_text(), re.M))
    assert {name.rpartition(".")[2] for name in OBJECTS} - listed == set()


def test_fusion_table_is_that_of_the_registry():
    header, *rows = tables.list_fusions()
    assert header == ("strategy", "name", "formula", "parameters")
    assert [row[0].strip("`") for row in rows] == list(FUSIONS)
    assert all(
        ":math:" in row[2] or row[2] == "the same function as ``attention``" for row in rows
    )


def test_feature_table_has_the_columns_of_the_transformer():
    _, *rows = tables.list_features()
    names = [row[1].strip("`") for row in rows]
    assert names == list(DMarkerTransformer().get_feature_names_out())
    assert rows[names.index("lip__offset__max_speed_falling")][2] == "mouth widths/s"


def test_import_table_of_the_design_page_is_the_one_that_is_enforced():
    page = (DOCS / "contributing" / "design.rst").read_text(encoding="utf-8")
    rows = page.partition("may import\n")[2].partition("\n\n")[0].splitlines()
    cells = [[re.findall(r"``([\w.]+)``", cell) for cell in row.split(" ; ")] for row in rows]
    table = {names[0]: set(allowed) for names, allowed in cells}
    assert table == {name: ALLOWED[name] or set() for name in ALLOWED if name not in BASE}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.slow] * (page.stem in SLOW_PAGES))
        for page in PAGES
        if ">>> " in page.read_text()
    ],
)
def test_code_of_the_guide_gives_what_is_printed(page):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("line", command_lines())
def test_documented_command_line_is_valid(line):
    parser, _ = subparsers()
    assert parser.parse_args(shlex.split(line)[1:]).command in _main._COMMANDS


def test_documented_command_lines_cover_every_command():
    assert {line.split()[1] for line in command_lines()} == set(_main._COMMANDS)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_page_has_at_most_1200_words(text):
    assert len(text.read_text(encoding="utf-8").split()) <= 1200


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_documented_options_exist(text):
    parser, commands = subparsers()
    known = {option for each in (parser, *commands.values()) for option in _options(each)}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text.read_text())) <= known


@pytest.mark.parametrize("command", _main._COMMANDS)
def test_option_tables_list_every_option(command):
    page = (DOCS / "reference" / "command_options.rst").read_text()
    assert f"generated/options_{command}.csv" in page
    cells = {
        row[0]
        for row in [*tables.TABLES[f"options_{command}"](), *tables.TABLES["options_shared"]()]
    }
    listed = {word for cell in cells for word in re.findall(r"(?<!\w)--?[a-z][\w-]*", cell)}
    assert _options(subparsers()[1][command]) - {"--help", "-h"} <= listed


def message_texts():
    """Yield the texts in the package's source, with … for values that are inserted."""
    for path in (ROOT / "smilefusion").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                ]
                yield "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages_of_the_troubleshooting_page_exist():
    page = (DOCS / "reference" / "troubleshooting.rst").read_text(encoding="utf-8")
    quoted = re.findall(r"^``(.+)``$", page, re.M)
    source = "\n".join(message_texts())
    assert len(quoted) > 30
    assert [message for message in quoted if message not in source] == []


def _options(parser):
    return {option for action in parser._actions for option in action.option_strings}


def test_picture_of_the_landmarks_is_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib.pyplot").switch_backend("Agg")
    pictures = import_module("pictures")
    monkeypatch.setattr(pictures, "PICTURE", tmp_path / "landmarks.png")
    pictures.main()
    assert pictures.PICTURE.stat().st_size > 10_000
    pictures.plt.close("all")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_documented_make_targets_exist(text):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)(?:$|`)", text.read_text(), re.M)) <= targets


def test_every_example_has_a_place_in_the_gallery():
    files = {path.stem for path in (ROOT / "examples").rglob("*.py")}
    assert files == set(gallery_setup.ORDER)
    assert len(files) == len(gallery_setup.ORDER)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, run_script, tmp_path):
    run_script(example.read_text(encoding="utf-8"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_video_example_runs_and_prints_what_it_shows(shared, run_script, monkeypatch, capsys):
    pytest.importorskip("av", reason="needs the extra video")
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(shared / "models" / "face_landmarker.task"))
    code = (ROOT / "examples" / "describe_a_video.py").read_text(encoding="utf-8")
    run_script(code.replace("smile.mp4", str(shared / "clips" / "smile.mp4")))
    shown = re.findall(r"code-block:: none\n#\n((?:#    .*\n)+)", code)
    shown, printed = "".join(shown).replace("#", ""), capsys.readouterr().out
    number = r"-?\d+\.\d+"
    assert re.sub(number, "", shown).split() == re.sub(number, "", printed).split()
    values = [[float(value) for value in re.findall(number, text)] for text in (shown, printed)]
    assert values[0] == pytest.approx(values[1], abs=0.02)
