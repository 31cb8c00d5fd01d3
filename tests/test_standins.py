"""Simulated stand-ins of the published data sets."""

import numpy as np
import pytest

from smilefusion.datasets import load_or_simulate, make_smiles, make_standin
from smilefusion.datasets.simulated._standins import _MODELS
from smilefusion.exceptions import InvalidDataError


@pytest.fixture(autouse=True)
def few_frames(monkeypatch):
    """Simulate the clips at five frames per second."""

    def make_few(n_clips, **settings):
        return make_smiles(n_clips, **settings | {"fps": 5})

    monkeypatch.setattr("smilefusion.datasets.simulated._standins.make_smiles", make_few)


@pytest.mark.parametrize("name", ["mmi", "bbc"])
def test_standin_has_the_published_classes_and_fold_sizes(name):
    data = make_standin(name)
    assert tuple(np.bincount(data.target)) == _MODELS[name].published.class_sizes
    sizes = [len(test) for _, test in data.folds.split()]
    assert sizes == list(_MODELS[name].published.test_sizes)
    assert len(data.clips) == len(data.files) == len(data.target)
    assert data.groups is None


@pytest.mark.parametrize(("name", "n_clips"), [("uva_nemo", 60), ("spos", 30)])
def test_standin_folds_share_no_subject(name, n_clips):
    data = make_standin(name, n_clips=n_clips)
    for train, test in data.folds.split(data.clips, data.target, data.groups):
        assert set(data.groups[train]).isdisjoint(data.groups[test])
        assert len(test) > 0


def test_standin_of_uva_nemo_has_the_published_fold_sizes():
    data = make_standin("uva_nemo")
    sizes = [len(test) for _, test in data.folds.split()]
    assert sizes == list(_MODELS["uva_nemo"].published.test_sizes)
    assert tuple(np.bincount(data.target)) == (643, 597)
    assert len(np.unique(data.groups)) == 400


def test_standin_comes_again_from_the_same_seed():
    one, other = (make_standin("bbc", random_state=3) for _ in "ab")
    np.testing.assert_array_equal(np.concatenate(one.clips), np.concatenate(other.clips))
    assert np.array_equal(one.folds.test_fold, other.folds.test_fold)


def test_standin_says_that_it_is_simulated():
    data = make_standin("bbc")
    assert "simulated" in data.name
    assert data.DESCR.startswith("Simulated clips with the numbers of BBC.")


def test_load_or_simulate_simulates_without_the_variable(monkeypatch):
    monkeypatch.delenv("SMILEFUSION_DATA", raising=False)
    assert load_or_simulate("bbc").name == "BBC, simulated"


def test_load_or_simulate_never_simulates_where_a_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SMILEFUSION_DATA", str(tmp_path))
    with pytest.raises(InvalidDataError, match="There is no folder .*bbc"):
        load_or_simulate("bbc")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"name": "cohn"}, "name must be one of"),
        ({"name": "bbc", "n_clips": 30}, "between 20 and 20"),
    ],
)
def test_standin_refuses_parameters(arguments, match):
    with pytest.raises(ValueError, match=match):
        make_standin(**arguments)
