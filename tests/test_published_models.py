import numpy as np
import pytest
import torch

from smilefusion import (
    DMarkerTransformer,
    HadaSmileNetClassifier,
    load_model,
    load_published_checkpoint,
    published_settings,
    save_model,
)
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import InvalidClipError, InvalidDataError

UVA_NEMO_MINIMUM = np.array([0.06372425, 0.05751023, -0.08976112])
UVA_NEMO_MAXIMUM = np.array([0.63246971, 1.01475966, 0.14436169])
SMALL = {
    "max_epochs": 1,
    "embedding_dim": 16,
    "hidden_dim": 16,
    "n_frames": 3,
    "random_state": 0,
}
TINY_CURVES = {"module__n_neighbours": 4, "module__n_curves": 10}


@pytest.fixture(scope="module")
def state(shared):
    """The authors' state dict of a whole network."""
    with np.load(shared / "golden" / "hadasmilenet_state.npz") as file:
        state = {name: torch.from_numpy(file[name]) for name in file}
    return state | {"time.layers.0.0.fn.pos_embedding.pe": torch.zeros(1, 300, 256)}


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "network.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def smiles():
    return make_smiles(6, n_subjects=3, fps=25, random_state=0)


def at_25_fps(*clips):
    return check_clips(list(clips), fps=25)


def small_published(windows=None, **parameters):
    settings = published_settings("uva_nemo") | SMALL | parameters
    settings["windows"] = settings["windows"] | {"n_windows": 2} | (windows or {})
    return HadaSmileNetClassifier(**settings | {"net_params": TINY_CURVES})


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_published_checkpoint(checkpoint, "uva_nemo", aspect_ratio=1)


@pytest.fixture(scope="module")
def clip(smiles):
    return smiles.clips[0][:16]


@pytest.fixture(scope="module")
def expected(model, clip):
    return model.predict_proba(at_25_fps(clip))


def test_published_checkpoint_gives_the_golden_probability(shared, model):
    with np.load(shared / "golden" / "hadasmilenet_io.npz") as golden, torch.no_grad():
        inputs = {"landmarks": golden["clips"], "dmarker": golden["dmarkers"]}
        inputs = {name: torch.from_numpy(values) for name, values in inputs.items()}
        probability = model.net_.module_.eval()(**inputs).sigmoid()
        np.testing.assert_allclose(probability, golden["probability"], rtol=1e-4)


def test_published_checkpoint_scales_and_describes_each_window_as_published(model, smiles):
    clip = smiles.clips[0][:20]
    extent = UVA_NEMO_MAXIMUM - UVA_NEMO_MINIMUM
    windows = np.float32([(clip[s : s + 16] - UVA_NEMO_MINIMUM) / extent for s in range(5)])
    dmarker = DMarkerTransformer(definition="hadasmilenet").fit_transform(list(windows))
    with torch.no_grad():
        inputs = {"landmarks": torch.from_numpy(windows), "dmarker": torch.from_numpy(dmarker)}
        expected = model.net_.module_.eval()(**inputs).sigmoid().mean()
    np.testing.assert_allclose(model.predict_proba(at_25_fps(clip))[0, 1], expected, rtol=1e-4)


def test_published_checkpoint_takes_clips_in_isotropic_units(expected, checkpoint, clip):
    wide = clip * np.float32([1920 / 1080, 1, 1920 / 1080])
    of_units = load_published_checkpoint(checkpoint, "uva_nemo")
    np.testing.assert_allclose(of_units.predict_proba(at_25_fps(wide)), expected, atol=1e-4)
    assert list(of_units.classes_) == [0, 1]


def test_published_checkpoint_survives_a_model_file(model, expected, clip, tmp_path):
    save_model(model, tmp_path / "model.smile")
    again = load_model(tmp_path / "model.smile")
    np.testing.assert_array_equal(again.predict_proba(at_25_fps(clip)), expected)


