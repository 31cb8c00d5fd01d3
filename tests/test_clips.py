import mmap
import pickle
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.utils._param_validation import InvalidParameterError

import smilefusion
from smilefusion import DistributionChecker
from smilefusion.clips import check_clips, pad_clips, read_clip, read_fps, sample_frames
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import DataWarning, FrameRateWarning, InvalidClipError
from smilefusion.streaming import SmileStream
from smilefusion.video import FaceMeshExtractor


def make_clip(n_frames=12, n_landmarks=68, n_dims=3, seed=0):
    return np.random.default_rng(seed).uniform(size=(n_frames, n_landmarks, n_dims))


def object_array(clips):
    array = np.empty(len(clips), dtype=object)
    array[:] = clips
    return array


@pytest.fixture
def clips():
    return [make_clip(12), make_clip(9, seed=1)]


@pytest.mark.parametrize("container", [list, tuple, object_array, pd.Series, check_clips])
def test_check_clips_containers_are_alike(clips, container):
    checked = check_clips(container(clips))
    assert checked.n_frames.tolist() == [12, 9]
    assert all(np.array_equal(got, clip) for got, clip in zip(checked, clips, strict=True))


@pytest.mark.parametrize("as_paths", [list, np.array, pd.Series])
def test_check_clips_paths_equal_arrays(clips, tmp_path, as_paths):
    np.save(tmp_path / "a.npy", clips[0])
    np.savez_compressed(tmp_path / "b.npz", landmarks=clips[1])
    checked = check_clips(as_paths([str(tmp_path / "a.npy"), str(tmp_path / "b.npz")]))
    assert checked.n_frames.tolist() == [12, 9]
    assert all(np.array_equal(got, clip) for got, clip in zip(checked, clips, strict=True))
    assert checked.names[1] == "Clip 1 (b.npz)"


def test_check_clips_4d_array_is_a_sequence():
    clips = np.stack([make_clip(seed=seed) for seed in range(3)])
    checked = check_clips(clips)
    assert (len(checked), checked.n_landmarks, checked.n_dims) == (3, 68, 3)
    assert np.array_equal(checked[2], clips[2])


def test_check_clips_neither_copies_nor_changes(clips):
    before = [clip.copy() for clip in clips]
    checked = check_clips(clips)
    assert checked[0] is clips[0]
    assert all(np.array_equal(clip, old) for clip, old in zip(clips, before, strict=True))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        (">f4", "float32"),
        ("int16", "float32"),
    ],
)
def test_check_clips_dtype(dtype, expected):
    clip = (100 * make_clip()).astype(dtype)
    got = check_clips([clip])[0]
    assert got.dtype == np.dtype(expected)
    assert np.array_equal(got, clip.astype(np.float64))


def test_check_clips_keeps_missing_frames(clips):
    clips[0][3:5] = np.nan
    assert np.isnan(check_clips(clips)[0]).all(axis=(1, 2)).nonzero()[0].tolist() == [3, 4]


def test_clip_sequence_pickles(clips, tmp_path):
    np.save(tmp_path / "a.npy", clips[0])
    checked = pickle.loads(pickle.dumps(check_clips([tmp_path / "a.npy"])))
    assert np.array_equal(checked[0], clips[0])


def nan_in(clip, index):
    clip = clip.copy()
    clip[index] = np.nan
    return clip


BAD_CLIPS = {
    "rank": (np.zeros((12, 136)), r"Clip 1 has shape \(12, 136\)"),
    "dims": (np.zeros((12, 68, 4)), r"Clip 1 has shape .* with 2 or 3 dimensions"),
    "zero frames": (np.zeros((0, 68, 3)), "Clip 1 has 0 frames"),
    "all missing": (np.full((4, 68, 3), np.nan), "Clip 1 shows no face: all 4 frames"),
    "partly missing": (nan_in(make_clip(), (7, 5)), "Clip 1 has NaN for some .* frame 7"),
    "infinite": (np.where(make_clip() > 2, 0, np.inf), "Clip 1 has infinite .* frame 0"),
    "complex": (make_clip().astype(complex), "Clip 1 has dtype complex128"),
    "object": (make_clip().astype(object), "Clip 1 has dtype object"),
    "bool": (make_clip() > 0.5, "Clip 1 has dtype bool"),
    "ragged": ([[[0.0, 1.0]], [[0.0, 1.0], [2.0, 3.0]]], "Clip 1 cannot be converted to an array"),
    "landmarks": (
        make_clip(n_landmarks=478),
        r"68 landmarks in 3 .* \(Clip 0\), others 478 landmarks in 3 dimensions \(Clip 1\)",
    ),
    "dimensions": (make_clip(n_dims=2), r"68 .* 3 .* \(Clip 0\), others 68 .* 2 .* \(Clip 1\)"),
}


