"""ClipCache: the same results as without it, each clip computed once, whatever happens to it."""

import json
import os
import pickle
import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from smilefusion import (
    ClipCache,
    DeepFeatureExtractor,
    DMarkerTransformer,
    HadaSmileNetClassifier,
    list_fusions,
    load_model,
    make_fusion_pipeline,
    save_model,
)
from smilefusion._cache_files import entry_path, read_entry, scan
from smilefusion._clip_keys import digest_array, digest_clip
from smilefusion._locks import locked
from smilefusion.benchmark.run._provenance import describe_estimator
from smilefusion.benchmark.run._store import _differences
from smilefusion.clips import check_clips
from smilefusion.exceptions import CacheWarning, NoSmileWarning
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


# Results.


@pytest.mark.parametrize("definition", ["standard", "hadasmilenet"])
def test_cached_dmarkers_are_those_of_any_batch(definition, cache, smiles):
    plain = DMarkerTransformer(fps=25, definition=definition)
    cached = clone(plain).set_params(cache=cache)
    rng = np.random.default_rng(0)
    for _ in range(4):
        some = rng.permutation(24)[:9]
        expected = plain.transform([smiles.clips[i] for i in some])
        assert same(cached.transform([smiles.clips[i] for i in some]), expected)
    assert same(cached.transform(smiles.clips), plain.transform(smiles.clips))
    assert cache.statistics().misses == 24


def test_cached_embeddings_are_those_of_any_batch(cache, smiles, weights):
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


def test_warnings_are_the_same_with_a_hit(cache, smiles):
    still = np.repeat(smiles.clips[3][:1], 60, axis=0)
    clips = [*smiles.clips[:3], still, smiles.clips[4][:, :, :2].copy()]
    clips = [clip[..., :2] for clip in clips]
    messages = []
    for transformer in [DMarkerTransformer(), *[DMarkerTransformer(cache=cache)] * 2]:
        with pytest.warns(NoSmileWarning) as record:
            transformer.transform(clips)
        messages.append([str(w.message) for w in record])
    assert messages[0] == messages[1] == messages[2]
    assert "Clip 3 shows no smile" in messages[0][0]


def test_absent_phases_are_told_apart_after_the_cache(cache, smiles):
    clips = smiles.clips[:3]
    for missing_phase in ("zero", "nan"):
        plain = DMarkerTransformer(fps=25, missing_phase=missing_phase)
        assert same(clone(plain).set_params(cache=cache).transform(clips), plain.transform(clips))
    assert cache.statistics().misses == 3


@pytest.mark.parametrize(
    "change",
    [
        *({"fps": 50}, {"fps": None}, {"pose": "eyes"}, {"smoothing": "median"}, {"max_gap": 12}),
        *({"segmentation": "longest_run"}, {"bridge_blinks": False}),
        {"definition": "hadasmilenet"},
    ],
)
def test_other_settings_of_dmarkers_have_other_entries(change, cache, smiles):
    clips = smiles.clips[:2]
    transformer = DMarkerTransformer(fps=25, cache=cache)
    transformer.transform(clips)
    transformer.set_params(**change)
    expected = clone(transformer).set_params(cache=None).transform(clips)
    assert same(transformer.transform(clips), expected)
    assert cache.statistics().misses == 4


@pytest.mark.parametrize(
    "change",
    [
        *({"fps": 50}, {"fps": None}, {"n_frames": 6}, {"scaling": (0.0, 0.06)}),
        *({"precision": "float64"}, {"net_params": {"module__n_heads": 2}}),
    ],
)
def test_other_settings_of_embeddings_have_other_entries(change, cache, smiles, weights):
    clips = smiles.clips[:2]
    frozen(weights, cache=cache).fit_transform(clips)
    expected = frozen(weights, **change).fit_transform(clips)
    assert same(frozen(weights, cache=cache, **change).fit_transform(clips), expected)
    assert cache.statistics().misses == 4