def test_published_checkpoint_of_several_gpus_loads(state, model, tmp_path):
    torch.save({f"module.{name}": v for name, v in state.items()}, tmp_path / "parallel.pt")
    other = load_published_checkpoint(tmp_path / "parallel.pt", "mmi")
    expected = model.net_.module_.state_dict()
    torch.testing.assert_close(other.net_.module_.state_dict(), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion_mlp.3.bias": None}, r"1 missing: fusion_mlp.3.bias"),
        ({"encoder.conv0.0.weight": None}, r"1 missing: encoder.conv0.0.weight"),
        ({"smile_head.1.bias": torch.zeros(2)}, r"1 misshapen: smile_head.1.bias \(2,\)"),
        ({"gate_linear.bias": torch.zeros(256)}, r"1 unknown: gate_linear.bias"),
        ({"encoder.extra": torch.zeros(2)}, r"1 unknown: encoder.extra"),
        ({"lstm.weight": torch.zeros(2)}, r"'lstm.weight' does not belong to any published"),
    ],
)
def test_published_checkpoint_names_wrong_entries(state, tmp_path, changes, message):
    changed = {name: entry for name, entry in (state | changes).items() if entry is not None}
    torch.save(changed, tmp_path / "network.pt")
    with pytest.raises(InvalidDataError, match=message):
        load_published_checkpoint(tmp_path / "network.pt", "uva_nemo")


def test_published_checkpoint_of_another_strategy_is_refused(checkpoint):
    with pytest.raises(InvalidDataError, match="unknown: x_proj.bias, x_proj.weight"):
        load_published_checkpoint(checkpoint, "uva_nemo", "concat")


def test_published_checkpoint_of_small_tokens_is_refused(tmp_path):
    with pytest.raises(ValueError, match="fusion must be one of concat.*got 'bilinear'"):
        load_published_checkpoint(tmp_path / "network.pt", "uva_nemo", "bilinear")


def test_published_checkpoint_needs_a_positive_aspect_ratio(tmp_path):
    with pytest.raises(ValueError, match="coordinate_range must hold the minimum and the maximum"):
        load_published_checkpoint(tmp_path / "network.pt", "uva_nemo", aspect_ratio=-1)


def test_published_settings_name_the_data_sets():
    with pytest.raises(ValueError, match="dataset must be one of uva_nemo, mmi, spos, bbc; got"):
        published_settings("nemo")


@pytest.mark.parametrize("fusion", ["hadamard", "attention", "bilinear"])
def test_published_settings_train(smiles, fusion):
    settings = published_settings("bbc", fusion)
    settings["net_params"] = settings["net_params"] | TINY_CURVES
    settings |= SMALL | {"embedding_dim": 64, "hidden_dim": 64}
    if "module__small_tokens" in settings["net_params"]:
        settings["net_params"] |= {"module__n_tokens": 4}
    model = HadaSmileNetClassifier(**settings).fit(smiles.clips, smiles.target)
    assert np.isfinite(model.predict_proba(smiles.clips)).all()


@pytest.mark.parametrize("dmarkers", ["auxiliary", "none"])
def test_published_settings_train_the_other_systems(smiles, dmarkers):
    model = small_published(dmarkers=dmarkers).fit(smiles.clips, smiles.target)
    assert np.isfinite(model.predict_proba(smiles.clips)).all()


def test_dmarkers_of_windows_ignore_padding(smiles):
    model = small_published(n_frames=8).fit(smiles.clips, smiles.target)
    short = smiles.clips[0][:6]
    together = model.predict_proba(at_25_fps(smiles.clips[1], short))[1]
    alone = model.set_params(n_frames=6).predict_proba(at_25_fps(short))[0]
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_dmarkers_of_windows_name_a_clip_without_a_mouth(smiles):
    model = small_published({"n_windows": 1}).fit(smiles.clips, smiles.target)
    flat = smiles.clips[1].copy()
    flat[:, [62, 308]] = flat[:, [62]]
    with pytest.raises(InvalidClipError, match="Clip 1 has a mouth or right eye without width"):
        model.predict_proba(at_25_fps(smiles.clips[0], flat))
    with pytest.raises(InvalidClipError, match="Clip 1 has a mouth or right eye without width"):
        small_published().fit(at_25_fps(smiles.clips[0], flat, *smiles.clips[2:]), smiles.target)


@pytest.mark.parametrize(
    ("windows", "encoder", "message"),
    [
        ({"coordinate_range": None}, "mesh_transformer", "with dmarkers=True.*got encoder='mesh"),
        ({"dmarkers": False}, "mesh_transformer", "sees displacements"),
        ({"coordinate_range": [0, 1]}, "curvenet", "must hold the minimum"),
        ({"coordinate_range": [[0, 0, 0], [1, 0, 1]]}, "curvenet", "must hold the minimum"),
        ({"coordinate_range": [[0, 0], [1, 1]]}, "curvenet", "must hold the minimum"),
    ],
    ids=str,
)
def test_parameters_that_contradict_each_other_are_refused(smiles, windows, encoder, message):
    with pytest.raises(ValueError, match=message):
        small_published(windows, encoder=encoder).fit(smiles.clips, smiles.target)
