"""Simulate populations of clips for `prior_fitted.py`."""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from simulator_fit import describe_clips

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.clips._changes import MEAN_SMILE, draw_head_motion, draw_noise
from smilefusion.datasets.simulated._faces import draw_subject, express
from smilefusion.datasets.simulated._smiles import draw_settings
from smilefusion.datasets.simulated._time_courses import CUES, draw_smile
from smilefusion.estimators._scaling import LIMIT
from smilefusion.landmarks import landmark_scheme

JITTER = (0.03, 0.15)
FILMING = {
    "real": {"fps": 50.0, "jitter": JITTER, "head_motion": 0.0},
    "simulated": {"fps": 25.0, "jitter": JITTER, "head_motion": (0.0, 6.0)},
}
TRIMMED = {"lead_in": (-0.3, 1.5), "tail": (-0.8, 1.5)}
NATURAL = {"lead_in": None, "tail": None}
NEW_CUES = ("repeated rises", "eyelids")
CUES_OF_TRAINING = {
    "real": ("duration", "speed", "amplitude", "repeated rises"),
    "simulated": ("duration", "speed", "amplitude"),
}
LEVELS = np.array([-0.1, 0.5, 1.1])  # class weights of each cue in the bank
KINDS = ("same cues", "new cues", "mainly new cues", "other meaning")
N_PER_PERSON, N_POPULATION, N_COMPONENTS = 4, 480, 24


def simulate(data, weights, people, trimmed, rng, **settings):
    """Return the features of simulated clips and the properties of their smiles."""
    scheme = landmark_scheme(68)
    points = list(scheme.in_mesh)
    settings = FILMING[data] | settings
    clips, rows, last = [], [], None
    for weight, person, is_trimmed in zip(weights, people, trimmed, strict=True):
        if person != last:
            subject, last = draw_subject(rng), person
            movements = subject.movements[:, :, points]  # other landmarks are not needed
            subject = subject._replace(face=subject.face[:, points], movements=movements)
        own = draw_settings(
            rng, settings | {"face_size": 1.0} | (TRIMMED if is_trimmed else NATURAL)
        )
        limits = {"lead": own["lead_in"], "tail": own["tail"]}
        cues = dict(zip(CUES, weight, strict=True))
        smile = draw_smile(rng, cues, pace=subject.pace, size=subject.size, **limits)
        seconds = np.arange(max(round(smile.duration * own["fps"]), 5)) / own["fps"]
        faces = express(subject, smile, seconds)
        faces += draw_noise(rng, len(seconds), own["fps"], own["jitter"] * MEAN_SMILE, scheme)
        if own["head_motion"] > 0:
            rotation, shift = draw_head_motion(rng, seconds, own["head_motion"])
            faces = rotation.astype(np.float32) @ faces + shift.astype(np.float32)[..., None]
        clips.append(np.ascontiguousarray(faces.transpose(0, 2, 1)))
        row = {"log jitter": np.log(own["jitter"]), "duration": smile.duration}
        row |= {"onset": smile.apex_start - smile.onset_start, "dips": len(smile.dips)}
        row |= {"apex": smile.offset_start - smile.apex_start, "amplitude": smile.amplitude}
        row |= {"offset": smile.offset_end - smile.offset_start, "share": smile.offset_share}
        row |= {"onset burst": smile.onset_burst[1], "offset burst": smile.offset_burst[1]}
        rows.append(row)
    if data == "real":
        X = describe_clips(clips)["lip"]
    else:
        markers = DMarkerTransformer().set_output(transform="pandas")
        X = markers.fit_transform(check_clips(clips, fps=settings["fps"]))
        X = X[[name for name in X if name.startswith(("eyelid", "lip"))]]
    return X.astype(np.float32), pd.DataFrame(rows)


def class_weights(y, effects):
    """Return the class weight of each cue, (n_clips, n_cues), given the effect of each cue."""
    effects = np.stack([np.broadcast_to(effects.get(cue, 0.0), len(y)) for cue in CUES], axis=1)
    return 0.5 + (y - 0.5)[:, None] * effects


