"""ClipCache does not change results, computes each clip once, and survives damage."""

import os
import threading

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from smilefusion import (
    ClipCache,
    DeepFeatureExtractor,
    load_model,
    save_model,
)
from smilefusion.clips import check_clips
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.nn import MeshTransformer

KEYS = [f"{index:064x}" for index in range(12)]


@pytest.fixture
def cache(tmp_path):
    return ClipCache(tmp_path / "cache")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a small encoder."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "encoder.pt"
    torch.save(MeshTransformer(478, 3, embedding_dim=8, time_unit=1.0).state_dict(), path)
    return path


def frozen(weights, **params):
    """Return an extractor that does not depend on its training clips."""
    defaults = {"fps": 25, "embedding_dim": 8, "n_frames": 8, "scaling": (0.0, 0.05)}
    return DeepFeatureExtractor(objective="frozen", weights=weights, **{**defaults, **params})


def same(first, second):
    return first.dtype == second.dtype and first.tobytes() == second.tobytes()


def compute_squares(places):
    """Stand in for an extractor."""
    return [{"square": np.array([float(place) ** 2])} for place in places]


def values(entries):
    return [entry["square"][0] for entry in entries]


def test_cached_embeddings_do_not_depend_on_the_batch(cache, smiles, weights):
    plain = frozen(weights).fit(smiles.clips)
    cached = frozen(weights, cache=cache).fit(smiles.clips)
    for start in (7, 3, 0):
        expected = plain.transform(smiles.clips[start : start + 11])
        assert same(cached.transform(smiles.clips[start : start + 11]), expected)
    assert same(cached.transform(smiles.clips), plain.transform(smiles.clips))
    again = frozen(weights, cache=cache).fit_transform(smiles.clips)
    assert same(again, plain.transform(smiles.clips))
    assert cache.statistics().misses == 24


@pytest.mark.filterwarnings("ignore:objective='frozen' without weights")
def test_cached_embeddings_of_images_are_the_same(cache):
    rng = np.random.default_rng(0)
    videos = [rng.integers(256, size=(3 + i % 3, 40, 60, 3), dtype=np.uint8) for i in range(4)]
    params = {"objective": "frozen", "n_frames": 4, "random_state": 0}
    plain = DeepFeatureExtractor("test_vit", **params).fit(videos)
    cached = DeepFeatureExtractor("test_vit", cache=cache, **params).fit(videos)
    for _ in range(2):
        assert same(cached.transform(videos), plain.transform(videos))
    assert (cache.statistics().misses, cache.statistics().hits) == (4, 4)


