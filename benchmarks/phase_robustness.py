"""Measure how far noise moves the limits of the phases, by rule and smoothing.

Run ``python benchmarks/phase_robustness.py``; with the defaults it takes some minutes. Simulated
smiles at 50 frames per second are segmented without noise and with it. Noise is added to the lip
signal (white, or slow: AR(1) with coefficient 0.9; its standard deviation is a percentage of the
smile's amplitude), or it is what `make_smiles` does to the landmarks (jitter relative to the mean
smile, head motion, missing frames). The published rule is given the same lip signal, free of the
head's pose, the whole clip as one window.

``pooled`` and the columns of the limits hold median / 95th percentile of the absolute difference
between the limits found in the noisy and in the noise-free signal, in frames; a limit found in
one of them alone counts as infinitely far, one found in neither not at all. ``other set`` is the
percentage of clips in which other phases are found. ``r`` and ``error`` compare the durations of
onset, apex and offset with the simulator's: Pearson correlation and median absolute error in
seconds. A phase that is not found lasts 0 s.
"""

import argparse
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.signal import lfilter

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals
from smilefusion.dmarkers._amplitude import COARSE_WINDOW_S, FINE_WINDOW_S
from smilefusion.dmarkers._phase_table import BOUNDARIES
from smilefusion.dmarkers._phases import SEGMENTATIONS, segment
from smilefusion.dmarkers._published import published_phases
from smilefusion.dmarkers._smoothing import SMOOTHINGS, smooth

FPS = 50
MEMORY = 0.9  # coefficient of the slow noise
PERCENTS = (2, 6)  # standard deviation of the noise over the smile's amplitude
JITTERS = (0.0, 0.0075, 0.02, 0.06)  # of the landmarks, over the mean smile
CLEAN = {"jitter": 0.0, "head_motion": 0.0, "missing_rate": 0.0}
DEFAULT = DMarkerTransformer().smoothing
RULES = (
    *((segmentation, DEFAULT) for segmentation in SEGMENTATIONS),
    ("published", None),
    *(
        (segmentation, smoothing)
        for segmentation in SEGMENTATIONS
        for smoothing in (*SMOOTHINGS, None)
        if smoothing != DEFAULT
    ),
)
TARGETS = """\
Targets for the first rule: limits within 2 (median) and 8 (95th percentile) frames at 2 %, within
4 and 15 at 6 %; correlations of the durations with the truth of at least .95 at 2 %."""


class Found(NamedTuple):
    """Phases found in clips."""

    limits: np.ndarray  # (n_clips, 4) frames, NaN where absent
    durations: np.ndarray  # (n_clips, 3) seconds, 0 where absent
    present: np.ndarray  # (n_clips, 3) bool


def measure_lips(clips):
    """Return the lip amplitudes of clips, gaps bridged and padded by the last, and the lengths."""
    curves = [amplitude_signals(clip, fps=FPS, pose="rigid")["lip"] for clip in clips]
    lengths = np.array([len(curve) for curve in curves])
    n_frames = lengths.max()
    lips = [np.pad(c.interpolate(), (0, n_frames - len(c)), mode="edge") for c in curves]
    return np.stack(lips), lengths


def add_noise(rng, lip, lengths, spread, memory):
    """Return noisy lip amplitudes; `spread` is the standard deviation of each clip's noise."""
    shocks = rng.standard_normal(lip.shape)
    shocks[:, 1:] *= np.sqrt(1 - memory**2)
    noisy = lip + spread[:, None] * lfilter([1.0], [1.0, -memory], shocks, axis=1)
    held = np.minimum(np.arange(lip.shape[1]), lengths[:, None] - 1)
    return np.take_along_axis(noisy, held, axis=1)


def find_phases(lip, lengths, segmentation, smoothing):
    """Find the phases by one rule."""
    if segmentation == "published":
        starts, stops = published_phases((0.5 + lip).astype(np.float32), lengths)
        present = stops > starts
        limits = np.stack([starts[0], stops[0] - 1, starts[2], stops[2] - 1], axis=1).astype(float)
        limits[~present[[0, 0, 2, 2]].T] = np.nan
        return Found(limits, (stops - starts).T / FPS, present.T)
    coarse, fine = (
        smooth(lip, lengths, method=smoothing, window=window, fps=FPS)
        for window in (COARSE_WINDOW_S, FINE_WINDOW_S)
    )
    phases = segment(lip, coarse, fine, lengths, FPS, method=segmentation)
    limits = phases.frames.astype(float)
    limits[~phases.present[:, [0, 0, 2, 2]]] = np.nan
    durations = np.where(phases.present, np.diff(phases.frames, axis=1) / FPS, 0.0)
    return Found(limits, durations, phases.present)