@pytest.mark.parametrize("kind", BAD_CLIPS)
def test_check_clips_bad_clip_is_named(kind):
    clip, match = BAD_CLIPS[kind]
    with pytest.raises(InvalidClipError, match=match):
        check_clips([make_clip(), clip])


BAD_CONTAINERS = {
    "one path": ("clip.npy", r"Wrap it in a list"),
    "one clip": (make_clip(), "array with 3 axes.*Wrap it in a list"),
    "a table": (np.zeros((4, 5)), "array with 2 axes"),
    "a frame": (pd.DataFrame({"clip": [1]}), "X is of type DataFrame"),
    "a dict": ({"deep": [make_clip()]}, "X is of type dict"),
    "streams": ((np.zeros((3, 12, 68, 3)), np.zeros((3, 225))), r"Clip 0 has shape \(3, 12"),
    "a generator": ((make_clip() for _ in range(2)), "X is of type generator"),
    "nothing": ([], "X holds no clips"),
    "a number": (3, "X is of type int"),
}


@pytest.mark.parametrize("kind", BAD_CONTAINERS)
def test_check_clips_bad_container(kind):
    X, match = BAD_CONTAINERS[kind]
    with pytest.raises(InvalidClipError, match=match):
        check_clips(X)


def test_check_clips_min_frames_names_the_clip(clips):
    with pytest.raises(InvalidClipError, match="Clip 1 has 9 frames, but at least 10 are needed"):
        check_clips(clips, min_frames=10)
    with pytest.raises(InvalidClipError, match="Clip 1 has 9 frames"):
        check_clips(check_clips(clips), min_frames=10)


def write_bad(kind, path):
    if kind == "truncated npy":
        np.save(path, make_clip())
        path.write_bytes(path.read_bytes()[:-8])
    elif kind == "truncated npz":
        np.savez(path, landmarks=make_clip())
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "pickled object":
        np.save(path, make_clip().astype(object), allow_pickle=True)
    elif kind == "pickled object in npz":
        np.savez(path, landmarks=make_clip().astype(object))
    elif kind in ("pickle", "a video"):
        path.write_bytes(pickle.dumps(make_clip()))
    elif kind == "missing key":
        np.savez(path, points=make_clip())
    elif kind == "one size":
        np.savez(path, landmarks=make_clip(), width=640)
    elif kind == "bad size":
        np.savez(path, landmarks=make_clip(), width=640, height=0)


@pytest.mark.parametrize(
    ("kind", "name", "match"),
    [
        ("absent", "bad.npy", "there is no file"),
        ("truncated npy", "cut.npy", "ends before its last frame"),
        ("truncated npz", "bad.npz", "cannot be read from"),
        ("pickled object", "bad.npy", "contains pickled objects"),
        ("pickled object in npz", "bad.npz", "contains pickled objects"),
        ("pickle", "bad.npy", "cannot be read from"),
        ("pickle", "bad.npz", "cannot be read from"),
        ("missing key", "bad.npz", "no entry 'landmarks'"),
        ("a video", "smile.mp4", "clips are .npy or .npz files"),
        ("one size", "bad.npz", "only one of the entries 'width' and 'height'"),
        ("bad size", "bad.npz", "states height=0"),
    ],
)
def test_check_clips_bad_file_is_named(tmp_path, kind, name, match):
    path = tmp_path / name
    write_bad(kind, path)
    with pytest.raises(InvalidClipError, match=rf"Clip 0 \({name}\).*{match}"):
        check_clips([path])[0]
    with pytest.raises(InvalidClipError, match=rf"{name}.*{match}"):
        read_clip(path)


