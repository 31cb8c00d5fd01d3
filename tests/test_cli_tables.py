"""Tables of other tools as inputs of commands."""

import json
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from exports import (
    FPS,
    SIZE,
    libreface,
    live_link,
    mediapipe,
    mediapipe_json,
    openface_2,
    openface_3,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_readers import openface_table

from smilefusion import (
    DMarkerTransformer,
    SignalMarkerTransformer,
    read_model_card,
    save_model,
)
from smilefusion.cli import main
from smilefusion.cli._benchmark import make_systems
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.readers import read_clips

IMAGE = ("--image-size", *SIZE)


@pytest.fixture(scope="module")
def faces():
    """Eight clips of 68 points."""
    return list(make_smiles(8, n_subjects=4, fps=FPS, n_landmarks=68, random_state=0).clips)


@pytest.fixture(scope="module")
def mesh(smiles):
    """A clip of 478 landmarks."""
    return smiles.clips[0]


@pytest.fixture(scope="module")
def trained(smiles, tmp_path_factory):
    """The file of a model of D-Markers."""
    model = make_pipeline(DMarkerTransformer(), StandardScaler(), LogisticRegression())
    path = tmp_path_factory.mktemp("models") / "model.smile"
    save_model(model.fit(smiles.clips.replace(fps=FPS), smiles.target), path)
    return path


@pytest.fixture
def tables(faces, tmp_path):
    """A labelled folder of eight tables of OpenFace."""
    folder = tmp_path / "tables"
    folder.mkdir()
    rows = ["file,label,subject"]
    for i, clip in enumerate(faces):
        openface_table(clip).to_csv(folder / f"{i}.csv", index=False)
        rows.append(f"{i}.csv,{('posed', 'spontaneous')[i % 2]},subject {i // 2}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def parquet(monkeypatch):
    """Let pandas read and write Parquet files as pickles, without pyarrow."""
    package = ModuleType("pyarrow")
    package.__spec__ = object()
    monkeypatch.setitem(sys.modules, "pyarrow", package)
    monkeypatch.setattr(pd, "read_parquet", pd.read_pickle)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda self, path, index: self.to_pickle(path))


@pytest.fixture
def without_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)


def run(*argv):
    return main([str(each) for each in argv])


def save(path, table, **options):
    table.to_csv(path, index=False, **options)
    return path


def numbers(path):
    return pd.read_csv(path).drop(columns="file").select_dtypes("number")


def test_predictions_of_a_table_are_those_of_its_clip(mesh, trained, tmp_path):
    table, clip = save(tmp_path / "a.csv", mediapipe(mesh)), tmp_path / "a.npz"
    np.savez(clip, landmarks=mesh, fps=FPS)
    assert run("predict", trained, table, clip, *IMAGE, "-o", tmp_path / "out.csv") == 0
    rows = numbers(tmp_path / "out.csv").to_numpy()
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-5)


def test_dmarkers_of_68_points_omit_the_cheeks(tables, tmp_path, capsys):
    assert run("dmarkers", tables, "-o", tmp_path / "out.csv") == 0
    assert numbers(tmp_path / "out.csv").shape == (8, 151)  # with the frame rate
    assert "no points for the cheek signal" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson"])
def test_dmarkers_of_a_table_are_those_of_read_clips(suffix, mesh, tmp_path):
    path, output = tmp_path / f"a{suffix}", tmp_path / "out.csv"
    if "json" in suffix:
        path.write_text(mediapipe_json(mesh, lines=suffix != ".json"))
    else:
        save(path, mediapipe(mesh), sep="\t" if suffix == ".tsv" else ",")
    assert run("dmarkers", path, *IMAGE, "-o", output) == 0
    expected = DMarkerTransformer().fit_transform(read_clips(path, image_size=SIZE).clips)
    np.testing.assert_allclose(numbers(output).to_numpy()[:, 1:], expected, rtol=1e-12)


def test_describe_reads_a_table(faces, tmp_path, capsys):
    assert run("describe", save(tmp_path / "anna.csv", openface_table(faces[0]))) == 0
    assert "anna.csv" in capsys.readouterr().out


