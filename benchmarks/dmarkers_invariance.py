"""Measure what the D-Markers make of changes that leave the smile as it is.

Run ``python benchmarks/dmarkers_invariance.py``; with the defaults it takes some minutes. All
clips are simulated at 50 frames per second.

1. Size, place and rotation in the image plane, and mirroring: the largest change of a feature,
   relative to that feature's mean size.
2. Time reversal: how far, in frames, the limits of the phases lie from the mirrored ones.
3. Heads that are turned throughout a clip, or turn while they smile, in front of a pinhole
   camera: the largest change of the lip amplitude over the frames of a clip, in per cent of the
   smile. The turn lasts as long as the onset, and the head stays turned; every angle is taken in
   both directions. What is left when the camera is far away is not perspective.
4. Neutral faces that move there and back: the smiles found, and the spread of the lip amplitude,
   smoothed over 0.2 s, in per cent of the mouth's width at rest.
5. Every second frame: the absolute difference of the features at 25 and at 50 frames per second,
   in per cent of the latter, median over clips, then over the features in seconds or per second,
   maxima apart. ``common`` leaves out those that are zero or undefined in half of the clips or
   more, such as the speed of falling in the onset. ``bias`` is the common ones' median of the
   absolute value of the median difference with its sign.

x and y of 3 and 4 are projected, z is scaled as the face's mean distance asks, as by MediaPipe.
"""

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.spatial.transform import Rotation

from smilefusion import DMarkerTransformer
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals
from smilefusion.dmarkers._descriptors import DESCRIPTORS
from smilefusion.dmarkers._phase_table import BOUNDARIES
from smilefusion.dmarkers._phases import PHASES
from smilefusion.dmarkers._signals import SIGNALS
from smilefusion.dmarkers._smoothing import SMOOTHINGS
from smilefusion.exceptions import DataWarning
from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.pose import eye_corners

FPS = 50
POSES = ("rigid", "eyes", None)
STILL = {"head_motion": 0.0, "missing_rate": 0.0}
CLEAN = {"jitter": 0.0, **STILL}
EYE_DISTANCE = 6.3  # cm, between the eye centres of an adult
CAMERA_DISTANCE = 60.0  # cm, to a face in front of a computer
NECK = np.array([0.0, 1.2, 0.9]) * EYE_DISTANCE  # what the head turns about; between the eyes is 0
# Distance of the camera in cm, yaw and pitch in degrees.
TURNS = (
    *((CAMERA_DISTANCE, *angles) for angles in ((10, 0), (20, 0), (0, 7.5), (0, 15), (20, 15))),
    *((distance, 20, 15) for distance in (120.0, 240.0, 6000.0)),
)
# Yaw, pitch, roll in degrees and distance in cm at the far end of a movement.
MOVES = {
    "stays": (0, 0, 0, CAMERA_DISTANCE),
    "turns by 20 degrees": (20, 0, 0, CAMERA_DISTANCE),
    "tilts by 20 degrees": (0, 0, 20, CAMERA_DISTANCE),
    "nods by 15 degrees": (0, 15, 0, CAMERA_DISTANCE),
    "nods and turns": (20, 15, 0, CAMERA_DISTANCE),
    "comes closer, to 40 cm": (0, 0, 0, 40.0),
}


