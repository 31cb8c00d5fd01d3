import pickle

import numpy as np
import pytest
import timm
import torch

from smilefusion.clips import check_clips
from smilefusion.dmarkers._smile import find_smiles, whole_clips
from smilefusion.estimators import _landmark_inputs
from smilefusion.estimators._hadasmilenet import HadaSmileNetClassifier
from smilefusion.estimators._landmark_inputs import collect_frames
from smilefusion.exceptions import InvalidClipError, InvalidDataError
from smilefusion.nn.encoders._timm import LandmarkImageEncoder
from smilefusion.nn.published._encoder import PublishedEncoder

# Encoders, and what makes them small.
ENCODERS = {
    "mesh_transformer": {"module__depth": 1},
    "curvenet": {
        "module__n_neighbours": 4,
        "module__n_curves": 10,
        "module__n_tokens": 4,
        "module__depth": 2,
        "module__time_depth": 1,
    },
    "test_vit": {},
}
NEW_ENCODERS = ("curvenet", "test_vit")


def small(encoder, **parameters):
    settings = {
        "n_frames": 4,
        "embedding_dim": 16,
        "hidden_dim": 16,
        "max_epochs": 1,
        "patience": None,
        "random_state": 0,
        "device": "cpu",
        "net_params": ENCODERS.get(encoder),
    }
    return HadaSmileNetClassifier(encoder=encoder, **(settings | parameters))


@pytest.fixture(scope="module")
def clips(smiles):
    """Return eight clips, four of each class."""
    return [smiles.clips[index] for index in np.argsort(smiles.target, kind="stable")[8:16]]


@pytest.fixture(scope="module")
def target(smiles):
    return np.sort(smiles.target)[8:16]


@pytest.fixture(scope="module", params=ENCODERS)
def model(request, clips, target):
    return small(request.param).fit(clips, target)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a file with weights of the backbone test_vit."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "vit.pt"
    torch.save(timm.create_model("test_vit").state_dict(), path)
    return path


def refitted(model, **parameters):
    """Return a copy of a fitted model with other parameters."""
    return pickle.loads(pickle.dumps(model)).set_params(**parameters)


# Every encoder in the whole network.


@pytest.mark.parametrize(("encoder", "n_epochs"), [("curvenet", 12), ("test_vit", 20)])
def test_encoders_learn_without_dmarkers(encoder, n_epochs, clips, target):
    options = {"max_epochs": n_epochs, "lr": 3e-4, "n_frames": 2, "dropout": 0.0, "augment": False}
    points = [clip[:, :68] for clip in clips]
    model = small(encoder, dmarkers="none", **options).fit(points, target)
    loss = model.history_["train_loss"]
    assert loss.min() < 0.6 * loss.iloc[0]


def test_same_seed_gives_the_same_bits(model, clips, target):
    torch.manual_seed(3)
    again = small(model.encoder).fit(clips, target).predict_proba(clips)
    assert again.tobytes() == model.predict_proba(clips).tobytes()


def test_probability_does_not_depend_on_the_batch(model, clips):
    together, alone = (
        refitted(model, batch_size=size, windows={"n_windows": 2}).predict_proba(clips)
        for size in (64, 1)
    )
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert np.ptp(together[:, 0]) > 1e-4


@pytest.mark.filterwarnings("ignore::smilefusion.exceptions.DataWarning")
def test_padding_does_not_change_a_probability(model, clips):
    short = [clip[:6] for clip in clips]
    whole, padded = (
        refitted(model, n_frames=n_frames).predict_proba(short) for n_frames in (6, 9)
    )
    np.testing.assert_allclose(padded, whole, atol=1e-5)


def test_clips_shorter_than_a_window_train(model, clips, target):
    short = [clip[: 2 + index % 2] for index, clip in enumerate(clips)]
    options = {"windows": {"n_windows": 1}, "dmarkers": "none"}
    trained = small(model.encoder, **options).fit(short, target)
    windows = refitted(trained, n_frames=3).predict_proba(short)
    np.testing.assert_allclose(trained.predict_proba(short), windows, atol=1e-5)


@pytest.mark.parametrize("encoder", NEW_ENCODERS)
def test_frames_without_a_face_are_not_seen(encoder, clips, target, monkeypatch):
    points = [clip[:, :68] for clip in clips]
    gaps = [np.insert(clip, [3, 3, 9], np.nan, axis=0) for clip in points]
    monkeypatch.setattr(_landmark_inputs, "find_smiles", whole_clips)
    options = {"windows": {"n_windows": 2}, "dmarkers": "none"}
    models = [small(encoder, **options).fit(X, target) for X in (points, gaps)]
    expected = models[0].predict_proba(points)
    np.testing.assert_array_equal(models[1].predict_proba(gaps), expected)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_clips_of_68_points_in_the_plane(encoder, clips, target):
    points = [clip[:, 20:88, :2] for clip in clips]
    model = small(encoder, dmarkers="none").fit(points, target)
    assert np.ptp(model.predict_proba(points)[:, 0]) > 0
    assert (model.n_landmarks_, model.n_dims_) == (68, 2)