def simulate_labelled(data, n_clips, seed):
    """Return the features and classes of the clips that train "shipped"."""
    rng = np.random.default_rng([seed, 0, data == "real"])
    y = np.arange(n_clips) % 2
    weights = class_weights(
        y, dict.fromkeys(CUES_OF_TRAINING[data], rng.uniform(0.5, 1.1, len(y)))
    )
    trimmed = rng.random(n_clips) < (0.0 if data == "real" else 0.5)
    return simulate(data, weights, np.arange(n_clips) // N_PER_PERSON, trimmed, rng)[0], y


def simulate_bank(data, n_clips, seed):
    """Return the features, properties, cue levels and trimming of the clips of a bank."""
    rng = np.random.default_rng([seed, 1, data == "real"])
    varied = np.isin(CUES, CUES_OF_TRAINING[data])
    levels = np.ones((n_clips, len(CUES)), int)
    codes = rng.permutation(np.arange(n_clips) % 3 ** varied.sum())
    levels[:, varied] = codes[:, None] // 3 ** np.arange(varied.sum()) % 3
    trimmed = rng.random(n_clips) < (0.3 if data == "real" else 0.5)
    parts = [
        simulate(data, LEVELS[levels[rows]], rows // N_PER_PERSON, trimmed[rows], rng)
        for rows in np.array_split(np.arange(n_clips), -(-n_clips // 1000))
    ]
    X, properties = map(pd.concat, zip(*parts, strict=True))
    return X, properties, levels[:, varied], trimmed


def simulate_population(kind, draw, seed):
    """Return features, classes and people of a test population."""
    rng = np.random.default_rng([seed, 2, KINDS.index(kind), draw])
    y, people = np.arange(N_POPULATION) % 2, np.arange(N_POPULATION) // N_PER_PERSON
    known, new = CUES_OF_TRAINING["simulated"], NEW_CUES
    directions = np.array([(i >> np.arange(3)) % 2 for i in range(7)]) * 2 - 1
    effects = {
        "same cues": dict.fromkeys(known, rng.uniform(0.5, 1.1)),
        "new cues": dict.fromkeys(new, 2.5),
        "mainly new cues": dict.fromkeys(known, 0.4) | dict.fromkeys(new, 2.0),
        "other meaning": dict(zip(known, rng.choice(directions), strict=True)),
    }[kind]
    settings = {"jitter": float(np.exp(rng.uniform(*np.log(JITTER))))}
    settings["head_motion"] = float(rng.uniform(0.0, 6.0))
    trimmed = np.full(len(y), draw % 2 == 1)
    X, _ = simulate("simulated", class_weights(y, effects), people, trimmed, rng, **settings)
    return X, y, people


def squash(linear):
    """Limit standardised values as `scale_robustly` does."""
    return linear / np.hypot(1.0, linear / LIMIT)


class Bank:
    """Many simulated clips, from which populations are drawn."""

    def __init__(self, parts, shipped):
        X, properties, levels, self.trimmed = parts
        self.shipped = shipped
        self.linear = shipped.standardise(X)  # (n_clips, n_columns)
        self.log_jitter = properties["log jitter"].to_numpy()
        ranks = properties.drop(columns="log jitter").rank(pct=True).to_numpy()
        self.properties = 12**0.5 * (ranks - 0.5)
        self.powers = 3 ** np.arange(levels.shape[1])
        codes = levels @ self.powers
        self.rows = [np.flatnonzero(codes == code) for code in range(3 ** levels.shape[1])]
        z = squash(self.linear)
        axes, variances, _ = np.linalg.svd(np.cov(z.T))
        self.axes = axes * np.sqrt(variances)
        self.centre = z.mean(axis=0)
        self.whitening = axes[:, :N_COMPONENTS] / np.sqrt(variances[:N_COMPONENTS])
        self.components = (z - self.centre) @ self.whitening[:, :12]


def draw_population(bank, size, rng):
    """Draw the columns (size, n_columns) and classes of a population in random order."""
    prior = rng.uniform(0.35, 0.65)
    scores = draw_scores(bank, rng)
    meaning = rng.choice(["cues", "properties", "columns"], p=[0.92, 0.05, 0.03])
    if meaning == "cues":
        y = (rng.random(size) < prior).astype(int)
        rows = choose_by_cues(bank, y, scores, rng)
    else:
        rows = np.argpartition(-scores[0], size)[:size]
        source = bank.properties if meaning == "properties" else np.tanh(bank.linear)
        used = rng.choice(source.shape[1], rng.integers(1, 6), replace=False)
        values = source[rows][:, used] @ rng.normal(size=len(used))
        values = (values - np.median(values)) / (values.std() + 1e-9)
        y = (rng.random(size) < expit(rng.uniform(0.5, 4.0) * values + logit(prior))).astype(int)
    X = squash(deviate(bank, bank.linear[rows], rng))
    share = rng.choice([0.0, rng.uniform(0.0, 0.15)], p=[0.7, 0.3])
    y = np.where(rng.random(size) < share, 1 - y, y)
    order = rng.permutation(size)
    return X[order], y[order]


def draw_scores(bank, rng):
    """Return a random score of each clip for each class (2, n_clips); high scores are chosen."""
    centre, spread = rng.uniform(*np.log(JITTER)), np.exp(rng.uniform(-1.6, 0.7))
    confound = rng.choice([0.0, rng.normal(0.0, 0.15)], p=[0.7, 0.3])
    trimming = rng.choice(3, p=[0.7, 0.15, 0.15])  # 2 = mixed
    scores = rng.gumbel(size=(2, len(bank.trimmed)))
    scores -= 4.0 * ((trimming < 2) & (bank.trimmed != trimming))
    # The classes also differ in a random direction that the simulator does not contain.
    direction = rng.normal(size=bank.components.shape[1])
    direction *= np.exp(rng.uniform(np.log(0.05), np.log(0.8))) / np.linalg.norm(direction)
    gap = bank.components @ direction
    for label, sign in enumerate((-0.5, 0.5)):
        distance = (bank.log_jitter - centre - 2 * sign * confound) / spread
        scores[label] += sign * gap - 0.5 * distance**2
    return scores


def choose_by_cues(bank, y, scores, rng):
    """Choose clips for classes whose cues have random effects."""
    n_cues = len(bank.powers)
    some = rng.permutation(np.arange(n_cues) < rng.integers(1, n_cues + 1))
    forms = [np.ones(n_cues), rng.uniform(0.0, 1.5, n_cues), some, rng.uniform(-1.2, 1.2, n_cues)]
    effects = rng.uniform(0.6, 1.2) * forms[rng.choice(4, p=[0.78, 0.12, 0.06, 0.04])]
    weights = 0.5 + (y - 0.5)[:, None] * effects
    places = np.clip((weights - LEVELS[0]) / (LEVELS[1] - LEVELS[0]), 0.0, 2.0)
    levels = np.floor(places + rng.random(places.shape)).astype(int).clip(0, 2)
    codes = levels @ bank.powers
    rows = np.empty(len(y), int)
    for code in np.unique(codes):
        # Each class chooses from its own candidates, so no clip is chosen twice and neither class
        # chooses first.
        members = [np.flatnonzero((y == label) & (codes == code)) for label in (0, 1)]
        share = len(members[0]) / (len(members[0]) + len(members[1]))
        candidates = rng.permutation(bank.rows[code])
        n_first = max(len(members[0]), round(share * (len(candidates) - 1)))
        for label, own in enumerate(np.split(candidates, [n_first])):
            best = np.argsort(-scores[label, own])[: len(members[label])]
            rows[members[label]] = own[best]
    return rows


def deviate(bank, X, rng):
    """Shift and scale the columns equally for both classes, to imitate simulation errors."""
    n_columns = X.shape[1]
    shift = np.exp(rng.uniform(np.log(0.05), np.log(0.3)))
    spread = np.linalg.norm(bank.axes, axis=1)
    X = X * np.exp(rng.uniform(0.0, 0.25) * rng.normal(size=n_columns))
    X += shift * bank.axes @ rng.normal(size=n_columns)
    return X + 0.5 * shift * spread * rng.normal(size=n_columns)
