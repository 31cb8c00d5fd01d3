"""The pretrained model, and its adaptation to labelled clips."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import (
    CheckedClassifier,
    DMarkerTransformer,
    adapt,
    load_model,
    load_pretrained,
    read_model_card,
)
from smilefusion.cli import main
from smilefusion.datasets import make_smiles
from smilefusion.datasets.simulated._time_courses import CUES
from smilefusion.persistence._pretrained import pretrained_path

ROOT = Path(__file__).resolve().parents[1]
WORDS = np.array(["posed", "spontaneous"])


@pytest.fixture(scope="module")
def model():
    return load_pretrained()


@pytest.fixture(scope="module")
def smiles():
    return make_smiles(120, n_subjects=30, fps=30, random_state=5)


@pytest.mark.slow
def test_script_makes_the_model_in_the_package(model, smiles, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "tools")])
    import train_model

    with pytest.warns(match="no smile"):
        made = train_model.train()
    # Training results differ between processors.
    difference = made.predict_proba(smiles.clips) - model.predict_proba(smiles.clips)
    assert np.abs(difference).max() < 0.02
    np.testing.assert_allclose(made.checker_.lower_, model.checker_.lower_, rtol=1e-5)


def test_model_file_is_small(model):
    assert pretrained_path().stat().st_size < 2e6


@pytest.mark.parametrize("n_landmarks", [478, 68])
def test_model_separates_simulated_smiles(n_landmarks, model):
    smiles = make_smiles(200, fps=25, n_landmarks=n_landmarks, random_state=3)
    probability = model.predict_proba(smiles.clips)[:, 1]
    assert roc_auc_score(smiles.target, probability) > 0.75
    assert log_loss(smiles.target, probability) < 0.6


def test_answers_do_not_depend_on_brows_and_chin(model):
    cues = [cue for cue in CUES if cue != "coordination"]
    with_cue, without = (
        model.predict_proba(
            make_smiles(20, n_subjects=10, cues=each, fps=30, random_state=0).clips
        )
        for each in (CUES, cues)
    )
    np.testing.assert_allclose(with_cue, without, atol=0.02)


def test_card_states_data_results_and_limits():
    card = read_model_card(pretrained_path())
    for text in ("simulated", "576 real clips", "duration", "under 18", "must not be used"):
        assert text in card


def test_adapted_model_is_new_and_has_the_classes_of_the_first(model, smiles):
    adapted = adapt(model, smiles.clips[:20], smiles.target[:20])
    assert adapted.classes_.tolist() == ["posed", "spontaneous"]
    np.testing.assert_array_equal(model.calibration_, [0, 1])
    assert np.linalg.det(adapted.covariance_) < np.linalg.det(model.covariance_)


def test_numbers_and_words_are_the_same_labels(model, smiles):
    clips, target = smiles.clips[:20], smiles.target[:20]
    by_word = adapt(model, clips, WORDS[target]).calibration_
    np.testing.assert_array_equal(adapt(model, clips, target).calibration_, by_word)


def test_classes_that_are_numbers_keep_their_meaning(smiles):
    linear = make_pipeline(DMarkerTransformer(), StandardScaler(), LogisticRegression())
    fitted = CheckedClassifier(linear).fit(smiles.clips, smiles.target + 1)
    posed = np.flatnonzero(smiles.target == 0)
    adapted = adapt(fitted, smiles.clips[posed], np.ones(len(posed), dtype=int))
    assert adapted.calibration_[0] < 0  # 1 is the first class


def test_adaptation_learns_a_shifted_base_rate(model, smiles):
    chosen = np.sort(
        [*np.flatnonzero(smiles.target)[:50], *np.flatnonzero(smiles.target == 0)[:5]]
    )
    adapted = adapt(model, smiles.clips[chosen], smiles.target[chosen])
    assert adapted.calibration_[0] > 0.1


def test_unknown_labels_are_refused(model, smiles):
    with pytest.raises(ValueError, match=r"y has the labels \['fake'\].*Rename the labels"):
        adapt(model, smiles.clips[:4], ["posed", "fake", "posed", "fake"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* no points for the cheek")
def test_many_clips_also_train_a_new_model(model):
    smiles = make_smiles(500, n_subjects=250, fps=12, n_landmarks=68, random_state=1)
    new = adapt(model, smiles.clips, smiles.target, smiles.groups)
    parts = new.estimator_.estimators_
    assert [type(part).__name__ for part in parts] == ["FrozenEstimator", "FusionPipeline"]
    expected = np.mean([part.predict_proba(smiles.clips[:4]) for part in parts], axis=0)
    np.testing.assert_allclose(new.predict_proba(smiles.clips[:4]), expected, atol=1e-6)


@pytest.fixture
def folder(smiles, tmp_path):
    """A labelled folder of 24 clips."""
    rows = ["file,label,subject"]
    for i in range(24):
        np.savez(tmp_path / f"{i}.npz", landmarks=smiles.clips[i], fps=30.0)
        rows.append(f"{i}.npz,{WORDS[smiles.target[i]]},{smiles.groups[i]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path


def run(*argv):
    return main([str(each) for each in argv])


def test_predict_needs_no_model(folder, model, smiles, capsys):
    assert run("predict", folder / "0.npz", folder / "1.npz") == 0
    out, err = capsys.readouterr()
    assert "trained on simulated smiles only" in err
    row = model.answer(smiles.clips[:2]).iloc[1]
    interval = f"({row['low']:.2f} to {row['high']:.2f})"
    text = f"1.npz: P(spontaneous) = {row['probability']:.2f} {interval}, {row['class']}"
    assert out.splitlines()[1].endswith(text)


def test_predict_gives_the_reason_for_no_answer(folder, capsys):
    assert run("predict", folder / "0.npz", "--fps", 200) == 0
    assert "0.npz: cannot tell: frame rate (fps 200, allowed from" in capsys.readouterr().out


def test_predict_writes_intervals_and_reasons(folder, model, smiles, tmp_path):
    output = tmp_path / "out" / "answers.csv"
    output.parent.mkdir()
    assert run("predict", folder, "-o", output) == 0
    table = pd.read_csv(output, keep_default_na=False)
    answers = model.answer(smiles.clips[:24])
    assert table["class"].tolist() == answers["class"].tolist()
    for ours, theirs in (("probability_spontaneous", "probability"), ("low", "low")):
        np.testing.assert_allclose(table[ours], answers[theirs])


def test_predict_needs_a_file_after_the_model(capsys):
    assert run("predict", "smiles.model") == 2
    assert "smilefusion predict [MODEL] FILE" in capsys.readouterr().err


def test_train_adapts_the_model(folder, smiles, tmp_path, capsys):
    path = tmp_path / "own.model"
    assert run("train", folder, "-o", path, "--from-pretrained") == 0
    assert "adapted to 24 clips" in capsys.readouterr().err
    expected = adapt(load_pretrained(), smiles.clips[:24], smiles.target[:24])
    np.testing.assert_allclose(load_model(path).calibration_, expected.calibration_)
    assert "with intercept" in read_model_card(path)
    assert run("predict", path, folder / "0.npz") == 0


@pytest.mark.parametrize(
    "option", [["--fusion", "film"], ["--max-epochs", 2], ["--no-early-stopping"], ["--seed", 1]]
)
def test_training_options_do_not_combine_with_the_pretrained_model(option, folder, capsys):
    assert run("train", folder, "-o", "own.model", "--from-pretrained", *option) == 2
    assert f"{option[0]} cannot be combined with --from-pretrained" in capsys.readouterr().err