def extract(clips, fps=FPS, **parameters):
    """Return the D-Markers; clips that show no smile are no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return DMarkerTransformer(fps=fps, **parameters).fit_transform(clips)


def find_limits(clips):
    """Return the limits of the phases in frames, NaN where absent, (n_clips, 4)."""
    return DMarkerTransformer(fps=FPS).phases(clips)[list(BOUNDARIES)].to_numpy()


def measure_similarity(data):
    """Print the largest change of a feature under what should change nothing."""
    clips = [clip.astype(float) for clip in data.clips]
    roll = Rotation.from_euler("z", 25, degrees=True).as_matrix()
    changes = {
        "2.5 times the size": lambda clip: 2.5 * clip,
        "moved": lambda clip: clip + np.array([0.7, -0.4, 0.3]),
        "rotated by 25 degrees": lambda clip: clip @ roll.T,
        "mirrored": lambda clip: clip[:, MEDIAPIPE_478.mirror] * (-1, 1, 1),
    }
    print("\n1. Largest relative change of a feature (target 1e-5)")
    print(f"{'':24s}" + "".join(f"{pose!s:>10s}" for pose in POSES))
    features = {pose: extract(clips, pose=pose) for pose in POSES}
    names = DMarkerTransformer().get_feature_names_out()
    sensitive = set()
    for name, change in changes.items():
        largest = []
        for pose, original in features.items():
            difference = np.abs(extract([change(clip) for clip in clips], pose=pose) - original)
            relative = (difference / np.abs(original).mean(axis=0)).max(axis=0)
            largest.append(relative.max())
            sensitive |= set(names[relative > 1e-5]) if pose == "rigid" else set()
        print(f"{name:24s}" + "".join(f"{value:10.1e}" for value in largest))
    print(f"above 1e-5 with pose='rigid': {', '.join(sorted(sensitive)) or 'none'}")
    pairs = [(amplitude_signals(c), amplitude_signals(changes["mirrored"](c))) for c in clips[:20]]
    swapped = max(
        (ours[f"{signal}_right"] - mirrored[f"{signal}_left"]).abs().max()
        for ours, mirrored in pairs
        for signal in SIGNALS
    )
    print(f"mirrored, right signals against the mirror's left ones: {swapped:.1e} at most")


def measure_reversal(data, name):
    """Print how far the limits of reversed clips lie from the mirrored limits."""
    limits = find_limits(data.clips)
    lengths = data.truth["n_frames"].to_numpy()[:, None]
    reversed_limits = lengths - 1 - find_limits([clip[::-1] for clip in data.clips])[:, ::-1]
    difference = np.abs(reversed_limits - limits)
    same = np.isclose(limits, reversed_limits, equal_nan=True).all(axis=1)
    median, high, most = np.nanquantile(difference, [0.5, 0.95, 1])
    print(
        f"{name:24s} median {median:.0f}, 95th percentile {high:.0f}, most {most:.0f} frames; "
        f"all limits the same in {100 * same.mean():.0f} %"
    )


def in_centimetres(clip, points):
    """Return points of one size and place: the eyes of the first frame of a clip around 0."""
    right, left = clip[0, eye_corners(MEDIAPIPE_478)].reshape(2, 2, 3).mean(axis=1)
    unit = np.linalg.norm(left - right)
    return (points - (right + left) / 2) / unit * EYE_DISTANCE


def photograph(faces, angles, distances):
    """Return what a camera sees of faces, in cm, turned about the neck by yaw, pitch and roll."""
    rotation = Rotation.from_euler("yxz", angles, degrees=True).as_matrix()
    turned = (faces - NECK) @ rotation.transpose(0, 2, 1) + NECK
    turned[..., 2] += distances[:, None]
    depth = turned[..., 2:]
    centre = depth.mean(axis=1, keepdims=True)
    return np.concatenate([turned[..., :2] / depth, (depth - centre) / centre], axis=2)


def turn_head(clip, truth, held, distance, *angles):
    """Return the change of the lip amplitude over the smile, (n_poses, n_directions)."""
    faces = in_centimetres(clip.astype(float), clip)
    turned = np.interp(np.arange(len(clip)), [truth.onset_start, truth.apex_start], [0, 1])
    turned = (turned**3 * (10 + turned * (6 * turned - 15)))[:, None]  # with least jerk
    if held:
        turned = np.ones_like(turned)
    distances = np.full(len(clip), distance)
    directions = sorted(set(product(*({-angle, angle} for angle in angles))))
    films = [photograph(faces, turned * (*ends, 0), distances) for ends in [(0, 0), *directions]]
    changes = []
    for pose in POSES:
        still, *lips = (amplitude_signals(film, pose=pose)["lip"] for film in films)
        changes.append([np.abs(lip - still).max() / truth.amplitude for lip in lips])
    return changes


def measure_turns(data, held, n_jobs):
    """Print how much a turn of the head changes the lip amplitude."""
    when = "throughout the clip" if held else "while smiling"
    print(f"\n3. Head turned {when}: change of the lip amplitude, % of the smile (target 3 %)")
    print("   median / 95th percentile / largest")
    print(f"{'':36s}" + "".join(f"{pose!s:>24s}" for pose in POSES))
    for turn in TURNS:
        changes = Parallel(n_jobs)(
            delayed(turn_head)(clip, truth, held, *turn)
            for clip, truth in zip(data.clips, data.truth.itertuples(), strict=True)
        )
        figures = np.quantile(100 * np.concatenate(changes, axis=1), [0.5, 0.95, 1], axis=1)
        cells = [f"{a:.1f} / {b:.1f} / {c:.1f}" for a, b, c in figures.T]
        name = "{:4.0f} cm, yaw {:g}, pitch {:g} degrees".format(*turn)
        print(f"{name:36s}" + "".join(f"{cell:>24s}" for cell in cells))


def move_neutral(clean, jittery, ends):
    """Return a film of the first face of a clip, with jitter, that moves there and back."""
    jitter = jittery.astype(float) - clean
    faces = in_centimetres(clean.astype(float), clean[0] + jitter)
    path = np.sin(np.pi * np.linspace(0, 1, len(faces)))[:, None] ** 2
    *angles, distance = ends
    distances = CAMERA_DISTANCE + path[:, 0] * (distance - CAMERA_DISTANCE)
    return photograph(faces, path * angles, distances)


def measure_neutral(clean, jittery, name):
    """Print what is found in neutral faces that move."""
    print(f"\n4. Smiles found in {len(clean)} neutral faces (target 0), {name}")
    print("   median / largest spread")
    print(f"{'':30s}" + "".join(f"{pose!s:>22s}" for pose in POSES))
    for move, ends in MOVES.items():
        films = [move_neutral(*clips, ends) for clips in zip(clean, jittery, strict=True)]
        cells = []
        for pose in POSES:
            phases = DMarkerTransformer(fps=FPS, pose=pose).phases(films)
            lips = (amplitude_signals(f, fps=FPS, pose=pose, smoothing="savgol") for f in films)
            spreads = [100 * np.ptp(lip["lip"]) for lip in lips]
            found = (~phases["no_smile"]).sum()
            cells.append(f"{found} ({np.median(spreads):.1f} / {max(spreads):.1f} %)")
        print(f"{move:30s}" + "".join(f"{cell:>22s}" for cell in cells))


def measure_frame_rate(data, name):
    """Print how the features at 25 frames per second differ from those at 50."""
    timed = [d.unit in ("s", "D/s", "D/s^2") and not d.name.startswith("max") for d in DESCRIPTORS]
    timed *= len(SIGNALS) * len(PHASES)
    names = DMarkerTransformer().get_feature_names_out()[timed]
    halved = [clip[::2] for clip in data.clips]
    headers = ("all", *SIGNALS, "common", "bias")
    print(f"\n5. 25 against 50 frames per second, {name}, % (target 5 %)")
    print(f"{'':24s}" + "".join(f"{header:>8s}" for header in headers))
    for smoothing in (*SMOOTHINGS, None):
        features = partial(extract, smoothing=smoothing, missing_phase="nan")
        full, half = features(data.clips)[:, timed], features(halved, fps=FPS / 2)[:, timed]
        full[full == 0] = np.nan
        relative = pd.DataFrame(100 * (half - full) / np.abs(full), columns=names)
        each = relative.abs().median()
        common = relative.columns[relative.notna().mean() > 0.5]
        medians = [each.median(), *(each.filter(like=f"{s}__").median() for s in SIGNALS)]
        medians += [each[common].median(), relative[common].median().abs().median()]
        print(f"{smoothing!s:24s}" + "".join(f"{median:8.2f}" for median in medians))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-clips", type=int, default=200)
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    counts = {"n_clips": arguments.n_clips, "n_subjects": arguments.n_clips}
    make = partial(make_smiles, **counts, fps=FPS, random_state=0)
    clean, jittery, real = make(**CLEAN), make(**STILL), make()
    print(f"{arguments.n_clips} simulated clips at {FPS} frames per second")
    measure_similarity(real)
    print("\n2. Time reversal, limits of the phases")
    measure_reversal(clean, "without noise")
    measure_reversal(real, "jitter, motion, gaps")
    measure_turns(clean, True, arguments.n_jobs)
    measure_turns(clean, False, arguments.n_jobs)
    measure_neutral(clean.clips, clean.clips, "without noise")
    measure_neutral(clean.clips, jittery.clips, "landmarks jitter")
    measure_frame_rate(clean, "without noise")
    measure_frame_rate(jittery, "landmarks jitter")
    measure_frame_rate(real, "jitter, motion, gaps")


if __name__ == "__main__":
    main()
