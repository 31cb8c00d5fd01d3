"""Measure the extraction of landmarks from video: agreement, time, memory, faults.

Run ``python benchmarks/video.py CLIPS MODEL``: ``CLIPS`` is a folder with ``smile.mp4``,
``no_face_then_smile_vfr.mp4`` and others, and their landmarks by MediaPipe's mode for videos in
``landmarks/``; ``MODEL`` is MediaPipe's ``face_landmarker.task``. Parts:

* ``clips``: frames, faces, rates and seconds of each clip; mean distance from the stored
  landmarks in distances of the eyes, which holds the lag of the mode for videos;
* ``geometry``: the same smile turned with a rotation flag, and with pixels that are not square,
  against the plain file, in distances of the eyes;
* ``speed``: milliseconds per frame of ours and of a bare loop (PyAV, MediaPipe) over the same
  file, alternated, wall clock and processor; ratios above 1 mean that ours is faster; then a
  batch with one process and with two;
* ``faults``: what broken, odd and absent files lead to;
* ``memory``: peak memory of processes that read 10 s, 1 min and 10 min, about 10 min in all;
  only with ``--parts memory``.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from smilefusion import DMarkerTransformer
from smilefusion.clips import read_clip
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.video import FaceMeshExtractor

PARTS = ("clips", "geometry", "speed", "faults", "memory")
LID_CORNERS = (33, 133), (362, 263)


def write_video(path, images, *, fps=30, times=None, codec="libx264", pix_fmt="yuv420p", **more):
    """Encode images (height, width, 3), almost without loss, at a rate or at whole milliseconds.

    ``rotation`` is a rotation flag in degrees, ``sar`` the pixel aspect ratio.
    """
    with av.open(str(path), "w", options=more.get("container", {})) as container:
        options = {"crf": "1"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.pix_fmt = pix_fmt
        if "rotation" in more:
            stream.set_display_rotation(more["rotation"])
        if not images:
            stream.width, stream.height = 64, 48
            container.start_encoding()
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
                stream.codec_context.sample_aspect_ratio = more.get("sar", Fraction(1))
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[index]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_images(path, width=None, height=None):
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24", width=width, height=height)
            for frame in container.decode(video=0)
        ]


def eye_distance(clip):
    right, left = (clip[:, corners, :2].mean(axis=1) for corners in LID_CORNERS)
    return np.linalg.norm(right - left, axis=1)


def difference(clip, reference):
    """Return the mean distance of landmarks in distances of the eyes, over common frames."""
    distance = np.linalg.norm((clip - reference)[..., :2], axis=2).mean(axis=1)
    return np.nanmean(distance / eye_distance(reference))


def measure_clips(clips, model, scratch):
    videos = sorted(path for path in clips.iterdir() if path.suffix in (".mp4", ".mkv"))
    extractor = FaceMeshExtractor(model_path=model)
    table = extractor.extract_files(videos, scratch / "clips", on_error="skip")
    names = ["n_frames", "n_detected", "source_fps", "face_size_px", "seconds"]
    shown = table.assign(video=[path.name for path in videos])
    print(shown[["video", *names, "error"]].to_string(index=False, na_rep="", max_colwidth=40))
    for path in sorted((clips / "landmarks").glob("*.npz")):
        ours = scratch / "clips" / path.name
        if ours.is_file():
            both = read_clip(ours), read_clip(path)
            print(f"{path.stem}: {difference(*both):.2%} of the eye distance from the stored")
    measure_times(clips / "no_face_then_smile_vfr.mp4", model)


def measure_times(video, model):
    """Compare times with the container's, and find the smile in it and in its second part."""
    data = FaceMeshExtractor(model_path=model).extract(video)
    with av.open(str(video)) as container:
        times = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    print(f"{video.name}: times equal the container's: {times == data.timestamps_s.tolist()}")
    (clip,) = FaceMeshExtractor(model_path=model, fps=30).transform([video])
    phases = DMarkerTransformer(fps=30).phases([clip]).iloc[0]
    start = times[int(np.flatnonzero(data.detected)[0])]
    print(f"  first face at {start:.3f} s; seconds of the smile in the clip at 30 fps:")
    for name in ("onset_start", "apex_start", "offset_start", "offset_end"):
        print(f"  {name} {times[0] + phases[name] / 30:.3f}")
    plain = FaceMeshExtractor(model_path=model).transform([video.with_name("smile.mp4")])
    alone = DMarkerTransformer(fps=30).phases(plain).iloc[0]
    print(f"  in smile.mp4 the onset starts after {alone['onset_start'] / 30:.3f} s")


