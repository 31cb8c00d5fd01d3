"""The method in one file, examples/nano_smile.py, against the package."""

import ast
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from smilefusion import DMarkerTransformer
from smilefusion.datasets import load_clips, make_smiles
from smilefusion.nn import TwoStreamNetwork

FILE = Path(__file__).resolve().parents[1] / "examples" / "nano_smile.py"


@pytest.fixture(scope="module")
def nano():
    """Module of the example."""
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_file_is_short_and_needs_few_packages():
    text = FILE.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert packages == {"numpy", "sklearn", "torch"}
    assert text.count("\n") <= 200


@pytest.mark.parametrize(
    "settings",
    [{"fps": 25, "missing_rate": 0.05}, {"fps": 50}, {"fps": (10, 100), "jitter": 0.01}],
)
def test_dmarkers_equal_those_of_the_package(nano, settings):
    clips = make_smiles(40, n_subjects=20, random_state=1, **settings).clips
    dmarkers = DMarkerTransformer(pose="eyes", segmentation="longest_run", bridge_blinks=False)
    clips = clips[~dmarkers.phases(clips)["no_smile"].to_numpy()]
    found = [nano.describe_clip(clip, fps) for clip, fps in zip(clips, clips.fps, strict=True)]
    assert len(clips) > 30
    np.testing.assert_allclose(
        np.array(found)[:, :225], dmarkers.fit_transform(clips), rtol=1e-8, atol=1e-10
    )


def test_fusion_equals_that_of_the_package(nano):
    own = nano.Network(dim=32).eval()
    package = TwoStreamNetwork("hadamard", deep_dim=32, dmarker_dim=225, dim=32).eval()
    layers = (package.fusion.deep_projection, package.fusion.dmarker_projection)
    for target, source in zip(
        (own.deep_projection, own.dmarker_projection, own.mlp, own.head),
        (*layers, package.fusion.mlp, package.head),
        strict=True,
    ):
        for parameter, value in zip(target.parameters(), source.parameters(), strict=True):
            parameter.data.copy_(value.data)
    deep, dmarkers = torch.randn(8, 32), torch.randn(8, 225)
    torch.testing.assert_close(own.head(own.fuse(deep, dmarkers)), package(deep, dmarkers))


def test_projections_start_like_those_of_the_package(nano):
    assert (nano.Network().deep_projection.bias == 1).all()
    assert (nano.Network().dmarker_projection.bias == 1).all()


@pytest.mark.slow
def test_score_on_new_people_is_above_chance(nano):
    smiles = make_smiles(160, n_subjects=40, fps=25, random_state=2)
    scores = nano.cross_validate(smiles.clips, smiles.clips.fps, smiles.target, smiles.groups)
    assert np.mean(scores) > 0.6
    assert np.mean(nano.cross_validate(*nano.simulate())) > 0.75


def test_folder_is_read_like_by_the_package(nano, tmp_path):
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(size=(2, 20, 478, 3)).astype(np.float32)
    lines = ["file,label,subject", "a.npz,posed,Ada", "b.npz,spontaneous,Bo"]
    (tmp_path / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    np.savez(tmp_path / "a.npz", landmarks=landmarks[0], fps=25, width=640, height=360)
    np.savez(tmp_path / "b.npz", landmarks=landmarks[1], fps=30)
    clips, rates, y, people = nano.load(tmp_path)
    data = load_clips(tmp_path)
    assert rates == data.clips.fps.tolist()
    assert y.tolist() == (data.target == "spontaneous").tolist()
    assert people.tolist() == data.groups.tolist()
    shape = np.ptp(nano.align(clips[0]).imag), np.ptp(nano.align(data.clips[0]).imag)
    assert shape[0] == pytest.approx(shape[1], rel=1e-4)
