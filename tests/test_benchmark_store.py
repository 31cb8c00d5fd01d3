"""Results folders: finished cells, resumed runs, locks and provenance."""

import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from threading import Timer

import numpy as np
import pandas as pd
import pytest
from benchmark_parts import Fragile, Growing, Slow, make_data, run
from filelock import FileLock
from joblib import Memory
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from smilefusion.benchmark import load_results, run_benchmark
from smilefusion.exceptions import InvalidDataError, SmileFusionWarning

TIMES = ["fit_seconds", "predict_seconds"]
CODE = """
import sys
sys.path.insert(0, {tests!r})
from benchmark_parts import Slow, make_data, run, run_benchmark
"""
TESTS = str(Path(__file__).parent)


def start(folder, pause):
    """Start a run in a separate process."""
    code = CODE.format(tests=TESTS) + f"run({str(folder)!r}, pause={pause})"
    return subprocess.Popen([sys.executable, "-c", code])


def finished(folder):
    return [path for path in folder.glob("cells/*.json") if path.name[0] != "."]


def hold(lock):
    """Start a process that holds a lock until it is killed."""
    code = f"import filelock; a = filelock.FileLock({str(lock)!r}); a.acquire(); print(flush=True)"
    command = [sys.executable, "-c", f"{code}; input()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def files(folder, suffix):
    return {path.name: path.read_bytes() for path in folder.glob(f"cells/*{suffix}")}


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_stored_run_equals_one_in_memory(tmp_path, n_jobs):
    expected = run(None).drop(columns=TIMES)
    stored = run(tmp_path, n_jobs=n_jobs)
    pd.testing.assert_frame_equal(stored.drop(columns=TIMES), expected)
    pd.testing.assert_frame_equal(load_results(tmp_path), stored, check_exact=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": np.array([False, True])[np.arange(40) % 2]},
        {"target": np.array(["posed", "NaN"])[np.arange(40) % 2]},
        {"files": [Path(f'a,"{i}\n.npy') for i in range(40)]},
        {"files": ["", *(f"{i}" for i in range(39))], "groups": np.arange(40) // 2 / 7},
    ],
)
def test_store_keeps_types_and_values(tmp_path, changes):
    data = make_data(**changes)
    models = {"slow": Slow()}
    stored = run_benchmark(models, data, results=tmp_path).drop(columns=TIMES)
    expected = run_benchmark(models, data).drop(columns=TIMES)
    pd.testing.assert_frame_equal(stored, expected, check_exact=True)


def test_stored_names_are_not_formulas_and_are_restored(tmp_path):
    data = make_data(files=["=1+1", "+a", "-b", "@c", "\td", "'=e", "-1", "'f'"] * 5)
    predictions = run_benchmark({"prior": DummyClassifier()}, data, cv=4, results=tmp_path)
    cells = ",".join(text.decode().replace("\n", ",") for text in files(tmp_path, ".csv").values())
    assert {"'=1+1", "'+a", "'-b", "'@c", "'\td", "''=e", "-1", "'f'"} <= set(cells.split(","))
    pd.testing.assert_frame_equal(load_results(tmp_path), predictions)


def test_resumed_run_computes_only_missing_cells(tmp_path):
    predictions = run(tmp_path)
    before = files(tmp_path, ".json")
    lost = sorted(before)[::5]
    for name in lost:
        (tmp_path / "cells" / name).unlink()
    tables = files(tmp_path, ".csv")
    pd.testing.assert_frame_equal(
        run(tmp_path).drop(columns=TIMES), predictions.drop(columns=TIMES), check_exact=True
    )
    after = files(tmp_path, ".json")
    assert {name for name in before if before[name] != after[name]} == set(lost)
    assert files(tmp_path, ".csv") == tables


@pytest.mark.slow
def test_replaced_workers_do_not_warn():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_benchmark({"a": Growing()}, make_data(), cv=6, n_jobs=2)
    assert not [each for each in caught if "worker stopped" in str(each.message)]


@pytest.mark.slow
def test_killed_run_ends_like_an_undisturbed_one(tmp_path):
    rng = np.random.default_rng(0)
    undisturbed = run(tmp_path / "whole", pause=0.02)
    folder = tmp_path / "killed"
    for n_finished in (2, 7):
        process = start(folder, 0.02)
        while len(finished(folder)) < n_finished:
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(0.03 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(finished(folder)) < 12
    kept = files(folder, ".json")
    resumed = run(folder, pause=0.02)
    assert resumed.drop(columns=TIMES).to_csv() == undisturbed.drop(columns=TIMES).to_csv()
    assert files(folder, ".csv") == files(tmp_path / "whole", ".csv")
    assert kept.items() <= files(folder, ".json").items()
    assert {path.suffix for path in (folder / "cells").iterdir()} == {".csv", ".json"}


@pytest.mark.slow
def test_two_runners_share_the_work(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    code = CODE.format(tests=TESTS) + (
        f"models = {{name: Slow(0.2, {str(notes)!r}) for name in 'abc'}}\n"
        f"run_benchmark(models, make_data(), cv=4, results={str(tmp_path)!r}).to_csv(sys.argv[1])"
    )
    runners = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)])
        for name in ("one.csv", "two.csv")
    ]
    assert [runner.wait() for runner in runners] == [0, 0]
    fits = [path.name.split("-")[1] for path in notes.iterdir()]
    assert len(fits) == 12
    assert set(fits) == {str(runner.pid) for runner in runners}
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"estimators": {"m": Slow(C=2.0)}}, r"with C=1.0, not 2\.0\. All runs"),
        ({"estimators": {"m": DummyClassifier()}}, "class .*Slow, not sklearn.dummy.DummyC"),
        ({"data": make_data(seed=1)}, r"with different clips\. All runs"),
        ({"data": make_data(groups=np.arange(40))}, "with different folds, names, labels"),
        ({"data": make_data(files=range(1, 41))}, "with different folds, names, labels"),
        ({"random_state": 1}, "with different folds, names, labels"),
        ({"cv": 3}, "with different folds, names, labels"),
    ],
)
def test_store_refuses_another_setting(tmp_path, changes, match):
    call = {"estimators": {"m": Slow()}, "data": make_data(), "cv": 4, "results": tmp_path}
    run_benchmark(**call)
    before = files(tmp_path, "")
    with pytest.raises(InvalidDataError, match=match):
        run_benchmark(**(call | changes))
    assert files(tmp_path, "") == before


