"""ONNX files: onnxruntime gives the model's probabilities, and what is refused."""

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from smilefusion import (
    FusionClassifier,
    HadaSmileNetClassifier,
    export_onnx,
    make_fusion_pipeline,
    make_smile_classifier,
    onnx_inputs,
)
from smilefusion.exceptions import InvalidDataError

REASON = "the extra onnx is not installed"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
pytest.importorskip("onnxscript", reason=REASON)

# A brief training may collapse; `set_weights` replaces its result.
pytestmark = pytest.mark.filterwarnings("ignore::smilefusion.exceptions.TrainingWarning")

# Strategies that together use every kind of computation.
FUSIONS = ("gated_concat", "additive", "multihead_cross_attention", "film_hadamard", "bilinear")
STREAMS = {"deep": slice(0, 12), "dmarker": slice(12, 20)}


def make_table(n_classes=2):
    X, y = make_classification(
        120, 20, n_informative=6, n_classes=n_classes, shift=3.0, scale=5.0, random_state=0
    )
    return X, y


def set_weights(classifier):
    """Add noise to the weights of a fitted network, so that probabilities vary between rows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in classifier.net_.module_.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator).to(weight)
    return classifier


def fit_table(fusion="hadamard", *, n_classes=2, **params):
    X, y = make_table(n_classes)
    settings = {"n_members": 1, "hidden_dim": 8, "max_epochs": 1, "random_state": 0}
    settings["patience"] = None
    model = FusionClassifier(fusion, **STREAMS, **settings | params)
    return set_weights(model.fit(StandardScaler().fit_transform(X), y)), X


def fit_clips(smiles, **params):
    settings = {"fps": 25, "embedding_dim": 8, "hidden_dim": 8, "max_epochs": 1, "n_frames": 8}
    settings["net_params"] = None if "encoder" in params else {"module__depth": 1}
    model = HadaSmileNetClassifier(patience=None, random_state=0, **settings | params)
    return set_weights(model.fit(smiles.clips, smiles.target))


def export(model, folder):
    """Return a session with the exported model."""
    export_onnx(model, folder / "model.onnx")
    return onnxruntime.InferenceSession(folder / "model.onnx")


def run(session, model, X):
    """Return the mean probabilities of a session over the views."""
    return np.mean([session.run(None, view)[0] for view in onnx_inputs(model, X)], axis=0)


def assert_same(session, model, X, *, atol=1e-5):
    for n_clips in (1, 17):
        given, expected = run(session, model, X[:n_clips]), model.predict_proba(X[:n_clips])
        assert given.dtype in (expected.dtype, np.float32)
        np.testing.assert_allclose(given, expected, rtol=0, atol=atol)
    assert np.ptp(expected, axis=0).max() > 0.05  # rows differ


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_export_of_strategies_gives_the_probabilities(fusion, tmp_path):
    model, X = fit_table(fusion, n_classes=3)
    assert_same(export(model, tmp_path), model, StandardScaler().fit_transform(X))


def test_export_in_double_precision_is_precise_and_does_not_change_the_model(tmp_path):
    model, X = fit_table(net_params={"module__dtype": "float64"})
    X = StandardScaler().fit_transform(X)
    before, training = model.predict_proba(X), model.net_.module_.train().training
    # ONNX stores the epsilon of LayerNorm in single precision.
    session = export(model, tmp_path)
    assert model.net_.module_.training == training
    assert_same(session, model, X, atol=1e-8)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize("with_mean", [True, False])
def test_export_holds_the_scaling(with_mean, tmp_path):
    X, y = make_table()
    model = FusionClassifier(**STREAMS, n_members=2, hidden_dim=8, max_epochs=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(with_mean=with_mean), StandardScaler(), model)
    set_weights(pipeline.fit(X, y)[-1])
    assert_same(export(pipeline, tmp_path), pipeline, X)


@pytest.mark.parametrize(("n_classes", "weights"), [(2, None), (3, [2, 1])])
def test_export_of_a_vote_gives_the_probabilities(n_classes, weights, tmp_path):
    X, y = make_table(n_classes)
    network = FusionClassifier(**STREAMS, n_members=2, hidden_dim=8, max_epochs=1, patience=None)
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    members = [("network", network), ("linear", linear)]
    model = VotingClassifier(members, voting="soft", weights=weights).fit(X, y)
    assert_same(export(model, tmp_path), model, X)
    with pytest.raises(InvalidDataError, match=r"voting='soft'.*got VotingClassifier"):
        export_onnx(model.set_params(voting="hard"), tmp_path / "model.onnx")


def test_export_of_a_part_of_the_whole_pipeline(smiles, tmp_path):
    pipeline = make_smile_classifier(fps=25, random_state=0)
    brief = {"n_members": 2, "hidden_dim": 8, "max_epochs": 1}
    pipeline.set_params(**{f"vote__network__{name}": value for name, value in brief.items()})
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    columns = pipeline[:1].transform(smiles.clips)
    assert_same(export(pipeline[1:], tmp_path), pipeline[1:], columns)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"dmarkers": "auxiliary", "windows": {"n_windows": 3}},
        {"dmarkers": "none", "fps": None, "encoder": "test_resnet"},
    ],
)
def test_export_of_clip_classifiers_gives_the_probabilities(params, smiles, tmp_path):
    model = fit_clips(smiles, **params)
    assert_same(export(model, tmp_path), model, smiles.clips)


def test_export_of_mixed_precision_computes_in_single(smiles, tmp_path):
    model = fit_clips(smiles, net_params={"module__mixed_precision": True})
    session = export(model, tmp_path)
    given, expected = run(session, model, smiles.clips), model.predict_proba(smiles.clips)
    np.testing.assert_allclose(given, expected, rtol=0, atol=0.02)
    assert model.net_.module_.mixed_precision
    model.net_.module_.mixed_precision = False
    np.testing.assert_allclose(given, model.predict_proba(smiles.clips), rtol=0, atol=1e-6)


def read_metadata(session):
    stored = session.get_modelmeta().custom_metadata_map
    return {key: json.loads(value) for key, value in stored.items()}


def test_export_of_a_table_names_inputs_and_classes(tmp_path):
    pd = pytest.importorskip("pandas")
    X, y = make_table()
    X, y = pd.DataFrame(X).add_prefix("column_"), np.array(["posed", "spontaneous"])[y]
    model = FusionClassifier(n_members=1, hidden_dim=8, max_epochs=1, patience=None).fit(X, y)
    session = export(model, tmp_path)
    metadata = read_metadata(session)
    assert metadata["classes"] == ["posed", "spontaneous"]
    assert metadata["feature_names"] == X.columns.tolist()
    assert metadata["model"] == "FusionClassifier"
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("columns", ["n_clips", 20])
    assert (made.name, made.shape) == ("probabilities", ["n_clips", 2])


def test_export_of_clips_gives_the_probabilities_and_names_inputs(smiles, tmp_path):
    model = fit_clips(smiles)
    session = export(model, tmp_path)
    assert_same(session, model, smiles.clips)
    shapes = {each.name: each.shape for each in session.get_inputs()}
    assert shapes == {
        "landmarks": ["n_clips", 8, 478, 3],
        "mask": ["n_clips", 8],
        "time": ["n_clips", 8],
        "duration": ["n_clips"],
        "dmarker": ["n_clips", 225],
    }
    metadata = read_metadata(session)
    assert metadata["fps"] == 25
    assert metadata["feature_names"][0] == "eyelid__onset__duration_rising"


def test_inputs_of_other_columns_are_refused():
    model, X = fit_table()
    with pytest.raises(ValueError, match="X has 19 features"):
        onnx_inputs(model, X[:, 1:])


class OfChance(nn.Module):
    """Strategy that draws random numbers, so no graph reproduces it."""

    def __init__(self, deep_dim, dmarker_dim, dim, dropout):
        super().__init__()
        self.out_dim, self.map = deep_dim, nn.Linear(deep_dim, deep_dim)

    def forward(self, deep, dmarker):
        return self.map(nn.functional.dropout(deep, 0.5, training=True))


class OfValues(OfChance):
    """Strategy whose control flow depends on the values of the batch."""

    def forward(self, deep, dmarker):
        return self.map(deep if deep.sum() > 0 else -deep)


class OfResize(OfChance):
    """Strategy that onnxruntime cannot compute in double precision."""

    def forward(self, deep, dmarker):
        image = deep.reshape(len(deep), 1, 3, 4)
        larger = nn.functional.interpolate(image, (6, 8), mode="bicubic", antialias=True)
        return self.map(larger[:, 0, ::2, ::2].flatten(1))


def test_export_of_a_network_that_onnx_cannot_represent_is_refused(tmp_path):
    model, _ = fit_table(OfValues)
    with pytest.raises(
        InvalidDataError, match=r"cannot represent the network \(Guard.*Serve the model"
    ):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_that_computes_something_else_is_refused(tmp_path):
    model, _ = fit_table(OfChance)
    with pytest.raises(InvalidDataError, match="for 1 random clips differ from"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_that_onnxruntime_cannot_run_is_refused(tmp_path):
    model, _ = fit_table(OfResize, net_params={"module__dtype": "float64"})
    with pytest.raises(InvalidDataError, match=r"cannot run the graph \(NotImplemented.*Resize"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_of_other_estimators_is_refused(smiles, tmp_path):
    X, y = make_table()
    with pytest.raises(InvalidDataError, match="got LogisticRegression"):
        export_onnx(LogisticRegression().fit(X, y), tmp_path / "model.onnx")
    pipeline = make_fusion_pipeline(fps=25)
    with pytest.raises(InvalidDataError, match=r"has FeatureUnion\. Export .* pipeline\[1:\]"):
        export_onnx(pipeline, tmp_path / "model.onnx")
    with pytest.raises(NotFittedError):
        export_onnx(FusionClassifier(), tmp_path / "model.onnx")


def test_export_of_curvenet_is_refused(smiles, tmp_path):
    params = {"encoder": "curvenet", "n_frames": 2, "max_epochs": 1, "embedding_dim": 16}
    smiles = type(smiles)(clips=smiles.clips[:4], target=[0, 1, 0, 1])
    params["net_params"] = {"module__depth": 1, "module__time_depth": 1, "module__n_curves": 4}
    model = fit_clips(smiles, dmarkers="none", **params)
    with pytest.raises(InvalidDataError, match="curvenet"):
        export_onnx(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_missing_extra_is_named(package, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=rf"export_onnx needs {package}.*smilefusion\[onnx\]"):
        export_onnx(FusionClassifier(), tmp_path / "model.onnx")