def measure_seed(seed, n_clips):
    """Simulate once; return the true durations and, by noise and rule, what is found."""
    subjects = {"n_subjects": max(n_clips // 3, 1), "fps": FPS, "random_state": seed}
    data = make_smiles(n_clips, **subjects, **CLEAN)
    lip, lengths = measure_lips(data.clips)
    rng = np.random.default_rng(seed)
    noisy = {"none": (lip, lengths)}
    for percent in PERCENTS:
        spread = percent / 100 * data.truth["amplitude"].to_numpy()
        for name, memory in (("white", 0.0), ("slow", MEMORY)):
            lips = add_noise(rng, lip, lengths, spread, memory)
            noisy[f"{percent} % of the smile, {name}"] = lips, lengths
    for jitter in JITTERS:
        clips = make_smiles(n_clips, **subjects, jitter=jitter).clips
        name = f"landmarks: jitter {jitter:g}, head motion, gaps"
        noisy[name] = measure_lips(clips)
    truth = data.truth[[f"{name}_s" for name in BOUNDARIES]].to_numpy()
    found = {(name, rule): find_phases(*noisy[name], *rule) for name in noisy for rule in RULES}
    return np.diff(truth, axis=1), found


def compare_limits(found, clean):
    """Return absolute differences, (n_clips, 4) frames, of limits found in either."""
    difference = np.abs(found.limits - clean.limits)
    difference[np.isnan(found.limits) != np.isnan(clean.limits)] = np.inf
    return difference


def quantiles(differences):
    """Return "median / 95th percentile" of the differences that are defined."""
    # An order statistic, since between infinite ones nothing can be interpolated.
    known = differences[~np.isnan(differences)]
    middle, high = np.quantile(known, [0.5, 0.95], method="higher")
    return f"{middle:3.0f} /{high:4.0f}"


def describe(found, clean, truth):
    """Return the line of figures of a rule under one noise."""
    difference = compare_limits(found, clean)
    cells = [quantiles(difference), *(quantiles(column) for column in difference.T)]
    other = (found.present != clean.present).any(axis=1).mean()
    pairs = list(zip(found.durations.T, truth.T, strict=True))
    correlations = "".join(f"{np.corrcoef(*pair)[0, 1]:7.3f}" for pair in pairs)
    errors = "".join(f"{np.median(np.abs(ours - true)):7.3f}" for ours, true in pairs)
    limits = "".join(f"{cell:>13s}" for cell in cells)
    return f"{limits}{100 * other:9.1f} %  {correlations}  {errors}"


def print_figures(parts):
    """Print the figures of all seeds together."""
    truth = np.concatenate([durations for durations, _ in parts])
    founds = {
        key: Found(*map(np.concatenate, zip(*(found[key] for _, found in parts), strict=True)))
        for key in parts[0][1]
    }
    print(f"{len(truth)} smiles at {FPS} frames per second\n{TARGETS}")
    names = "".join(f"{name:>13s}" for name in ("pooled", *BOUNDARIES))
    for noise in dict.fromkeys(noise for noise, _ in founds):
        print(f"\nNoise: {noise}\n{'':26s}{names}  other set      r {'':15s}    error (s)")
        for segmentation, smoothing in RULES:
            rule = segmentation, smoothing
            name = segmentation if segmentation == "published" else f"{segmentation}, {smoothing}"
            print(f"{name:26s}" + describe(founds[noise, rule], founds["none", rule], truth))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-clips", type=int, default=300, help="per seed")
    parser.add_argument("--n-seeds", type=int, default=4)
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    parts = Parallel(arguments.n_jobs)(
        delayed(measure_seed)(seed, arguments.n_clips) for seed in range(arguments.n_seeds)
    )
    print_figures(parts)


if __name__ == "__main__":
    main()
