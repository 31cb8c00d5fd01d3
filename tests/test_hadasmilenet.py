import pickle

import numpy as np
import pytest
import torch
from scipy.special import softmax

from smilefusion._training._batches import ClipDataset
from smilefusion._training._trainer import MultiTaskLoss, WeightedClassificationLoss
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.estimators._hadasmilenet import HadaSmileNetClassifier
from smilefusion.exceptions import DivergedTrainingError
from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.nn._networks import ROLES, SmileNetwork

QUICK = {
    "fps": 25,
    "n_frames": 8,
    "embedding_dim": 16,
    "hidden_dim": 16,
    "max_epochs": 2,
    "patience": None,
    "random_state": 0,
    "device": "cpu",
}


def fitted(smiles, **parameters):
    model = HadaSmileNetClassifier(**(QUICK | parameters))
    return model.fit(smiles.clips, smiles.target, groups=smiles.groups)


@pytest.fixture(scope="module")
def model(smiles):
    return fitted(smiles)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("views", [{}, {"windows": {}}], ids=str)
def test_probabilities_follow_the_scores(smiles, classes, views):
    model = HadaSmileNetClassifier(**(QUICK | views)).fit(smiles.clips, np.arange(24) % classes)
    scores = model.decision_function(smiles.clips)
    columns = np.c_[np.zeros(24), scores] if classes == 2 else scores
    expected = softmax(columns, axis=1)
    np.testing.assert_allclose(model.predict_proba(smiles.clips), expected, rtol=1e-4)


def test_streams_are_what_the_network_fuses(model, smiles):
    streams = model.transform_streams(smiles.clips)
    deep, dmarker = (torch.from_numpy(np.float32(streams[key])) for key in ("deep", "dmarker"))
    with torch.no_grad():
        fused = model.net_.module_.fusion(deep, dmarker)
    np.testing.assert_allclose(streams["fused"], fused, atol=1e-5)
    np.testing.assert_array_equal(streams["fused"], model.transform(smiles.clips))


def test_streams_hold_no_dmarkers_where_there_are_none(smiles):
    streams = fitted(smiles, dmarkers="none").transform_streams(smiles.clips)
    assert sorted(streams) == ["deep", "fused"]
    np.testing.assert_array_equal(streams["deep"], streams["fused"])


@pytest.mark.parametrize(
    ("role", "windows"), list(zip(ROLES, [None, {"n_windows": 5}, None], strict=True))
)
def test_roles_and_samplings_learn(smiles, role, windows):
    options = {"dmarkers": role, "windows": windows, "max_epochs": 60, "dropout": 0.0}
    model = fitted(smiles, **options)
    history = model.history_
    assert history["train_loss"].min() < 0.7 * history["train_loss"].iloc[0]
    assert (model.predict(smiles.clips) == smiles.target).mean() > 0.7


@pytest.mark.parametrize("encoder", ["mesh_transformer", "test_vit"])
def test_mirror_image_has_the_same_probability(smiles, encoder):
    model = fitted(smiles, encoder=encoder)
    mirrored = [c[:, MEDIAPIPE_478.mirror] * np.float32([-1, 1, 1]) for c in smiles.clips]
    expected = model.predict_proba(smiles.clips)
    np.testing.assert_allclose(model.predict_proba(mirrored), expected, atol=1e-4)


def test_dmarker_transformer_is_a_nested_parameter(smiles):
    transformer = DMarkerTransformer(fps=25, segmentation="longest_run")
    model = fitted(smiles, dmarker_transformer=transformer)
    assert model.get_params()["dmarker_transformer__segmentation"] == "longest_run"
    assert model.dmarker_transformer_.segmentation == "longest_run"
    assert model.dmarker_transformer_ is not transformer
    default = fitted(smiles).predict_proba(smiles.clips)
    assert not np.array_equal(model.predict_proba(smiles.clips), default)


def test_loss_that_is_not_finite_names_epoch_and_samples(smiles):
    with pytest.raises(DivergedTrainingError, match=r"epoch \d+, in the batch of samples \d+"):
        fitted(smiles, lr=1e30, max_epochs=20)


