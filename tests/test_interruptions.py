"""Interrupts and errors during a fit: they reach the user, and nothing is lost."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils import Bunch
from skorch.callbacks import Callback, EarlyStopping

from smilefusion import (
    AbstainingClassifier,
    DeepFeatureExtractor,
    FusionClassifier,
    HadaSmileNetClassifier,
    make_fusion_pipeline,
)
from smilefusion.benchmark import run_benchmark

SMALL = {"max_epochs": 3, "patience": None, "random_state": 0, "device": "cpu"}
NETWORKS = {
    "FusionClassifier": FusionClassifier(n_members=1, hidden_dim=8, **SMALL),
    "DeepFeatureExtractor": DeepFeatureExtractor(embedding_dim=8, **SMALL),
    "HadaSmileNetClassifier": HadaSmileNetClassifier(embedding_dim=8, hidden_dim=8, **SMALL),
}


class Interrupt(Callback):
    """Press Ctrl-C in the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


INTERRUPTED = {"callbacks": [Interrupt()]}


def make_network(name, smiles, **params):
    """Return an unfitted network and its training data."""
    if name == "FusionClassifier":
        data = make_classification(40, 8, random_state=0)
    else:
        data = smiles.clips, smiles.target
    return clone(NETWORKS[name]).set_params(**params), data


@pytest.mark.parametrize("name", NETWORKS)
def test_interrupt_leaves_fit_and_the_estimator_unfitted(name, smiles):
    model, data = make_network(name, smiles, net_params=INTERRUPTED)
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    assert vars(model) == before