def test_check_clips_reads_headers_only(tmp_path):
    np.save(tmp_path / "a.npy", np.full((12, 68, 3), np.inf))
    checked = check_clips([tmp_path / "a.npy"])
    with pytest.raises(InvalidClipError, match=r"Clip 0 \(a.npy\) has infinite coordinates"):
        checked[0]


def test_read_clip_makes_fractions_isotropic(tmp_path):
    clip = make_clip().astype(np.float32)
    np.savez(tmp_path / "a.npz", landmarks=clip, width=640, height=360, sar=1.5)
    expected = clip * np.float32([640 * 1.5 / 360, 1, 640 * 1.5 / 360])
    np.testing.assert_allclose(read_clip(tmp_path / "a.npz"), expected, rtol=1e-6)
    np.savez(tmp_path / "b.npz", landmarks=clip, width=640, height=360, is_isotropic=True)
    np.testing.assert_array_equal(read_clip(tmp_path / "b.npz"), clip)


def test_read_clip_npy_is_mapped_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", make_clip())
    clip = read_clip(tmp_path / "a.npy")
    base = clip
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    assert not clip.flags.writeable


def test_read_fps_is_the_entry_or_none(tmp_path):
    np.savez(tmp_path / "a.npz", landmarks=make_clip(), fps=29.97)
    np.savez(tmp_path / "b.npz", landmarks=make_clip())
    np.save(tmp_path / "c.npy", make_clip())
    assert [read_fps(tmp_path / name) for name in ("a.npz", "b.npz", "c.npy")] == [
        29.97,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("fps", "match"),
    [
        *((bad, "one positive number") for bad in (0.0, -25.0, np.nan, np.inf, "fast")),
        (1e12, r"states fps=1e\+12, .* between 1 and 1000 frames per second"),
        ([25.0, 30.0], r"the entry 'fps' has shape \(2,\)"),
        ("x" * 300, "the entry 'fps' has shape .* 1200 bytes"),
    ],
)
def test_read_fps_bad_entry_is_named(tmp_path, fps, match):
    np.savez(tmp_path / "a.npz", landmarks=make_clip(), fps=fps)
    with pytest.raises(InvalidClipError, match=f"a.npz .*{match}"):
        read_fps(tmp_path / "a.npz")


