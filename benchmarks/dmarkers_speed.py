"""Compare the speed and the memory of the D-Markers with plain loops and with the input's size.

Run ``python benchmarks/dmarkers_speed.py``; it takes some minutes on one core and writes a
gigabyte of simulated clips to a temporary folder. Linux, of which it asks the resident memory.

1. The published definition on windows of 16 frames, by `DMarkerTransformer` and by the
   published formulation: one window, signal, phase and NumPy call after the other.
2. The standard definition on memory-mapped clips at 50 frames per second: time per clip, peak
   memory over the size of the clips given, and time per clip against the number of frames.
"""

import argparse
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import SmileFusionWarning

WINDOW = 16  # frames, of the published windows
FPS = 50
N_FRAMES = (125, 250, 500, 1000)
N_LINEAR = 40  # clips of each number of frames


def published_by_loops(windows):
    """Compute the published D-Markers of windows as the published code does."""
    features = []
    for window in windows:
        signals = signals_of(window)
        phases = phases_of(signals[2])
        values = [describe(signal[phase]) for signal in signals for phase in phases]
        features.append(np.array(values, dtype=np.float32).ravel())
    return np.stack(features)


def signals_of(window):
    """Compute the eyelid, cheek and lip signals of a window, (n_frames, 478, 3) in float32."""
    points = window[:, :, :2]
    eyelid, cheek = 0, 0
    for outer, inner, lid, cheek_point in ((33, 133, 159, 50), (263, 362, 386, 280)):
        centre = (points[:, outer] + points[:, inner]) / 2
        sign = np.where(points[:, lid, 1] > centre[:, 1], -1, 1)
        eyelid = eyelid + sign * distance(centre, points[:, lid])
        cheek = cheek + distance(centre, points[:, cheek_point])
    right, left = points[:, 62], points[:, 308]
    centre = (right + left) / 2
    lip = (distance(centre, right) + distance(centre, left)) / (2 * distance(right, left)[0])
    eye_width = 2 * distance(points[0, 33], points[0, 133])
    return eyelid / eye_width, cheek / eye_width, lip


def distance(start, end):
    return np.sqrt(((start - end) ** 2).sum(axis=-1))


def phases_of(lip):
    """Find the frames of onset, apex and offset, as slices."""
    steps = np.diff(lip)
    onset, offset = longest_run(steps > 0), longest_run(steps < 0)
    apex = slice(onset[1] + 2, offset[0]) if onset and offset else slice(0)
    return [
        slice(onset[0], onset[1] + 2) if onset else slice(0),
        apex,
        slice(offset[0], offset[1] + 2) if offset else slice(0),
    ]


def longest_run(holds):
    """Find the first longest run: its first step and the one that ends it, or the last of all."""
    runs, start = [], None
    for step, held in enumerate(holds):
        if held and start is None:
            start = step
        if not held and start is not None:
            runs.append((start, step))
            start = None
    if start is not None:
        runs.append((start, len(holds) - 1))
    return max(runs, key=lambda run: run[1] - run[0], default=None)


def describe(levels):
    """Compute the 25 descriptors of a phase of a signal."""
    if len(levels) == 0:
        return [0] * 25
    speeds = np.diff(levels)
    accelerations = np.diff(speeds)
    rising, falling = levels[1:][speeds > 0], levels[1:][speeds < 0]
    rise, fall, n_frames = rising.sum(), np.abs(falling).sum(), len(levels)
    total = rise + fall
    speeds = speeds[speeds > 0], -speeds[speeds < 0]
    accelerations = accelerations[accelerations > 0], -accelerations[accelerations < 0]
    return [
        *(len(rising), len(falling), n_frames, len(rising) / n_frames, len(falling) / n_frames),
        *(levels.max(), levels.mean()),
        *(part.mean() if len(part) else 0 for part in (rising, falling)),
        *(levels.std(), rise, fall, rise - fall),
        *(part / total if total > 0 else 0 for part in (rise, fall)),
        *(part.max() if len(part) else 0 for part in speeds),
        *(part.mean() if len(part) else 0 for part in speeds),
        *(part.max() if len(part) else 0 for part in accelerations),
        *(part.mean() if len(part) else 0 for part in accelerations),
        *((rise - fall) / n_frames, 0),
    ]


