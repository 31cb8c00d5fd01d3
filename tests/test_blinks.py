from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from smilefusion.clips import read_clip
from smilefusion.datasets._dynamics import blink_curve, draw_smile, minimum_jerk
from smilefusion.datasets._faces import draw_subject, express
from smilefusion.datasets._simulated import make_smiles
from smilefusion.dmarkers._blinks import bridge_blinks, count_blinks, find_blinks
from smilefusion.landmarks import MEDIAPIPE_478

FULL = 0.2  # depth of a full closure, eye widths
every_fps = pytest.mark.parametrize("fps", [10, 25, 30, 50, 100])


def times(fps, seconds=4):
    return np.arange(round(seconds * fps)) / fps


def pulse(t, start, *, close=0.1, shut=0.0, opening=0.2, depth=FULL):
    """Lids go down from `start` on, stay and come up again; positive is shut."""
    down = minimum_jerk((t - start) / close)
    return depth * (down - minimum_jerk((t - start - close - shut) / opening))


def find(eyelid, fps):
    return find_blinks(eyelid[None], np.array([len(eyelid)]), fps)[0]


def count(eyelid, fps):
    return count_blinks(find(eyelid, fps)[None])[0]


def bridge(eyelid, fps):
    return bridge_blinks(eyelid[None], find(eyelid, fps)[None])[0]


def eye_opening(clip):
    """Return the opening of the eyes in a clip of a head that keeps still, in eye widths."""
    sides = []
    for side in ("right", "left"):
        outer, inner, lid = (
            MEDIAPIPE_478.locate(clip, f"{side}_eye_{point}")[..., :2]
            for point in ("outer", "inner", "upper")
        )
        rise = (outer + inner)[..., 1] / 2 - lid[..., 1]
        height = np.linalg.norm((outer + inner) / 2 - lid, axis=-1)
        sides.append(np.sign(rise) * height / np.linalg.norm(outer - inner, axis=-1))
    return np.mean(sides, axis=0)


def random_walks(n_clips, n_frames, step, seed=0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(0, step, (n_clips, n_frames)), axis=1)


def plain_blinks(eyelid, fps):
    """Find blinks frame by frame, written from the docstring."""
    n, half = len(eyelid), int(0.25 * fps)
    held = np.concatenate([np.repeat(eyelid[0], n), eyelid, np.repeat(eyelid[-1], n)])
    lag = max(1, int(0.1 * fps + 0.5))
    changes = sorted(abs(held[n + t + lag] - held[n + t]) for t in range(1 - lag, n - 1))
    jitter = 1.4826 * changes[(len(changes) - 1) // 2]
    depth, speed = max(0.05, 4 * jitter), max(0.5 / fps, 2 * jitter)
    open_start, open_end = max(eyelid[: half + 1]), max(eyelid[-half - 1 :])
    extended = held.copy()
    if open_start - eyelid[0] > 1.5 * depth:
        extended[:n] = open_start
    if open_end - eyelid[-1] > 1.5 * depth:
        extended[2 * n :] = open_end

    def dip(t, reach):
        centres = range(t - reach, t + reach + 1)
        return min(max(extended[s - reach : s + reach + 1]) for s in centres) - extended[t]

    blinks = []
    for frames in (range(n, 2 * n),):
        lowered = [
            dip(t, half) > 0.1 * depth
            or dip(t, 2 * half) > depth
            or held[t] - held[t - 1] < -speed
            or held[t + 1] - held[t] > speed
            for t in frames
        ]
        for low, run in groupby(zip(frames, lowered, strict=True), key=lambda pair: pair[1]):
            run = [t for t, _ in run]
            blinks += [low and any(dip(t, half) > depth for t in run)] * len(run)
    return blinks


@pytest.mark.parametrize("fps", [6, 25, 30])
def test_blinks_are_those_of_the_plain_definition(fps):
    t = times(fps)
    walks = random_walks(12, len(t), 0.12 / fps)
    starts = np.random.default_rng(1).uniform(-0.2, 4, (12, 3))
    for walk, (first, *others) in zip(walks, starts, strict=True):
        eyelid = walk - pulse(t, first) - sum(pulse(t, s, depth=0.08) for s in others)
        assert find(eyelid, fps).tolist() == plain_blinks(eyelid, fps)
