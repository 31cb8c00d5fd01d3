"""Compare the extraction of landmarks from video with MediaPipe itself.

Run ``python benchmarks/video.py CLIPS MODEL``. ``CLIPS`` is a folder of videos that includes
``smile.mp4``, and ``MODEL`` is MediaPipe's ``face_landmarker.task``. MediaPipe runs in IMAGE mode
on frames that PyAV converts to RGB. Distances between landmarks are in % of the inter-ocular
distance.

* ``agreement``: distance from MediaPipe's landmarks with ``tracking=False``, for each video and
  for altered copies of the smile, and share of frames in which only one of the two finds a face;
* ``tracking``: jitter (second differences), lag of the lip signal and phases of D-Markers, with
  tracking and with detection in every frame;
* ``geometry``: distance of altered copies of the smile from the original file;
* ``speed``: time per frame, including decoding, relative to MediaPipe in a bare loop, at
  640 x 360 and at 1080p, on one processor and on all processors;
* ``processes``: time per video of one process on one processor, of one process and of two
  processes;
* ``memory``: peak memory for 10 s, 1 min and 10 min of video. This part takes minutes and runs
  only with ``--parts memory``.
"""

import contextlib
import json
import os
import tempfile
import warnings
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import mediapipe
import numpy as np
from common import print_times, read_options, read_status, run_script, time_in_turn
from scipy.ndimage import rotate

from smilefusion import DMarkerTransformer
from smilefusion.video import FaceMeshExtractor

BOUNDARIES = ["onset_start", "apex_start", "offset_start", "offset_end"]


def write_video(path, images, *, rotation=None, sar=1, crf=1, repeat=1):
    """Encode images (height, width, 3); ``sar`` is the pixel aspect ratio."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": str(crf)})
        stream.height, stream.width = images[0].shape[:2]
        stream.codec_context.sample_aspect_ratio = Fraction(sar)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for image in [*images] * repeat:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_images(path, width=None, height=None):
    """Return the frames of a video, scaled if a size is given."""
    size = {"width": width, "height": height}
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24", **size) for frame in container.decode(video=0)]


@contextlib.contextmanager
def open_mediapipe(model, n_faces=1):
    """Yield a function from an RGB image to MediaPipe's faces, each (478, 3) in image heights."""
    vision = mediapipe.tasks.vision
    base = mediapipe.tasks.BaseOptions(model_asset_path=str(model))
    options = vision.FaceLandmarkerOptions(base_options=base, num_faces=n_faces)

    def find(image):
        contiguous = np.ascontiguousarray(image)
        result = finder.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, contiguous))
        scale = np.array([image.shape[1], image.shape[0], image.shape[1]]) / image.shape[0]
        return [
            np.array([(p.x, p.y, p.z) for p in face]) * scale for face in result.face_landmarks
        ]

    with vision.FaceLandmarker.create_from_options(options) as finder:
        yield find


def eye_distances(clip):
    """Return the distance between the outer corners of the eyes in each frame."""
    return np.linalg.norm((clip[:, 33] - clip[:, 263])[:, :2], axis=1)


def distances(clip, reference):
    """Return the distances of all landmarks (n_frames, 478) in %."""
    steps = np.linalg.norm((clip - reference)[..., :2], axis=2)
    return 100 * steps / eye_distances(reference)[:, None]


def run_agreement(clips, model, scratch):
    """Print the distance from MediaPipe for each video and for other views of the smile."""
    images = read_images(clips / "smile.mp4")
    views = {
        "smile, turned by 20 degrees": [rotate(i, 20, reshape=False, order=1) for i in images],
        "smile, portrait": [image[:, 190:410] for image in images],
        "smile, 1080p": read_images(clips / "smile.mp4", 1920, 1080),
    }
    videos = sorted(path for path in clips.iterdir() if path.suffix in (".mp4", ".mkv"))
    for name, pictures in views.items():
        videos.append(write_video(scratch / f"{name}.mp4", pictures, crf=18))
    extractor = FaceMeshExtractor(model_path=model, tracking=False, second_look=False)
    with open_mediapipe(model) as find:
        for path in videos:
            found = [find(image) for image in read_images(path)]
            missing = np.full((478, 3), np.nan)
            reference = np.array([faces[0] if faces else missing for faces in found])
            clip = extractor.extract(path).landmarks
            both = ~np.isnan(clip[:, 0, 0]) & ~np.isnan(reference[:, 0, 0])
            one = np.isnan(clip[:, 0, 0]) != np.isnan(reference[:, 0, 0])
            text = f"  {path.name:32s}{both.sum():3d} faces, {one.mean():.1%} of frames differ"
            if both.any():
                each = distances(clip[both], reference[both])
                text += (
                    f", mean {each.mean():.4f} %, 99th percentile {np.percentile(each, 99):.4f} %"
                )
            print(text)


