"""What the package needs: lowest versions, licences, and no network."""

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PAGE = ROOT / "docs" / "contributing" / "dependencies.rst"
# Events of Python's own audit that tell of a way to another machine.
WATCH = """
import sys
attempts = []
def watch(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto") or (
        event == "socket.connect" and isinstance(args[1], tuple)
    ):
        attempts.append(event)
        raise OSError("the test allows no network")
sys.addaudithook(watch)
"""
FIT = """
import importlib, pkgutil, tempfile
import smilefusion
from smilefusion import DeepFeatureExtractor, FusionClassifier
print([name for name in ("timm", "torchvision", "matplotlib") if name in sys.modules])
from pathlib import Path
for module in pkgutil.walk_packages(smilefusion.__path__, "smilefusion."):
    importlib.import_module(module.name)
from smilefusion import *
from smilefusion.datasets import make_smiles
smiles = make_smiles(12, n_subjects=6, fps=25, random_state=0)
brief = {"max_epochs": 1, "patience": None, "random_state": 0}
sizes = {"embedding_dim": 8, "n_frames": 4, "fps": 25}
table = DMarkerTransformer(fps=25).fit_transform(smiles.clips)
model = FusionClassifier(hidden_dim=8, **brief).fit(table, smiles.target)
for encoder in ("mesh_transformer", "test_resnet"):
    DeepFeatureExtractor(encoder, **sizes, **brief).fit_transform(smiles.clips, smiles.target)
    whole = HadaSmileNetClassifier(encoder=encoder, hidden_dim=8, **sizes, **brief)
    whole.fit(smiles.clips, smiles.target).predict_proba(smiles.clips)
with tempfile.TemporaryDirectory() as folder:
    save_model(whole, Path(folder, "model.smile"))
    load_model(Path(folder, "model.smile")).predict(smiles.clips)
"""


@pytest.fixture(scope="module")
def tool():
    """The module tools/check_dependencies.py."""
    path = ROOT / "tools" / "check_dependencies.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def attempts(code):
    """Return the ways to the network that a new process tried."""
    command = [sys.executable, "-c", f"{WATCH}\n{code}\nprint(attempts)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_estimators_load_no_image_library_and_no_fit_uses_the_network():
    assert attempts(FIT).splitlines() == ["[]", "[]"]


def test_attempt_to_use_the_network_is_seen():
    code = """
import urllib.request
try:
    urllib.request.urlopen("http://localhost:9")
except OSError:
    pass
"""
    assert attempts(code) == "['socket.getaddrinfo']"


def table_rows(page, n_columns):
    """Return the rows of the tables of a page that have so many columns."""
    rows = [re.split(r"\s+;\s+", line.strip()) for line in page.splitlines() if " ; " in line]
    return [row for row in rows if len(row) == n_columns]


def test_guide_lists_lowest_versions_and_licences(tool):
    rows = table_rows(PAGE.read_text(encoding="utf-8"), 4)[1:]
    listed = {name: (version, licence) for name, version, _, licence in rows}
    needed, licences = tool.read_requirements(*tool.USER_EXTRAS), tool.find_licences()
    assert {name: version for name, (version, _) in listed.items()} == needed
    pinned = dict(
        line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line
    )
    told = {
        name: licences[name]
        for name in needed
        if pinned.get(name) == metadata.version(name) and licences[name] != "not stated"
    }
    assert {name: listed[name][1] for name in told} == told


def test_no_dependency_has_a_licence_that_binds_those_who_use_it(tool):
    licences = tool.find_licences()
    assert len(licences) > 20
    assert [name for name, licence in licences.items() if "GPL" in licence] == []


def test_lowest_versions_are_those_of_the_requirements(tool):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    floors = tool.read_requirements()
    assert {"torch", "scikit-learn", "lazy-loader"} <= set(floors)
    for name, version in floors.items():
        assert re.search(rf'"{name.replace("-", "[-_]")}>={re.escape(version)}"', project)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_videos_are_read_without_mediapipe_and_graphics_libraries(shared):
    model, video = shared / "models" / "face_landmarker.task", shared / "clips" / "smile.mp4"
    code = f"""
from smilefusion.video import FaceMeshExtractor
FaceMeshExtractor(model_path={str(model)!r}, blendshapes=True).extract({str(video)!r})
print(open("/proc/self/maps").read())
"""
    loaded = attempts(code)
    assert "ai_edge_litert" in loaded
    assert re.findall(r"libEGL|libGL|libglib|mediapipe", loaded) == []
