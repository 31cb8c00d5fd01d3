import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DeepFeatureExtractor
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478
from smilefusion.nn import MeshTransformer
from smilefusion.nn._reconstruction import ReconstructionNetwork


def small(**params):
    defaults = {"embedding_dim": 8, "max_epochs": 2, "n_frames": 8, "fps": 25, "random_state": 0}
    return DeepFeatureExtractor(**{"objective": "reconstruction", **defaults, **params})


def network(**params):
    torch.manual_seed(0)
    return ReconstructionNetwork(MeshTransformer, 68, 3, embedding_dim=8, **params)


def batch(n_clips=3, n_frames=10):
    torch.manual_seed(1)
    return {
        "landmarks": torch.randn(n_clips, n_frames, 68, 3),
        "mask": torch.ones(n_clips, n_frames, dtype=torch.bool),
        "time": torch.arange(float(n_frames)).expand(n_clips, -1) / 25,
        "duration": torch.full((n_clips,), n_frames / 25),
    }


class KeepInputs(torch.nn.Module):
    """An encoder that keeps what it saw."""

    def __init__(self, embedding_dim, **params):
        super().__init__()
        self.embedding_dim = embedding_dim

    def forward(self, landmarks, mask, time, duration):
        self.landmarks, self.mask = landmarks, mask
        return landmarks.new_zeros(len(landmarks), self.embedding_dim)


def test_error_is_the_mean_square_over_the_frames_of_each_clip():
    net, inputs = network().eval(), batch()
    inputs["mask"][0, 4:] = False
    with torch.no_grad():
        embedding = net.forward_features(**inputs)
        wrong = net.decode(embedding, inputs["time"]) - inputs["landmarks"]
        expected = [wrong[0, :4].square().mean(), wrong[1].square().mean()]
        torch.testing.assert_close(net(**inputs)[:2], torch.stack(expected))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_hidden_frames_are_the_share_of_the_faces(share):
    net = ReconstructionNetwork(KeepInputs, 68, 3, embedding_dim=4, hidden_frames=share)
    inputs = batch(n_clips=20)
    inputs["mask"][:, 6:] = False
    net.train()(**inputs)
    n_kept = max(1, int(np.ceil(round((1 - share) * 6, 6))))
    assert (net.encoder.mask.sum(dim=1) == n_kept).all()
    assert not (net.encoder.mask & ~inputs["mask"]).any()


def test_hidden_landmarks_are_at_rest_throughout_and_the_mean_is_kept():
    net = ReconstructionNetwork(KeepInputs, 68, 3, embedding_dim=4, hidden_landmarks=0.25)
    inputs = batch(n_clips=50)
    net.train()(**inputs)
    ratio = (net.encoder.landmarks / inputs["landmarks"]).round(decimals=4)
    assert (ratio == ratio[:, :1, :, :1]).all()
    values = ratio[:, 0, :, 0].unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 1.3333]))
    assert abs(float(ratio.mean()) - 1) < 0.03


def test_labels_are_ignored(smiles):
    expected = small().fit_transform(smiles.clips)
    given = small(class_weight="balanced").fit_transform(smiles.clips, ["?"] * 24)
    np.testing.assert_array_equal(given, expected)
    assert not hasattr(small().fit(smiles.clips), "classes_")


def test_reconstruction_learns(smiles):
    history = small(max_epochs=40, patience=None).fit(smiles.clips).history_
    assert history["train_loss"].iloc[0] > 0.9  # the clips are scaled to unit mean square
    assert history["train_loss"].min() < 0.6


@pytest.mark.slow
def test_embedding_without_labels_tells_classes_and_not_who_was_trained_on():
    """At full size, 400 clips in 3 folds, accuracy is 0.82 to 0.87 and the AUC 0.48 to 0.54."""
    data = make_smiles(180, n_subjects=60, fps=12, random_state=0)
    seen = data.groups < np.median(data.groups)
    model = small(embedding_dim=32, n_frames=12, max_epochs=40, fps=12)
    model.fit([data.clips[i] for i in np.flatnonzero(seen)], groups=data.groups[seen])
    embedding = model.transform(data.clips)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    regression.fit(embedding[seen], data.target[seen])
    assert regression.score(embedding[~seen], data.target[~seen]) > 0.65
    folds = {"groups": data.groups, "cv": GroupKFold(5)}
    told = cross_val_predict(regression, embedding, seen, method="decision_function", **folds)
    assert 0.35 < roc_auc_score(seen, told) < 0.65


def test_weights_of_a_reconstruction_start_a_supervised_network(smiles, tmp_path):
    first = small().set_params(augment=False).fit(smiles.clips)  # learns the scaling of clips only
    torch.save(first.net_.module_.encoder.state_dict(), tmp_path / "w.pt")
    frozen = clone(first).set_params(objective="frozen", weights=tmp_path / "w.pt")
    np.testing.assert_allclose(
        frozen.fit_transform(smiles.clips), first.transform(smiles.clips), atol=1e-5
    )
    tuned = frozen.set_params(objective="supervised", lr=1e-12).fit(smiles.clips, smiles.target)
    np.testing.assert_allclose(
        tuned.transform(smiles.clips), first.transform(smiles.clips), atol=1e-4
    )


def test_frozen_transformer_without_weights_is_drawn_by_the_seed(smiles):
    with pytest.warns(SmileFusionWarning, match="'mesh_transformer' with random weights"):
        first = small(objective="frozen").fit_transform(smiles.clips)
    with pytest.warns(SmileFusionWarning):
        again = small(objective="frozen").fit_transform(smiles.clips)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("scheme", [MEDIAPIPE_478, IBUG_68], ids=lambda scheme: scheme.name)
def test_weights_of_the_package_tell_the_classes_of_new_people(scheme, n_dims):
    data = make_smiles(90, n_subjects=30, fps=25, random_state=0)
    clips = check_clips([clip[:, scheme.in_mesh, :n_dims] for clip in data.clips], fps=25)
    frozen = DeepFeatureExtractor(objective="frozen", weights="simulated").fit(clips[:1])
    assert (frozen.offset_, frozen.scale_) == (0.0, 0.1)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    folds = {"groups": data.groups, "cv": GroupKFold(5), "method": "decision_function"}
    told = cross_val_predict(regression, frozen.transform(clips), data.target, **folds)
    assert roc_auc_score(data.target, told) > 0.75


@pytest.mark.parametrize("change", [{"embedding_dim": 8}, {"encoder": "curvenet"}])
def test_weights_of_the_package_are_for_one_network_only(smiles, change):
    model = DeepFeatureExtractor(weights="simulated", **change)
    with pytest.raises(ValueError, match="weights='simulated' needs encoder='mesh_transformer'"):
        model.fit(smiles.clips, smiles.target)
