import json
import zipfile

import numpy as np
import pytest
import timm
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from smilefusion import (
    DeepFeatureExtractor,
    DMarkerTransformer,
    FusionClassifier,
    load_model,
    make_fusion_pipeline,
    save_model,
)
from smilefusion.exceptions import InvalidDataError


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6)).astype(np.float32)
    return X, np.where(X[:, 0] > 0, "spontaneous", "posed")


@pytest.fixture
def model(table):
    return FusionClassifier(hidden_dim=8, max_epochs=2, random_state=0).fit(*table)


def test_fusion_pipeline_predicts_the_same_after_a_round_trip(smiles, tmp_path):
    pipeline = make_fusion_pipeline(fps=25, random_state=0).set_params(
        features__deep__max_epochs=1,
        features__deep__net_params={"module__depth": 1},
        fusion__max_epochs=1,
    )
    pipeline.fit(smiles.clips, np.array(["posed", "spontaneous"])[smiles.target])
    save_model(pipeline, tmp_path / "model.smile", metadata={"fps": 25})
    restored, metadata = load_model(tmp_path / "model.smile", return_metadata=True)
    np.testing.assert_array_equal(
        restored.predict_proba(smiles.clips), pipeline.predict_proba(smiles.clips)
    )
    assert restored.predict(smiles.clips).dtype.kind == "U"
    assert metadata == {"fps": 25}


def test_dmarker_model_predicts_the_same_after_a_round_trip(smiles, tmp_path):
    model = make_pipeline(DMarkerTransformer(fps=25), StandardScaler(), LogisticRegression())
    model.fit(smiles.clips, smiles.target)
    save_model(model, tmp_path / "model.smile")
    restored = load_model(tmp_path / "model.smile")
    np.testing.assert_array_equal(
        restored.predict_proba(smiles.clips), model.predict_proba(smiles.clips)
    )


@pytest.mark.parametrize(
    ("encoder", "objective", "module"),
    [
        ("mesh_transformer", "reconstruction", "ReconstructionNetwork"),
        ("mesh_transformer", "frozen", "MeshTransformer"),
        ("test_vit", "frozen", "LandmarkImageEncoder"),
        ("test_vit", "supervised", "EncoderNetwork"),
        ("test_resnet", "supervised", "EncoderNetwork"),
    ],
)
@pytest.mark.filterwarnings("ignore:objective='frozen' without weights")
def test_extractor_embeds_the_same_after_a_round_trip(
    encoder, objective, module, smiles, tmp_path
):
    model = DeepFeatureExtractor(
        encoder, objective=objective, embedding_dim=8, n_frames=4, max_epochs=1, random_state=0
    )
    expected = model.fit_transform(smiles.clips, smiles.target)
    save_model(model, tmp_path / "model.smile")
    restored = load_model(tmp_path / "model.smile")
    assert type(restored.net_.module_).__name__ == module
    np.testing.assert_array_equal(restored.transform(smiles.clips), expected)
    assert len(restored.get_feature_names_out()) == expected.shape[1]


def test_extractor_of_images_needs_its_weight_file_no_more(tmp_path):
    clips = [np.full((2, 8, 8, 3), 30 * index, dtype=np.uint8) for index in range(4)]
    path = tmp_path / "weights.pt"
    torch.save(timm.create_model("test_vit").state_dict(), path)
    model = DeepFeatureExtractor("test_vit", objective="frozen", weights=path).fit(clips)
    save_model(model, tmp_path / "model.smile")
    path.unlink()
    restored = load_model(tmp_path / "model.smile")
    assert restored.weights is None
    np.testing.assert_array_equal(restored.transform(clips), model.transform(clips))


def test_restored_model_continues_training(model, table, tmp_path):
    save_model(model, tmp_path / "model.smile")
    restored = load_model(tmp_path / "model.smile").set_params(warm_start=True)
    assert restored.fit(*table).score(*table) > 0.5


def test_file_holds_json_and_safetensors_only(model, tmp_path):
    save_model(model, tmp_path / "model.smile")
    with zipfile.ZipFile(tmp_path / "model.smile") as archive:
        assert archive.namelist() == ["model.json", "arrays.safetensors"]
        assert json.loads(archive.read("model.json"))["format"] == "smilefusion-model"


def test_unknown_part_is_refused_and_nothing_is_left(table, tmp_path):
    X, y = table
    model = make_pipeline(MinMaxScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(InvalidDataError, match="MinMaxScaler cannot be saved"):
        save_model(model, tmp_path / "model.smile")
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "model.smile"
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("smilefusion.persistence.save_arrays", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(model, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def rewrite(path, change):
    """Change the JSON of a model file."""
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read("model.json"))
        arrays = archive.read("arrays.safetensors")
    change(header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", json.dumps(header))
        archive.writestr("arrays.safetensors", arrays)


def set_name(header):
    header["model"]["name"] = "Popen"


def set_version(header):
    header["format_version"] = 99


def set_kind(header):
    header["model"]["kind"] = "_init__"


def drop_state(header):
    header["model"]["state"]["pairs"] = [
        pair for pair in header["model"]["state"]["pairs"] if pair[0] != "net_"
    ] + [["net_", {"kind": "net"}]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_name, "got 'Popen'"),
        (set_version, "format version 99"),
        (set_kind, "no kind of value '_init__'"),
        (drop_state, "its model cannot be rebuilt"),
    ],
)
def test_altered_file_is_refused(change, message, model, tmp_path):
    path = tmp_path / "model.smile"
    save_model(model, path)
    rewrite(path, change)
    with pytest.raises(InvalidDataError, match=message):
        load_model(path)


def test_truncated_file_is_refused(model, tmp_path):
    path = tmp_path / "model.smile"
    save_model(model, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidDataError, match="no model file of smilefusion, or is damaged"):
        load_model(path)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(InvalidDataError, match="does not exist"):
        load_model(tmp_path / "nowhere.smile")