def run_tracking(clips, model, scratch):
    """Compare followed faces with faces that are detected in every frame."""
    for name in ("smile.mp4", "no_face_then_smile_vfr.mp4", "small_face_please.mkv"):
        pair = [
            FaceMeshExtractor(model_path=model, tracking=tracking).extract(clips / name)
            for tracking in (True, False)
        ]
        seen = pair[0].detected & pair[1].detected
        followed, detected = (data.landmarks[seen] for data in pair)
        jitter = [
            100 * np.linalg.norm(np.diff(clip[..., :2], n=2, axis=0), axis=2).mean(axis=1)
            / eye_distances(clip)[1:-1]
            for clip in (followed, detected)
        ]  # fmt: skip
        lips = [
            np.linalg.norm((clip[:, 61] - clip[:, 291])[:, :2], axis=1) / eye_distances(clip)
            for clip in (followed, detected)
        ]
        lags = range(-5, 6)
        alike = [np.corrcoef(lips[0][5 + k : k - 5 or None], lips[1][5:-5])[0, 1] for k in lags]
        phases = DMarkerTransformer(fps=30).phases([data.landmarks for data in pair])[BOUNDARIES]
        shifts = (phases.iloc[0] - phases.iloc[1]).abs()
        print(
            f"  {name}: jitter {jitter[0].mean():.3f} % followed, {jitter[1].mean():.3f} % "
            f"detected; lag {lags[np.argmax(alike)]} frames; phases differ by "
            f"{', '.join(f'{shift:g}' for shift in shifts)} frames (median {shifts.median():g}); "
            f"{(pair[0].detected != pair[1].detected).sum()} frames are found by one only"
        )


def run_geometry(clips, model, scratch):
    """Print how far altered copies of a video are from the plain file."""
    smile, extractor = clips / "smile.mp4", FaceMeshExtractor(model_path=model)
    (reference,) = extractor.transform([smile])
    images = read_images(smile)
    for name, pictures, options in (
        ("encoded again", images, {}),
        ("turned by 90 degrees, with a flag", [np.rot90(i, -1) for i in images], {"rotation": 90}),
        ("480 x 360, pixels 4:3", read_images(smile, 480, 360), {"sar": "4/3"}),
        ("640 x 270, pixels 3:4", read_images(smile, 640, 270), {"sar": "3/4"}),
        ("1280 x 360, pixels 1:2", read_images(smile, 1280, 360), {"sar": "1/2"}),
    ):
        (clip,) = extractor.transform([write_video(scratch / "made.mp4", pictures, **options)])
        print(f"  {name}: {np.nanmean(distances(clip, reference)):.2f} %")


def run_bare_loop(video, model):
    """Find faces as in MediaPipe's own example, without converting its results."""
    vision, image_format = mediapipe.tasks.vision, mediapipe.ImageFormat.SRGB
    base = mediapipe.tasks.BaseOptions(model_asset_path=str(model))
    options = vision.FaceLandmarkerOptions(base_options=base)
    with vision.FaceLandmarker.create_from_options(options) as finder, av.open(video) as container:
        for frame in container.decode(video=0):
            finder.detect(mediapipe.Image(image_format, frame.to_ndarray(format="rgb24")))


@contextlib.contextmanager
def on_processors(processors):
    """Run this process on these processors only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_speed(clips, model, scratch, n_times=10):
    """Print times per frame relative to the bare loop."""
    everywhere = os.sched_getaffinity(0)
    for width, height in ((640, 360), (1920, 1080)):
        images = read_images(clips / "smile.mp4", width, height)
        video = write_video(scratch / f"{height}.mp4", images, crf=23, repeat=3)
        ways = {"MediaPipe, bare loop": partial(run_bare_loop, video, model)}
        for name, tracking in (("tracking", True), ("detection in every frame", False)):
            extractor = FaceMeshExtractor(model_path=model, tracking=tracking)
            ways[name] = partial(extractor.extract, video)
        for processors in ({min(everywhere)}, everywhere):
            with on_processors(processors):
                times, _ = time_in_turn(ways, n_times)
            print(f"  {width} x {height}, {len(processors)} processor(s)")
            print_times(times, n_items=3 * len(images))


def run_processes(clips, model, scratch, n_times=3):
    """Print times per video of one process on one processor, and of one and two processes."""
    everywhere = os.sched_getaffinity(0)
    images = read_images(clips / "smile.mp4")
    videos = [write_video(scratch / f"{i}.mp4", images, crf=23, repeat=3) for i in range(8)]

    def extract(processors, n_jobs):
        with on_processors(processors):
            FaceMeshExtractor(model_path=model, n_jobs=n_jobs).transform(videos)

    ways = {
        "two processes": partial(extract, everywhere, 2),
        "one process": partial(extract, everywhere, 1),
        "one process on one processor": partial(extract, {min(everywhere)}, 1),
    }
    print_times(time_in_turn(ways, n_times)[0], n_items=len(videos))


def run_memory(clips, model, scratch):
    """Print the peak memory of processes that read videos of several lengths."""
    images = read_images(clips / "smile.mp4")
    for seconds in (10, 60, 600):
        video = scratch / f"{seconds}.mp4"
        write_video(video, images, crf=23, repeat=round(seconds / 2.4))
        n_frames, peak, landmarks = run_script(__file__, clips, model, "--peak", video)
        print(f"  {n_frames} frames: peak {peak:.0f} MiB, landmarks {landmarks:.0f} MiB")


def measure_peak(video, model):
    """Return frames, peak memory (MiB) and size of the landmarks (MiB) of one video."""
    (clip,) = FaceMeshExtractor(model_path=model).transform([video])
    return len(clip), read_status("VmHWM"), clip.nbytes / 2**20


def main():
    parts = ("agreement", "tracking", "geometry", "speed", "processes")
    options = read_options(__doc__, clips=Path, model=Path, parts=parts, peak=None, n_times=10)
    if options.peak:
        print(json.dumps(measure_peak(options.peak, options.model)))
        return
    warnings.simplefilter("ignore")  # of small faces
    runs = {
        "agreement": run_agreement,
        "tracking": run_tracking,
        "geometry": run_geometry,
        "speed": partial(run_speed, n_times=options.n_times),
        "processes": run_processes,
        "memory": run_memory,
    }
    for part in options.parts:
        print(f"\n{part}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            runs[part](options.clips, options.model, Path(scratch))


if __name__ == "__main__":
    main()
