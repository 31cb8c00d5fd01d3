import numpy as np
import pytest
import sklearn
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from smilefusion import (
    DeepFeatureExtractor,
    DMarkerTransformer,
    SignalMarkerTransformer,
    load_model,
    make_fusion_pipeline,
    make_smile_classifier,
    save_model,
)
from smilefusion.clips import check_signals
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import InvalidClipError

ENCODER = DeepFeatureExtractor(objective="frozen", weights="simulated")
STREAMS = {"embedding": ENCODER, "markers": DMarkerTransformer()}
FAST = {"fusion__max_epochs": 2, "fusion__hidden_dim": 8}


@pytest.fixture(scope="module")
def smiles():
    return make_smiles(18, n_subjects=9, fps=25, random_state=0)


def test_streams_are_the_columns_of_their_transformers(smiles):
    pipeline = make_fusion_pipeline(streams=STREAMS, random_state=0).set_params(**FAST)
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert pipeline["fusion"].deep_columns_.tolist() == list(range(256))
    assert pipeline["fusion"].dmarker_columns_.tolist() == list(range(256, 481))
    names = pipeline["features"].get_feature_names_out()
    assert names[0].startswith("embedding__")
    assert names[-1].startswith("markers__")


def test_default_streams_by_name_give_the_same_features(smiles):
    by_name, default = (
        make_fusion_pipeline(random_state=0, **given)[0].fit_transform(smiles.clips)
        for given in ({"streams": STREAMS}, {})
    )
    np.testing.assert_array_equal(by_name.to_numpy(), default)


def test_search_over_streams_and_strategies(smiles):
    pipeline = make_fusion_pipeline(streams=STREAMS, random_state=0).set_params(**FAST)
    grid = {
        "features__embedding": [make_pipeline(ENCODER, PCA(3))],
        "fusion__fusion": ["concat", "hadamard"],
    }
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
        search.fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert search.best_estimator_["fusion"].deep_columns_.tolist() == [0, 1, 2]
    assert len(search.cv_results_["params"]) == 2


def test_model_with_streams_is_saved(smiles, tmp_path):
    pipeline = make_fusion_pipeline(streams=STREAMS, random_state=0).set_params(**FAST)
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    save_model(pipeline, tmp_path / "model.smile")
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.smile").predict_proba(smiles.clips),
        pipeline.predict_proba(smiles.clips),
    )


def test_recommended_model_takes_streams(smiles):
    model = make_smile_classifier(streams=STREAMS, random_state=0)
    model.set_params(vote__network__max_epochs=2, vote__network__hidden_dim=8)
    model.fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert model.predict_proba(smiles.clips).shape == (18, 2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"streams": {"one": ENCODER}}, ValueError, "must map two names to transformers"),
        ({"streams": [ENCODER, ENCODER]}, ValueError, "must map two names to transformers"),
        ({"streams": {"a": ENCODER, "b": DMarkerTransformer}}, TypeError, "The stream 'b' must"),
        ({"streams": STREAMS, "fps": 25}, ValueError, "Set fps on the transformers"),
    ],
)
def test_streams_that_cannot_be_used_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        make_fusion_pipeline(**given)


def test_action_units_are_fused_with_the_embedding(smiles):
    tables = [amplitude_signals(smiles.clips[i : i + 1]) for i in range(18)]
    clips = smiles.clips.with_signals(check_signals(tables, signals=["lip", "eyelid"]))
    streams = {"embedding": ENCODER, "units": SignalMarkerTransformer(["lip", "eyelid"])}
    pipeline = make_fusion_pipeline(streams=streams, random_state=0).set_params(**FAST)
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            pipeline, clips, smiles.target, params={"groups": smiles.groups}, cv=2
        )
    assert np.isfinite(scores).all()


def test_subsets_of_clips_keep_their_signals(smiles):
    values = [np.full((n, 1), i) for i, n in enumerate(smiles.clips.n_frames)]
    clips = smiles.clips.with_signals(values)[[3, 1]]
    assert [float(each[0, 0]) for each in clips.signals] == [3, 1]
    assert clips.replace(fps=10).signals.fps.tolist() == [10, 10]
    assert "1 signal" in repr(clips)


def test_signals_of_other_frames_are_refused(smiles):
    values = [np.zeros((n + (i == 2), 1)) for i, n in enumerate(smiles.clips.n_frames)]
    with pytest.raises(InvalidClipError, match="Clip 2 has .* Pass signals of the same frames"):
        smiles.clips.with_signals(values)


def test_clips_without_signals_are_refused(smiles):
    with pytest.raises(InvalidClipError, match=r"Add them with clips.with_signals"):
        SignalMarkerTransformer().fit(smiles.clips)
