"""Benchmarks under recording shifts: stored predictions, resumed runs, scores and refusals."""

import numpy as np
import pandas as pd
import pytest
from benchmark_parts import Fragile
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from smilefusion import DMarkerTransformer
from smilefusion.benchmark import (
    evaluate_shifts,
    format_table,
    load_results,
    recording_shifts,
    run_benchmark,
    score_shifts,
)
from smilefusion.cli import main
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import InvalidClipError, InvalidDataError, SmileFusionWarning
from smilefusion.inspection import write_report

SMILES = make_smiles(24, n_subjects=12, fps=25, random_state=0)


def log_seconds(clips):
    return np.log(clips.n_frames / clips.fps)[:, None]


def double(clips):
    return check_clips([np.repeat(clip, 2, axis=0) for clip in clips], fps=clips.fps)


def of_durations(**settings):
    return make_pipeline(FunctionTransformer(log_seconds), LogisticRegression(C=10, **settings))


def run(folder, **changes):
    call = {"data": SMILES, "cv": 3, "results": folder, "shifts": {"twice as long": double}}
    return run_benchmark(changes.pop("models", {"length": of_durations()}), **(call | changes))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folder and predictions of a run under all shifts."""
    folder = tmp_path_factory.mktemp("shifts")
    return folder, run(folder, shifts=True)


def test_shifts_leave_the_predictions_unchanged(results):
    folder, predictions = results
    plain = run(None, shifts=None)
    times = ["fit_seconds", "predict_seconds"]
    pd.testing.assert_frame_equal(predictions.drop(columns=times), plain.drop(columns=times))
    pd.testing.assert_frame_equal(load_results(folder), predictions)
    shifted = load_results(folder, shifts=True)
    assert shifted["shift"].unique().tolist() == list(recording_shifts(SMILES.clips))
    assert shifted.groupby("shift")["clip"].nunique().unique() == [24]
    first = shifted[shifted["shift"] == "as recorded"].drop(columns="shift")
    pd.testing.assert_frame_equal(first, predictions)


def test_each_cell_predicts_its_own_test_clips(results):
    folder, predictions = results
    shifted = load_results(folder, shifts=True).set_index(["shift", "clip"])
    test = (predictions["fold"] == 1).to_numpy()
    model = of_durations().fit(SMILES.clips[~test], SMILES.target[~test])
    changed = recording_shifts(SMILES.clips)["1.4 s still before"][test]
    own = shifted.loc["1.4 s still before"].loc[predictions.loc[test, "clip"]]
    probability = model.predict_proba(changed)
    columns = [f"probability_{k}" for k in model.classes_]
    np.testing.assert_allclose(own[columns], probability, rtol=1e-12)
    assert own["prediction"].tolist() == model.classes_[probability.argmax(axis=1)].tolist()


def test_scores_of_one_fold_agree_with_evaluate_shifts(tmp_path):
    train, test = np.arange(16), np.arange(16, 24)
    models = {"length": of_durations()}
    run_benchmark(models, SMILES, cv=[(train, test)], results=tmp_path, shifts=True)
    scores = score_shifts(load_results(tmp_path, shifts=True))
    model = of_durations().fit(SMILES.clips[train], SMILES.target[train])
    expected = evaluate_shifts(model, SMILES.clips[test], SMILES.target[test])
    np.testing.assert_allclose(scores[[*expected]], expected)
    assert scores["shift"].tolist() == expected.index.tolist()


def test_resumed_run_computes_missing_shifts_only(tmp_path):
    run(tmp_path)
    expected = {path.name: path.read_bytes() for path in tmp_path.glob("cells/*.csv")}
    assert len(expected) == 3
    for path in tmp_path.glob("cells/*-f1.*"):
        path.unlink()
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("cells/*")}
    run(tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.glob("cells/*")}
    assert kept.items() | expected.items() <= after.items()


def halve(clips):
    return clips[:]


@pytest.mark.parametrize("shifts", [None, True, {"twice": double}, {"twice as long": halve}])
def test_folder_keeps_to_one_set_of_shifts(tmp_path, shifts):
    run(tmp_path)
    with pytest.raises(InvalidDataError, match=r"with different recording shifts\. All runs"):
        run(tmp_path, shifts=shifts)


def test_folder_without_shifts_has_none_to_load(tmp_path):
    predictions = run(tmp_path, shifts=False)
    with pytest.raises(InvalidDataError, match="no finished cell with recording shifts"):
        load_results(tmp_path, shifts=True)
    with pytest.raises(ValueError, match="need a column 'shift'"):
        score_shifts(predictions)


def test_failed_cells_have_no_scores(tmp_path):
    models = {"fragile": Fragile("absent"), "length": of_durations()}
    with pytest.warns(SmileFusionWarning, match="not cured"):
        run(tmp_path, models=models, on_error="warn")
    scores = score_shifts(load_results(tmp_path, shifts=True)).set_index(["estimator", "shift"])
    assert scores.loc["fragile", "log_loss"].isna().tolist() == [True, True]
    assert scores.loc["length", "log_loss"].notna().all()


def refuse_long_clips(clips):
    if clips.n_frames.max() > SMILES.clips.n_frames.max():
        raise ArithmeticError("too long")
    return log_seconds(clips)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"results": None}, ValueError, "Pass results=FOLDER"),
        ({"protocol": "published"}, ValueError, "'published' predicts after every epoch"),
        ({"shifts": ["mirrored"]}, ValueError, "shifts must be True, None or a non-empty dict"),
        ({"shifts": {}}, ValueError, "shifts must be True"),
        ({"shifts": {"mirrored": SMILES.clips}}, ValueError, "entry 'mirrored'.*functions"),
        ({"shifts": {"as recorded": double}}, ValueError, "names other than 'as recorded'"),
        ({"shifts": {"one": lambda clips: clips[:1]}}, ValueError, "'one' gives 1 clip for 24"),
        (
            {"data": SMILES | {"clips": np.zeros((24, 2))}, "shifts": True},
            InvalidClipError,
            "a sequence of clips is needed",
        ),
        (
            {"models": {"m": DMarkerTransformer(fps=25)}, "shifts": True},
            ValueError,
            "'half the frame rate' changes .* fps=25",
        ),
    ],
)
def test_shifts_that_cannot_be_evaluated_are_refused(tmp_path, changes, error, match):
    with pytest.raises(error, match=match):
        run(**{"folder": tmp_path} | changes)
    assert not list(tmp_path.glob("cells/*"))


def test_error_names_shift_and_cell(tmp_path):
    model = make_pipeline(FunctionTransformer(refuse_long_clips), LogisticRegression())
    with pytest.raises(ArithmeticError, match="too long") as caught:
        run(tmp_path, models={"m": model}, shifts={"many times": lambda c: double(double(c))})
    notes = " ".join(caught.value.__notes__)
    assert "With the shift 'many times'." in notes
    assert "In estimator 'm'" in notes


def test_tables_number_the_shifts(results):
    folder, _ = results
    scores = score_shifts(load_results(folder, shifts=True))
    change = scores.set_index("shift").loc["1.4 s still before", "log_loss_change"]
    head, _, row, *_, note = format_table(scores).splitlines()
    assert head.split("|")[2].strip() == "log loss as recorded"
    assert head.split("|")[3].strip() == "1"
    assert row.split("|")[3].strip() == f"{change:+.2f}".replace("-", "−")
    assert "1 = 1.4 s still before, 2 = 1.4 s still after" in note
    assert "13 = a blink every 2 s" in format_table(scores, style="html")


def test_report_shows_recording_shifts(results, tmp_path):
    pytest.importorskip("matplotlib")
    page = write_report(results[0], tmp_path / "r.html", n_resamples=10).read_text()
    assert "Recording shifts on" in page
    assert "13 = a blink every 2 s" in page


def test_command_adds_the_shifts_to_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "smilefusion.cli._benchmark.make_systems", lambda **_: {"clip duration": of_durations()}
    )
    argv = ["benchmark", "--n-clips", "12", "--n-subjects", "6", "--folds", "2", "--n-jobs", "1"]
    argv += ["--no-figure", "-o", str(tmp_path)]
    assert main([*argv, "--shifts"]) == 0
    printed = capsys.readouterr().out
    assert "13 = a blink every 2 s" in printed
    assert (tmp_path / "table.md").read_text().strip() == printed.strip()
    assert "shift" not in pd.read_csv(tmp_path / "predictions.csv")
    assert main(argv) == 2
    assert "different recording shifts" in capsys.readouterr().err
