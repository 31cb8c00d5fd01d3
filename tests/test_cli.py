import errno
import io
import os
import re
import shutil
import stat
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from joblib import Memory
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from smilefusion import (
    DeepFeatureExtractor,
    DMarkerTransformer,
    __version__,
    read_model_card,
    read_model_info,
    save_model,
)
from smilefusion.benchmark import load_results
from smilefusion.cli import _main, main
from smilefusion.cli._benchmark import FUSIONS, make_systems
from smilefusion.inspection import SmileDynamicsDisplay
from smilefusion.persistence import digest_names

LIMITS = ["onset_start", "apex_start", "offset_start", "offset_end"]
LIMITS_S = [f"{limit}_s" for limit in LIMITS]
SMALL = ["--folds", "2", "--inner-folds", "2", "--max-epochs", "1", "--n-jobs", "1"]


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


def test_help_and_errors_in_arguments_and_tables_come_without_slow_libraries(tmp_path):
    code = """
import sys
from smilefusion.cli import main
helped = [main(["--help"]), main(["train", "--help"])]
print(helped, {"sklearn", "pandas", "rich"} & set(sys.modules))
train = ["train", ".", "-o", "m.smile"]
print([main([*train, "--fusion", "bogus"]), main(train), main(["predict", "m.smile"])])
print({"torch", "timm", "matplotlib", "rich"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    lines = result.stdout.splitlines()
    assert "[0, 0] set()" in lines
    assert lines[-2:] == ["[2, 2, 2]", "set()"]


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


def test_dmarkers_names_all_bad_files_and_writes_nothing(smiles, tmp_path, capsys):
    bad, no_rate, output = (tmp_path / name for name in ("bad.npy", "clip.npy", "features.csv"))
    bad.write_bytes(b"no array")
    np.save(no_rate, smiles.clips[0])
    output.write_text("precious")
    assert run("dmarkers", bad, "absent.npz", no_rate, "-o", output) == 2
    message = capsys.readouterr().err
    assert "failed: " + str(bad) in message
    assert "failed: absent.npz" in message
    assert "clip.npy): no frame rate is stored" in message
    assert "3 files failed." in message
    assert output.read_text() == "precious"


def test_dmarkers_of_sound_clips_do_without_the_bad_ones(folder, smiles, tmp_path, capsys):
    np.savez(tmp_path / "short.npz", landmarks=smiles.clips[0][:1], fps=25.0)
    np.save(tmp_path / "no_rate.npy", smiles.clips[0])
    output = tmp_path / "features.csv"
    bad = [tmp_path / "short.npz", tmp_path / "no_rate.npy", tmp_path / "absent.npz"]
    assert run("dmarkers", bad[0], folder / "0.npz", *bad[1:], folder / "1.npz", "-o", output) == 1
    lines = capsys.readouterr().err.splitlines()
    failed = {line.split(": ")[1] for line in lines if line.startswith("failed")}
    assert failed == set(map(str, bad))
    assert lines[0] == f"{output}: 225 D-Markers of 2 clips."
    assert run("dmarkers", folder / "0.npz", folder / "1.npz", "-o", tmp_path / "two.csv") == 0
    assert output.read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.fixture
def clip(folder, tmp_path):
    """A copy of a clip, under its name, a symbolic and a hard link."""
    clip = shutil.copy(folder / "0.npz", tmp_path / "clip.npz")
    (tmp_path / "soft.csv").symlink_to(clip)
    (tmp_path / "hard.csv").hardlink_to(clip)
    (tmp_path / "sub").mkdir()
    return clip


@pytest.mark.parametrize("output", ["clip.npz", "sub/../clip.npz", "soft.csv", "hard.csv"])
def test_output_over_an_input_is_refused(output, clip, tmp_path, capsys):
    before = clip.read_bytes()
    assert run("dmarkers", clip, "-o", tmp_path / output) == 2
    assert "the input" in capsys.readouterr().err
    assert (tmp_path / output).samefile(clip)
    assert clip.read_bytes() == before


@pytest.mark.parametrize("output", ["labels.csv", "3.npz", "hard"])
def test_training_does_not_write_over_its_data(output, folder, tmp_path, capsys):
    data = shutil.copytree(folder, tmp_path / "data")
    (data / "hard").hardlink_to(data / "3.npz")
    before = (data / output).read_bytes()
    assert run("train", data, "-o", data / output, "--max-epochs", 1) == 2
    assert "The output" in capsys.readouterr().err
    assert (data / output).read_bytes() == before


def test_prediction_does_not_write_over_the_model(model, folder, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    copy = shutil.copy(model, pictures / "0.png")
    for options in (["-o", copy], ["--plots", pictures]):
        assert run("predict", copy, folder / "0.npz", *options) == 2
        assert f"is the input {str(copy)!r}" in capsys.readouterr().err
    assert copy.read_bytes() == model.read_bytes()


def test_named_pipe_as_output_is_refused(clip, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    assert run("dmarkers", clip, "-o", tmp_path / "pipe") == 2
    assert "is a named pipe" in capsys.readouterr().err
    assert (tmp_path / "pipe").is_fifo()


def test_null_device_as_output_stays(clip, tmp_path):
    null = tmp_path / "null"  # never the machine's own one
    try:
        os.mknod(null, stat.S_IFCHR | 0o666, os.stat(os.devnull).st_rdev)
        null.open("wb").close()
    except PermissionError:
        pytest.skip("device files cannot be made or used here")
    assert run("dmarkers", clip, "-o", null) == 0
    assert null.is_char_device()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/fd/1"), reason="needs /dev/fd")
def test_standard_output_as_output_gets_the_table(clip, tmp_path):
    names = ["/dev/fd/1", "/dev/stdout"]
    code = "from smilefusion.cli import main\n" + "".join(
        f"assert main(['dmarkers', {str(clip)!r}, '-o', {name!r}]) == 0\n" for name in names
    )
    with (tmp_path / "out.csv").open("w") as out:
        out.write("# before\n")
        out.flush()
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    before, first, second = (tmp_path / "out.csv").read_text().split("file,fps,")
    assert before == "# before\n"
    assert first == second
    assert not any(stat.S_ISREG(os.lstat(name).st_mode) for name in names)


def test_symbolic_link_as_output_is_followed(clip, tmp_path):
    (tmp_path / "link.csv").symlink_to("sub/features.csv")
    for _ in range(2):  # of a new file, then of an old one
        assert run("dmarkers", clip, "-o", tmp_path / "link.csv") == 0
        assert (tmp_path / "link.csv").is_symlink()
        assert [path.name for path in (tmp_path / "sub").iterdir()] == ["features.csv"]


def test_full_disk_is_found_before_the_work(full_disk, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("smilefusion.estimators._pipeline.make_smile_classifier", None)
    with full_disk():
        assert run("train", folder, "-o", tmp_path / "m.smile") == 2
    assert f"The folder '{tmp_path}' cannot be written to" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_trained_model_is_kept_when_it_cannot_be_written(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "kept"))

    def save(model, path, **facts):
        if path == tmp_path / "m.smile":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save_model(model, path, **facts)

    monkeypatch.setattr("smilefusion.persistence._model_files.save_model", save)
    assert run("train", folder, "-o", tmp_path / "m.smile", "--max-epochs", 1) == 2
    assert "m.smile' cannot be written (No space left on device)" in capsys.readouterr().err
    (kept,) = tmp_path.glob("kept/*/m.smile")
    assert "24 clips of 8 subjects" in read_model_card(kept)


def test_names_are_printed_without_control_characters(tmp_path, capsys):
    assert run("dmarkers", "bad\x1b[31m\nname\udcff.npz", "-o", tmp_path / "f.csv") == 2
    message = capsys.readouterr().err
    assert r"bad\x1b[31m name\udcff.npz" in message
    assert message.replace("\n", "").isprintable()


def test_names_in_tables_are_neither_formulas_nor_broken_text(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["=1.npz", "@2.npz", "\udcff.npz"]
    for name in names:
        shutil.copy(clip, name)
    assert run("dmarkers", *names, "-o", "features.csv") == 0
    assert pd.read_csv("features.csv")["file"].tolist() == ["'=1.npz", "'@2.npz", r"\udcff.npz"]


@pytest.mark.parametrize("command", _main._COMMANDS)
def test_every_command_has_help(command, capsys):
    assert run(command, "--help") == 0
    assert f"smilefusion {command}" in capsys.readouterr().out


def test_help_of_predict_names_the_law(capsys):
    run("predict", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "[MODEL] FILE [FILE ...]" in text
    assert "Regulation (EU) 2024/1689" in text


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["dmarkers", "x.npz", "-o", "absent/f.csv"], "no folder 'absent'"),
        (["dmarkers", "x.npz", "-o", "."], "'.' is a folder"),
        (["dmarkers", "x.npz", "-o", "film.MP4"], "has the suffix of a clip or a video"),
        (["benchmark", "--data", "absent"], "no folder 'absent'"),
        (["benchmark", "--data", "absent", "--effect", "0"], "only with simulated data"),
        (["benchmark", "--fps", "25"], "--fps sets the frame rate of recorded clips"),
        (["benchmark", "--folds", "1"], "at least 2"),
        (["benchmark", "--fusion", "concat", "hadamrd"], "Did you mean 'hadamard'?"),
        (["train", "absent", "-o", "m.smile"], "no folder 'absent'"),
        (["predict", "absent.smile", "x.npz"], "absent.smile does not exist"),
        (["predict", "m.smile", "x.npz", "--plots", "absent/p"], "no folder 'absent'"),
        (["predict", "m.smile"], "Pass the files to classify"),
        (["report", "nowhere"], "no folder 'nowhere'"),
        (["train", "absent", "-o", "m.smile", "--fusion", "bogus"], "got 'bogus'. Choose one"),
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


@pytest.fixture
def frozen(smiles, tmp_path):
    """Model file without D-Markers inside, trained on clips that state no frame rate."""
    model = make_pipeline(
        DeepFeatureExtractor(embedding_dim=8, max_epochs=1, random_state=0), LogisticRegression()
    )
    path = tmp_path / "frozen.smile"
    save_model(model.fit(list(smiles.clips), smiles.target), path)
    return path


@pytest.mark.slow
def test_prediction_of_any_model_tells_the_phases(frozen, folder, smiles, tmp_path):
    np.save(tmp_path / "1.npy", smiles.clips[1])
    output = tmp_path / "predictions.csv"
    assert run("predict", frozen, folder / "0.npz", tmp_path / "1.npy", "-o", output) == 0
    expected = DMarkerTransformer().phases(list(smiles.clips[:2]))[LIMITS]
    pd.testing.assert_frame_equal(pd.read_csv(output)[LIMITS], expected)
    assert (
        run("predict", frozen, folder / "0.npz", tmp_path / "1.npy", "-o", output, "--fps", 25)
        == 0
    )
    expected = DMarkerTransformer(fps=25).phases(list(smiles.clips[:2]))
    assert pd.read_csv(output)["apex_start_s"][1] == expected["apex_start"][1] / 25


@pytest.mark.slow
def test_predictions_are_drawn(model, folder, tmp_path):
    (tmp_path / "other").mkdir()
    copy, prefixed = tmp_path / "other" / "0.npz", tmp_path / "other" / "0-0.npz"
    for path in (copy, prefixed):
        path.write_bytes((folder / "0.npz").read_bytes())
    plots = tmp_path / "plots"
    files = [folder / "0.npz", folder / "1.npz", copy, prefixed]
    assert run("predict", model, *files, "--plots", plots) == 0
    names = ["0-0-0.png", "0-0.png", "1.png", "2-0.png"]
    assert sorted(path.name for path in plots.iterdir()) == names
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
    assert "24 clips of 8 subjects from the folder" in card
    assert "each network left out a fold of whole subjects" in card
    assert "No clips were kept for testing" in card
    files = pd.read_csv(folder / "labels.csv")["file"]
    assert info["splits"]["train"] == {"n": 24, "sha256": digest_names(files)}


def test_model_card_lists_the_groups_of_people(folder, tmp_path):
    data = shutil.copytree(folder, tmp_path / "data")
    table = pd.read_csv(data / "labels.csv")
    person = pd.factorize(table["subject"])[0]
    names = np.where(person < 6, "f|m", "other")
    table.assign(sex=names, age=20 + 2 * person, note=table["file"] + " secret", empty="").to_csv(
        data / "labels.csv", index=False
    )
    output = tmp_path / "m.smile"
    assert run("train", data, "-o", output, "--max-epochs", 1, "--no-early-stopping") == 0
    card = read_model_card(output)
    n_clips = (names == "other").sum()
    assert re.search(rf"\| other +\| +{n_clips} \| +2 \| +\d+% \|", card)
    assert r"f\|m" in card
    assert "note: 24 different values." in card
    assert "secret" not in card
    assert "empty" not in card


def test_training_leaves_out_what_it_cannot_read(folder, smiles, tmp_path, capsys):
    data = shutil.copytree(folder, tmp_path / "data")
    (data / "0.npz").write_bytes(b"no clip")
    (data / "1.npz").unlink()
    np.savez(data / "2.npz", landmarks=smiles.clips[2][:1], fps=25.0)
    output = tmp_path / "m.smile"
    assert run("train", data, "-o", output, "--max-epochs", 1) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines if line.startswith("failed")] == [
        str(data / f"{i}.npz") for i in range(3)
    ]
    assert "21 clips of " in read_model_card(output)
    assert "3 clips could not be read" in read_model_card(output)
    assert read_model_info(output)["splits"]["train"]["n"] == 21


def test_training_without_any_sound_clip_fails(folder, tmp_path, capsys):
    shutil.copy(folder / "labels.csv", tmp_path)
    assert run("train", tmp_path, "-o", tmp_path / "m.smile") == 2
    assert "24 files failed." in capsys.readouterr().err


def test_training_names_the_option_that_helps(folder, tmp_path, capsys):
    for i in range(4):
        shutil.copy(folder / f"{i}.npz", tmp_path)
    rows = [f"{i}.npz,{i % 2},{i % 2}" for i in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,subject", *rows]))
    argv = ["train", tmp_path, "-o", tmp_path / "m.smile", "--max-epochs", 1]
    assert run(*argv) == 2
    assert "on all of them with --no-early-stopping" in capsys.readouterr().err
    assert run(*argv, "--no-early-stopping") == 0
    assert "early stopping was off" in read_model_card(argv[3])


def test_prediction_does_without_a_bad_file(model, folder, tmp_path, capsys):
    bad, output = tmp_path / "bad.npy", tmp_path / "predictions.csv"
    bad.write_bytes(b"no array")
    assert run("predict", model, bad, folder / "0.npz", "-o", output) == 1
    assert f"failed: {bad}: " in capsys.readouterr().err
    assert pd.read_csv(output)["file"].tolist() == [str(folder / "0.npz")]
    assert run("predict", model, bad, "-o", output) == 2


def test_predictions_are_written_before_pictures(model, folder, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "0.png")

    monkeypatch.setattr(SmileDynamicsDisplay, "from_clip", fail)
    output = tmp_path / "predictions.csv"
    options = ["-o", output, "--plots", tmp_path / "plots"]
    assert run("predict", model, folder / "0.npz", *options) == 2
    assert "0.png: No space left on device." in capsys.readouterr().err
    assert len(pd.read_csv(output)) == 1


@pytest.mark.slow
def test_benchmark_compares_all_systems(tmp_path, capsys, monkeypatch):
    systems = make_systems(inner_folds=2, memory=Memory(None), random_state=0)
    assert len(systems) == 9 + len(FUSIONS) == 24
    few = {name: FUSIONS[name] for name in ("concat", "hadamard")}
    monkeypatch.setattr("smilefusion.cli._benchmark.FUSIONS", few)
    argv = ["--n-clips", "24", "--n-subjects", "12", *SMALL, "-o", tmp_path / "out"]
    assert run("benchmark", *argv) == 0
    printed = capsys.readouterr().out
    assert "simulated: the scores say nothing about real smiles" in printed
    assert (tmp_path / "out" / "table.md").read_text().strip() == printed.strip()
    assert (tmp_path / "out" / "figure.png").read_bytes().startswith(b"\x89PNG")
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert predictions.groupby("estimator")["clip"].nunique().tolist() == [24] * 11


def test_benchmark_reads_a_folder_and_writes_no_formulas(folder, tmp_path, capsys, monkeypatch):
    keep_baselines(monkeypatch)
    data, output = shutil.copytree(folder, tmp_path / "data"), tmp_path / "out"
    (data / "0.npz").rename(data / "=0.npz")
    table = (data / "labels.csv").read_text()
    (data / "labels.csv").write_text(table.replace("\n0.npz", "\n=0.npz"))
    assert run("benchmark", "--data", data, *SMALL, "--no-figure", "-o", output) == 0
    assert "Benchmark on data" in capsys.readouterr().out
    assert not (output / "figure.png").exists()
    clips = set(pd.read_csv(output / "predictions.csv")["clip"])
    assert clips == {"'=0.npz", *(f"{i}.npz" for i in range(1, 24))}


def test_benchmark_names_effect_and_protocol(tmp_path, capsys, monkeypatch):
    keep_baselines(monkeypatch)
    argv = ["--n-clips", "40", "--n-subjects", "20", "--effect", "0", *SMALL, "--no-figure"]
    assert run("benchmark", *argv, "--protocol", "permuted-labels", "-o", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "simulated data (effect 0)" in printed
    assert "there is nothing to learn" in printed
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert predictions["protocol"].unique().tolist() == ["permuted-labels"]


def test_benchmark_keeps_to_one_set_of_results_per_folder(tmp_path, monkeypatch, capsys):
    keep_baselines(monkeypatch)
    argv = ["--n-clips", "12", "--n-subjects", "6", *SMALL, "--no-figure", "-o", tmp_path]
    assert run("benchmark", *argv) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}
    for other in (["--effect", "2"], ["--protocol", "permuted-labels"]):
        capsys.readouterr()
        assert run("benchmark", *argv, *other) == 2
        assert "Choose another folder with -o" in capsys.readouterr().err
    assert run("benchmark", *argv) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} == before


def test_benchmark_adds_strategies_to_its_results(tmp_path, monkeypatch, capsys):
    def make_few(**settings):
        systems = make_systems(**settings)
        return {name: systems[name] for name in ("majority", *settings["fusions"])}

    monkeypatch.setattr("smilefusion.cli._benchmark.make_systems", make_few)
    argv = ["--n-clips", "12", "--n-subjects", "6", *SMALL, "--no-figure", "-o", tmp_path]
    for name in ("film", "concat"):
        assert run("benchmark", *argv, "--fusion", name) == 0
        assert f"| {name} " in capsys.readouterr().out
    assert set(load_results(tmp_path)["estimator"]) == {"majority", "film", "concat"}


def test_systems_contain_the_chosen_strategies():
    systems = make_systems(
        inner_folds=2, memory=Memory(None), random_state=0, fusions=["film", "concat"]
    )
    assert [name for name in systems if name in FUSIONS] == ["film", "concat"]
    assert "chosen inside" not in systems


@pytest.mark.parametrize("name", ["predictions.csv", "table.md"])
def test_benchmark_keeps_files_of_others(name, tmp_path, monkeypatch):
    keep_baselines(monkeypatch)
    (tmp_path / name).write_text("precious")
    argv = ["--n-clips", "12", "--n-subjects", "6", *SMALL, "--no-figure"]
    assert run("benchmark", *argv, "-o", tmp_path) == 2
    assert (tmp_path / name).read_text() == "precious"


def test_benchmark_refuses_the_folder_of_the_data(folder, tmp_path, monkeypatch, capsys):
    keep_baselines(monkeypatch)
    data = shutil.copytree(folder, tmp_path / "data")
    assert run("benchmark", "--data", data, *SMALL, "--no-figure", "-o", data) == 2
    assert "the results need a separate folder" in capsys.readouterr().err


def test_benchmark_writes_its_table_before_it_prints(tmp_path, monkeypatch, capsys):
    keep_baselines(monkeypatch)

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    argv = ["--n-clips", "12", "--n-subjects", "6", *SMALL, "--no-figure"]
    assert run("benchmark", *argv, "-o", tmp_path) == 141
    assert "Benchmark on simulated data" in (tmp_path / "table.md").read_text()
    assert "Error" not in capsys.readouterr().err


def keep_baselines(monkeypatch):
    """Leave only the systems that need no training of networks."""

    def make_baselines(**settings):
        systems = make_systems(**settings)
        return {name: systems[name] for name in ("majority", "clip duration")}

    monkeypatch.setattr("smilefusion.cli._benchmark.make_systems", make_baselines)


def test_benchmark_refuses_mixed_frame_rates(folder, smiles, tmp_path, capsys):
    for name, fps in (("a", 25.0), ("b", 50.0)):
        np.savez(tmp_path / f"{name}.npz", landmarks=smiles.clips[0], fps=fps)
    (tmp_path / "labels.csv").write_text("file,label,subject\na.npz,0,1\nb.npz,1,2\n")
    assert run("benchmark", "--data", tmp_path, "-o", tmp_path / "out", "--no-figure") == 2
    assert "frame rates from 25 to 50" in capsys.readouterr().err
