import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.base import clone
from torch import nn

from smilefusion import (
    DeepFeatureExtractor,
    HadaSmileNetClassifier,
    load_model,
    make_fusion_pipeline,
    save_model,
)
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import InvalidDataError

SMALL = {"fps": 25, "embedding_dim": 6, "max_epochs": 2, "patience": None, "random_state": 0}


class Pooled(nn.Module):
    """Mean over the frames with a face of a linear map."""

    def __init__(self, n_landmarks, n_dims, embedding_dim, dropout):
        super().__init__()
        self.out_dim = embedding_dim
        self.linear = nn.Linear(n_landmarks * n_dims, embedding_dim)

    def forward(self, landmarks, mask, time, duration):
        tokens = self.linear(landmarks.flatten(2)) * mask[:, :, None]
        return tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True)


class FewArguments(Pooled):
    def __init__(self, n_landmarks):
        super().__init__(n_landmarks, 3, 6, 0.0)


class NoSize(Pooled):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        del self.out_dim


class OtherSize(Pooled):
    def __init__(self, n_landmarks, n_dims, embedding_dim, dropout):
        super().__init__(n_landmarks, n_dims, 7, dropout)


class PerFrame(Pooled):
    def forward(self, landmarks, mask, time, duration):
        return self.linear(landmarks.flatten(2))


class Padded(Pooled):
    def forward(self, landmarks, mask, time, duration):
        return self.linear(landmarks.flatten(2)).mean(dim=1)


@pytest.fixture(scope="module")
def smiles():
    return make_smiles(12, n_subjects=6, fps=25, random_state=0)


@pytest.fixture(scope="module")
def extractor(smiles):
    return DeepFeatureExtractor(Pooled, **SMALL).fit(smiles.clips, smiles.target)


def test_embedding_does_not_depend_on_the_other_clips(extractor, smiles):
    together = extractor.transform(smiles.clips)
    assert together.shape == (12, 6)
    alone = np.concatenate([extractor.transform(smiles.clips[i : i + 1]) for i in range(12)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_mirror_images_have_the_same_embedding(extractor, smiles):
    partners = extractor.net_.module_.encoder.mirror.numpy()
    mirrored = smiles.clips[0][:, partners] * [-1, 1, 1]
    first, second = extractor.transform([smiles.clips[0], mirrored])
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_end_to_end_network_takes_an_own_encoder(smiles):
    model = HadaSmileNetClassifier(encoder=Pooled, **SMALL)
    probability = clone(model).fit(smiles.clips, smiles.target).predict_proba(smiles.clips)
    assert probability.shape == (12, 2)


def test_pipeline_trains_an_own_encoder(smiles):
    pipeline = make_fusion_pipeline(encoder=Pooled, fps=25, random_state=0)
    pipeline.set_params(
        features__deep__embedding_dim=6, features__deep__max_epochs=1, fusion__max_epochs=1
    )
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert type(pipeline[0]["deep"].net_.module_.encoder.own) is Pooled


def test_weights_of_the_class_are_loaded(smiles, tmp_path):
    own = Pooled(478, 3, 6, 0.0)
    save_file(own.state_dict(), tmp_path / "own.safetensors")
    frozen = DeepFeatureExtractor(
        Pooled, objective="frozen", weights=tmp_path / "own.safetensors", embedding_dim=6
    ).fit(smiles.clips)
    assert torch.equal(frozen.net_.module_.own.linear.weight, own.linear.weight)


def test_frozen_own_encoder_is_not_cached(smiles, tmp_path):
    own = Pooled(478, 3, 6, 0.0)
    save_file(own.state_dict(), tmp_path / "own.safetensors")
    DeepFeatureExtractor(
        Pooled,
        objective="frozen",
        weights=tmp_path / "own.safetensors",
        embedding_dim=6,
        cache=tmp_path / "cache",
    ).fit_transform(smiles.clips)
    assert not (tmp_path / "cache").exists()


def test_model_file_needs_the_class_as_trusted(extractor, smiles, tmp_path):
    with pytest.raises(InvalidDataError, match=r"Pooled.*to save_model and load_model"):
        save_model(extractor, tmp_path / "model.smile")
    trusted = [f"{Pooled.__module__}.Pooled"]
    save_model(extractor, tmp_path / "model.smile", trusted=trusted)
    loaded = load_model(tmp_path / "model.smile", trusted=trusted)
    np.testing.assert_array_equal(
        loaded.transform(smiles.clips), extractor.transform(smiles.clips)
    )


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (dict, TypeError, "Make it a subclass of torch.nn.Module"),
        (FewArguments, TypeError, "Make the constructor accept these arguments"),
        (NoSize, TypeError, "has no attribute out_dim"),
        (OtherSize, ValueError, "has out_dim=7, but embedding_dim=6, .* Set embedding_dim=7"),
        (PerFrame, ValueError, r"returns shape \(2, 4, 6\) for 2 clips"),
        (Padded, ValueError, "uses frames where mask is False"),
    ],
)
@pytest.mark.parametrize("estimator", [DeepFeatureExtractor, HadaSmileNetClassifier])
def test_encoder_that_breaks_the_contract_is_refused(estimator, encoder, error, message, smiles):
    with pytest.raises(error, match=message):
        estimator(encoder=encoder, **SMALL).fit(smiles.clips, smiles.target)
