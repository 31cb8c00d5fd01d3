import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_validate
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

from smilefusion import HadaSmileNetClassifier, make_fusion_pipeline, make_smile_classifier
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import MissingGroupsWarning


def quick(fusion="hadamard", **params):
    pipeline = make_fusion_pipeline(fusion, fps=25, random_state=0, **params)
    return pipeline.set_params(
        features__deep__max_epochs=2,
        features__deep__objective="supervised",
        features__deep__weights=None,
        features__deep__embedding_dim=16,
        features__deep__n_frames=8,
        fusion__max_epochs=3,
        fusion__hidden_dim=16,
    )


@pytest.fixture
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


def splits(pipeline):
    """Return what the two networks of a fitted pipeline were trained on and stopped by."""
    deep = dict(pipeline.named_steps["features"].transformer_list)["deep"]
    return deep.split_, pipeline.named_steps["fusion"].split_


def check_one_split(pipeline, groups):
    """Check that no network was trained on a subject that stopped a network."""
    trained, stopped = (
        {who for split in splits(pipeline) for who in split[part]}
        for part in ("train", "early_stopping")
    )
    assert trained
    assert stopped
    assert not trained & stopped
    assert trained | stopped == set(groups)


@pytest.mark.parametrize(
    ("random_state", "is_on"), [(None, True), (0, False), (np.random.RandomState(0), False)]
)
def test_networks_stop_on_the_same_subjects(smiles, random_state, is_on):
    pipeline = quick().set_params(
        features__deep__random_state=random_state, fusion__random_state=random_state
    )
    with sklearn.config_context(enable_metadata_routing=is_on):
        pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    check_one_split(pipeline, smiles.groups)


@pytest.mark.parametrize(
    "changes",
    [
        {"features__deep__patience": None},
        {"fusion__validation_fraction": 0.4},
        {"features__deep__objective": "frozen", "fusion__n_members": 1},
        {"features__deep": HadaSmileNetClassifier(max_epochs=1, n_frames=4, embedding_dim=8)},
    ],
    ids=lambda changes: "-".join(changes) + str([*changes.values()])[:16],
)
@pytest.mark.filterwarnings("ignore:objective='frozen' without weights")
def test_no_network_is_trained_on_the_subjects_of_an_early_stop(smiles, changes):
    pipeline = quick().set_params(**changes, fusion__random_state=None)
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    check_one_split(pipeline, smiles.groups)


def test_mask_says_which_clips_no_network_is_trained_on(smiles):
    mask = np.isin(smiles.groups, np.unique(smiles.groups)[:3])
    pipeline = quick().fit(
        smiles.clips, smiles.target, groups=smiles.groups, early_stopping_mask=mask
    )
    for split in splits(pipeline):
        assert set(split["early_stopping"]) == set(smiles.groups[mask])


@pytest.mark.parametrize("is_on", [False, True], ids=["no routing", "routing"])
def test_cross_validation_hands_groups_to_both_networks(smiles, is_on):
    groups = {"groups": smiles.groups}
    options = {"params": groups} if is_on else {"params": groups, **groups}
    with sklearn.config_context(enable_metadata_routing=is_on):
        result = cross_validate(
            quick(),
            smiles.clips,
            smiles.target,
            cv=StratifiedGroupKFold(2),
            return_estimator=True,
            return_indices=True,
            **options,
        )
    for pipeline, train in zip(result["estimator"], result["indices"]["train"], strict=True):
        check_one_split(pipeline, smiles.groups[train])


@pytest.mark.usefixtures("routing")
def test_search_hands_groups_to_both_networks(smiles):
    model = search().fit(smiles.clips, smiles.target, groups=smiles.groups)
    check_one_split(model.best_estimator_, smiles.groups)


def test_fit_without_groups_warns_once(smiles):
    with pytest.warns(MissingGroupsWarning, match=r"fit\(X, y, groups=subjects\)") as caught:
        quick().fit(check_clips(list(smiles.clips), fps=25), smiles.target)
    assert [Path(each.filename).name for each in caught] == ["test_pipeline.py"]


def test_fit_without_early_stopping_does_not_warn(smiles):
    pipeline = quick().set_params(features__deep__patience=None, fusion__patience=None)
    with warnings.catch_warnings(action="error"):
        pipeline.fit(smiles.clips, smiles.target)


def test_any_transformer_takes_the_place_of_the_encoder(smiles):
    pipeline = quick().set_params(
        features__deep=FunctionTransformer(mean_amplitude), fusion__n_members=1
    )
    pipeline.steps.insert(1, ("select", VarianceThreshold()))
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert pipeline.named_steps["fusion"].split_["n_early_stopping"]


def mean_amplitude(clips):
    return np.array([np.nanstd(clip, axis=(0, 1)) for clip in clips])


def test_any_classifier_takes_the_place_of_the_networks(smiles):
    pipeline = quick().set_params(features__deep="drop", fusion=LogisticRegression(max_iter=2000))
    pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert pipeline.score(smiles.clips, smiles.target) > 0.5