def test_other_settings_of_embeddings_have_other_entries(cache, smiles, weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    torch.save({name: 1.01 * value for name, value in state.items()}, tmp_path / "other.pt")
    changes = [
        *(
            {},
            {"fps": 50},
            {"n_frames": 6},
            {"scaling": (0.0, 0.06)},
            {"net_params": {"module__dtype": "float64"}},
        ),
        *({"net_params": {"module__n_heads": 2}}, {"weights": tmp_path / "other.pt"}),
    ]
    for change in changes:
        model = frozen(**{"weights": weights, **change})
        expected = model.fit_transform(smiles.clips[:2])
        assert same(model.set_params(cache=cache).fit_transform(smiles.clips[:2]), expected)
    assert cache.statistics().misses == 2 * len(changes)


def test_learned_scaling_has_its_own_entries(cache, smiles, weights):
    for some in (slice(0, 8), slice(8, 16)):
        model = frozen(weights, cache=cache, scaling=None).fit(smiles.clips[some])
        plain = frozen(weights, scaling=None).fit(smiles.clips[some])
        assert same(model.transform(smiles.clips[:2]), plain.transform(smiles.clips[:2]))
    assert cache.statistics().misses == 4


def test_each_clip_has_the_entry_of_its_own_frame_rate(cache, smiles, weights):
    clips = check_clips([smiles.clips[0]] * 3, fps=[25.0, 50.0, 25.0])
    embeddings = frozen(weights, cache=cache, fps=None).fit_transform(clips)
    assert not np.allclose(embeddings[0], embeddings[1])
    assert (cache.statistics().misses, cache.statistics().hits) == (2, 1)


def test_clips_of_the_same_content_and_type_share_entries(cache, smiles, weights, tmp_path):
    paths = [tmp_path / f"{index}.npy" for index in range(3)]
    for path, clip in zip(paths, smiles.clips, strict=False):
        np.save(path, clip)
    model = frozen(weights, cache=cache).fit(smiles.clips[:3])
    mapped = [np.load(path, mmap_mode="r") for path in paths]
    results = [model.transform(clips) for clips in (smiles.clips[:3], paths, mapped)]
    assert same(results[0], results[1])
    assert same(results[0], results[2])
    assert (cache.statistics().misses, cache.statistics().hits) == (3, 6)
    model.transform([smiles.clips[0].astype(np.float64)])
    assert cache.statistics().misses == 4


def test_changed_file_is_computed_again(cache, smiles, weights, tmp_path, monkeypatch):
    """Size and time of the file stay the same, as after a copy that preserves times."""
    monkeypatch.setattr("smilefusion._storage._clip_keys._SETTLED_NS", 0)
    path = tmp_path / "clip.npy"
    np.save(path, smiles.clips[0])
    status = os.stat(path)
    model = frozen(weights, cache=cache).fit([path])
    model.transform([path])
    np.save(path, smiles.clips[0] + np.float32(0.1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    model.transform([path])
    model.transform([path])
    assert (cache.statistics().misses, cache.statistics().hits) == (2, 1)


def test_entries_keep_types_and_shapes(cache):
    entry = {"flag": np.bool_(True), "table": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    for _ in range(2):
        (found,) = cache.fetch(KEYS[:1], lambda _: [entry])
        assert found["flag"].shape == ()
        assert found["flag"].dtype == bool
        assert found["table"].dtype == np.float32
        np.testing.assert_array_equal(found["table"], entry["table"])
    assert cache.statistics().hits == 1


def truncate(path, other):
    path.write_bytes(path.read_bytes()[:-3])


def flip_a_bit(path, other):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty(path, other):
    path.write_bytes(b"")


def take_another_entry(path, other):
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, take_another_entry])
def test_damaged_entry_is_computed_again(damage, cache):
    cache.fetch(KEYS[:3], compute_squares, n_at_once=3)
    damage(cache.folder / f"{KEYS[2]}.clip", cache.folder / f"{KEYS[1]}.clip")
    for _ in range(2):
        assert values(cache.fetch(KEYS[:3], compute_squares)) == [0.0, 1.0, 4.0]
    assert (cache.statistics().misses, cache.statistics().hits) == (4, 5)


def test_least_recently_used_entries_are_deleted_first(tmp_path):
    cache = ClipCache(tmp_path, max_bytes=4 * 4096)
    for place, key in enumerate(KEYS[:4]):
        cache.fetch([key], compute_squares)
        os.utime(tmp_path / f"{key}.clip", (place, place))
    cache.fetch(KEYS[:1], compute_squares)  # use the oldest
    cache.fetch(KEYS[4:6], compute_squares)
    assert {path.stem for path in tmp_path.iterdir()} == {KEYS[0], *KEYS[3:6]}
    assert (cache.statistics().n_entries, cache.statistics().n_bytes) == (4, 4 * 4096)


def test_entry_larger_than_the_cache_deletes_no_other(tmp_path):
    cache = ClipCache(tmp_path, max_bytes=4 * 4096)
    cache.fetch(KEYS[:2], compute_squares)
    (large,) = cache.fetch(KEYS[2:3], lambda _: [{"large": np.zeros(5 * 4096)}])
    assert large["large"].shape == (5 * 4096,)
    assert cache.statistics().n_entries == 2


def test_size_is_limited_while_threads_read_and_delete(tmp_path):
    cache = ClipCache(tmp_path, max_bytes=5 * 4096)

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(10):
            places = rng.permutation(12)[:4]
            entries = cache.fetch(
                [KEYS[place] for place in places],
                lambda own, places=places: compute_squares([places[i] for i in own]),
            )
            assert values(entries) == [float(p) ** 2 for p in places]

    Parallel(4, backend="threading")(delayed(work)(seed) for seed in range(4))
    assert cache.statistics().n_bytes <= 5 * 4096
    assert {path.suffix for path in tmp_path.iterdir()} == {".clip"}


def test_clear_deletes_only_entries_and_locks(cache):
    cache.fetch(KEYS, compute_squares)
    other = [cache.folder / "a.txt", cache.folder / "b.clip"]
    for path in (*other, cache.folder / f".{'a' * 32}.clip", cache.folder / f"{KEYS[0]}.lock"):
        path.write_text("mine")
    os.utime(cache.folder / f".{'a' * 32}.clip", (0, 0))  # incomplete, of a dead process
    cache.clear()
    assert set(cache.statistics().values()) == {0}
    assert sorted(cache.folder.iterdir()) == other


def test_threads_do_not_compute_the_same_clips(cache):
    started, other_has_computed = threading.Event(), threading.Event()
    calls = []

    def slow(places):
        started.set()
        other_has_computed.wait()
        return compute_squares(places)

    def compute(places):
        calls.extend(places)
        other_has_computed.set()
        return compute_squares(places)

    other = threading.Thread(target=cache.fetch, args=(KEYS[:2], slow), kwargs={"n_at_once": 2})
    other.start()
    started.wait()
    entries = cache.fetch(KEYS[:3], compute)
    other.join()
    assert calls == [2]
    assert values(entries) == [0.0, 1.0, 4.0]


def test_error_releases_the_locks(cache):
    def fail(places):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.fetch(KEYS[:2], fail, n_at_once=2)
    assert values(cache.fetch(KEYS[:2], compute_squares)) == [0.0, 1.0]
    assert {path.suffix for path in cache.folder.iterdir()} == {".clip"}


def test_model_file_does_not_name_the_cache(cache, smiles, weights, tmp_path):
    model = frozen(weights, cache=cache).fit(smiles.clips)
    save_model(model, tmp_path / "model")
    restored = load_model(tmp_path / "model")
    assert restored.cache is None
    assert same(restored.transform(smiles.clips), model.transform(smiles.clips))
    assert str(cache.folder).encode() not in (tmp_path / "model").read_bytes()


def test_cache_that_cannot_be_written_to_warns(smiles, weights, tmp_path):
    (tmp_path / "file").write_text("no folder")
    model = frozen(weights, cache=tmp_path / "file" / "cache").fit(smiles.clips[:2])
    with pytest.warns(SmileFusionWarning, match="cannot be written to"):
        embeddings = model.transform(smiles.clips[:2])
    assert same(embeddings, frozen(weights).fit_transform(smiles.clips[:2]))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ClipCache(3), "folder must be a path"),
        (lambda: ClipCache("a", max_bytes=0), "max_bytes must be a positive number"),
        (lambda: DeepFeatureExtractor(cache=3).fit([np.zeros((9, 478, 3))], [0]), "cache"),
    ],
)
def test_bad_argument_is_named(make, error):
    with pytest.raises((TypeError, ValueError), match=error):
        make()