def measure_geometry(clips, model, scratch):
    smile = clips / "smile.mp4"
    images = read_images(smile)
    turned = [np.rot90(image, -1) for image in images]  # clockwise; the flag turns back
    makes = {
        "encoded again": (images, {}),
        "turned by 90 degrees, with a flag": (turned, {"rotation": 90}),
        "turned by 90 degrees, without": (turned, {}),
        "480 x 360, pixels 4:3": (read_images(smile, 480, 360), {"sar": Fraction(4, 3)}),
        "640 x 270, pixels 3:4": (read_images(smile, 640, 270), {"sar": Fraction(3, 4)}),
        "1280 x 360, pixels 1:2": (read_images(smile, 1280, 360), {"sar": Fraction(1, 2)}),
    }
    extractor = FaceMeshExtractor(model_path=model)
    (reference,) = extractor.transform([smile])
    for name, (pictures, options) in makes.items():
        (clip,) = extractor.transform([write_video(scratch / "made.mp4", pictures, **options)])
        same = difference(clip, reference) if np.isfinite(clip).any() else np.nan
        print(f"{name}: {same:.2%} of the eye distance from smile.mp4")


def bare_loop(video, model):
    """Do what MediaPipe's own example does, with as many faces."""
    import mediapipe

    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(model)), num_faces=4
    )
    with (
        vision.FaceLandmarker.create_from_options(options) as landmarker,
        av.open(str(video)) as container,
    ):
        for frame in container.decode(video=0):
            pixels = frame.to_ndarray(format="rgb24")
            landmarker.detect(
                mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            )


def measure_speed(clips, model, scratch, n_runs=15):
    video = loop_video(clips / "smile.mp4", scratch / "speed.mp4", 3)
    extractor = FaceMeshExtractor(model_path=model)
    contenders = {
        "bare": lambda: bare_loop(video, model),
        "ours": lambda: extractor.transform([video]),
    }
    seconds = {name: [] for name in contenders}
    for run in range(n_runs + 1):
        for name, call in contenders.items():
            start = time.perf_counter(), time.process_time()
            call()
            if run > 0:  # the first loads libraries
                end = time.perf_counter(), time.process_time()
                seconds[name].append(np.subtract(end, start))
    bare, ours = (1e3 * np.array(seconds[name]) / 216 for name in contenders)
    for column, clock in enumerate(("wall clock", "processor")):
        ratios = bare[:, column] / ours[:, column]
        print(
            f"{clock}: bare {np.median(bare[:, column]):.2f}, ours "
            f"{np.median(ours[:, column]):.2f} ms per frame (best {bare[:, column].min():.2f} and "
            f"{ours[:, column].min():.2f}); ratio {np.median(ratios):.3f}, quartiles "
            f"{np.percentile(ratios, 25):.3f} to {np.percentile(ratios, 75):.3f}"
        )
    videos = [scratch / f"copy-{i}.mp4" for i in range(8)]
    for copy in videos:
        copy.write_bytes(video.read_bytes())
    for n_jobs in (1, 2, 1, 2):
        batch = FaceMeshExtractor(model_path=model, n_jobs=n_jobs)
        start = time.perf_counter()
        batch.transform(videos)
        print(f"8 videos of 216 frames, n_jobs={n_jobs}: {time.perf_counter() - start:.1f} s")


def loop_video(source, path, n_times):
    """Repeat a video without encoding it again."""
    with av.open(str(path), "w") as target:
        out, offset = None, 0
        for _ in range(n_times):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                out = out or target.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = out
                    target.mux(packet)
                offset += stream.duration
    return path


