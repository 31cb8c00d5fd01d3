import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from smilefusion import (
    DeepFeatureExtractor,
    __version__,
    read_model_card,
    read_model_info,
    save_model,
)
from smilefusion._commands._benchmark import make_systems
from smilefusion.cli import main
from smilefusion.datasets._simulated import make_smiles
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.inspection._dynamics import SmileDynamicsDisplay
from smilefusion.persistence import digest_names

LIMITS = ["onset_start", "apex_start", "offset_start", "offset_end"]
LIMITS_S = [f"{limit}_s" for limit in LIMITS]
SMALL = ["--folds", "2", "--inner-folds", "2", "--max-epochs", "1", "--n-jobs", "1"]


@pytest.fixture(scope="session")
def smiles():
    return make_smiles(16, n_subjects=8, fps=25.0, random_state=0)


@pytest.fixture(scope="session")
def folder(smiles, tmp_path_factory):
    """Folder of labelled clips, as a user would have it."""
    folder = tmp_path_factory.mktemp("mine")
    rows = ["file,label,subject"]
    for i, (clip, label, subject) in enumerate(
        zip(smiles.clips, smiles.target, smiles.groups, strict=True)
    ):
        np.savez(folder / f"{i}.npz", landmarks=clip, fps=25.0)
        rows.append(f"{i}.npz,{('posed', 'spontaneous')[label]},{subject}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="session")
def model(folder, tmp_path_factory):
    """Model file trained on the folder."""
    path = tmp_path_factory.mktemp("models") / "model.smile"
    assert main(["train", str(folder), "-o", str(path), "--max-epochs", "2"]) == 0
    return path


def run(*argv):
    return main([str(each) for each in argv])


def test_version_is_printed(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == f"smilefusion {__version__}"


def test_help_loads_neither_torch_nor_matplotlib():
    code = (
        "import sys; from smilefusion.cli import main; main(['--help']); "
        "print(sorted({'torch', 'timm', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_dmarkers_writes_the_transformer_s_numbers(folder, smiles, tmp_path):
    output = tmp_path / "features.csv"
    assert run("dmarkers", folder / "0.npz", folder / "1.npz", "-o", output) == 0
    table = pd.read_csv(output)
    assert table.columns[:3].tolist() == ["file", "fps", "eyelid__onset__duration_rising"]
    expected = DMarkerTransformer(fps=25).fit_transform(smiles.clips[:2])
    np.testing.assert_allclose(table.iloc[:, 2:], expected)


def test_dmarkers_takes_the_given_frame_rate(folder, tmp_path):
    for fps in (25, 50):
        assert run("dmarkers", folder / "0.npz", "-o", tmp_path / f"{fps}.csv", "--fps", fps) == 0
    slow, fast = (pd.read_csv(tmp_path / f"{fps}.csv") for fps in (25, 50))
    assert (slow["fps"][0], fast["fps"][0]) == (25, 50)
    assert slow["lip__onset__duration"][0] > fast["lip__onset__duration"][0] > 0


def test_dmarkers_follows_the_definition(folder, smiles, tmp_path):
    output = tmp_path / "features.csv"
    run("dmarkers", folder / "0.npz", "-o", output, "--definition", "hadasmilenet")
    expected = DMarkerTransformer(definition="hadasmilenet").fit_transform(smiles.clips[:1])
    np.testing.assert_allclose(pd.read_csv(output).iloc[:, 2:], expected, rtol=1e-5)


def test_dmarkers_names_all_bad_files_and_writes_nothing(folder, tmp_path, capsys):
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"no array")
    output = tmp_path / "features.csv"
    assert run("dmarkers", bad, folder / "0.npz", "absent.npz", "-o", output) == 2
    message = capsys.readouterr().err
    assert "bad.npy" in message
    assert "absent.npz" in message
    assert list(tmp_path.iterdir()) == [bad]


def test_dmarkers_keeps_the_old_file_when_it_fails(folder, tmp_path):
    output = tmp_path / "features.csv"
    output.write_text("precious")
    assert run("dmarkers", "absent.npz", "-o", output) == 2
    assert output.read_text() == "precious"


def test_dmarkers_asks_for_an_unknown_frame_rate(smiles, tmp_path, capsys):
    np.save(tmp_path / "clip.npy", smiles.clips[0])
    assert run("dmarkers", tmp_path / "clip.npy", "-o", tmp_path / "features.csv") == 2
    assert "clip.npy: no frame rate is stored" in capsys.readouterr().err


def test_dmarkers_refuses_an_implausible_frame_rate(folder, tmp_path, capsys):
    argv = ["dmarkers", folder / "0.npz", "-o", tmp_path / "f.csv", "--fps", "1e9"]
    assert run(*argv) == 2
    assert "fps must be between 1 and 1000 frames per second" in capsys.readouterr().err


def test_dmarkers_reads_real_clips(shared, tmp_path):
    clips = sorted((shared / "clips" / "landmarks").glob("s*.npz"))
    assert run("dmarkers", *clips, "-o", tmp_path / "features.csv") == 0
    table = pd.read_csv(tmp_path / "features.csv")
    assert table.shape == (len(clips), 227)
    assert np.isfinite(table.iloc[:, 2:]).all(axis=None)


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["dmarkers", "x.npz", "-o", "absent/f.csv"], "no folder 'absent'"),
        (["dmarkers", "x.npz", "-o", "."], "'.' is a folder"),
        (["benchmark", "--data", "absent"], "no folder 'absent'"),
        (["benchmark", "--data", "absent", "--effect", "0"], "--effect shapes simulated data"),
        (["benchmark", "--fps", "25"], "--fps tells the frame rate of recorded clips"),
        (["benchmark", "--folds", "1"], "at least 2"),
        (["train", "absent", "-o", "m.smile"], "no folder 'absent'"),
        (["predict", "absent.smile", "x.npz"], "x.npz"),
        (["predict", "m.smile", "x.npz", "--plots", "absent/p"], "no folder 'absent'"),
        (["juggle"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_mistake_gives_one_line_and_status_2(argv, match, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == 2
    message = capsys.readouterr().err
    assert match in message
    assert "Traceback" not in message


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        run("--debug", "dmarkers", "absent.npz", "-o", tmp_path / "f.csv")


def test_warnings_are_one_line(smiles, tmp_path, capsys):
    still = np.repeat(smiles.clips[0][:1], 40, axis=0)
    np.save(tmp_path / "still.npy", still)
    output = tmp_path / "features.csv"
    assert run("dmarkers", tmp_path / "still.npy", "-o", output, "--fps", "25") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("warning: Clip 0 (still.npy) shows no smile")


@pytest.mark.slow
def test_model_predicts_classes_with_their_probabilities(model, folder, tmp_path):
    output = tmp_path / "predictions.csv"
    files = [folder / f"{i}.npz" for i in range(4)]
    assert run("predict", model, *files, "-o", output) == 0
    table = pd.read_csv(output)
    probability = table[["probability_posed", "probability_spontaneous"]]
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)
    assert ("probability_" + table["class"] == probability.idxmax(axis=1)).all()


@pytest.mark.slow
def test_predictions_do_not_depend_on_the_other_files(model, folder, tmp_path):
    files = [folder / f"{i}.npz" for i in range(3)]
    run("predict", model, *files, "-o", tmp_path / "all.csv")
    run("predict", model, files[2], "-o", tmp_path / "one.csv")
    together, alone = (pd.read_csv(tmp_path / name) for name in ("all.csv", "one.csv"))
    assert together["probability_posed"][2] == pytest.approx(
        alone["probability_posed"][0], abs=1e-6
    )


@pytest.mark.slow
def test_predictions_are_printed_without_an_output(model, folder, capsys):
    assert run("predict", model, folder / "0.npz") == 0
    header = capsys.readouterr().out.splitlines()[0].split()
    assert header == ["file", "class", "probability_posed", "probability_spontaneous", *LIMITS_S]


@pytest.mark.slow
def test_prediction_warns_of_another_frame_rate(model, folder, capsys):
    assert run("predict", model, folder / "0.npz", "--fps", "25.1") == 0
    assert capsys.readouterr().err == ""
    assert run("predict", model, folder / "0.npz", "--fps", "50") == 0
    assert "the frame rate is not the 25 per second" in capsys.readouterr().err


@pytest.mark.slow
def test_prediction_refuses_a_damaged_model(model, folder, tmp_path, capsys):
    damaged = tmp_path / "model.smile"
    damaged.write_bytes(model.read_bytes()[:1000])
    assert run("predict", damaged, folder / "0.npz") == 2
    assert "model.smile" in capsys.readouterr().err


@pytest.fixture
def frozen(smiles, tmp_path):
    """Model file without D-Markers inside, which needs no frame rate."""
    model = make_pipeline(
        DeepFeatureExtractor(embedding_dim=8, max_epochs=1, random_state=0), LogisticRegression()
    )
    path = tmp_path / "frozen.smile"
    save_model(model.fit(smiles.clips, smiles.target), path)
    return path


@pytest.mark.slow
def test_prediction_tells_the_phases_in_seconds(model, folder, smiles, tmp_path):
    output = tmp_path / "predictions.csv"
    assert run("predict", model, folder / "0.npz", folder / "1.npz", "-o", output) == 0
    expected = DMarkerTransformer(fps=25).phases(smiles.clips[:2])[LIMITS_S]
    pd.testing.assert_frame_equal(pd.read_csv(output)[LIMITS_S], expected)


@pytest.mark.slow
def test_prediction_of_any_model_tells_the_phases(frozen, folder, smiles, tmp_path):
    np.save(tmp_path / "1.npy", smiles.clips[1])
    output = tmp_path / "predictions.csv"
    assert run("predict", frozen, folder / "0.npz", tmp_path / "1.npy", "-o", output) == 0
    expected = DMarkerTransformer().phases(smiles.clips[:2])[LIMITS]
    pd.testing.assert_frame_equal(pd.read_csv(output)[LIMITS], expected)
    assert (
        run("predict", frozen, folder / "0.npz", tmp_path / "1.npy", "-o", output, "--fps", 25)
        == 0
    )
    assert pd.read_csv(output)["apex_start_s"][1] == expected["apex_start"][1] / 25


@pytest.mark.slow
def test_predictions_are_drawn(model, folder, tmp_path):
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / "0.npz"
    copy.write_bytes((folder / "0.npz").read_bytes())
    plots = tmp_path / "plots"
    assert run("predict", model, folder / "0.npz", folder / "1.npz", copy, "--plots", plots) == 0
    assert sorted(path.name for path in plots.iterdir()) == ["0-0.png", "1.png", "2-0.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.iterdir())


@pytest.mark.slow
def test_pictures_state_class_and_probability(model, folder, tmp_path, monkeypatch):
    titles = []
    draw = SmileDynamicsDisplay.from_clip

    def note(clip, *, title, **settings):
        titles.append(title)
        return draw(clip, title=title, **settings)

    monkeypatch.setattr(SmileDynamicsDisplay, "from_clip", note)
    output = tmp_path / "predictions.csv"
    run("predict", model, folder / "3.npz", "--plots", tmp_path / "plots", "-o", output)
    row = pd.read_csv(output).iloc[0]
    assert titles == [f"3, P({row['class']}) = {row['probability_' + row['class']]:.2f}"]


def test_pictures_without_matplotlib_are_refused_at_once(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    argv = ["predict", tmp_path / "absent.smile", folder / "0.npz", "--plots", tmp_path / "plots"]
    assert run(*argv) == 2
    assert "smilefusion predict --plots needs matplotlib" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_training_fills_in_the_model_card(folder, model):
    card, info = read_model_card(model), read_model_info(model)
    assert "16 clips of 8 subjects from the folder" in card
    assert "whole subjects were set aside" in card
    assert "No clip was kept for a test" in card
    files = pd.read_csv(folder / "labels.csv")["file"]
    assert info["splits"]["train"] == {"n": 16, "sha256": digest_names(files)}


def test_training_refuses_an_unknown_strategy(folder, tmp_path, capsys):
    assert run("train", folder, "-o", tmp_path / "m.smile", "--fusion", "hadamar") == 2
    assert "hadamard" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_benchmark_compares_all_systems(tmp_path, capsys):
    argv = ["--n-clips", "24", "--n-subjects", "12", *SMALL, "-o", tmp_path / "out"]
    assert run("benchmark", *argv) == 0
    printed = capsys.readouterr().out
    assert "simulated: the figures say nothing about real smiles" in printed
    assert (tmp_path / "out" / "table.md").read_text().strip() == printed.strip()
    assert (tmp_path / "out" / "figure.png").read_bytes().startswith(b"\x89PNG")
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert predictions.groupby("estimator")["clip"].nunique().tolist() == [24] * 20


def test_benchmark_reads_a_folder(folder, tmp_path, capsys, monkeypatch):
    keep_baselines(monkeypatch)
    assert run("benchmark", "--data", folder, *SMALL, "--no-figure", "-o", tmp_path) == 0
    assert f"Benchmark on {folder.name}" in capsys.readouterr().out
    assert not (tmp_path / "figure.png").exists()
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert set(predictions["clip"]) == {f"{i}.npz" for i in range(16)}


def test_benchmark_writes_no_formulas(folder, tmp_path, monkeypatch):
    keep_baselines(monkeypatch)
    data = shutil.copytree(folder, tmp_path / "data")
    (data / "0.npz").rename(data / "=0.npz")
    table = (data / "labels.csv").read_text()
    (data / "labels.csv").write_text(table.replace("\n0.npz", "\n=0.npz"))
    assert run("benchmark", "--data", data, *SMALL, "--no-figure", "-o", tmp_path / "out") == 0
    assert "'=0.npz" in set(pd.read_csv(tmp_path / "out" / "predictions.csv")["clip"])


def test_benchmark_names_the_effect_of_the_simulation(tmp_path, capsys, monkeypatch):
    keep_baselines(monkeypatch)
    argv = ["--n-clips", "12", "--n-subjects", "6", "--effect", "0", *SMALL, "--no-figure"]
    assert run("benchmark", *argv, "-o", tmp_path) == 0
    assert "simulated data (effect 0): 12 clips of 6 subjects" in capsys.readouterr().out


def test_benchmark_takes_a_protocol(tmp_path, capsys, monkeypatch):
    keep_baselines(monkeypatch)
    argv = ["--n-clips", "40", "--n-subjects", "20", *SMALL, "--no-figure"]
    assert run("benchmark", *argv, "--protocol", "permuted-labels", "-o", tmp_path) == 0
    assert "there is nothing to learn" in capsys.readouterr().out
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert predictions["protocol"].unique().tolist() == ["permuted-labels"]


def keep_baselines(monkeypatch):
    """Leave only the systems that need no training of networks."""

    def make_baselines(**settings):
        systems = make_systems(**settings)
        return {name: systems[name] for name in ("majority", "clip duration")}

    monkeypatch.setattr("smilefusion._commands._benchmark.make_systems", make_baselines)


def test_benchmark_refuses_mixed_frame_rates(folder, smiles, tmp_path, capsys):
    for name, fps in (("a", 25.0), ("b", 50.0)):
        np.savez(tmp_path / f"{name}.npz", landmarks=smiles.clips[0], fps=fps)
    (tmp_path / "labels.csv").write_text("file,label,subject\na.npz,0,1\nb.npz,1,2\n")
    assert run("benchmark", "--data", tmp_path, "-o", tmp_path / "out", "--no-figure") == 2
    assert "frame rates from 25 to 50" in capsys.readouterr().err
