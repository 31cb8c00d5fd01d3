import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from smilefusion import DeepFeatureExtractor
from smilefusion.clips._changes import add_still_end, add_still_start, mirror
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import SmileFusionWarning

SMALL_CURVENET = {
    "module__n_neighbours": 4,
    "module__n_curves": 10,
    "module__n_tokens": 4,
    "module__depth": 2,
    "module__time_depth": 1,
}


def small(**params):
    defaults = {"embedding_dim": 8, "max_epochs": 2, "n_frames": 16, "random_state": 0}
    return DeepFeatureExtractor(**{"fps": 25, **defaults, **params})


@pytest.fixture(scope="module")
def fitted(smiles):
    return small().fit(smiles.clips, smiles.target)


def test_embedding_depends_on_the_smile_but_not_on_the_recording(smiles):
    model = small(n_frames=4).fit(smiles.clips, smiles.target)
    clip = add_still_end(add_still_start(smiles.clips[0], 20), 20)
    longer = add_still_end(add_still_start(clip, 40), 40)
    expected = model.transform([clip])
    np.testing.assert_allclose(model.transform([longer]), expected, atol=1e-4)
    slower = np.repeat(clip, 2, axis=0)
    assert not np.allclose(model.transform([slower]), expected, atol=1e-2)


def test_embedding_of_the_mirror_image_is_the_same(smiles):
    model = small(n_frames=4).fit(smiles.clips, smiles.target)
    mirrored = [mirror(clip) for clip in smiles.clips]
    np.testing.assert_allclose(model.transform(mirrored), model.transform(smiles.clips), atol=1e-4)


def test_learns_what_only_the_whole_face_shows():
    rng = np.random.default_rng(0)
    data = make_smiles(60, n_subjects=60, fps=25, effect=0, missing_rate=0, random_state=0)
    target = rng.integers(2, size=60)
    brows = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
    for clip, label in zip(data.clips, target, strict=True):
        clip[len(clip) // 3 :, brows, 1] += np.float32(0.06 * (2 * label - 1))
    model = small(max_epochs=30, patience=None).fit(data.clips[:40], target[:40])
    head = LogisticRegression(max_iter=1000).fit(model.transform(data.clips[:40]), target[:40])
    assert head.score(model.transform(data.clips[40:]), target[40:]) > 0.9


def published(**params):
    return small(**{"encoder": "curvenet", "n_frames": 4, "net_params": SMALL_CURVENET} | params)


def test_published_encoder_embeds_clips_one_by_one_alike(smiles):
    points = [clip[:, :68, :2] for clip in smiles.clips]
    points[1] = points[1][:3]  # shorter than the four frames of the others
    model = published(patience=None).fit(points, smiles.target)
    alone = np.vstack([model.transform([clip]) for clip in points[:4]])
    np.testing.assert_allclose(model.transform(points)[:4], alone, atol=1e-5)
    assert np.ptp(alone, axis=0).max() > 1e-3


def test_published_encoder_skips_missing_frames(smiles):
    points = [clip[:, :68] for clip in smiles.clips]
    model = published(max_epochs=1).fit(points, smiles.target)
    flat = [np.repeat(clip[:1], 20, axis=0) for clip in points]  # without a smile, used whole
    gaps = [np.insert(clip, [2, 2, 9], np.nan, axis=0) for clip in flat]
    np.testing.assert_array_equal(model.transform(gaps), model.transform(flat))


def test_frozen_published_encoder_starts_from_its_weights(smiles, tmp_path):
    points = [clip[:, :68] for clip in smiles.clips]
    trained = published(max_epochs=1).fit(points, smiles.target)
    torch.save(trained.net_.module_.encoder.state_dict(), tmp_path / "weights.pt")
    frozen = published(objective="frozen", weights=tmp_path / "weights.pt").fit(points)
    np.testing.assert_allclose(frozen.transform(points), trained.transform(points), atol=1e-5)


def test_frozen_embedding_has_the_same_bits_alone_and_among_others(smiles):
    with pytest.warns(SmileFusionWarning, match="with random weights"):
        model = small(objective="frozen").fit(smiles.clips)
    alone = np.vstack([model.transform([clip]) for clip in smiles.clips])
    assert model.transform(smiles.clips).tobytes() == alone.tobytes()
    assert model.transform(smiles.clips[3:9]).tobytes() == alone[3:9].tobytes()


def test_given_scaling_makes_a_frozen_network_independent_of_the_training_clips(
    fitted, smiles, tmp_path
):
    torch.save(fitted.net_.module_.encoder.state_dict(), tmp_path / "weights.pt")
    scaling = fitted.offset_, fitted.scale_
    frozen = small(objective="frozen", weights=tmp_path / "weights.pt", scaling=scaling)
    few = frozen.fit(smiles.clips[:4]).transform(smiles.clips)
    many = frozen.fit(smiles.clips).transform(smiles.clips)
    assert few.tobytes() == many.tobytes()
    np.testing.assert_allclose(few, fitted.transform(smiles.clips), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "mesh_transformr"}, r"Did you mean 'mesh_transformer'\?"),
        ({"objective": "telepathic"}, "objective"),
        *(({"scaling": scaling}, "scaling") for scaling in (0.3, (0.0,), (0.0, 0.0))),
        *(({"scaling": scaling}, "scaling") for scaling in ((0.0, [1.0, 2.0]), (np.nan, 1.0))),
    ],
    ids=str,
)
def test_bad_parameter_is_named(change, message, smiles):
    with pytest.raises(ValueError, match=message):
        small(**change).fit(smiles.clips, smiles.target)