def make_faults(smile, scratch):
    """Return broken, odd and absent files by what they are."""
    folder = scratch / "faults"
    folder.mkdir()
    content = smile.read_bytes()
    made = {
        "empty": b"",
        "text": b"This is no video.\n" * 200,
        "random bytes": np.random.default_rng(0).bytes(50_000),
        "truncated header": content[:100],
        "truncated, index at the end": content[: len(content) // 2],
    }
    paths = {name: folder / f"{name.replace(' ', '_')}.mp4" for name in made}
    for name, path in paths.items():
        path.write_bytes(made[name])
    images = read_images(smile)
    quick = {"container": {"movflags": "faststart"}}
    whole = write_video(folder / "whole.mp4", images, **quick).read_bytes()
    matroska = write_video(folder / "whole.mkv", images).read_bytes()
    damaged = bytearray(whole)
    middle = len(damaged) // 2
    damaged[middle : middle + 20_000] = np.random.default_rng(1).bytes(20_000)
    for name, data in {
        "truncated, index first": whole[: len(whole) // 2],
        "corrupt middle": bytes(damaged),
    }.items():
        paths[name] = folder / f"{name.replace(' ', '_')}.mp4"
        paths[name].write_bytes(data)
    paths["truncated .mkv"] = folder / "truncated.mkv"
    paths["truncated .mkv"].write_bytes(matroska[: len(matroska) // 2])
    paths["still image"] = folder / "still.png"
    av.VideoFrame.from_ndarray(images[0], format="rgb24").save(str(paths["still image"]))
    paths["no frames"] = write_video(folder / "none.mkv", [])
    paths["audio only"] = write_sound(folder / "sound.mp4")
    paths["1 frame"] = write_video(folder / "one.mp4", images[:1])
    huge = [np.zeros((10_000, 10_000, 3), dtype=np.uint8)] * 2
    paths["10,000 x 10,000"] = write_video(
        folder / "huge.mkv", huge, codec="mjpeg", pix_fmt="yuvj420p"
    )
    paths["absent"] = folder / "absent.mp4"
    paths["a folder"] = folder
    for codec, pix_fmt in (
        ("ffv1", "yuv420p10le"),
        ("ffv1", "gray"),
        ("libx264rgb", "rgb24"),
        ("libx264", "yuv444p"),
    ):
        path = folder / f"{pix_fmt}.mkv"
        paths[pix_fmt] = write_video(path, images[:20], codec=codec, pix_fmt=pix_fmt)
    paths["MJPEG in .avi"] = write_video(
        folder / "m.avi", images[:20], codec="mjpeg", pix_fmt="yuvj420p"
    )
    paths["MPEG-4 in .avi"] = write_video(folder / "x.avi", images[:20], codec="mpeg4")
    return paths


def write_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), "fltp", "mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def measure_faults(clips, model, scratch):
    extractor = FaceMeshExtractor(model_path=model)
    for name, path in make_faults(clips / "smile.mp4", scratch).items():
        start = time.perf_counter()
        try:
            (clip,) = extractor.transform([path])
            outcome = f"{len(clip)} frames, {np.isfinite(clip[:, 0, 0]).sum()} with a face"
        except Exception as error:
            text = str(error).replace(str(scratch), "...")
            outcome = f"{type(error).__name__}: {text.split(' Leave them and')[0]}"
        print(f"{name} ({time.perf_counter() - start:.1f} s): {outcome}")
    measure_kill(clips / "smile.mp4", model, scratch)


def measure_kill(video, model, scratch, n_videos=8):
    """Kill a batch after its third clip, look at what it left, and let it go on."""
    folder, output = scratch / "batch", scratch / "killed"
    folder.mkdir()
    for i in range(n_videos):
        (folder / f"{i}.mp4").write_bytes(video.read_bytes())
    videos = sorted(folder.iterdir())
    command = [sys.executable, __file__, str(video.parent), str(model), "--batch", str(output)]
    command += map(str, videos)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(list(output.glob("[!.]*.npz"))) < 3:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = sorted(output.glob("[!.]*.npz"))
    whole = sum(len(read_clip(path)) == 72 for path in left)
    extractor = FaceMeshExtractor(model_path=model)
    table = extractor.extract_files(videos, output)
    print(
        f"killed: {len(left)} clips were there, {whole} of them whole; resumed: "
        f"{table['is_old'].sum()} taken over, {(~table['is_old']).sum()} extracted, "
        f"{table['error'].notna().sum()} failed; other files left: "
        f"{len(list(output.iterdir())) - n_videos}"
    )


def measure_memory(clips, model, scratch):
    for seconds in (10, 60, 600):
        video = loop_video(clips / "smile.mp4", scratch / f"{seconds}.mp4", round(seconds / 2.4))
        command = [sys.executable, __file__, str(clips), str(model), "--peak", str(video)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"{seconds} s of video: {done.stdout.strip()}", flush=True)


def print_peak(video, model):
    """Extract one video and tell the peak memory of this process."""
    import resource

    start = time.perf_counter()
    (clip,) = FaceMeshExtractor(model_path=model).transform([video])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(clip)} frames in {time.perf_counter() - start:.0f} s, peak {peak:.0f} MiB, "
        f"landmarks {clip.nbytes / 2**20:.0f} MiB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1])
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batch", nargs="+", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore", SmileFusionWarning)
    if args.peak is not None:
        print_peak(args.peak, args.model)
        return
    if args.batch is not None:
        FaceMeshExtractor(model_path=args.model).extract_files(args.batch[1:], args.batch[0])
        return
    for part in args.parts:
        print(f"\n{part}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            globals()[f"measure_{part}"](args.clips, args.model, Path(scratch))


if __name__ == "__main__":
    main()