@pytest.mark.parametrize(
    "params", [{"module__dtype": "float64"}, {"module__mixed_precision": True}], ids=str
)
def test_precisions_come_near_float32(smiles, params):
    options = {"dropout": 0.0, "augment": False, "lr": 1e-12}  # the same weights in both
    single = fitted(smiles, **options).predict_proba(smiles.clips)
    other = fitted(smiles, net_params=params, **options).predict_proba(smiles.clips)
    np.testing.assert_allclose(other, single, atol=0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of torch's own code
def test_compiled_network_trains_and_pickles(smiles):
    model = fitted(smiles, net_params={"compile": True, "compile__backend": "eager"})
    assert type(model.net_.module_) is SmileNetwork
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        copy.predict_proba(smiles.clips), model.predict_proba(smiles.clips)
    )


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ({"n_window": 3}, "Each key of windows must be .*Did you mean 'n_windows'"),
        ({"n_windows": 0}, "n_windows in windows must be a positive integer; got 0"),
        ({"dmarkers": "yes"}, "dmarkers in windows must be True or False; got 'yes'"),
    ],
)
def test_wrong_windows_are_refused(smiles, windows, message):
    with pytest.raises(ValueError, match=message):
        fitted(smiles, windows=windows)


def test_weight_of_the_second_task_changes_the_training(smiles):
    found = [
        fitted(smiles, dmarkers="auxiliary", net_params=params).predict_proba(smiles.clips)
        for params in (None, {"criterion__weight": 0.5}, {"criterion__weight": 0.1})
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    with pytest.raises(ValueError, match="must be between 0 and 1; got 2"):
        fitted(smiles, dmarkers="auxiliary", net_params={"criterion__weight": 2})


def test_windows_in_training_are_random_and_held_out_ones_are_not():
    inputs = {"first_frame": torch.tensor([0]), "length": torch.tensor([100])}
    options = {"frames": {"time": torch.arange(100.0)}, "n_frames": 4, "random_windows": True}
    data = ClipDataset(inputs, torch.zeros(1, 3), **options)
    seen = {float(data[torch.tensor([0])][0]["time"][0, 0]) for _ in range(20)}
    assert len(seen) > 5
    held_out = data.subset(np.array([0]), training=False)
    assert {float(held_out[torch.tensor([0])][0]["time"][0, 0]) for _ in range(5)} == {48.0}


def test_multi_task_loss_weighs_its_parts():
    logits, target = torch.tensor([[0.3], [-0.2]]), torch.tensor([[1.0, 1, 0], [0, 3, 1]])
    error = torch.tensor([2.0, 4.0])
    plain = WeightedClassificationLoss()(logits, target)
    expected = 0.75 * plain + 0.25 * (2 + 3 * 4) / 4
    torch.testing.assert_close(MultiTaskLoss(0.25)((logits, error), target), expected)


def test_auxiliary_head_predicts_dmarkers():
    class Mean(torch.nn.Module):
        def __init__(self, embedding_dim, dropout):
            super().__init__()

        def forward(self, landmarks):
            return landmarks.mean(dim=1)

    network = SmileNetwork(Mean, dmarkers="auxiliary", dmarker_dim=5, embedding_dim=4)
    landmarks, dmarker = torch.randn(3, 7, 4), torch.randn(3, 5)
    logits, error = network(landmarks=landmarks, dmarker=dmarker)
    expected = (network.dmarker_head(landmarks.mean(dim=1)) - dmarker).square().mean(dim=1)
    torch.testing.assert_close(error, expected)
    torch.testing.assert_close(network(landmarks=landmarks), logits)


def test_frame_rate_set_after_fit_counts_for_dmarkers(smiles):
    model = fitted(smiles).set_params(fps=50)
    streams = model.transform_streams(smiles.clips)
    values = DMarkerTransformer(fps=50).fit_transform(smiles.clips)
    np.testing.assert_array_equal(streams["dmarker"], model.dmarker_scaler_.transform(values))