def test_other_weights_have_other_entries(cache, smiles, weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    name = next(name for name, value in state.items() if value.ndim == 2)
    state[name] += 1e-3
    torch.save(state, tmp_path / "other.pt")
    first, second = (
        frozen(path, cache=cache).fit_transform(smiles.clips[:2])
        for path in (weights, tmp_path / "other.pt")
    )
    assert not np.array_equal(first, second)
    assert cache.statistics().misses == 4


def test_learned_scaling_has_its_own_entries(cache, smiles, weights):
    for some in (slice(0, 8), slice(8, 16)):
        model = frozen(weights, cache=cache, scaling=None).fit(smiles.clips[some])
        plain = frozen(weights, scaling=None).fit(smiles.clips[some])
        assert same(model.transform(smiles.clips[:2]), plain.transform(smiles.clips[:2]))
    assert cache.statistics().misses == 4


def test_each_clip_has_the_entry_of_its_own_frame_rate(cache, smiles):
    rates = np.array([25.0, 50.0, 25.0])
    clips = [smiles.clips[0]] * 3
    cached = DMarkerTransformer(fps=rates, cache=cache).transform(clips)
    assert same(cached, DMarkerTransformer(fps=rates).transform(clips))
    assert (cache.statistics().misses, cache.statistics().hits) == (2, 1)


# Keys.


def test_arrays_and_files_of_the_same_content_share_entries(cache, smiles, tmp_path):
    paths = []
    for index, clip in enumerate(smiles.clips[:3]):
        paths.append(tmp_path / f"{index}.npy")
        np.save(paths[-1], clip)
    transformer = DMarkerTransformer(fps=25, cache=cache)
    transformer.transform(smiles.clips[:3])
    transformer.transform(paths)
    transformer.transform([np.load(path, mmap_mode="r") for path in paths])
    assert (cache.statistics().misses, cache.statistics().hits) == (3, 6)


def test_digest_tells_type_shape_and_values():
    clip = np.zeros((2, 3, 4), np.float32)
    others = [clip.astype(np.float64), clip.reshape(2, 4, 3), clip + 1]
    assert len({digest_array(array) for array in [clip, *others]}) == 4
    assert digest_array(np.asfortranarray(clip)) == digest_array(clip)


def test_file_is_read_again_where_its_times_have_changed(smiles, tmp_path, monkeypatch):
    """A file of the same size and time of change, as a copy that keeps times makes it."""
    path = tmp_path / "clip.npy"
    np.save(path, smiles.clips[0])
    monkeypatch.setattr("smilefusion._clip_keys._SETTLED_NS", 0)
    status = os.stat(path)
    before = digest_clip(check_clips([path]), 0)
    np.save(path, smiles.clips[0] + np.float32(0.1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == status.st_mtime_ns
    assert digest_clip(check_clips([path]), 0) != before


def test_file_that_has_just_been_written_is_not_remembered(smiles, tmp_path, monkeypatch):
    path = tmp_path / "clip.npy"
    np.save(path, smiles.clips[0])
    clips, remembered = check_clips([path]), {}
    monkeypatch.setattr("smilefusion._clip_keys._REMEMBERED", remembered)
    digest_clip(clips, 0)
    assert remembered == {}
    monkeypatch.setattr("smilefusion._clip_keys._SETTLED_NS", 0)
    digest = digest_clip(clips, 0)
    assert list(remembered.values()) == [digest]


# Entries.


def test_clip_that_comes_twice_is_computed_once(cache):
    calls = []

    def compute(places):
        calls.extend(places)
        return compute_squares(places)

    entries = cache.fetch([KEYS[0], KEYS[1], KEYS[0]], compute, n_at_once=8)
    assert [entry["square"][0] for entry in entries] == [0.0, 1.0, 0.0]
    assert calls == [0, 1]


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
    damage(entry_path(cache.folder, KEYS[2]), entry_path(cache.folder, KEYS[1]))
    for _ in range(2):
        entries = cache.fetch(KEYS[:3], compute_squares)
        assert [entry["square"][0] for entry in entries] == [0.0, 1.0, 4.0]
    counts = cache.statistics()
    assert (counts.misses, counts.hits, counts.damaged) == (4, 5, 1)


def test_entries_not_used_for_longest_go_first(tmp_path):
    cache = ClipCache(tmp_path, max_bytes=8 * 4096)
    for place, key in enumerate(KEYS[:8]):
        cache.fetch([key], lambda _, place=place: compute_squares([place]))
        os.utime(entry_path(tmp_path, key), (place, place))
    cache.fetch(KEYS[:1], compute_squares)  # the oldest is used again
    cache.fetch(KEYS[8:9], compute_squares)
    left = {key for key in KEYS if read_entry(entry_path(tmp_path, key), key)}
    assert left == {KEYS[0], *KEYS[3:9]}
    counts = cache.statistics()
    assert (counts.evictions, counts.n_entries, counts.n_bytes) == (2, 7, 7 * 4096)


def test_entry_larger_than_the_cache_drives_no_other_out(tmp_path):
    cache = ClipCache(tmp_path, max_bytes=4 * 4096)
    cache.fetch(KEYS[:2], compute_squares)
    (large,) = cache.fetch(KEYS[2:3], lambda _: [{"large": np.zeros(5 * 4096)}])
    assert large["large"].shape == (5 * 4096,)
    assert cache.statistics().n_entries == 2


def test_cache_keeps_to_its_size_while_threads_read_and_evict(tmp_path):
    cache = ClipCache(tmp_path, max_bytes=5 * 4096)

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(30):
            places = rng.permutation(12)[:4]
            entries = cache.fetch(
                [KEYS[place] for place in places],
                lambda own, places=places: compute_squares([places[i] for i in own]),
            )
            assert [entry["square"][0] for entry in entries] == [float(p) ** 2 for p in places]

    Parallel(4, backend="threading")(delayed(work)(seed) for seed in range(4))
    counts = cache.statistics()
    assert counts.evictions > 10
    assert counts.n_bytes <= (5 + 4) * 4096  # each may have written one since it looked
    assert counts.hits + counts.misses == 4 * 30 * 4


def test_clear_deletes_entries_and_counts_and_nothing_else(cache):
    cache.fetch(KEYS, compute_squares)
    shelf = entry_path(cache.folder, KEYS[0]).parent
    own = [cache.folder / "a.txt", shelf / "b.clip", cache.folder / "statistics" / "c.json"]
    for path in own:
        path.write_text("mine")
        os.utime(path, (0, 0))
    cache.clear()
    assert set(cache.statistics().values()) == {0}
    assert [path for path in sorted(cache.folder.rglob("*")) if path.is_file()] == sorted(own)


def test_left_over_files_are_deleted_after_a_day(cache):
    cache.fetch(KEYS[:1], compute_squares)
    path = entry_path(cache.folder, KEYS[0])
    old, new = (path.with_name(f".{path.stem}-{part}.clip") for part in ("1a", "2b"))
    for path in (old, new):
        path.write_bytes(b"part")
    os.utime(old, (0, 0))
    assert len(scan(cache.folder)) == 1
    assert (old.exists(), new.exists()) == (False, True)


# Several processes.


def test_counts_are_summed_over_processes(cache, smiles):
    def describe(some):
        DMarkerTransformer(fps=25, cache=cache).transform(some)
        return os.getpid(), dict(cache.statistics(scope="process"))

    parts = [smiles.clips[:8], smiles.clips[8:16]] * 4
    told = Parallel(2)(delayed(describe)(part) for part in parts)
    total = Counter()
    for counts in dict(told).values():
        total.update(counts)
    counts = cache.statistics()
    assert (counts.misses, counts.hits) == (16, 8 * 8 - 16)
    assert cache.statistics(scope="process").misses == 0
    assert json.dumps(counts)


def test_process_waits_for_what_another_computes(cache):
    started = threading.Event()

    def slow(places):
        started.set()
        time.sleep(0.3)
        return compute_squares(places)

    other = threading.Thread(target=cache.fetch, args=(KEYS[:2], slow), kwargs={"n_at_once": 2})
    other.start()
    started.wait()
    calls = []

    def compute(places):
        calls.extend(places)
        return compute_squares(places)

    entries = cache.fetch(KEYS[:3], compute)
    other.join()
    assert calls == [2]
    assert [entry["square"][0] for entry in entries] == [0.0, 1.0, 4.0]


def test_lock_is_open_after_an_error(cache):
    def fail(places):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.fetch(KEYS[:2], fail, n_at_once=2)
    with locked(entry_path(cache.folder, KEYS[0], ".lock")) as mine:
        assert mine


# Searches.


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_search_over_strategies_computes_each_clip_once(n_jobs, cache, smiles, weights):
    pipeline = make_fusion_pipeline(fps=25, cache=cache, random_state=0).set_params(
        features__deep=frozen(weights, cache=cache),
        fusion__max_epochs=1,
        fusion__hidden_dim=8,
        fusion__early_stopping=False,
    )
    grid = {"fusion__fusion": list_fusions()}
    search = GridSearchCV(pipeline, grid, cv=StratifiedKFold(5), n_jobs=n_jobs, scoring="accuracy")
    search.fit(smiles.clips, smiles.target)
    counts = cache.statistics()
    assert len(search.cv_results_["params"]) == 15
    # Each of 75 cells sees every clip once, to train or to test; then the refit. Two streams.
    assert counts.misses == 2 * 24
    assert counts.hits + counts.misses == 2 * (15 * 5 * 24 + 24)
    assert counts.n_entries == 48


# Estimators.


def test_cache_may_be_a_folder(smiles, tmp_path):
    DMarkerTransformer(fps=25, cache=str(tmp_path / "a")).transform(smiles.clips[:2])
    assert ClipCache(tmp_path / "a").statistics().misses == 2


def test_cache_outlives_clone_and_pickle(cache, smiles):
    transformer = DMarkerTransformer(fps=25, cache=cache)
    transformer.transform(smiles.clips[:2])
    for copy in (clone(transformer), pickle.loads(pickle.dumps(transformer))):
        assert copy.cache == cache
        copy.transform(smiles.clips[:2])
    assert (cache.statistics().misses, cache.statistics().hits) == (2, 4)


def test_network_takes_dmarkers_from_a_cache(cache, smiles):
    params = {"fps": 25, "embedding_dim": 8, "hidden_dim": 8, "max_epochs": 1, "n_frames": 4}
    plain = HadaSmileNetClassifier(random_state=0, **params)
    dmarkers = DMarkerTransformer(fps=25, cache=cache)
    cached = clone(plain).set_params(dmarker_transformer=dmarkers)
    first, second = (
        model.fit(smiles.clips, smiles.target).predict_proba(smiles.clips)
        for model in (plain, cached)
    )
    assert same(first, second)
    assert (cache.statistics().misses, cache.statistics().hits) == (24, 24)


def test_model_file_does_not_name_the_cache(cache, smiles, weights, tmp_path):
    model = frozen(weights, cache=cache).fit(smiles.clips)
    save_model(model, tmp_path / "model")
    restored = load_model(tmp_path / "model")
    assert restored.cache is None
    assert same(restored.transform(smiles.clips), model.transform(smiles.clips))
    assert b"cache" not in (tmp_path / "model").read_bytes()


def test_benchmark_takes_results_with_and_without_a_cache_for_the_same(cache):
    rest = dict.fromkeys(("protocol", "data", "split"))
    without, with_cache = (
        describe_estimator(DMarkerTransformer(cache=each)) | rest for each in (None, cache)
    )
    assert without != with_cache
    assert _differences(without, with_cache) == []


def test_cache_that_cannot_be_written_to_warns(smiles, tmp_path):
    (tmp_path / "file").write_text("no folder")
    cached = DMarkerTransformer(fps=25, cache=tmp_path / "file" / "cache")
    with pytest.warns(CacheWarning, match="cannot be written to"):
        values = cached.transform(smiles.clips[:2])
    assert same(values, DMarkerTransformer(fps=25).transform(smiles.clips[:2]))


def test_cache_that_can_only_be_read_gives_what_it_holds(cache, monkeypatch):
    cache.fetch(KEYS[:1], compute_squares)
    touched = []

    def refuse(path):
        touched.append(path)
        raise PermissionError

    monkeypatch.setattr("smilefusion._cache_files.os.utime", refuse)
    cache.fetch(KEYS[:1], compute_squares)
    assert touched == [entry_path(cache.folder, KEYS[0])]
    assert cache.statistics().hits == 1


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ClipCache(3), "folder must be a path"),
        (lambda: ClipCache("a", max_bytes=0), "max_bytes must be a positive number"),
        (lambda: ClipCache("a").statistics(scope="mine"), "scope must be"),
        (lambda: DMarkerTransformer(cache=3).fit([np.zeros((9, 478, 3))]), "cache"),
    ],
)
def test_bad_argument_is_named(make, error):
    with pytest.raises((TypeError, ValueError), match=error):
        make()
