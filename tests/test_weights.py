import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from smilefusion.exceptions import InvalidDataError
from smilefusion.nn._weights import load_state, read_state


@pytest.fixture
def module():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def assert_same(state, module):
    assert list(state) == list(module.state_dict())
    for name, value in module.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0)


def test_safetensors_are_read(module, tmp_path):
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    state = read_state(tmp_path / "w.safetensors")
    assert_same({name: state[name] for name in module.state_dict()}, module)


@pytest.mark.parametrize("wrap", [dict, lambda state: {"epoch": 3, "state_dict": state}])
def test_state_dicts_are_read(wrap, module, tmp_path):
    torch.save(wrap(module.state_dict()), tmp_path / "w.pt")
    assert_same(read_state(str(tmp_path / "w.pt")), module)


class Command:
    """An object whose unpickling makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize(
    "save", [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj))]
)
def test_pickle_is_refused_without_being_run(save, name, tmp_path):
    save({"weight": Command(tmp_path / "run")}, tmp_path / name)
    with pytest.raises(
        InvalidDataError, match=f"{name} does not contain weights that can be read safely"
    ):
        read_state(tmp_path / name)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [{"weight": 3}, [torch.zeros(2)], torch.zeros(2)])
def test_file_of_other_things_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InvalidDataError, match="does not contain a state dict of tensors"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_damaged_file_is_refused(name, module, tmp_path):
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(module.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidDataError, match=name):
        read_state(path)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_absent_file_is_named(name, tmp_path):
    with pytest.raises(InvalidDataError, match=f"{name} does not exist"):
        read_state(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.bias"), r"missing: 0\.bias\)"),
        (lambda state: state.update(scale=torch.ones(1)), r"unknown: scale\)"),
        (
            lambda state: state.update({"1.bias": torch.ones(4)}),
            r"misshapen: 1\.bias of shape \(4,\) instead of \(1,\)",
        ),
    ],
)
def test_entries_that_do_not_fit_are_named(change, message, module):
    state = dict(module.state_dict())
    change(state)
    with pytest.raises(InvalidDataError, match=message):
        load_state(module, state, name="The weights of w.pt")


def test_many_faults_are_counted(module):
    state = {f"layer{i}": torch.zeros(1) for i in range(8)}
    with pytest.raises(InvalidDataError, match=r"missing: 0\.weight.*layer4 and 3 more"):
        load_state(module, state)


def test_weights_are_loaded(module):
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).double()
    load_state(other, module.state_dict())
    assert_same({k: v.float() for k, v in other.state_dict().items()}, module)