def test_rate_of_a_table_can_be_given(faces, tmp_path):
    table = openface_table(faces[0]).drop(columns="timestamp")
    path, output = save(tmp_path / "a.csv", table), tmp_path / "out.csv"
    assert run("dmarkers", path, "-o", output) == 2
    assert run("dmarkers", path, "--fps", 30, "-o", output) == 0
    assert numbers(output)["fps"].tolist() == [30]


def test_clips_of_tables_are_kept(faces, tmp_path):
    path = save(tmp_path / "a.csv", openface_table(faces[0]))
    argv = ["dmarkers", path, "--clips", tmp_path / "clips", "-o", tmp_path / "out.csv"]
    assert [run(*argv), run(*argv)] == [0, 0]
    clips = check_clips(sorted((tmp_path / "clips").iterdir()))
    np.testing.assert_array_equal(clips[0], read_clips(path).clips[0])
    assert clips.fps.tolist() == [FPS]


def test_folder_means_its_tables_if_it_has_no_clips(tables, tmp_path, faces):
    (tables / "notes.txt").write_text("notes")
    output = tmp_path / "out.csv"
    assert run("dmarkers", tables, "-o", output) == 0
    files = [str(tables / f"{i}.csv") for i in range(8)]
    assert pd.read_csv(output)["file"].tolist() == files
    np.savez(tables / "clip.npz", landmarks=faces[0], fps=FPS)
    assert run("dmarkers", tables, "-o", output) == 0
    assert pd.read_csv(output)["file"].tolist() == [str(tables / "clip.npz")]


def test_failed_tables_are_skipped(tables, tmp_path, capsys):
    (tables / "3.csv").write_text("a,b\n1,2\n")
    assert run("dmarkers", tables, "-o", tmp_path / "out.csv") == 1
    assert "failed: " in (message := capsys.readouterr().err)
    assert "3.csv has the columns a, b, which are not those of OpenFace 2" in message
    assert len(pd.read_csv(tmp_path / "out.csv")) == 7


@pytest.mark.parametrize("command", ["dmarkers", "describe"])
def test_tables_with_different_landmarks_are_refused(command, tables, mesh, tmp_path, capsys):
    save(tables / "mesh.csv", mediapipe(mesh))
    assert run(command, tables, *IMAGE, "-o", tmp_path / "out.csv") == 2
    assert "(Clip 0 (0.csv), " in (message := capsys.readouterr().err)
    assert "and 3 more), others 478 landmarks in 3 dimensions (Clip 8 (mesh.csv)), but" in message
    assert message.endswith("Process each group separately.\n")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (mediapipe, "shape of the image is unknown. Pass --image-size WIDTH HEIGHT"),
        (libreface, "shape of the image is unknown. Pass --image-size WIDTH HEIGHT"),
        (live_link, "a.csv has no landmarks, but this command needs them.* dmarkers --signals"),
    ],
)
def test_table_without_usable_landmarks_is_refused(make, match, mesh, tmp_path, capsys):
    path = save(tmp_path / "a.csv", make(mesh))
    assert run("dmarkers", path, "-o", tmp_path / "out.csv") == 2
    assert pd.Series([capsys.readouterr().err]).str.contains(match).all()


def test_table_of_several_clips_is_refused(faces, tmp_path, capsys):
    parts = [openface_table(faces[i]).assign(video=f"{i}.mp4") for i in range(2)]
    path = save(tmp_path / "a.csv", pd.concat(parts))
    assert run("describe", path) == 2
    message = capsys.readouterr().err
    assert "a.csv contains 2 clips (Clip 0 (0.mp4), Clip 1 (1.mp4)), but this" in message
    assert "smilefusion.readers.read_clips" in message


def test_table_of_several_faces_is_refused_with_the_remedy(faces, tmp_path, capsys):
    parts = [openface_table(faces[0]).assign(face_id=i) for i in range(2)]
    assert run("describe", save(tmp_path / "a.csv", pd.concat(parts))) == 2
    assert "Choose one in Python with smilefusion.readers.read_clips" in capsys.readouterr().err


