"""The face landmarker on real clips, compared with MediaPipe; following faces; bad models."""

import zipfile
from itertools import islice

import av
import numpy as np
import pytest
from made_videos import picture, write_video
from mediapipe_reference import in_image_heights, open_mediapipe
from scipy.ndimage import rotate, zoom

from smilefusion import DMarkerTransformer
from smilefusion.exceptions import InvalidDataError
from smilefusion.video import FaceMeshExtractor

NAMES = ("smile.mp4", "small_face_please.mkv", "no_face_then_smile_vfr.mp4")


@pytest.fixture(scope="module")
def model(shared):
    return shared / "models" / "face_landmarker.task"


@pytest.fixture(scope="module")
def mediapipe(model):
    """Return a function from an RGB image to MediaPipe's first face in image heights, or None."""
    with open_mediapipe(model, num_faces=1) as detect:

        def find(image):
            faces = detect(image).face_landmarks
            return in_image_heights(faces[0], image) if faces else None

        yield find


def read_images(path, step=1, n_images=None):
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), 0, None, step)
        return [frame.to_ndarray(format="rgb24") for frame in islice(frames, n_images)]


def differences(landmarks, images, mediapipe):
    """Return distances from MediaPipe in % of the inter-ocular distance.

    One row per frame in which both find a face; also the share of frames in which only one does.
    """
    references = [mediapipe(image) for image in images]
    found = [reference is not None for reference in references]
    rows = []
    for clip, reference in zip(landmarks, references, strict=True):
        if reference is not None and not np.isnan(clip[0, 0]):
            scale = np.linalg.norm(reference[33, :2] - reference[263, :2])
            rows.append(100 * np.linalg.norm((clip - reference)[:, :2], axis=1) / scale)
    return np.array(rows), np.mean(found != ~np.isnan(landmarks[:, 0, 0]))


def second_differences(clip):
    """Return the mean second difference of the landmarks in inter-ocular distances."""
    scale = np.linalg.norm(clip[:, 33, :2] - clip[:, 263, :2], axis=1)[1:-1]
    steps = np.diff(clip[..., :2], n=2, axis=0)
    return np.nanmean(np.linalg.norm(steps, axis=2).mean(axis=1) / scale)


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_equal_those_of_mediapipe_in_image_mode(name, model, mediapipe, shared):
    path, step = shared / "clips" / name, 3
    extractor = FaceMeshExtractor(model_path=model, tracking=False, second_look=False)
    landmarks = extractor.extract(path).landmarks[::step]
    distances, share = differences(landmarks, read_images(path, step), mediapipe)
    assert len(distances) >= 8
    assert share <= 0.01
    assert distances.mean() < 0.05
    assert np.percentile(distances, 99) < 0.2


@pytest.mark.parametrize("view", ["turned by 20 degrees", "portrait", "upscaled"])
def test_landmarks_of_other_views_equal_those_of_mediapipe(
    view, model, mediapipe, shared, tmp_path
):
    images = read_images(shared / "clips" / "smile.mp4", 8)
    if view == "turned by 20 degrees":
        images = [rotate(image, 20, reshape=False, order=1) for image in images]
    if view == "portrait":
        images = [image[:, 190:410] for image in images]
    if view == "upscaled":
        images = [image.repeat(3, axis=0).repeat(3, axis=1) for image in images]
    path = write_video(tmp_path / "v.mkv", images)
    extractor = FaceMeshExtractor(model_path=model, tracking=False)
    distances, share = differences(extractor.extract(path).landmarks, images, mediapipe)
    assert (len(distances), share) == (len(images), 0)
    assert distances.mean() < 0.05
    assert np.percentile(distances, 99) < 0.2


def test_following_has_less_jitter_and_no_lag(model, shared):
    path = shared / "clips" / "smile.mp4"
    followed, detected = (
        FaceMeshExtractor(model_path=model, tracking=tracking).transform([path])[0]
        for tracking in (True, False)
    )
    assert second_differences(followed) < second_differences(detected)
    lips = [np.linalg.norm(clip[:, 61] - clip[:, 291], axis=1) for clip in (followed, detected)]
    lags = range(-3, 4)
    alike = [np.corrcoef(lips[0][5 + lag : lag - 5], lips[1][5:-5])[0, 1] for lag in lags]
    assert lags[np.argmax(alike)] == 0
    phases = DMarkerTransformer(fps=30).phases([followed, detected])["onset_start"]
    assert abs(phases[0] - phases[1]) <= 1


