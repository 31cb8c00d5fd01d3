"""Measure speed and delays of SmileStream, and its agreement with batch predictions.

Run ``python benchmarks/streaming_speed.py``; the defaults take about ten minutes on one core. All
recordings are simulated: 478 landmarks at 30 frames per second, with the default gaps and head
motion. ``--jitter`` sets the landmark noise; the published figures are for 0.0075.

- Speed: processor time of a frame on one thread, as a ratio to the stream without a classifier.
- Agreement: largest difference between the stream's probabilities and ``predict_proba`` of the
  same smiles, one at a time and all at once, and of whole clips.
- Detection: delay of reported starts and ends, and the numbers of smiles that are missed, merged
  with another one, or false.
"""

import time

import numpy as np
from common import largest, read_options
from threadpoolctl import threadpool_limits

from smilefusion import HadaSmileNetClassifier, make_fusion_pipeline
from smilefusion.datasets import make_smile_stream, make_smiles
from smilefusion.streaming import SmileStream

FPS = 30
N_WARM_UP = 100  # frames
PAUSES = (3.0, 1.0)  # mean seconds between smiles
NEUTRAL_SECONDS = 120.0


def fit_classifiers(n_clips):
    """Return both systems, trained briefly."""
    smiles = make_smiles(n_clips, fps=FPS, random_state=0)
    settings = {"fps": FPS, "random_state": 0}
    network = HadaSmileNetClassifier(max_epochs=5, patience=None, **settings)
    pipeline = make_fusion_pipeline(**settings)
    pipeline.set_params(features__deep__max_epochs=5, fusion__max_epochs=5)
    return {
        "HadaSmileNetClassifier": network.fit(smiles.clips, smiles.target),
        "make_fusion_pipeline": pipeline.fit(smiles.clips, smiles.target),
    }


def push_all(classifiers, clip):
    """Push each frame to a stream per classifier, in turn; return times and results."""
    streams = {name: SmileStream(model, fps=FPS) for name, model in classifiers.items()}
    times, frames = {name: [] for name in streams}, {name: [] for name in streams}
    for landmarks in clip:
        for name, stream in streams.items():
            start = time.process_time()
            frames[name].append(stream.push(landmarks))
            times[name].append(1000 * (time.process_time() - start))
    return {name: np.array(each) for name, each in times.items()}, frames


def print_speed(classifiers, clip):
    """Print the time of a frame; return the smiles that each stream has classified."""
    times, frames = push_all({"no classifier": None} | classifiers, clip)
    reference = np.median(times["no classifier"][N_WARM_UP:])
    print("ms of the processor per frame (median, 99 %), ratio; the same for a smile's last frame")
    for name, each in times.items():
        ends = np.array([bool(frame.smile) for frame in frames[name]])
        cells = []
        for part in (each[N_WARM_UP:], each[N_WARM_UP:][ends[N_WARM_UP:]]):
            middle, high = np.quantile(part, [0.5, 0.99])
            cells.append(f"{middle:8.2f} {high:8.2f} {middle / reference:6.1f} x")
        print(f"  {name:24s}{'   '.join(cells)}")
    return {name: [f.smile for f in frames[name] if f.smile] for name in classifiers}


def print_agreement(name, classifier, smiles, clips):
    """Print the largest differences between stream and batch."""
    found = [smile.probability for smile in smiles]
    together = classifier.predict_proba([smile.clip for smile in smiles])
    single = [classifier.predict_proba([smile.clip])[0] for smile in smiles]
    stream, whole = SmileStream(classifier, fps=FPS), []
    for clip in clips:
        for landmarks in clip:
            stream.push(landmarks)
        whole.append(stream.flush(whole=True).probability)
    print(
        f"  {name}: one at a time {largest(found, single):.1e}, all at once "
        f"{largest(found, together):.1e}, whole clips "
        f"{largest(whole, classifier.predict_proba(clips)):.1e}"
    )


def detect(recording):
    """Return delays of starts and ends in s, and numbers of missed, merged and false smiles."""
    stream = SmileStream(fps=FPS)
    frames = [stream.push(landmarks) for landmarks in recording.clip]
    starts = np.array([frame.time_s for frame in frames if frame.started])
    ends = [(frame.time_s, frame.smile) for frame in frames if frame.smile]
    unfinished = stream.flush()
    if unfinished:
        ends.append((len(recording.clip) / FPS, unfinished))
    first = np.array([smile.first_frame for _, smile in ends])
    last = first + [len(smile.clip) for _, smile in ends]
    apex = recording.truth[["apex_start", "offset_start"]].mean(axis=1).to_numpy()
    inside = (first[:, None] <= apex) & (apex < last[:, None])  # (n_found, n_true)
    found, true = np.nonzero(inside)
    delays = [
        starts[found] - recording.truth["onset_start_s"].to_numpy()[true],
        np.array([when for when, _ in ends])[found]
        - recording.truth["offset_end_s"].to_numpy()[true],
    ]
    per_found = inside.sum(axis=1)
    errors = (
        (~inside.any(axis=0)).sum(),
        np.maximum(per_found - 1, 0).sum(),
        (per_found == 0).sum(),
    )
    return delays, errors


def print_detection(n_streams, n_smiles, jitter):
    """Print delays and errors for each pause, and the false starts of neutral faces."""
    for pause in PAUSES:
        parts = [
            detect(
                make_smile_stream(n_smiles, pause=pause, fps=FPS, jitter=jitter, random_state=seed)
            )
            for seed in range(n_streams)
        ]
        delays = np.concatenate([delays for delays, _ in parts], axis=1)
        start, end = np.quantile(delays, [0.05, 0.5, 0.95], axis=1).T.round(2)
        missed, merged, false = np.sum([errors for _, errors in parts], axis=0)
        print(f"  {n_streams * n_smiles} smiles, pauses of {pause} s: delay of starts {start} s,")
        print(f"    of ends {end} s (5 %, median, 95 %); {missed=}, {merged=}, {false=}")
    n_false = 0
    for seed in range(n_streams):
        neutral = make_smile_stream(
            0, pause=NEUTRAL_SECONDS, fps=FPS, jitter=jitter, random_state=1000 + seed
        )
        stream = SmileStream(fps=FPS)
        n_false += sum(stream.push(landmarks).started for landmarks in neutral.clip)
    print(f"  {n_streams} neutral faces of {NEUTRAL_SECONDS:g} s: {n_false} false starts")


def main():
    options = read_options(__doc__, n_smiles=40, n_streams=10, n_train=200, jitter=0.057)
    classifiers = fit_classifiers(options.n_train)
    recording = make_smile_stream(options.n_smiles, fps=FPS, jitter=options.jitter, random_state=0)
    clips = make_smiles(20, n_subjects=20, fps=FPS, random_state=1).clips
    with threadpool_limits(1):
        smiles = print_speed(classifiers, recording.clip)
        print("Largest differences between stream and batch")
        for name, classifier in classifiers.items():
            print_agreement(name, classifier, smiles[name], clips)
        print("Detection")
        print_detection(options.n_streams, options.n_smiles, options.jitter)


if __name__ == "__main__":
    main()