def test_store_accepts_more_repeats_estimators_and_data_sets(tmp_path):
    run_benchmark({"m": Slow()}, make_data(), results=tmp_path)
    before = files(tmp_path, ".json")
    models = {"n": DummyClassifier(), "m": Slow()}
    data = {"toy": make_data(), "other": make_data(seed=1)}
    predictions = run_benchmark(models, data, n_repeats=2, results=tmp_path)
    assert len(predictions) == 2 * 2 * 2 * 40
    assert before.items() <= files(tmp_path, ".json").items()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ([make_data(), make_data()], "2 data sets are named 'toy'"),
        ([], "contains no data set"),
        ({"a": make_data(), "b": make_data(groups=None)}, "Data set 'b' has no groups"),
        (make_data(files=["a", 1] * 20), "files of data set 'toy' have the type 'mixed"),
        (make_data(files=["a"]), r"files of data set 'toy' has shape \(1,\) for 40"),
    ],
)
def test_run_refuses_data_sets(data, match):
    with pytest.raises(InvalidDataError, match=match):
        run_benchmark({"m": Slow()}, data)


def test_immaterial_parameters_may_change(tmp_path):
    def call(folder, n_jobs):
        steps = FunctionTransformer(Memory(folder).cache(np.asarray)), LogisticRegression()
        pipeline = make_pipeline(*steps, memory=Memory(folder, verbose=0))
        search = GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=2, n_jobs=n_jobs)
        return run_benchmark({"m": search}, make_data(), cv=2, results=tmp_path / "results")

    call(tmp_path / "a", None)
    before = files(tmp_path / "results", "")
    call(tmp_path / "b", 1)
    assert files(tmp_path / "results", "") == before


