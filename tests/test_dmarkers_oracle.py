import itertools
import warnings

import numpy as np
import pytest
from faces import as_ibug
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry

SCHEMES = {478: MEDIAPIPE_478, 68: IBUG_68}
MAX_GAP = 3
# As the guide states them: windows in seconds, and the constants of the reference levels.
WINDOWS_S, FINE_WINDOW_S, COARSE_WINDOW_S = {"eyelid": 0.34, "cheek": 0.18, "lip": 0.18}, 0.32, 0.5
COST_PER_SECOND, MIN_FRACTION = 0.2, 0.1
REST_QUANTILE, APEX_QUANTILE = 1 / 4, 2 / 3
MIN_LEVEL, LEVEL_IN_JITTERS, MAX_LEVEL = 0.04, 4.0, 0.15
ROUNDING = 1e-10
quick = settings(max_examples=15, derandomize=True, deadline=None, database=None)


# The signals, from their definition.


def plain_signals(clip, scheme, pose=None):
    """A(t) of eyelid, cheek and lip: lists for both sides together, the right and the left."""
    points = [plain_frontal(frame, scheme, pose) for frame in clip.astype(np.float64)]
    sides = {"eyelid": [plain_eyelid(points, side) for side in ("right", "left")]}
    if "right_cheek" in scheme.points:
        sides["cheek"] = plain_spread(points, "cheek")
    sides["lip"] = plain_spread(points, "lip_corner")
    signals = {}
    for name, (right, left) in sides.items():
        both = [(r + m) / 2 for r, m in zip(right, left, strict=True)]
        signals[name] = [[d - at_rest(D) for d in D] for D in (both, right, left)]
    return signals


def plain_frontal(frame, scheme, pose):
    """The named points of a frame, x and y, without the head's pose."""
    points = {name: scheme.locate(frame, name) for name in scheme.points}
    if pose == "eyes":
        points = {name: complex(*point[:2]) for name, point in points.items()}
        right = (points["right_eye_outer"] + points["right_eye_inner"]) / 2
        left = (points["left_eye_outer"] + points["left_eye_inner"]) / 2
        aligned = {k: (p - (right + left) / 2) / (left - right) for k, p in points.items()}
        return {name: (point.real, point.imag) for name, point in aligned.items()}
    if pose == "rigid":
        centre, rotation, scale = plain_umeyama(frame[list(scheme.stable)], scheme)
        points = {name: scale * rotation @ (point - centre) for name, point in points.items()}
    return {name: tuple(point[:2].tolist()) for name, point in points.items()}


def plain_umeyama(stable, scheme):
    """Centre, rotation and scale that bring points nearest to the mean face (Umeyama, 1991)."""
    n_dims = stable.shape[1]
    reference = scheme.stable_reference[:, :n_dims]
    reference, centre = reference - reference.mean(axis=0), stable.mean(axis=0)
    u, s, vt = np.linalg.svd(reference.T @ (stable - centre))
    signs = np.ones(n_dims)
    signs[-1] = np.linalg.det(u) * np.linalg.det(vt)
    return centre, u @ np.diag(signs) @ vt, (s * signs).sum() / ((stable - centre) ** 2).sum()


def plain_eyelid(points, side):
    opening = []
    for point in points:
        outer, inner, lid = (point[f"{side}_eye_{part}"] for part in ("outer", "inner", "upper"))
        centre = middle(outer, inner)
        sign = -1 if lid[1] > centre[1] else 1  # y points down
        opening.append(sign * distance(centre, lid) / distance(outer, inner))
    return opening


def plain_spread(points, part):
    right, left = ([point[f"{side}_{part}"] for point in points] for side in ("right", "left"))
    pairs = list(zip(right, left, strict=True))
    centres = [middle(r, m) for r, m in pairs]
    centre = at_rest([x for x, _ in centres]), at_rest([y for _, y in centres])
    width = at_rest([distance(r, m) for r, m in pairs])
    return [[distance(centre, point) / width for point in side] for side in (right, left)]