def test_parameters_of_a_step_reach_it_without_routing(smiles):
    weight = np.r_[np.ones(23), 50.0]
    fitted = [
        quick().fit(smiles.clips, smiles.target, groups=smiles.groups, **given)
        for given in ({}, {"fusion__sample_weight": weight})
    ]
    outputs = [model.predict_proba(smiles.clips) for model in fitted]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-4


@pytest.mark.usefixtures("routing")
def test_sample_weight_is_routed_to_the_steps_that_ask(smiles):
    pipeline = quick()
    pipeline.named_steps["fusion"].set_fit_request(sample_weight=True)
    deep = dict(pipeline.named_steps["features"].transformer_list)["deep"]
    deep.set_fit_request(sample_weight=False)
    given = {"groups": smiles.groups, "sample_weight": np.ones(24)}
    check_one_split(pipeline.fit(smiles.clips, smiles.target, **given), smiles.groups)


def test_part_of_the_pipeline_draws_the_same_split(smiles):
    whole, part = quick(), quick()[:-1]
    whole.fit(smiles.clips, smiles.target, groups=smiles.groups)
    part.fit_transform(smiles.clips, smiles.target, groups=smiles.groups)
    deep = dict(part.named_steps["features"].transformer_list)["deep"]
    assert deep.split_["train"].tolist() == splits(whole)[0]["train"].tolist()


def test_probabilities_by_epoch_come_from_one_split(smiles, tmp_path):
    pipeline = quick(memory=str(tmp_path)).set_params(fusion__random_state=None)
    given = (smiles.clips, smiles.target, smiles.clips[:2])
    assert pipeline.fit_predict_epochs(*given, groups=smiles.groups).shape == (3, 2, 2)
    check_one_split(pipeline, smiles.groups)


def test_failed_fit_leaves_the_pipeline_as_it_was(smiles):
    pipeline = quick().set_params(fusion__net_params={"callbacks": [Interrupt()]})
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)
    deep = dict(pipeline.named_steps["features"].transformer_list)["deep"]
    assert not hasattr(deep, "net_")
    assert not hasattr(pipeline.named_steps["fusion"], "scale_")


class Interrupt(Callback):
    """Stands for Ctrl-C."""

    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros(24, dtype=bool), "24 samples outside and 0 inside"),
        (np.ones(24, dtype=bool), "0 samples outside and 24 inside"),
        (np.zeros(23, dtype=bool), r"shape \(23,\)"),
        (np.zeros(24), "float64"),
    ],
)
def test_mask_that_cannot_be_used_is_refused(smiles, mask, words):
    with pytest.raises(ValueError, match=words):
        quick().fit(smiles.clips, smiles.target, early_stopping_mask=mask)


def test_fewer_groups_than_folds_are_refused(smiles):
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match="n_splits=2|X holds no clips"),  # the latter before 1.9
    ):
        search().fit(smiles.clips, smiles.target, groups=np.zeros(24))


@pytest.mark.parametrize("make", [make_fusion_pipeline, make_smile_classifier])
def test_unknown_fusion_is_refused_at_once(make):
    with pytest.raises(ValueError, match=r"Did you mean 'film'\?"):
        make("flim")


def test_networks_on_frozen_features_leave_out_folds_of_whole_subjects(smiles):
    pipeline = make_fusion_pipeline(fps=25, random_state=0).set_params(fusion__max_epochs=2)
    network = pipeline.fit(smiles.clips, smiles.target, groups=smiles.groups)[-1]
    assert network.n_members_ == 5
    assert network.split_["train"].tolist() == sorted(set(smiles.groups))
    assert np.isfinite(network.oof_proba_).all()


def test_recommended_model_is_the_mean_of_network_and_linear_model(smiles):
    model = make_smile_classifier(fps=25, random_state=0)
    model.set_params(vote__network__max_epochs=2, vote__network__hidden_dim=8)
    model.fit(smiles.clips, smiles.target, groups=smiles.groups)
    network, linear = model[-1].estimators_
    assert network.split_["train"].tolist() == sorted(set(smiles.groups))
    features = model[:-1].transform(smiles.clips)
    mean = (network.predict_proba(features) + linear.predict_proba(features)) / 2
    np.testing.assert_allclose(model.predict_proba(smiles.clips), mean)


@pytest.mark.slow
def test_pipeline_learns_simulated_smiles():
    data = make_smiles(120, n_subjects=60, fps=25, random_state=1)
    train, test = next(StratifiedGroupKFold(2).split(data.clips, data.target, data.groups))
    clips = np.empty(len(data.clips), dtype=object)
    clips[:] = data.clips
    pipeline = make_fusion_pipeline(fps=25, random_state=0)
    pipeline.set_params(features__deep__max_epochs=20, features__deep__n_frames=16)
    pipeline.fit(clips[train], data.target[train])
    assert pipeline.score(clips[test], data.target[test]) > 0.65