@pytest.mark.parametrize("key", ["fps", "width", "model_sha256"])
def test_huge_entry_is_refused_before_it_is_inflated(tmp_path, key):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **{"landmarks": make_clip(), "height": 1, key: np.zeros(10**7)})
    tracemalloc.start()
    with pytest.raises(InvalidClipError, match=f"the entry '{key}' has shape"):
        read_fps(path) if key == "fps" else read_clip(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_huge_header_is_refused_before_it_is_inflated(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        size = (10**7).to_bytes(4, "little")
        archive.writestr("landmarks.npy", b"\x93NUMPY\x02\x00" + size + b" " * 10**7)
    with pytest.raises(InvalidClipError, match="its header has 10000000 bytes"):
        check_clips([tmp_path / "a.npz"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
def test_mask_of_a_clip_counts_as_missing(dtype):
    clip = np.ma.masked_array(np.arange(90).reshape(5, 6, 3).astype(dtype), mask=False)
    clip[2] = np.ma.masked
    assert np.isnan(check_clips([clip])[0]).all(axis=(1, 2)).tolist() == [0, 0, 1, 0, 0]
    clip[3, 0, 0] = np.ma.masked
    with pytest.raises(InvalidClipError, match="NaN for some coordinates of frame 3"):
        check_clips([clip])


@pytest.mark.parametrize("fps", [-1, 1e9, np.nan, "fast", [25, [25, 30]]])
@pytest.mark.parametrize(
    "start",
    [
        lambda fps: smilefusion.DMarkerTransformer(fps=fps).fit([make_clip()] * 2, [0, 1]),
        lambda fps: smilefusion.DeepFeatureExtractor(fps=fps).fit([make_clip()] * 2, [0, 1]),
        lambda fps: smilefusion.HadaSmileNetClassifier(fps=fps).fit([make_clip()] * 2, [0, 1]),
        lambda fps: DistributionChecker(fps=fps).fit([make_clip()] * 2),
        lambda fps: FaceMeshExtractor(fps=fps).fit(["a.mp4"]),
        lambda fps: SmileStream(fps=fps),
        lambda fps: make_smiles(2, fps=fps),
        lambda fps: amplitude_signals(make_clip(), fps=fps),
    ],
)
def test_bad_frame_rate_is_the_same_error_everywhere(start, fps):
    with pytest.raises(InvalidParameterError, match="fps"):
        start(fps)


@pytest.mark.parametrize("n_frames", [1, 2, 7, 50])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 6, 49, 60])
def test_sample_frames_spacing_is_even(n_frames, n_samples):
    frames = sample_frames(n_frames, n_samples)
    assert len(frames) == min(n_frames, n_samples)
    assert (frames >= 0).all()
    assert (frames < n_frames).all()
    if len(frames) > 1:
        spacing = np.diff(frames)
        assert (frames[0], frames[-1]) == (0, n_frames - 1)
        assert spacing.min() >= 1
        assert np.ptp(spacing) <= 1


def test_pad_clips_masks_padding_and_missing_frames(clips):
    clips[0][4] = np.nan
    batch, mask = pad_clips(check_clips(clips), 12)
    assert batch.dtype == np.float32
    assert mask.sum(axis=1).tolist() == [11, 9]
    assert not batch[~mask].any()
    np.testing.assert_allclose(batch[1, :9], clips[1], rtol=1e-6)


def test_pad_clips_refuses_longer_clip(clips):
    with pytest.raises(InvalidClipError, match="Clip 0 has 12 frames; at most n_frames=10"):
        pad_clips(clips, 10)


@pytest.mark.parametrize("entry", ["model_sha256", "backend", "mode"])
def test_clips_of_two_landmark_models_are_warned_about(entry, tmp_path):
    paths = [tmp_path / f"{index}.npz" for index in range(3)]
    for path, model in zip(paths, "aba", strict=True):
        np.savez(path, landmarks=make_clip(), **{"model_sha256": "c" * 64} | {entry: 8 * model})
    with pytest.warns(DataWarning, match=r"2 landmark models: .*aaaaaaaa\), .*bbbbbbbb\)"):
        check_clips(paths)


def save_with_times(folder, times_s):
    """Write one clip with these times of its frames."""
    landmarks = np.zeros((len(times_s), 478, 3), dtype=np.float32)
    np.savez(folder / "a.npz", landmarks=landmarks, fps=25, timestamps_s=times_s)
    return [folder / "a.npz"]


@pytest.mark.parametrize("times_s", [[0, 0.04, 0.08, 0.4], [0, 0.04, 0.04], [0, np.nan, 0.08]])
def test_clips_with_uneven_times_are_warned_about(times_s, tmp_path):
    with pytest.warns(FrameRateWarning, match=r"a.npz: the frames are not equally spaced"):
        check_clips(save_with_times(tmp_path, times_s))


@pytest.mark.parametrize("times_s", [[0, 0.04, 0.08], [7.0, 7.033, 7.067], [1.0], ["a", "b"]])
def test_clips_with_even_times_or_other_entries_are_silent(times_s, tmp_path):
    check_clips(save_with_times(tmp_path, times_s))


@pytest.mark.parametrize(
    ("read", "file"),
    [
        (read_clip, "\x1b[31m\n.npy"),
        (read_fps, "\x1b[31m\n.npz"),
        (lambda path: check_clips([path]), "\x1b[31m\n.npz"),
        (smilefusion.readers.read_openface_csv, "\x1b[31m\n.csv"),
        (lambda path: smilefusion.datasets.load_clips(path.parent), "labels.csv"),
        (smilefusion.load_model, "\x1b[31m\n.smile"),
        (smilefusion.benchmark.load_results, "\x1b[31m\n"),
        (
            lambda path: smilefusion.DeepFeatureExtractor(weights=path).fit(
                make_smiles(2, n_subjects=2, random_state=0).clips, [0, 1]
            ),
            "\x1b[31m\n.pt",
        ),
    ],
)
def test_control_characters_of_a_file_name_are_escaped(read, file, tmp_path):
    path = tmp_path / "\x1b[32m\r" / file
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    with pytest.raises((ValueError, OSError)) as refusal:
        read(path)
    assert r"\x1b[3" in str(refusal.value)
    assert str(refusal.value).isprintable()