def middle(a, b):
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def distance(a, b):
    return ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5


def at_rest(values):
    return sorted(values[:5])[2]


# The descriptors of a phase, from their definition.


def plain_descriptors(A, right, left, fps):
    """The 25 descriptors of frames a ... b, NaN for empty sets."""
    d = {t: difference(A[t], A[t - 1]) for t in range(1, len(A))}
    R, F = [t for t in d if d[t] > 0], [t for t in d if d[t] < 0]
    V = {t: d[t] * fps for t in d}
    change = [difference(d[t], d[t - 1]) * fps**2 for t in range(2, len(A))]
    gains, losses = [c for c in change if c > 0], [-c for c in change if c < 0]
    n, rise, fall = len(d), sum(d[t] for t in R), sum(-d[t] for t in F)
    return [
        len(R) / fps,
        len(F) / fps,
        n / fps,
        ratio(len(R), n),
        ratio(len(F), n),
        max(A),
        mean(A),
        mean([A[t] for t in R]),
        mean([A[t] for t in F]),
        mean([(a - mean(A)) ** 2 for a in A]) ** 0.5,
        rise,
        fall,
        rise - fall,
        ratio(rise, rise + fall),
        ratio(fall, rise + fall),
        max([V[t] for t in R], default=np.nan),
        max([-V[t] for t in F], default=np.nan),
        mean([V[t] for t in R]),
        mean([-V[t] for t in F]),
        max(gains, default=np.nan),
        max(losses, default=np.nan),
        mean(gains),
        mean(losses),
        ratio((rise - fall) * fps, n),
        abs(mean(left) - mean(right)),
    ]


def difference(a, b):
    """a - b, where that is more than rounding."""
    return a - b if abs(a - b) >= ROUNDING else 0.0


def ratio(a, b):
    return a / b if b else np.nan


def mean(values):
    return ratio(sum(values), len(values))


def plain_features(signals, limits, fps):
    """The 225 features; `limits` are the first and last frame of each phase, None if absent."""
    features = []
    for name in ("eyelid", "cheek", "lip"):
        for limit in limits:
            values = [np.nan] * 25
            if limit is not None and name in signals:
                part = slice(limit[0], limit[1] + 1)
                values = plain_descriptors(*(side[part] for side in signals[name]), fps)
            features += values
    return features


# The phases, from the docstrings of the segmentations.


def plain_longest_run(lip):
    """Most steps that a run of increase and a later run of decrease can have together."""
    n = len(lip)
    up, down = [0] * n, [0] * n  # steps of the run of increase that ends, of decrease that starts
    for t in range(1, n):
        up[t] = up[t - 1] + 1 if lip[t] > lip[t - 1] else 0
    for t in range(n - 2, -1, -1):
        down[t] = down[t + 1] + 1 if lip[t + 1] < lip[t] else 0
    return max(up[i] + down[j] for i in range(n) for j in range(i, n))


def plain_transitions(lip, coarse, fine, fps):
    """Limits, rise and fall by reference levels around the steepest path."""
    n = len(lip)
    t0, t1, t2, t3 = plain_steepest_path(coarse, fps)
    before = np.quantile(lip[: t0 + 1], REST_QUANTILE)
    top = np.quantile(lip[t1 : t2 + 1], APEX_QUANTILE)
    after = np.quantile(lip[t3:], REST_QUANTILE)
    rise, fall = max(top - before, 0), max(top - after, 0)
    pairs = zip(fine, coarse, strict=True)
    jitter = 1.4826 * np.median([abs(f - c) for t, (f, c) in enumerate(pairs) if moves(lip, t)])
    change = max(rise, fall)
    x = min(max(MIN_LEVEL, LEVEL_IN_JITTERS * jitter / change if change else 1), MAX_LEVEL)

    first = t0 if rise > MIN_FRACTION * fall else 0
    last = t3 if fall > MIN_FRACTION * rise else n - 1
    peak = max(range(first, last + 1), key=lambda t: fine[t])
    half_up = next((t for t in range(first, last + 1) if fine[t] >= before + rise / 2), peak)
    falling = range(last, half_up - 1, -1)
    half_down = next((t for t in falling if fine[t] >= after + fall / 2), half_up)
    start = next((t for t in range(half_up, -1, -1) if fine[t] <= before + x * rise), 0)
    smile = range(half_up, half_down + 1)
    peak = max(smile, key=lambda t: fine[t])
    onset_end = next((t for t in smile if fine[t] >= top - x * rise), peak)
    start, onset_end = plain_nearest(fine, start, before + x * rise, onset_end, top - x * rise)
    falling = range(half_down, onset_end - 1, -1)
    offset_start = next((t for t in falling if fine[t] >= top - x * fall), onset_end)
    stop = next((t for t in range(half_down, n) if fine[t] <= after + x * fall), n - 1)
    offset_start, stop = plain_nearest(fine, offset_start, top - x * fall, stop, after + x * fall)
    return (start, onset_end, offset_start, stop), rise, fall