def simulate_windows(n_windows):
    """Simulate windows from the middle of smiles at 25 frames per second."""
    clips = make_smiles(
        n_windows, n_subjects=min(n_windows, 400), fps=25, missing_rate=0, random_state=0
    ).clips
    starts = [(len(clip) - WINDOW) // 2 for clip in clips]
    return np.stack(
        [clip[start : start + WINDOW] for clip, start in zip(clips, starts, strict=True)]
    )


def simulate_clips(n_clips, n_frames, path):
    """Write simulated clips of one length, smiles played there and back until long enough."""
    smiles = make_smiles(n_clips, n_subjects=min(n_clips, 40), fps=FPS, random_state=0).clips
    shape = (n_clips, n_frames, *smiles[0].shape[1:])
    clips = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for clip, smile in zip(clips, smiles, strict=True):
        frames = np.pad(np.arange(len(smile)), (0, max(0, n_frames - len(smile))), mode="reflect")
        clip[:] = smile[frames[:n_frames]]
    clips.flush()


def seconds(function, *arguments):
    """Return how long a call takes, in seconds, and what it returns."""
    start = time.perf_counter()
    returned = function(*arguments)
    return time.perf_counter() - start, returned


def compare_published(n_windows, n_runs):
    """Print the times of both forms of the published definition, run in turn."""
    windows = simulate_windows(n_windows)
    transformer = DMarkerTransformer(definition="hadasmilenet").fit(windows)
    transformer.transform(windows[:10])
    by_loops, vectorised = [], []
    for _ in range(n_runs):
        duration, expected = seconds(published_by_loops, windows)
        by_loops.append(duration)
        duration, features = seconds(transformer.transform, windows)
        vectorised.append(duration)
    pairs = zip(features, expected, strict=True)
    equal = sum(own.tobytes() == other.tobytes() for own, other in pairs)
    ratio = np.median(np.divide(by_loops, vectorised))
    print(f"Published definition, {n_windows} windows of {WINDOW} frames, {n_runs} runs")
    print(f"  loops        {np.median(by_loops) / n_windows * 1e6:8.1f} us per window")
    print(f"  transformer  {np.median(vectorised) / n_windows * 1e6:8.1f} us per window")
    print(f"  ratio        {ratio:8.1f} times as fast; {equal} of {n_windows} equal bit for bit")


def measure_standard(n_clips, n_frames, n_runs, folder):
    """Print time and memory of the standard definition on one file of clips and on many."""
    path = folder / "clips.npy"
    simulate_clips(n_clips, n_frames, path)
    paths = [folder / f"{index}.npy" for index in range(n_clips)]
    for clip, single in zip(np.load(path, mmap_mode="r"), paths, strict=True):
        np.save(single, clip)
    sources = {
        "one array": lambda: np.load(path, mmap_mode="r"),
        "a file per clip": lambda: paths,
    }
    n_bytes = n_clips * n_frames * 478 * 3 * 4
    print(f"Standard definition, {n_clips} clips of {n_frames} frames, {n_bytes / 1e6:.0f} MB,")
    print(f"memory-mapped, {n_runs} runs")
    for name, open_clips in sources.items():
        own, resident = peak_memory(open_clips)
        durations = [seconds(extract, open_clips())[0] for _ in range(n_runs)]
        print(
            f"  {name:16s} {np.median(durations) / n_clips * 1e3:6.3f} ms per clip; peak memory "
            f"{own / n_bytes:.3f} of the clips allocated, {resident / n_bytes:.3f} resident"
        )


def extract(clips):
    """Compute the standard D-Markers; what the transformer warns of does not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmileFusionWarning)
        return DMarkerTransformer(fps=FPS).transform(clips)


def peak_memory(open_clips):
    """Return the peak of allocated memory, and that of resident memory with mapped pages."""
    extract(open_clips()[:2])
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = status("VmRSS")
    extract(open_clips())
    resident = status("VmHWM") - before
    tracemalloc.start()
    extract(open_clips())
    own = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return own, resident


def status(field):
    """Return a size that Linux states of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure_linearity(n_runs, folder):
    """Print how the time grows with the number of frames."""
    print(f"Standard definition, {N_LINEAR} clips in one memory-mapped array, {n_runs} runs")
    paths = {n_frames: folder / f"linear_{n_frames}.npy" for n_frames in N_FRAMES}
    for n_frames, path in paths.items():
        simulate_clips(N_LINEAR, n_frames, path)
    runs = [
        [seconds(extract, np.load(path, mmap_mode="r"))[0] for path in paths.values()]
        for _ in range(n_runs + 1)
    ]
    medians = np.median(runs[1:], axis=0) / N_LINEAR * 1e3
    for n_frames, duration in zip(N_FRAMES, medians, strict=True):
        relative = duration / n_frames * N_FRAMES[1] / medians[1]
        print(
            f"  {n_frames:5d} frames {duration:8.3f} ms per clip, {relative:5.2f} times the time "
            f"per frame of {N_FRAMES[1]} frames"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-windows", type=int, default=1240)
    parser.add_argument("--n-clips", type=int, default=200)
    parser.add_argument("--n-frames", type=int, default=250)
    parser.add_argument("--n-runs", type=int, default=5)
    arguments = parser.parse_args()
    with threadpool_limits(1), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare_published(arguments.n_windows, arguments.n_runs)
        measure_standard(arguments.n_clips, arguments.n_frames, arguments.n_runs, folder)
        measure_linearity(arguments.n_runs, folder)


if __name__ == "__main__":
    main()
