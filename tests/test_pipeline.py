import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_validate

from smilefusion import make_fusion_pipeline
from smilefusion.datasets import make_smiles


def quick(fusion="hadamard", **params):
    pipeline = make_fusion_pipeline(fusion, fps=25, random_state=0, **params)
    return pipeline.set_params(
        features__deep__max_epochs=2,
        features__deep__embedding_dim=16,
        fusion__max_epochs=3,
        fusion__hidden_dim=16,
    )


@pytest.fixture(scope="module")
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def search():
    return GridSearchCV(
        quick(), {"fusion__fusion": ["concat", "hadamard"]}, cv=StratifiedGroupKFold(2)
    )


def test_streams_are_wired_to_the_fusion(smiles):
    pipeline = quick().fit(smiles.clips, smiles.target)
    classifier = pipeline.named_steps["fusion"]
    assert classifier.deep_columns_.tolist() == list(range(16))
    assert classifier.dmarker_columns_.tolist() == list(range(16, 241))


def test_feature_names_tell_stream_signal_phase_and_descriptor(smiles):
    pipeline = quick().set_output(transform="pandas")
    frame = pipeline[:-1].fit_transform(smiles.clips, smiles.target)
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns[0] == "deep__deepfeatureextractor0"
    assert frame.columns[16] == "dmarker__eyelid__onset__duration_rising"
    assert frame.shape == (24, 241)


def test_clone_is_unfitted_and_equal_in_parameters(smiles):
    pipeline = quick().fit(smiles.clips, smiles.target)
    copy = clone(pipeline)
    assert not hasattr(copy.named_steps["fusion"], "net_")
    assert copy.named_steps["fusion"].get_params() == pipeline.named_steps["fusion"].get_params()


def test_pickle_predicts_the_same(smiles):
    pipeline = quick().fit(smiles.clips, smiles.target)
    restored = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(
        restored.predict_proba(smiles.clips), pipeline.predict_proba(smiles.clips)
    )


@pytest.mark.usefixtures("routing")
def test_nested_search_carries_groups_and_gives_the_same_with_two_jobs(smiles):
    scores = [
        cross_validate(
            search(),
            smiles.clips,
            smiles.target,
            cv=StratifiedGroupKFold(2),
            params={"groups": smiles.groups},
            scoring="neg_log_loss",
            n_jobs=n_jobs,
        )["test_score"]
        for n_jobs in (1, 2)
    ]
    assert scores[0].tobytes() == scores[1].tobytes()
    assert np.isfinite(scores[0]).all()


@pytest.mark.usefixtures("routing")
def test_groups_reach_both_networks(smiles, monkeypatch):
    from smilefusion.estimators import _training

    seen = []
    split = _training.split_validation

    def spy(y, groups, *args):
        train, valid = split(y, groups, *args)
        seen.append(set(groups[train]) & set(groups[valid]))
        return train, valid

    monkeypatch.setattr(_training, "split_validation", spy)
    quick().fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert seen == [set(), set()]


def test_memory_extracts_the_features_of_a_fold_once(smiles, tmp_path, monkeypatch):
    from smilefusion.estimators._deep_features import DeepFeatureExtractor

    calls = []
    fit = DeepFeatureExtractor._fit

    def counted(self, *args, **kwargs):
        calls.append(1)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(DeepFeatureExtractor, "_fit", counted)
    for fusion in ("concat", "hadamard", "film"):
        quick(fusion, memory=str(tmp_path)).fit(smiles.clips, smiles.target)
    assert len(calls) == 1


def test_fewer_groups_than_folds_are_refused(smiles):
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match="n_splits=2|X holds no clips"),  # the latter before 1.9
    ):
        search().fit(smiles.clips, smiles.target, groups=np.zeros(24))


def test_unknown_fusion_is_refused_at_once():
    with pytest.raises(ValueError, match=r"Did you mean 'film'\?"):
        make_fusion_pipeline("flim")


@pytest.mark.slow
def test_pipeline_learns_simulated_smiles():
    data = make_smiles(160, n_subjects=80, random_state=1)
    train, test = next(StratifiedGroupKFold(2).split(data.clips, data.target, data.groups))
    clips = np.empty(len(data.clips), dtype=object)
    clips[:] = data.clips
    pipeline = make_fusion_pipeline(fps=50, random_state=0).fit(clips[train], data.target[train])
    assert pipeline.score(clips[test], data.target[test]) > 0.65
