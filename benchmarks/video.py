"""Measure the extraction of landmarks from video: agreement, time and memory.

Run ``python benchmarks/video.py CLIPS MODEL``: ``CLIPS`` is a folder with ``smile.mp4`` and other
videos, with stored landmarks of MediaPipe's VIDEO mode in ``landmarks/``; ``MODEL`` is MediaPipe's
``face_landmarker.task``. Differences are mean distances of the landmarks in % of the
inter-ocular distance.

* ``clips``: frames, faces, rate and time of each video, and the difference from the stored
  landmarks, which contains the lag of the VIDEO mode;
* ``geometry``: the same smile with a rotation flag and with non-square pixels;
* ``speed``: processor and wall-clock time relative to a bare loop of PyAV and MediaPipe over the
  same file, alternating, and a batch with one and two processes;
* ``memory``: peak memory for 10 s, 1 min and 10 min of video; it takes about ten minutes and only
  runs with ``--parts memory``.
"""

import json
import tempfile
import time
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import mediapipe
import numpy as np
from common import print_times, read_options, read_status, run_script, time_in_turn

from smilefusion.clips import read_clip
from smilefusion.video import FaceMeshExtractor


def write_video(path, images, *, rotation=None, sar=1):
    """Encode images (height, width, 3) almost losslessly; ``sar`` is the pixel aspect ratio."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "1"})
        stream.height, stream.width = images[0].shape[:2]
        stream.codec_context.sample_aspect_ratio = Fraction(sar)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def repeat_video(source, path, n_times):
    """Repeat a video without encoding it again."""
    with av.open(str(path), "w") as target:
        out, offset = None, 0
        for _ in range(n_times):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                out = out or target.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = out
                        target.mux(packet)
                offset += stream.duration
    return path


def read_images(path, width=None, height=None):
    """Return the frames of a video, scaled if a size is given."""
    size = {"width": width, "height": height}
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24", **size) for frame in container.decode(video=0)]


def difference(clip, reference):
    """Return the mean distance of landmarks in % of the inter-ocular distance."""
    right, left = (reference[:, corners, :2].mean(axis=1) for corners in ((33, 133), (362, 263)))
    scale = np.linalg.norm(right - left, axis=1)
    distance = np.linalg.norm((clip - reference)[..., :2], axis=2).mean(axis=1)
    return f"{100 * np.nanmean(distance / scale):.2f} %"


def run_clips(clips, model, scratch):
    """Print what is found in each video, and the difference from the stored landmarks."""
    videos = sorted(path for path in clips.iterdir() if path.suffix in (".mp4", ".mkv"))
    table = FaceMeshExtractor(model_path=model).extract_files(videos, scratch, on_error="skip")
    names = ["n_frames", "n_detected", "source_fps", "face_size_px", "seconds"]
    shown = table.assign(video=[path.name for path in videos])
    print(shown[["video", *names]].to_string(index=False, na_rep=""))
    for path in sorted((clips / "landmarks").glob("*.npz")):
        ours = scratch / path.name
        if ours.is_file():
            print(f"  {path.stem}: {difference(read_clip(ours), read_clip(path))}")


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
        print(f"  {name}: {difference(clip, reference)}")


def run_bare_loop(video, model):
    """Find faces as in MediaPipe's own example."""
    vision = mediapipe.tasks.vision
    base = mediapipe.tasks.BaseOptions(model_asset_path=str(model))
    options = vision.FaceLandmarkerOptions(base_options=base, num_faces=4)
    with vision.FaceLandmarker.create_from_options(options) as finder:
        for pixels in read_images(video):
            finder.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, pixels))


def run_speed(clips, model, scratch, n_times=15):
    """Print times per frame relative to the bare loop, and of one and two processes."""
    video = repeat_video(clips / "smile.mp4", scratch / "speed.mp4", 3)
    extractor = FaceMeshExtractor(model_path=model)
    ways = {
        "bare loop": partial(run_bare_loop, video, model),
        "FaceMeshExtractor": partial(extractor.transform, [video]),
    }
    for clock in (time.process_time, time.perf_counter):
        times, results = time_in_turn(ways, n_times, clock=clock)
        (clip,) = results["FaceMeshExtractor"]
        print(f"{clock.__name__}, per frame of {len(clip)}")
        print_times(times, n_items=len(clip))
    videos = [scratch / f"copy-{i}.mp4" for i in range(8)]
    for copy in videos:
        copy.write_bytes(video.read_bytes())
    batch = {
        f"n_jobs={n}": partial(FaceMeshExtractor(model_path=model, n_jobs=n).transform, videos)
        for n in (1, 2)
    }
    print_times(time_in_turn(batch, 2)[0], n_items=len(videos))


def run_memory(clips, model, scratch):
    """Print the peak memory of processes that read videos of several lengths."""
    for seconds in (10, 60, 600):
        video = repeat_video(clips / "smile.mp4", scratch / f"{seconds}.mp4", round(seconds / 2.4))
        n_frames, peak, landmarks = run_script(__file__, clips, model, "--peak", video)
        print(f"  {n_frames} frames: peak {peak:.0f} MiB, landmarks {landmarks:.0f} MiB")


def measure_peak(video, model):
    """Return frames, peak memory (MiB) and size of the landmarks (MiB) of one video."""
    (clip,) = FaceMeshExtractor(model_path=model).transform([video])
    return len(clip), read_status("VmHWM"), clip.nbytes / 2**20


def main():
    parts = ("clips", "geometry", "speed")
    options = read_options(__doc__, clips=Path, model=Path, parts=parts, peak=None, n_times=15)
    if options.peak:
        print(json.dumps(measure_peak(options.peak, options.model)))
        return
    runs = {
        "clips": run_clips,
        "geometry": run_geometry,
        "speed": partial(run_speed, n_times=options.n_times),
        "memory": run_memory,
    }
    for part in options.parts:
        print(f"\n{part}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            runs[part](options.clips, options.model, Path(scratch))


if __name__ == "__main__":
    main()