def plain_nearest(fine, first, first_level, last, last_level):
    """The limits, or their inner neighbours where the level is crossed nearer to these."""

    def is_nearer(frame, inner, level):
        here, there = fine[frame] - level, fine[inner] - level
        return here * there <= 0 and abs(there) < abs(here)

    inner = min(first + 1, len(fine) - 1)
    if inner < last and is_nearer(first, inner, first_level):
        first = inner
    inner = max(last - 1, 0)
    if inner > first and is_nearer(last, inner, last_level):
        last = inner
    return first, last


def moves(lip, t):
    """Whether a frame differs from one of its neighbours, or is the first or last."""
    return t in (0, len(lip) - 1) or lip[t - 1] != lip[t] or lip[t] != lip[t + 1]


def plain_steepest_path(signal, fps):
    """The rise and later fall of greatest gain; one that gains nothing lies at the clip's end."""
    n, cost = len(signal), COST_PER_SECOND * (max(signal) - min(signal)) / fps
    up, down = [(0, 0, 0)], [(0, n - 1, n - 1)]
    for t in range(1, n):
        rises = [(signal[t] - signal[s] - cost * (t - s), s, t) for s in range(t)]
        up.append(max([up[-1], *rises], key=lambda path: path[0]))
    for t in range(n - 2, -1, -1):
        falls = [(signal[t] - signal[s] - cost * (s - t), t, s) for s in range(t + 1, n)]
        down.append(max([down[-1], *falls], key=lambda path: path[0]))
    rise, fall = max(zip(up, down[::-1], strict=True), key=lambda both: both[0][0] + both[1][0])
    return *rise[1:], *fall[1:]


def plain_savgol(signal, seconds, fps):
    """The parabolas of windows of the odd number of frames that is nearest, cut to the clip."""
    n = len(signal)
    width = min(2 * int(seconds * fps / 2) + 1, n - 1 + n % 2)
    return savgol_filter(signal, width, 2).tolist() if width > 3 else signal


# Random clips.


