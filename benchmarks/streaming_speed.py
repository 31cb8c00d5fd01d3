"""Print how fast `SmileStream` is, how late and how surely it finds smiles, and batch agreement.

Run ``python benchmarks/streaming_speed.py``; with the defaults it takes some ten minutes on one
core. Everything is simulated: 478 landmarks at 30 frames per second, with the default jitter,
missing frames and head motion.

- Speed: time of a frame on one thread, without a classifier and with either system, whose training
  is brief and not timed. Where other work shares the machine, the processor's time tells more than
  the clock. The frames in which a smile ends, which is then classified, are told apart.
- Agreement: largest difference between the probabilities of the stream and those of
  ``predict_proba`` on all its smiles at once, on each alone, and of whole clips that are pushed.
- Detection: delay of the announcements of start and end after the true ones, smiles missed (no
  smile found in the middle of their apex), merged (found with another one) and false (found
  where there is none), also in recordings without a smile.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from smilefusion import HadaSmileNetClassifier, make_fusion_pipeline
from smilefusion.datasets import make_smile_stream, make_smiles
from smilefusion.streaming import SmileStream

FPS = 30
N_WARM_UP = 100
PAUSES = (3.0, 1.0)  # seconds between smiles, in the mean
NEUTRAL_SECONDS = 120.0


def fit_classifiers(arguments):
    """Return both systems, trained briefly."""
    smiles = make_smiles(arguments.n_train, fps=FPS, random_state=0)
    settings = {"fps": FPS, "random_state": 0}
    end_to_end = HadaSmileNetClassifier(max_epochs=5, early_stopping=False, **settings)
    two_stages = make_fusion_pipeline(**settings)
    two_stages.set_params(features__deep__max_epochs=5, fusion__max_epochs=5)
    return {
        "no classifier": None,
        "HadaSmileNetClassifier": end_to_end.fit(smiles.clips, smiles.target),
        "make_fusion_pipeline": two_stages.fit(smiles.clips, smiles.target),
    }


def time_frames(classifier, clip):
    """Return ms of the clock and the processor of each frame, which ended a smile, and smiles."""
    stream = SmileStream(classifier, fps=FPS)
    times, frames = [], []
    for landmarks in clip:
        clock, processor = time.perf_counter(), time.process_time()
        frames.append(stream.push(landmarks))
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    smiles = [frame.smile for frame in frames if frame.smile]
    return 1000 * np.array(times), np.array([bool(frame.smile) for frame in frames]), smiles


def print_speed(name, times, ends):
    """Print the line of one system."""
    times, ends = times[N_WARM_UP:], ends[N_WARM_UP:]
    middle, high = np.quantile(times, [0.5, 0.99], axis=0)
    at_end = np.quantile(times[ends], [0.5, 0.99], axis=0)
    columns = [*zip(middle, high, strict=True), *zip(*at_end, strict=True)]
    cells = "".join(f"{low:11.2f} /{top:6.2f}" for low, top in columns)
    print(f"{name:24s}{cells}{times.max():10.1f}")


def print_agreement(name, classifier, smiles, clips):
    """Print the largest differences between stream and batch."""
    found = np.array([smile.probability for smile in smiles])
    together = classifier.predict_proba([smile.clip for smile in smiles])
    alone = np.concatenate([classifier.predict_proba([smile.clip]) for smile in smiles])
    stream, whole = SmileStream(classifier, fps=FPS), []
    for clip in clips:
        for landmarks in clip:
            stream.push(landmarks)
        whole.append(stream.flush(whole=True).probability)
    expected = classifier.predict_proba(clips)
    differences = [np.abs(found - other).max() for other in (alone, together)]
    differences.append(np.abs(np.array(whole) - expected).max())
    print(f"{name:24s}" + "".join(f"{value:12.1e}" for value in differences))


def find_smiles(recording):
    """Return the time of each announcement of a start, and of an end with its smile."""
    stream, starts, ends = SmileStream(fps=FPS), [], []
    for landmarks in recording.clip:
        frame = stream.push(landmarks)
        if frame.started:
            starts.append(frame.time_s)
        if frame.smile:
            ends.append((frame.time_s, frame.smile))
    last = stream.flush()
    if last:
        ends.append((len(recording.clip) / FPS, last))
    return starts, ends


def compare(recording):
    """Return delays of starts and ends, and numbers of missed, merged and false smiles."""
    starts, ends = find_smiles(recording)
    limits = np.array([[s.first_frame, s.first_frame + len(s.clip)] for _, s in ends])
    limits = limits.reshape(-1, 2)
    middle = recording.truth[["apex_start", "offset_start"]].mean(axis=1).to_numpy()
    inside = (limits[:, :1] <= middle) & (middle < limits[:, 1:])  # (n_found, n_true)
    found, true = np.nonzero(inside)
    announced = np.array([time for time, _ in ends])
    delays = np.stack(
        [
            np.array(starts)[found] - recording.truth["onset_start_s"].to_numpy()[true],
            announced[found] - recording.truth["offset_end_s"].to_numpy()[true],
        ]
    )
    missed = (inside.sum(axis=0) == 0).sum()
    merged = np.maximum(inside.sum(axis=1) - 1, 0).sum()
    return delays, np.array([missed, merged, (inside.sum(axis=1) == 0).sum()])


def print_detection(arguments):
    """Print delays and errors for each length of the pauses."""
    print(
        f"{'pause':>8s}{'smiles':>8s}{'minutes':>9s}{'start delay (s)':>20s}{'end delay (s)':>20s}"
    )
    print(
        f"{'':25s}{'5 %, median, 95 %':>20s}{'5 %, median, 95 %':>20s}  missed, merged, false/min"
    )
    for pause in PAUSES:
        parts, n_frames = [], 0
        for seed in range(arguments.n_streams):
            recording = make_smile_stream(
                arguments.n_smiles, pause=pause, fps=FPS, random_state=seed
            )
            n_frames += len(recording.clip)
            parts.append(compare(recording))
        minutes = n_frames / FPS / 60
        delays = np.concatenate([delays for delays, _ in parts], axis=1)
        quantiles = np.quantile(delays, [0.05, 0.5, 0.95], axis=1).T
        cells = "".join("  " + "".join(f"{value:6.2f}" for value in row) for row in quantiles)
        errors = sum(errors for _, errors in parts)
        per_minute = ", ".join(f"{n} ({n / minutes:.3f})" for n in errors)
        n_smiles = arguments.n_streams * arguments.n_smiles
        print(f"{pause:6.1f} s{n_smiles:8d}{minutes:9.1f}{cells}  {per_minute}")
    n_false = 0
    for seed in range(arguments.n_streams):
        recording = make_smile_stream(0, pause=NEUTRAL_SECONDS, fps=FPS, random_state=1000 + seed)
        n_false += len(find_smiles(recording)[0])
    print(f"no smile for {arguments.n_streams} x {NEUTRAL_SECONDS:g} s: {n_false} false starts")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-smiles", type=int, default=40, help="of a recording")
    parser.add_argument("--n-streams", type=int, default=10, help="recordings for the detection")
    parser.add_argument("--n-train", type=int, default=200, help="clips for the brief training")
    arguments = parser.parse_args()
    classifiers = fit_classifiers(arguments)
    recording = make_smile_stream(arguments.n_smiles, fps=FPS, random_state=0)
    clips = make_smiles(20, n_subjects=20, fps=FPS, random_state=1).clips
    minutes = len(recording.clip) / FPS / 60
    print(
        f"{minutes:.1f} minutes, ms per frame (median / 99 %) on one thread, which may take "
        f"{1000 / FPS:.1f}"
    )
    names = ("clock", "processor", "clock, at ends", "processor, at ends", "longest")
    print(f"{'':24s}" + "".join(f"{name:>19s}" for name in names[:-1]) + f"{names[-1]:>10s}")
    found = {}
    with threadpool_limits(1):
        for name, classifier in classifiers.items():
            times, ends, found[name] = time_frames(classifier, recording.clip)
            print_speed(name, times, ends)
        print(f"\nlargest difference{'':6s}{'alone':>12s}{'together':>12s}{'whole clips':>12s}")
        for name, classifier in classifiers.items():
            if classifier is not None:
                print_agreement(name, classifier, found[name], clips)
        print()
        print_detection(arguments)


if __name__ == "__main__":
    main()