def test_two_faces_are_counted_and_the_larger_one_is_chosen(model, shared, tmp_path):
    images = [image[:, 180:420] for image in read_images(shared / "clips" / "smile.mp4", 1, 5)]
    smaller = [zoom(image, (0.75, 0.75, 1), order=1) for image in images]
    both = [
        np.hstack([np.pad(left, ((0, 90), (0, 0), (0, 0))), right])
        for left, right in zip(smaller, images, strict=True)
    ]
    data = FaceMeshExtractor(model_path=model).extract(write_video(tmp_path / "v.mkv", both))
    assert data.n_faces.tolist() == [2] * 5
    assert (data.landmarks[:, :, 0].mean(axis=1) * data.height > 180).all()


def test_face_that_leaves_is_missing_and_found_again(model, shared, tmp_path):
    images = read_images(shared / "clips" / "smile.mp4", 1, 12)
    images[4:8] = [np.zeros_like(images[0])] * 4
    path = write_video(tmp_path / "v.mkv", images)
    data = FaceMeshExtractor(model_path=model).extract(path)
    assert np.flatnonzero(~data.detected).tolist() == [4, 5, 6, 7]


def test_cut_to_another_person_is_followed_at_once(model, shared, tmp_path):
    first = read_images(shared / "clips" / "smile.mp4", 1, 4)
    others = read_images(shared / "clips" / "small_face_please.mkv", 1, 4)
    enlarged = [zoom(image[40:240, 220:420], (1.8, 3.2, 1), order=1) for image in others]
    path = write_video(tmp_path / "v.mkv", first + enlarged)
    followed, detected = (
        FaceMeshExtractor(model_path=model, tracking=tracking).extract(path).landmarks
        for tracking in (True, False)
    )
    assert np.abs(np.diff(detected[:, 4, 1])).argmax() == 3
    np.testing.assert_allclose(followed[4], detected[4], atol=1e-3)  # detected again
    assert np.abs(followed[5:] - detected[5:]).mean() < 0.03


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p10le", "yuva420p", "yuv422p", "bgra"])
def test_pixel_format_hardly_changes_the_landmarks(pix_fmt, model, shared, tmp_path):
    images = read_images(shared / "clips" / "smile.mp4", 1, 3)
    extractor = FaceMeshExtractor(model_path=model)
    expected, clip = (
        extractor.transform([write_video(tmp_path / f"{name}.mkv", images, pix_fmt=name)])[0]
        for name in ("bgr0", pix_fmt)
    )
    scale = np.linalg.norm(expected[0, 33] - expected[0, 263])
    assert np.linalg.norm(clip - expected, axis=2).mean() < 0.02 * scale


@pytest.mark.parametrize("size", [(8, 8), (4320, 7680)])
def test_frames_of_extreme_size_without_a_face_are_read(size, model, tmp_path):
    images = [picture(size=size)] * 2
    path = write_video(tmp_path / "v.mkv", images, codec="mpeg4", pix_fmt="yuv420p")
    data = FaceMeshExtractor(model_path=model).extract(path)
    assert (data.height, data.width) == size
    assert not data.detected.any()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("no zip", "is not a usable face model: it cannot be read"),
        ("no detector", "does not contain face_detector.tflite"),
        ("damaged network", "its network face_landmarks_detector.tflite is damaged"),
        ("other network", r"its network face_detector.tflite turns \(1, 146, 2\) into"),
    ],
)
def test_unusable_model_is_explained(change, match, model, tmp_path):
    with zipfile.ZipFile(model) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if change == "no detector":
        del files["face_detector.tflite"]
    if change == "damaged network":
        files["face_landmarks_detector.tflite"] = b"no network"
    if change == "other network":
        files["face_detector.tflite"] = files["face_blendshapes.tflite"]
    path = tmp_path / "model.task"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    if change == "no zip":
        path.write_bytes(b"no model")
    video = write_video(tmp_path / "v.mkv", [picture((20, 20, 60))] * 2)
    with pytest.raises(InvalidDataError, match=match):
        FaceMeshExtractor(model_path=path).extract(video)