def test_output_does_not_replace_an_input_table(tables, capsys):
    before = (tables / "1.csv").read_text()
    assert run("dmarkers", tables / "1.csv", "-o", tables / "1.csv") == 2
    assert run("dmarkers", tables, "-o", tables / "1.csv") == 2
    assert capsys.readouterr().err.count("1.csv' and would overwrite it") == 2
    assert (tables / "1.csv").read_text() == before


def test_output_does_not_become_an_input_of_the_next_run(tables, capsys):
    assert run("dmarkers", tables, "-o", tables / "features.csv") == 2
    assert "would become an input of the next run" in capsys.readouterr().err
    assert not (tables / "features.csv").exists()
    assert run("dmarkers", tables / "1.csv", "-o", tables / "features.csv") == 0


def test_training_reads_tables_and_skips_failed_ones(tables, tmp_path, capsys):
    (tables / "2.csv").write_text("a,b\n1,2\n")
    output = tmp_path / "m.smile"
    options = ["--max-epochs", 1, "--no-early-stopping"]
    assert run("train", tables, "-o", output, *options) == 1
    assert f"failed: {tables / '2.csv'}" in capsys.readouterr().err
    assert "7 clips of 4 subjects from the folder tables, at 25 frames" in read_model_card(output)
    assert run("predict", output, tables / "1.csv") == 0


@pytest.mark.parametrize("command", ["train", "benchmark --data"])
def test_labels_are_not_a_table(command, tables, tmp_path, capsys):
    labels = (tables / "labels.csv").read_text().replace("1.csv", "labels.csv")
    (tables / "labels.csv").write_text(labels)
    assert run(*command.split(), tables, "-o", tmp_path / "out") == 2
    assert "labels.csv is not in .npy or .npz format" in capsys.readouterr().err


def test_benchmark_reads_tables(tables, tmp_path, monkeypatch, capsys):
    def make_baselines(**settings):
        return {name: make_systems(**settings)[name] for name in ("majority", "clip duration")}

    monkeypatch.setattr("smilefusion.cli._benchmark.make_systems", make_baselines)
    small = ["--folds", 2, "--inner-folds", 2, "--n-jobs", 1, "--no-figure"]
    argv = ["benchmark", "--data", tables, "-o", tmp_path / "out", *small]
    assert run(*argv) == 0
    first = capsys.readouterr().out
    clips = pd.read_csv(tmp_path / "out" / "predictions.csv")["clip"]
    assert set(clips) == {f"{i}.csv" for i in range(8)}
    assert run(*argv) == 0
    assert capsys.readouterr().out == first


def test_benchmark_names_failed_tables(tables, tmp_path, capsys):
    (tables / "2.csv").write_text("a,b\n1,2\n")
    assert run("benchmark", "--data", tables, "-o", tmp_path / "out") == 2
    assert "1 of 8 files failed: The clip 2.csv has the columns a, b" in capsys.readouterr().err


def test_markers_of_signals_are_those_of_the_transformer(faces, tmp_path):
    paths = [save(tmp_path / f"{i}.csv", openface_2(faces[i])) for i in range(2)]
    output = tmp_path / "out.csv"
    options = ["--signals", "AU12_r, AU06_r", "--min-amplitude", 0.05]
    assert run("dmarkers", *paths, *options, "-o", output) == 0
    table = pd.read_csv(output)
    assert table["file"].tolist() == list(map(str, paths))
    markers = SignalMarkerTransformer(["AU12_r", "AU06_r"], min_amplitude=0.05)
    expected = np.vstack([markers.fit_transform(read_clips(path).signals) for path in paths])
    assert table.columns[2:].tolist() == markers.get_feature_names_out().tolist()
    np.testing.assert_allclose(numbers(output).to_numpy()[:, 1:], expected, rtol=1e-12)


