import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from timm.data import create_transform, resolve_data_config

from smilefusion import DeepFeatureExtractor
from smilefusion.clips import check_clips
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.nn._layers import mirror_some
from smilefusion.nn.encoders._timm import (
    FrameEncoder,
    LandmarkImageEncoder,
)

BACKBONE = "test_vit"  # 64 pooled features of images of 160 by 160


def small(**params):
    defaults = {"embedding_dim": 8, "max_epochs": 1, "n_frames": 4, "random_state": 0}
    return DeepFeatureExtractor(BACKBONE, **{**defaults, **params})


def frozen(**params):
    return small(objective="frozen", **params)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(5)
    return timm.create_model(BACKBONE).state_dict()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def videos():
    """Return eight clips of images of several sizes and lengths."""
    rng = np.random.default_rng(0)
    shapes = [(3 + i % 3, 40 + 10 * i, 60, 3) for i in range(8)]
    return [rng.integers(256, size=shape, dtype=np.uint8) for shape in shapes]


@pytest.fixture
def encoder():
    return LandmarkImageEncoder(BACKBONE, 478, 3).eval()


def full(n_clips, n_frames):
    return torch.ones(n_clips, n_frames, dtype=torch.bool)


# The picture of a clip of landmarks.


def test_picture_shows_landmarks_down_and_time_across(encoder):
    landmarks = torch.zeros(1, 2, 478, 3)
    landmarks[0, 1, :239, 0] = 1.0  # x of the first half of the landmarks, at the end
    picture = encoder.draw(landmarks, full(1, 2))[0]
    time = torch.linspace(0, 1, 160)
    torch.testing.assert_close(picture[0, 40], time)
    torch.testing.assert_close(picture[0, 120], torch.zeros(160))
    torch.testing.assert_close(picture[1:], torch.zeros(2, 160, 160))


def test_picture_does_not_depend_on_padding(encoder):
    landmarks = torch.randn(1, 5, 478, 3)
    padded = torch.cat([landmarks, torch.randn(1, 4, 478, 3)], dim=1)
    mask = torch.arange(9)[None] < 5
    torch.testing.assert_close(encoder.draw(padded, mask), encoder.draw(landmarks, full(1, 5)))


def test_flat_clips_have_an_empty_third_channel():
    encoder = LandmarkImageEncoder(BACKBONE, 68, 2).eval()
    picture = encoder.draw(torch.randn(1, 4, 68, 2), full(1, 4))
    assert picture.shape == (1, 3, 160, 160)
    assert picture[:, 2].abs().max() == 0


def test_mirrored_clips_are_mirror_images():
    landmarks = torch.randn(16, 2, 478, 3)
    twins = torch.tensor(MEDIAPIPE_478.mirror)
    seen = mirror_some(landmarks, twins)
    expected = landmarks[:, :, twins] * torch.tensor([-1.0, 1.0, 1.0])
    is_mirrored = [torch.equal(s, e) for s, e in zip(seen, expected, strict=True)]
    is_same = [torch.equal(s, g) for s, g in zip(seen, landmarks, strict=True)]
    assert all(m != s for m, s in zip(is_mirrored, is_same, strict=True))
    assert 0 < sum(is_mirrored) < 16


def test_training_mirrors_and_evaluation_does_not():
    encoder = LandmarkImageEncoder(BACKBONE, 478, 3, mirror=MEDIAPIPE_478.mirror).eval()
    landmarks = torch.randn(1, 2, 478, 3).expand(12, -1, -1, -1)
    assert encoder(landmarks, full(12, 2)).std(dim=0).max() < 1e-5
    with torch.no_grad():
        assert encoder.train()(landmarks, full(12, 2)).std(dim=0).max() > 1e-3


# Clips of landmarks through the extractor.


def test_frozen_backbone_gives_its_pooled_features(smiles, weights, state):
    """The oracle draws the pictures and asks timm's own model for its features."""
    model = frozen(weights=weights, augment=False).fit(smiles.clips)
    inputs = model._inputs(check_clips(smiles.clips[:4]))
    backbone = timm.create_model(BACKBONE).eval()
    backbone.load_state_dict(state)
    landmarks, mask = torch.from_numpy(inputs["landmarks"]), torch.from_numpy(inputs["mask"])
    with torch.no_grad():
        pictures = LandmarkImageEncoder(BACKBONE, 478, 3).draw(landmarks / model.scale_, mask)
        features = backbone.forward_features(pictures)
        expected = backbone.forward_head(features, pre_logits=True).numpy()
    np.testing.assert_allclose(model.transform(smiles.clips[:4]), expected, atol=1e-4)
    assert model.get_feature_names_out().shape == (64,)


# Clips of images.


def test_frames_are_sized_and_normalised_as_timm_does(videos, weights, state):
    """The oracle is timm's own evaluation pipeline, frame by frame."""
    from PIL import Image

    backbone = timm.create_model(BACKBONE, num_classes=0).eval()
    backbone.load_state_dict({k: v for k, v in state.items() if not k.startswith("head.")})
    transform = create_transform(**resolve_data_config({}, model=backbone))
    model = frozen(weights=weights, n_frames=9).fit(videos)
    for clip, embedding in zip(videos[:3], model.transform(videos), strict=False):
        images = torch.stack([transform(Image.fromarray(frame)) for frame in clip])
        with torch.no_grad():
            expected = backbone(images).mean(dim=0).numpy()
        np.testing.assert_allclose(embedding, expected, atol=1e-4)