@st.composite
def clips_and_options(draw, kinds, **options):
    """Several clips of one layout, their frame rates or None, and parameters."""
    n_landmarks, n_dims = draw(st.sampled_from([(478, 3), (478, 2), (68, 3), (68, 2)]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n_clips = draw(st.integers(1, 4))
    clips = [
        random_clip(
            draw(st.integers(5, 80)),
            draw(st.sampled_from(kinds)),
            draw(st.sampled_from(["none", "ends", "gap", "long gap"])),
            draw(st.integers(0, 2**32 - 1)),
        )
        for _ in range(n_clips)
    ]
    if n_landmarks == 68:
        clips = [as_ibug(clip) for clip in clips]
    clips = [clip[..., :n_dims].astype(dtype) for clip in clips]
    rates = draw(st.one_of(st.none(), st.lists(st.sampled_from([12.5, 25.0, 50.0]), min_size=4)))
    fps = rates if rates is None else rates[:n_clips]
    return clips, fps, {name: draw(st.sampled_from(v)) for name, v in options.items()}


def with_rates(clips, fps):
    """Clips that state their frame rates, if they are known."""
    return clips if fps is None else check_clips(clips, fps=fps)


def random_clip(n_frames, kind, missing, seed):
    """The mean face that smiles in one of several ways, and moves, with noise."""
    rng = np.random.default_rng(seed)
    if kind == "walk":
        smile = np.cumsum(rng.normal(0, 0.04, n_frames))
    else:
        limits = np.sort(rng.uniform(0, n_frames, 4))
        smile = np.interp(np.arange(n_frames), limits, [0, *rng.uniform(0.1, 0.4, 2), 0.05])
    geometry = face_geometry()
    fields = np.stack([geometry["smile"], geometry["blink"]]).astype(np.float64)
    amounts = np.stack([smile, rng.normal(0, 0.01, n_frames)], axis=1)
    clip = geometry["neutral"] + np.tensordot(amounts, fields, axes=1)
    clip += rng.normal(0, 0.003, clip.shape) + np.cumsum(rng.normal(0, 0.01, (n_frames, 1, 3)), 0)
    if kind == "held":  # each frame is shown several times
        clip = np.repeat(clip[:: rng.integers(2, 6)], 5, axis=0)[:n_frames]
    if kind == "constant":
        clip = np.repeat(clip[:1], n_frames, axis=0)
    hide_frames(clip, missing, rng)
    return clip


def hide_frames(clip, missing, rng):
    """Take the face from frames; what rest is where it hides within the first five, is open."""
    n_frames = len(clip)
    if missing == "ends":
        clip[: n_frames // 8] = clip[n_frames - n_frames // 8 :] = np.nan
    elif missing != "none" and n_frames > 20:
        start = rng.integers(5, n_frames - 11)
        clip[start : start + (rng.integers(1, MAX_GAP + 1) if missing == "gap" else 5)] = np.nan


def plain_part(clip):
    """The longest part without a long gap, its short gaps bridged, and its first frame."""
    clip, n = clip.astype(np.float64), len(clip)
    faces = [t for t in range(n) if not np.isnan(clip[t, 0, 0])]
    parts = [[faces[0]]]
    for before, after in itertools.pairwise(faces):
        if after - before > MAX_GAP + 1:
            parts.append([after])
            continue
        for t in range(before + 1, after):
            weight = (t - before) / (after - before)
            clip[t] = clip[before] + weight * (clip[after] - clip[before])
        parts[-1].append(after)
    part = max(parts, key=lambda frames: frames[-1] - frames[0])
    return clip[part[0] : part[-1] + 1], part[0]


def reported_limits(row, start):
    """First and last frame of each phase within the part, None if absent."""
    names = ["onset_start", "apex_start", "offset_start", "offset_end"]
    absent = row["no_onset"], row["no_smile"], row["no_offset"]
    limits = zip(names[:-1], names[1:], absent, strict=True)
    return [None if no else (int(row[a]) - start, int(row[b]) - start) for a, b, no in limits]


def expected_features(clip, row, scheme, fps, *, pose, smoothing):
    part, start = plain_part(clip)
    signals = plain_signals(part, scheme, pose)
    if smoothing is not None:
        rate = fps or 30.0
        signals = {
            name: [plain_savgol(side, WINDOWS_S[name], rate) for side in sides]
            for name, sides in signals.items()
        }
    limits = reported_limits(row, start)
    onset = limits[0][0] if limits[0] else 0
    signals = {
        name: [plain_relative(side, onset, fps or 30.0) for side in sides]
        for name, sides in signals.items()
    }
    return plain_features(signals, limits, fps or 1.0)


def plain_relative(values, onset, fps):
    """Values minus their level in the last 0.2 s before the onset."""
    before = sorted(values[max(t, 0)] for t in range(onset - round(0.2 * fps), onset + 1))
    return [value - before[len(before) // 2] for value in values]


@quick
@given(
    clips_and_options(
        ["smile", "walk", "held", "constant"],
        pose=[None, "eyes", "rigid"],
        segmentation=["transitions", "longest_run"],
        smoothing=[None, "savgol"],
    )
)
def test_features_equal_their_definition(drawn):
    clips, rates, options = drawn
    scheme = SCHEMES[clips[0].shape[1]]
    transformer = DMarkerTransformer(
        **options, bridge_blinks=False, missing_phase="nan", max_gap=MAX_GAP
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmileFusionWarning)
        X = with_rates(clips, rates)
        features, table = transformer.fit_transform(X), transformer.phases(X)
    assert features.shape == (len(clips), 225)
    plain = {name: options[name] for name in ("pose", "smoothing")}
    for index, (clip, fps) in enumerate(zip(clips, rates or [None] * len(clips), strict=True)):
        expected = expected_features(clip, table.iloc[index], scheme, fps, **plain)
        np.testing.assert_allclose(features[index], expected, rtol=1e-6, atol=1e-9)


@quick
@given(clips_and_options(["smile", "walk", "held", "constant"], pose=[None, "eyes", "rigid"]))
def test_amplitude_signals_equal_their_definition(drawn):
    clips, _, options = drawn
    scheme = SCHEMES[clips[0].shape[1]]
    found = amplitude_signals(clips[0], pose=options["pose"], bridge_blinks=False, max_gap=MAX_GAP)
    part, start = plain_part(clips[0])
    within = found.iloc[start : start + len(part)]
    shows = ~np.isnan(clips[0][start : start + len(part), 0, 0])
    for name, sides in plain_signals(part, scheme, options["pose"]).items():
        columns = within[[name, f"{name}_right", f"{name}_left"]].to_numpy()
        np.testing.assert_allclose(columns[shows], np.transpose(sides)[shows], atol=1e-9)
        assert np.isnan(columns[~shows]).all()
    assert found["lip"].notna().sum() == shows.sum()


@quick
@given(clips_and_options(["smile", "walk"], pose=["rigid"], segmentation=["transitions"]))
def test_phases_equal_their_definition(drawn):
    clips, rates, options = drawn
    table = DMarkerTransformer(**options, max_gap=MAX_GAP).phases(with_rates(clips, rates))
    for index, clip in enumerate(clips):
        part, start = plain_part(clip)
        lip = plain_signals(part, SCHEMES[clip.shape[1]], options["pose"])["lip"][0]
        fps = 30.0 if rates is None else rates[index]
        coarse, fine = (plain_savgol(lip, s, fps) for s in (COARSE_WINDOW_S, FINE_WINDOW_S))
        limits, rise, fall = plain_transitions(lip, coarse, fine, fps)
        row, expected = table.iloc[index], np.array(limits, dtype=float) + start
        assert row["amplitude"] == pytest.approx(max(rise, fall))
        if row["no_smile"]:
            continue
        if row["no_onset"]:
            expected[:2] = np.nan, start
        if row["no_offset"]:
            expected[2:] = start + len(part) - 1, np.nan
        assert row["no_onset"] == (rise <= MIN_FRACTION * fall)
        assert row["no_offset"] == (fall <= MIN_FRACTION * rise)
        names = ["onset_start", "apex_start", "offset_start", "offset_end"]
        np.testing.assert_array_equal(row[names].astype(float), expected)


@quick
@given(clips_and_options(["smile", "walk"], segmentation=["longest_run"], smoothing=[None]))
def test_longest_run_equals_its_definition(drawn):
    clips, rates, options = drawn
    transformer = DMarkerTransformer(**options, pose=None, max_gap=MAX_GAP)
    table = transformer.phases(with_rates(clips, rates))
    for index, clip in enumerate(clips):
        part, start = plain_part(clip)
        lip = plain_signals(part, SCHEMES[clip.shape[1]])["lip"][0]
        onset, _, offset = reported_limits(table.iloc[index], start)
        if onset and offset:
            assert onset[1] - onset[0] + offset[1] - offset[0] == plain_longest_run(lip)
            assert (np.diff(lip[onset[0] : onset[1] + 1]) > 0).all()
            assert (np.diff(lip[offset[0] : offset[1] + 1]) < 0).all()
