import warnings

import numpy as np
import pytest
from sklearn.base import clone

from smilefusion import DMarkerTransformer, make_fusion_pipeline
from smilefusion.clips import check_clips
from smilefusion.clips._changes import add_still_end, add_still_start, mirror
from smilefusion.datasets import make_smiles
from smilefusion.estimators._augmentation import vary_clips


@pytest.fixture(scope="module")
def data():
    return make_smiles(24, n_subjects=8, fps=25, jitter=0.0075, random_state=0)


def small_pipeline(**params):
    pipeline = make_fusion_pipeline(random_state=0)
    trained = {"embedding_dim": 8, "objective": "supervised", "weights": None}
    small = {f"features__deep__{name}": value for name, value in trained.items()}
    small["fusion__hidden_dim"] = 8
    for name in ("features__deep", "fusion"):
        small[f"{name}__max_epochs"] = 2
    return pipeline.set_params(**small, **params)


@pytest.fixture(scope="module")
def fitted(data):
    return small_pipeline().fit(data.clips, data.target)


def test_copies_are_parts_of_the_clips_with_noise(data):
    copies = vary_clips(data.clips, np.random.default_rng(0))
    for clip, copy in zip(data.clips, copies, strict=True):
        assert 0.8 * 25 - 1 <= len(copy) <= len(clip)
        noise = [
            np.nanmax(np.abs(copy - clip[start : start + len(copy)]))
            for start in range(len(clip) - len(copy) + 1)
        ]
        assert 0 < min(noise) < 0.05
    assert (copies.n_frames < data.clips.n_frames).mean() > 0.4
    assert copies.fps.tolist() == data.clips.fps.tolist()


def test_copies_of_short_clips_keep_faces():
    clip = np.full((12, 478, 3), np.nan, np.float32)
    clip[0] = make_smiles(2, n_subjects=1, random_state=0).clips[0][0]
    copies = vary_clips(check_clips([clip] * 20, fps=10), np.random.default_rng(0))
    assert all(np.isfinite(copy[0]).all() for copy in copies)


def test_probability_does_not_depend_on_still_frames_and_mirroring(data, fitted):
    rested = [add_still_end(add_still_start(clip, 10), 10) for clip in data.clips]
    expected = fitted.predict_proba(check_clips(rested, fps=25))
    still = [add_still_end(add_still_start(clip, 25), 25) for clip in rested]
    for changed in (still, [mirror(clip) for clip in rested]):
        probability = fitted.predict_proba(check_clips(changed, fps=25))
        np.testing.assert_allclose(probability, expected, atol=0.02)


def test_copies_train_later_steps_but_do_not_stop_them(data, fitted):
    n_clips = len(data.clips)
    n_stop = fitted["features"].transformer_list[0][1].split_["n_early_stopping"]
    split = fitted["fusion"].split_
    assert split["n_early_stopping"] == n_stop
    assert split["n_train"] == n_clips - n_stop + -(-(n_clips - n_stop) // 3)
    assert not np.intersect1d(split["train"], split["early_stopping"]).size


def test_copies_change_what_is_learned_only_if_wanted(data, fitted):
    plain = small_pipeline(augment=False).fit(data.clips, data.target)
    assert plain["fusion"].split_["n_train"] < fitted["fusion"].split_["n_train"]
    again = clone(fitted).fit(data.clips, data.target)
    expected = fitted.predict_proba(data.clips)
    np.testing.assert_array_equal(again.predict_proba(data.clips), expected)
    assert not np.array_equal(plain.predict_proba(data.clips), expected)


def test_copies_are_in_the_fold_of_their_subject(data):
    model = make_fusion_pipeline(random_state=0)
    model.set_params(fusion__max_epochs=2, fusion__hidden_dim=8)
    people = np.unique(data.groups)
    network = model.fit(data.clips, data.target, groups=data.groups)["fusion"]
    assert network.split_["n_train"] == 24 + 8
    assert network.split_["train"].tolist() == people.tolist()
    model.fit(check_clips(list(data.clips), fps=25), data.target)  # without subjects
    assert model["fusion"].split_["n_train"] == 24


def test_cached_features_give_the_same_probabilities(data, fitted, tmp_path):
    expected = fitted.predict_proba(data.clips)
    for _ in range(2):  # computed, then from the cache
        cached = small_pipeline(memory=str(tmp_path)).fit(data.clips, data.target)
        np.testing.assert_array_equal(cached.predict_proba(data.clips), expected)


def test_copies_cause_no_warnings(data):
    flat = np.repeat(data.clips[0][:1], 30, axis=0)
    clips = check_clips([*data.clips, flat], fps=25, subjects=np.arange(25) // 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small_pipeline(augment=True).fit(clips, [*data.target, 0])
    texts = {str(each.message) for each in caught if "no smile" in str(each.message)}
    assert len(texts) == 1
    assert DMarkerTransformer().phases(clips)["no_smile"].sum() == 1