def test_floating_point_frames_are_the_same_images(videos, weights):
    model = frozen(weights=weights).fit(videos)
    as_float = [(clip / 255).astype(np.float32) for clip in videos]
    np.testing.assert_array_equal(model.transform(as_float), model.transform(videos))


def test_frames_are_sampled_evenly(videos, weights):
    model = frozen(weights=weights, n_frames=2).fit(videos)
    ends = [clip[[0, -1]] for clip in videos]
    np.testing.assert_allclose(model.transform(videos), model.transform(ends), atol=1e-5)


def test_supervised_backbone_learns_from_frames():
    rng = np.random.default_rng(0)
    target = np.arange(24) % 2
    clips = [
        np.clip(rng.normal(0.35 + 0.3 * label, 0.1, size=(2, 32, 32, 3)), 0, 1) for label in target
    ]
    model = small(max_epochs=4, patience=None, lr=3e-3).fit(clips[:16], target[:16])
    head = LogisticRegression().fit(model.transform(clips[:16]), target[:16])
    assert head.score(model.transform(clips[16:]), target[16:]) == 1
    assert model.input_ == "frames"


def test_frames_are_mirrored_in_training_alone():
    encoder = FrameEncoder(BACKBONE, augment=True).eval()
    frames = torch.randint(256, (1, 2, 3, 160, 160), dtype=torch.uint8).expand(8, -1, -1, -1, -1)
    with torch.no_grad():
        assert encoder(frames, full(8, 2)).std(dim=0).max() < 1e-5
        assert encoder.train()(frames, full(8, 2)).std(dim=0).max() > 1e-5


# Names, settings and bad input.


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_resnet"])
def test_families_of_backbones_give_their_features(name):
    encoder = LandmarkImageEncoder(name, 478, 3).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 2, 478, 3), full(1, 2)).shape == (1, encoder.n_features)


def test_pretrained_weights_that_cannot_be_had_are_an_error(smiles, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=f"pretrained weights of '{BACKBONE}' cannot be loaded"):
        frozen(weights="pretrained").fit(smiles.clips)


def test_pretrained_weights_are_those_of_timm(smiles, state, weights, monkeypatch):
    create = timm.create_model

    def create_downloaded(name, pretrained=False, **kwargs):
        model = create(name, **kwargs)
        if pretrained:
            model.load_state_dict(state, strict=False)
        return model

    monkeypatch.setattr(timm, "create_model", create_downloaded)
    downloaded = frozen(weights="pretrained").fit_transform(smiles.clips)
    np.testing.assert_array_equal(downloaded, frozen(weights=weights).fit_transform(smiles.clips))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "reconstruction"}, "needs encoder='mesh_transformer'"),
        ({"encoder": "ResNet 18d"}, "got 'ResNet 18d'. Did you mean .*resnet18d"),
    ],
)
def test_contradicting_parameters_are_refused(change, message, smiles):
    with pytest.raises(ValueError, match=message):
        small().set_params(**change).fit(smiles.clips, smiles.target)


def with_clip(videos, clip):
    return [videos[0], clip, *videos[2:]]


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((2, 8, 8, 4), np.uint8), r"Clip 1 has shape \(2, 8, 8, 4\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"Clip 1 has shape \(0, 8, 8, 3\)"),
        (np.zeros((2, 8, 8, 3), np.int64), "Clip 1 has dtype int64, but images must be uint8"),
        (np.full((2, 8, 8, 3), 255.0), "Clip 1 has values from 255 to 255"),
        (np.full((2, 8, 8, 3), np.nan), "Clip 1 has values from nan"),
        ("smile.mp4", "Clip 1 is the file 'smile.mp4', but this encoder needs images"),
    ],
)
def test_bad_clips_of_frames_are_named(clip, message, videos):
    with pytest.raises(InvalidClipError, match=message):
        small().fit(with_clip(videos, clip), np.arange(8) % 2)


@pytest.mark.parametrize(
    ("encoder", "suffix"),
    [("mesh_transformer", ".mp4"), ("resnet18", ".3gp"), ("resnet18", ".csv")],
)
def test_video_paths_name_the_extractor(encoder, suffix):
    match = rf"Clip 0 \(a{suffix}\) is the file .* smilefusion\.video\.FaceMeshExtractor"
    with pytest.raises(InvalidClipError, match=match):
        small().set_params(encoder=encoder).fit([f"a{suffix}", f"b{suffix}"], [0, 1])


def test_frames_need_an_image_model(videos):
    with pytest.raises(InvalidClipError, match="encoder='mesh_transformer' needs landmarks"):
        DeepFeatureExtractor().fit(videos, np.arange(8) % 2)


def test_other_inputs_than_in_training_are_refused(videos, smiles, weights):
    model = frozen(weights=weights).fit(videos)
    with pytest.raises(
        InvalidClipError, match="clips of landmarks, but .* was fitted to clips of frames"
    ):
        model.transform(smiles.clips)