@pytest.mark.parametrize("name", NETWORKS)
def test_interrupted_refit_keeps_the_fitted_estimator(name, smiles):
    model, data = make_network(name, smiles)
    before = dict(vars(model.fit(*data)))
    weights = pickle.dumps(model.net_.module_.state_dict())
    model.set_params(net_params=INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    assert vars(model) == before | {"net_params": model.net_params}
    assert pickle.dumps(model.net_.module_.state_dict()) == weights


def test_interrupted_refit_keeps_the_fitted_pipeline(smiles):
    pipeline = make_fusion_pipeline(fps=25, random_state=0)
    pipeline.set_params(fusion__n_members=2, fusion__max_epochs=3)
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    expected = pipeline.predict_proba(smiles.clips)
    pipeline.set_params(fusion__net_params=INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit(smiles.clips[:12], 1 - smiles.target[:12], groups=smiles.groups[:12])
    np.testing.assert_array_equal(pipeline.predict_proba(smiles.clips), expected)


def test_interrupt_leaves_an_abstaining_classifier_unchanged(smiles):
    model, (X, y) = make_network("FusionClassifier", smiles, net_params=INTERRUPTED)
    held = AbstainingClassifier(model, cv=2)
    before = dict(vars(held))
    with pytest.raises(KeyboardInterrupt):
        held.fit(X, y, groups=np.arange(len(y)) // 2)
    assert vars(held) == before


def test_failed_refit_keeps_the_fitted_estimator():
    X, y = make_classification(40, 8, random_state=0)
    model = clone(NETWORKS["FusionClassifier"]).fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="class"):
        model.fit(X[:, :5], y * 0)
    assert vars(model) == before


def test_interrupt_leaves_the_training_that_records_epochs():
    X, y = make_classification(40, 8, random_state=0)
    model = clone(NETWORKS["FusionClassifier"]).set_params(net_params=INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        model.fit_predict_epochs(X, y, X)
    assert not hasattr(model, "net_")


def test_early_stopping_of_skorch_still_ends_a_training():
    X, y = make_classification(40, 8, random_state=0)
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=1, threshold_mode="abs")
    model = clone(NETWORKS["FusionClassifier"]).set_params(
        net_params={"callbacks": [stop]}, max_epochs=20
    )
    assert len(model.fit(X, y).history_) < 20


def test_interrupted_benchmark_stores_no_cell(tmp_path, smiles):
    model, (X, y) = make_network("FusionClassifier", smiles, net_params=INTERRUPTED)
    data = Bunch(clips=X, target=y, groups=range(len(y)), name="table")
    with pytest.raises(KeyboardInterrupt):
        run_benchmark({"fusion": model}, data, cv=2, results=tmp_path)
    assert not list(tmp_path.glob("cells/*"))


# Runs the command line, and prints a line when the third epoch of a training begins.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
from smilefusion.cli import main
from skorch import NeuralNet

run_single_epoch = NeuralNet.run_single_epoch

def run_and_tell(net, iterator, training, **kwargs):
    if len(net.history) == 3 and training:
        print("training", flush=True)
    run_single_epoch(net, iterator, training, **kwargs)

NeuralNet.run_single_epoch = run_and_tell
sys.exit(main(sys.argv[1:]))
"""


# The same with estimators that only wait, which spares the workers the import of torch.
WAITING = """
import time
from sklearn.dummy import DummyClassifier
from smilefusion.cli import _benchmark

class Waiting(DummyClassifier):
    def fit(self, X, y):
        time.sleep(1000)

_benchmark.make_systems = lambda **_: {"first": Waiting(), "second": Waiting()}
"""
SCRATCH = "from smilefusion._storage._scratch import scratch_folder"
STARTED = []


@pytest.fixture(autouse=True)
def no_command_survives():
    """Kill what a failed test leaves running."""
    yield
    while STARTED:
        with STARTED.pop() as process, contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def start(*arguments, code=COMMAND):
    """Start a command in a process group of its own."""
    STARTED.append(
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )
    return STARTED[-1]


def start_benchmark(output, **options):
    """Start a long benchmark; return it when its cells are being computed."""
    data = "--n-clips", 24, "--n-subjects", 12, "--folds", 2, "--inner-folds", 2
    data += "--n-jobs", 2, "--max-epochs", 10_000
    process = start("benchmark", "-o", output, *data, **options)
    while len(list(output.glob("cells/*.lock"))) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    return process


@pytest.mark.slow
def test_interrupted_train_keeps_the_old_model(folder, tmp_path):
    output = tmp_path / "m.model"
    output.write_bytes(b"old model")
    process = start("train", folder, "-o", output, "--max-epochs", 10_000)
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate()
    assert (process.returncode, output.read_bytes()) == (130, b"old model")
    assert messages == "smilefusion train: interrupted.\n"
    assert list(tmp_path.iterdir()) == [output]


def is_running(process):
    """Whether a process still runs; one that ended may wait as a zombie for its new parent."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_benchmark_leaves_no_process_and_no_file(number, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = start_benchmark(tmp_path / "out", code=WAITING + COMMAND)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal interrupts the workers as well
    else:
        process.send_signal(number)
    _, messages = process.communicate()
    while any(map(is_running, workers)):  # until the test's own time is up
        time.sleep(0.1)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert messages.splitlines()[-1] == "smilefusion benchmark: interrupted."
        assert "Traceback" not in messages
    elif number == signal.SIGTERM:
        assert process.returncode == 143
        assert messages.splitlines()[-1] == "smilefusion benchmark: terminated."
    else:
        code = f"{SCRATCH}; scratch_folder()"
        subprocess.run([sys.executable, "-c", code], check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_scratch_folder_of_a_living_process_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = f"{SCRATCH}; print(scratch_folder(), flush=True)"
    wait = [sys.executable, "-c", f"{code}; input()"]
    process = subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert folder.is_dir()
    process.communicate("\n")
    assert list(tmp_path.iterdir()) == []


def test_scratch_folder_of_a_killed_process_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = f"{SCRATCH}; (scratch_folder() / 'x').touch()"
    kill = f"{code}; import os; os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", kill]).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*/x"))) == 1
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list(tmp_path.iterdir()) == []