def test_signals_need_no_image_size(mesh, tmp_path, capsys):
    path = save(tmp_path / "a.csv", mediapipe(mesh))
    argv = ["dmarkers", path, "--signals", "mouthSmileLeft", "-o", tmp_path / "out.csv"]
    assert run(*argv) == 0
    assert "75 markers of 1 clip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--signals", "mouth"], "a.csv) has no signal 'mouth'; it has AU01_r, AU02_r"),
        (["--signals", "mouth"], "and 25 more. Choose signals that all clips have."),
        (["--signals", "au12"], "and 25 more. Did you mean AU12_r, AU12_c?"),
        (["--signals", ","], "pass names of signals, separated by commas"),
        (["--signals", "AU12_r", "--definition", "standard"], "--definition can be used only"),
        (["--min-amplitude", 1], "--min-amplitude can be used only with --signals"),
        (["b.npz", "--signals", "AU12_r"], "b.npz is not a table, but --signals reads tables"),
    ],
)
def test_options_of_signals_are_checked(options, match, faces, tmp_path, capsys):
    path = save(tmp_path / "a.csv", openface_2(faces[0]))
    assert run("dmarkers", path, *options, "-o", tmp_path / "out.csv") != 0
    assert match in capsys.readouterr().err


def test_surplus_commas_between_signals_are_ignored(faces, tmp_path):
    path = save(tmp_path / "a.csv", openface_2(faces[0]))
    assert run("dmarkers", path, "--signals", " AU12_r,,", "-o", tmp_path / "out.csv") == 0


def test_warning_about_phases_names_the_options_of_the_command(faces, tmp_path, capsys):
    path = save(tmp_path / "a.csv", openface_2(faces[0]))
    options = ["--signals", "AU12_r", "--min-amplitude", 5000]
    assert run("dmarkers", path, *options, "-o", tmp_path / "out.csv") == 0
    message = "another signal as the first of --signals, or lower --min-amplitude 5000"
    assert message in capsys.readouterr().err


def test_table_without_signals_is_refused(faces, tmp_path, capsys):
    path = save(tmp_path / "a.csv", openface_table(faces[0]))
    assert run("dmarkers", path, "--signals", "AU12_r", "-o", tmp_path / "out.csv") == 2
    assert "a.csv has no signals" in capsys.readouterr().err


def test_parquet_is_read_and_written(faces, parquet, tmp_path):
    table = openface_table(faces[0])
    table["subject"] = pd.Categorical(["anna"] * len(table))
    table = table.astype({"frame": "Int64"}).rename(columns=lambda name: f" {name.strip()}")
    table.set_index(" frame").copy().to_parquet(tmp_path / "a.parquet", index=True)
    save(tmp_path / "a.csv", table)
    for suffix in ("csv", "parquet"):
        inputs = tmp_path / f"a.{suffix}"
        assert run("dmarkers", inputs, "-o", tmp_path / f"out.{suffix}") == 0
    read, written = pd.read_csv(tmp_path / "out.csv"), pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(read.drop(columns="file"), written.drop(columns="file"))


def test_lists_in_parquet_are_read_like_their_text_in_csv(faces, parquet, tmp_path):
    table = openface_3(faces[0][..., :2])
    save(tmp_path / "a.csv", table)
    for column in ("landmarks", "action_units"):  # pyarrow returns nested arrays
        lists = table[column].map(json.loads, na_action="ignore")
        table[column] = lists.map(np.array, na_action="ignore")
    table.to_parquet(tmp_path / "a.parquet", index=False)
    read, expected = (read_clips(tmp_path / f"a.{suffix}") for suffix in ("parquet", "csv"))
    np.testing.assert_array_equal(read.clips[0], expected.clips[0])
    np.testing.assert_array_equal(read.signals[0], expected.signals[0])


def test_parquet_without_pyarrow_names_the_remedy(without_pyarrow, tables, capsys):
    (tables / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"a.parquet is a Parquet file.* pip install pyarrow"):
        read_clips(tables / "a.parquet")
    assert run("dmarkers", tables / "1.csv", "-o", tables / "out.parquet") == 2
    assert "out.parquet is a Parquet file, which needs pyarrow" in capsys.readouterr().err