def test_failure_is_recorded_and_retried(tmp_path):
    cure = tmp_path / "cure"
    models = {"fragile": Fragile(cure), "prior": DummyClassifier()}
    call = {"estimators": models, "data": make_data(), "cv": 2, "results": tmp_path}
    with pytest.warns(SmileFusionWarning, match=r"ArithmeticError: not cured.*\(1 more"):
        failed = run_benchmark(**call, on_error="warn")
    pd.testing.assert_frame_equal(load_results(tmp_path), failed)
    errors = [json.loads(path.read_text())["error"] for path in finished(tmp_path)]
    (error, _) = [each for each in errors if each]
    assert (error["type"], error["message"]) == ("ArithmeticError", "not cured")
    assert 'raise ArithmeticError("not cured")' in error["traceback"]
    cure.touch()
    run_benchmark(**call)
    assert load_results(tmp_path)[["prediction", "probability_1"]].notna().all(axis=None)


def test_raised_failure_is_recorded_and_leaves_no_lock(tmp_path):
    with pytest.raises(ArithmeticError, match="not cured"):
        run_benchmark({"fragile": Fragile("absent")}, make_data(), results=tmp_path)
    (path,) = finished(tmp_path)
    assert json.loads(path.read_text())["error"]["type"] == "ArithmeticError"
    assert not list(tmp_path.glob("cells/*.lock"))


def test_incomplete_files_are_ignored_and_deleted(tmp_path):
    expected = run(tmp_path)
    record = finished(tmp_path)[0]
    parts = [record.with_name(f".1{each}") for each in (".json", ".csv")]
    for part in (*parts, record.with_suffix(".lock")):
        part.write_text("{")
    pd.testing.assert_frame_equal(load_results(tmp_path), expected)
    pd.testing.assert_frame_equal(run(tmp_path), expected)
    assert {path.suffix for path in (tmp_path / "cells").iterdir()} == {".csv", ".json"}
    assert not any(part.exists() for part in parts)


def test_changed_files_are_refused(tmp_path):
    run(tmp_path)
    table = next(tmp_path.glob("cells/*.csv"))
    table.write_text(table.read_text()[:-2])
    with pytest.raises(InvalidDataError, match=f"{table.name} was changed or deleted"):
        load_results(tmp_path)
    record = table.with_suffix(".json")
    edit(record, format=2)
    with pytest.raises(InvalidDataError, match="has format 2, but this version"):
        run(tmp_path)
    record.write_text("{")
    with pytest.raises(InvalidDataError, match=f"{record.name} is not a valid record of a cell"):
        run(tmp_path)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(InvalidDataError, match="has no finished cell"):
        load_results(tmp_path)


def test_record_contains_the_provenance(tmp_path):
    run(tmp_path, n_repeats=2, random_state=3)
    record = json.loads(next(tmp_path.glob("cells/*sl-ow-*-r1-f2.json")).read_text())
    place = {"dataset": "toy", "estimator": "sl/ow", "repeat": 1, "fold": 2}
    assert record["cell"] == {"protocol": "honest"} | place
    assert record["settings"]["class"].endswith("benchmark_parts.Slow")
    assert record["settings"]["parameters"] == {"pause": "0.0", "notes": "None", "C": "0.1"}
    assert (record["seed"], record["device"]) == (4, "cpu")
    assert record["figures"]["n_parameters"] == 3
    assert {"smilefusion", "numpy", "scikit-learn"} <= set(record["machine"]["packages"])


def test_waiting_for_another_process_warns_and_ends_with_it(tmp_path, monkeypatch):
    predictions = run(tmp_path)
    record = finished(tmp_path)[0]
    record.unlink()
    lock = record.with_suffix(".lock")
    monkeypatch.setattr("smilefusion.benchmark.run._store._SILENT_POLLS", 1)
    match = f"another process holds the lock .*{lock.name}.*stop"
    with hold(lock) as holder:
        Timer(0.7, holder.kill).start()
        with pytest.warns(SmileFusionWarning, match=match):
            resumed = run(tmp_path)
    assert not lock.exists()
    assert resumed.drop(columns=TIMES).equals(predictions.drop(columns=TIMES))


def test_incomplete_files_of_a_running_process_are_kept(tmp_path):
    run(tmp_path)
    part = tmp_path / "cells" / ".1.json"
    part.write_text("{")
    with FileLock(tmp_path / "cells" / "x.lock"):
        run(tmp_path)
    assert part.exists()