# The published encoder.


def test_published_encoder_sees_coordinates_in_the_unit_range(clips, target):
    model = small("curvenet", windows={}, dmarkers="none").fit(clips, target)
    frames = np.concatenate(clips)
    np.testing.assert_allclose(model.offset_, np.nanmin(frames, axis=(0, 1)), rtol=1e-6)
    extent = np.nanmax(frames, axis=(0, 1)) - model.offset_
    np.testing.assert_allclose(model.scale_, extent, rtol=1e-6)
    assert type(model.net_.module_.encoder) is PublishedEncoder


# Backbones of timm and given weights.


def test_backbone_sees_the_displacements_as_a_picture(clips, target):
    model = small("test_vit", dmarkers="none").fit(clips, target)
    assert type(model.net_.module_.encoder) is LandmarkImageEncoder
    moved = [clip * np.float32(2) + np.float32(1) for clip in clips]
    expected = model.predict_proba(clips)
    np.testing.assert_allclose(model.predict_proba(moved), expected, atol=1e-3)


def test_weights_start_the_encoder(clips, target, weights):
    options = {"weights": weights, "lr": 1e-12, "weight_decay": 0.0}
    model = small("test_vit", **options).fit(clips, target)
    given = torch.load(weights)
    for name, value in model.net_.module_.encoder.backbone.state_dict().items():
        torch.testing.assert_close(value, given[name], atol=1e-6, rtol=0)


def test_weights_of_the_published_encoder_are_its_state_dict(clips, target, tmp_path):
    points = [clip[:, :68] for clip in clips]
    first = small("curvenet", dmarkers="none", lr=0.05).fit(points, target)
    torch.save(first.net_.module_.encoder.state_dict(), tmp_path / "weights.pt")
    options = {"weights": tmp_path / "weights.pt", "lr": 1e-12, "random_state": 1}
    second = small("curvenet", dmarkers="none", **options).fit(points, target)
    expected, value = (m.net_.module_.encoder.mixing.weight for m in (first, second))
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "resnet81"}, "got 'resnet81'. Did you mean .*resnet18"),
        ({"encoder": "curvnet"}, "got 'curvnet'. Did you mean .*curvenet"),
        ({"encoder": "curvenet", "weights": "pretrained"}, "weights='pretrained' needs a timm"),
        ({"net_params": {"module__dtype": "half"}}, "must be 'float32' or 'float64'; got 'half'"),
        ({"weights": "nowhere.pt"}, "weight file nowhere.pt does not exist"),
    ],
)
def test_bad_encoder_parameters_are_named(change, message, clips, target):
    with pytest.raises(ValueError, match=message):
        small("test_vit").set_params(**change).fit(clips, target)


def test_weights_of_another_encoder_are_refused(clips, target, weights):
    model = small("curvenet", weights=weights, dmarkers="none")
    with pytest.raises(InvalidDataError, match=r"vit\.pt do not fit PublishedEncoder \(missing:"):
        model.fit(clips, target)


# Bad clips, and the numbers that encoders are given.


def test_images_are_refused(target):
    images = [np.zeros((3, 8, 8, 3), dtype=np.uint8)] * 8
    with pytest.raises(
        InvalidClipError, match="images, but HadaSmileNetClassifier needs landmarks"
    ):
        small("test_vit").fit(images, target)


def test_missing_frames_of_a_clip_affect_no_other(model, clips):
    gaps = [clip.copy() for clip in clips]
    gaps[5][6:12] = np.nan
    expected, probability = model.predict_proba(clips), model.predict_proba(gaps)
    others = np.arange(8) != 5
    np.testing.assert_array_equal(probability[others], expected[others])
    assert np.isfinite(probability[5]).all()


@pytest.mark.parametrize(("dtype", "error"), [("float64", 0), ("float32", 1e-6)])
@pytest.mark.parametrize("encoder", ["curvenet", "mesh_transformer"])
def test_frames_are_as_precise_as_the_network(dtype, error, encoder, clips):
    clip = clips[0].astype(np.float64) + 1e-9
    options = {"encoder": encoder, "n_frames": None, "dtype": dtype}
    frames, inputs = collect_frames(check_clips([clip], fps=30), **options)
    first, last = (0, len(clip) - 1)
    if encoder == "mesh_transformer":
        first, last = find_smiles(check_clips([clip], fps=30))[0]
    observed = first + np.flatnonzero(~np.isnan(clip[first : last + 1, 0, 0]))
    np.testing.assert_allclose(frames["time"], (observed - observed[0]) / 30, rtol=error)
    np.testing.assert_allclose(inputs["duration"], (last + 1 - first) / 30, rtol=error)
    if encoder == "curvenet":
        np.testing.assert_allclose(frames["landmarks"], clip[observed], rtol=error)
    assert {a.dtype.name for a in (*frames.values(), inputs["duration"])} == {dtype}
