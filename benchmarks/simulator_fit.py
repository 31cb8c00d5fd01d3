"""Compare simulated smiles with D-Markers of real ones, column by column.

Run ``python benchmarks/simulator_fit.py --real ../shared/real``; it takes a few minutes. The
folder contains published D-Markers of 576 UvA-NEMO clips. They are only used for comparison; no
model is trained on them. The same 72 columns for the lips and 72 for the eyelids are computed from
simulated clips at 50 fps. Their definition is inferred from the column names and from relations
between the columns:

- There are 68 points, and the head does not move. The unit is the width of the mouth or eye. The
  lip signal is smoothed by a median filter over 25 frames, and the eyelid signal is not smoothed.
- The onset starts at the first frame, and the offset ends at the last one. How the authors set the
  other limits is unknown; in 31 % of the clips, they are at thirds of the clip. Here, the onset
  ends where the uninterrupted rise with the largest gain ends, and the offset starts where the
  uninterrupted fall with the largest loss starts.
- Amplitudes are steps between neighbouring frames. Durations are the number of frames with
  movement, divided by 25.

A shift is the simulated mean minus the real mean of a class, in real standard deviations. The
class difference d is the spontaneous mean minus the posed mean, in pooled standard deviations. AUC
and log loss are measured on the real clips, with a logistic regression that is trained on
simulated clips only. ``--picture`` saves a picture of the shifts and class differences of the lip
columns.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from common import read_options
from scipy.ndimage import median_filter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV

from smilefusion.datasets import make_smiles
from smilefusion.landmarks import landmark_scheme

FPS = 50.0
PHASES = ("onset", "apex", "offset")
FILTER_FRAMES = 25
SHIFTS = ["shift posed", "shift spontaneous"]
STILL = {"fps": FPS, "n_landmarks": 68, "head_motion": 0.0, "missing_rate": 0.0}
FORMS = {
    "default": {},
    "jitter and effect varied": {"jitter": (0.03, 0.15), "effect": (0.5, 1.1)},
    "trimming varied too": {
        "jitter": (0.03, 0.15),
        "effect": (0.5, 1.1),
        "lead_in": (-0.3, 1.5),
        "tail": (-0.8, 1.5),
    },
}


def measure_signals(clip):
    """Return the smoothed lip signal and the eyelid signal, (n_frames,) each."""
    scheme = landmark_scheme(clip.shape[1])
    points = {name: scheme.locate(clip, name)[:, :2].astype(float) for name in scheme.points}
    lips = np.linalg.norm(points["right_lip_corner"] - points["left_lip_corner"], axis=1)
    lids = []
    for side in ("right", "left"):
        outer, inner, upper = (
            points[f"{side}_eye_{part}"] for part in ("outer", "inner", "upper")
        )
        lids.append(((outer + inner) / 2 - upper)[:, 1] / np.linalg.norm(outer - inner, axis=1))
    smooth = median_filter(lips / (2 * lips[0]), FILTER_FRAMES, mode="mirror")
    return smooth, np.mean(lids, axis=0)


def find_phases(lip):
    """Return the frames in which the onset ends and the offset starts."""
    rise, fall = longest_run(lip), longest_run(-lip)
    found = rise[1] < fall[0]
    return (rise[1], fall[0]) if found else (len(lip) // 3, 2 * len(lip) // 3)


def longest_run(signal):
    """Return start and stop of the uninterrupted rise with the largest gain."""
    falls = np.flatnonzero(np.diff(signal) < 0)
    starts = np.concatenate([[0], falls + 1])
    stops = np.concatenate([falls, [len(signal) - 1]])
    gains = signal[stops] - signal[starts]
    best = gains.argmax()
    rising = np.flatnonzero(np.diff(signal[starts[best] : stops[best] + 1]) > 0)
    if len(rising) == 0:
        return 0, 0
    return starts[best] + rising[0], starts[best] + rising[-1] + 1


def describe(signal):
    """Return the 24 values of one phase of a signal."""
    steps = np.diff(signal)
    speeds = FPS * steps
    accelerations = np.diff(speeds, prepend=speeds[:1])
    up, down = steps > 0, steps < 0
    n_moving = up.sum() + down.sum()
    rise, fall = steps[up].sum(), -steps[down].sum()
    row = {"maximum_amplitude": steps.max(), "mean_amplitude_full": steps.mean()}
    row |= {"std_amplitude": steps.std(), "net_amplitude": rise - fall}
    row["net_amplitude_duration_ratio"] = FPS * (rise - fall) / max(n_moving, 1)
    row["duration_full"] = n_moving / 25
    for sign, chosen, total in (("positive", up, rise), ("negative", down, fall)):
        size, gain = np.abs(steps[chosen]), accelerations[chosen]
        row[f"duration_{sign}"] = chosen.sum() / 25
        row[f"duration_ratio_{sign}"] = chosen.sum() / max(n_moving, 1)
        row[f"mean_amplitude_{sign}"] = size.mean() if len(size) else 0.0
        row[f"total_amplitude_{sign}"] = total
        row[f"amplitude_ratio_{sign}"] = total / (rise + fall) if rise + fall > 0 else 0.0
        row[f"maximum_speed_{sign}"] = FPS * size.max() if len(size) else 0.0
        row[f"mean_speed_{sign}"] = FPS * row[f"mean_amplitude_{sign}"]
        row[f"maximum_acceleration_{sign}"] = gain.max() if len(size) else 0.0
        row[f"mean_acceleration_{sign}"] = gain.mean() if len(size) else 0.0
    return row


def describe_clips(clips):
    """Return the lip and the eyelid table of clips without missing frames."""
    rows = {"lip": [], "eyelid": []}
    for clip in clips:
        signals = dict(zip(rows, measure_signals(clip), strict=True))
        limits = [0, *find_phases(signals["lip"]), len(clip) - 1]
        for name, signal in signals.items():
            values = {}
            for phase, start, stop in zip(PHASES, limits, limits[1:], strict=False):
                found = describe(signal[start : max(stop, start + 1) + 1])
                values |= {f"{phase}_{key}": value for key, value in found.items()}
            rows[name].append(values)
    return {name: pd.DataFrame(each) for name, each in rows.items()}


def compare(simulated, target, real):
    """Return shifts, ratios of standard deviations, and class differences of each column."""
    both = pd.DataFrame(index=simulated.columns)
    classes = [
        (simulated[target == k], real.loc[real["posed"] == 1 - k, simulated.columns])
        for k in (0, 1)
    ]
    for name, (ours, theirs) in zip(("posed", "spontaneous"), classes, strict=True):
        both[f"shift {name}"] = (ours.mean() - theirs.mean()) / theirs.std()
        both[f"SD ratio {name}"] = ours.std() / theirs.std()
    for i, name in ((1, "d real"), (0, "d simulated")):
        posed, spontaneous = (each[i] for each in classes)
        pooled = np.sqrt((posed.var() + spontaneous.var()) / 2)
        both[name] = (spontaneous.mean() - posed.mean()) / pooled
    return both.sort_values(SHIFTS, key=np.abs, ascending=False)


def summarise(both):
    """Return the RMS shift and the RMS error of the class differences."""
    error = both["d simulated"] - both["d real"]
    return {
        "RMS shift": float(np.sqrt((both[SHIFTS] ** 2).to_numpy().mean())),
        "RMS error of d": float(np.sqrt((error**2).mean())),
    }


def transfer(simulated, target, real):
    """Return the scores on real clips of a model that is trained on simulated clips only."""
    mean, spread = simulated.mean(), simulated.std()
    search = GridSearchCV(
        LogisticRegression(max_iter=5000), {"C": np.logspace(-4, 2, 7)}, scoring="neg_log_loss"
    )
    inputs, test = (
        ((table[simulated.columns] - mean) / spread).clip(-4, 4) for table in (simulated, real)
    )
    probability = search.fit(inputs, target).predict_proba(test)[:, 1]
    truth = 1 - real["posed"]
    return {"AUC": roc_auc_score(truth, probability), "log loss": log_loss(truth, probability)}


def draw(both, path):
    """Save a picture of shifts and class differences of the lip columns."""
    from matplotlib import pyplot

    both = both.sort_values("d real").rename(lambda name: name.replace("_", " "))
    figure, axes = pyplot.subplots(1, 2, figsize=(13, 15), sharey=True, layout="constrained")
    for each, columns in zip(axes, (SHIFTS, ["d real", "d simulated"]), strict=True):
        for column, marker in zip(columns, "ox", strict=True):
            each.plot(both[column], both.index, marker, label=column)
        each.axvline(0, color="0.8", zorder=0)
        each.grid(axis="y", color="0.93")
        each.legend()
    axes[0].set(title="Simulated minus real mean", xlabel="real standard deviations")
    axes[1].set(title="Spontaneous minus posed mean", xlabel="pooled standard deviations")
    axes[0].tick_params(axis="y", labelsize=8)
    figure.savefig(path, dpi=100)


def main():
    options = read_options(
        __doc__,
        real=Path("../shared/real"),
        n_clips=4000,
        n_subjects=1000,
        seed=0,
        n_rows=20,
        picture=None,
    )
    if not options.real.is_dir():
        print(f"{options.real} does not exist. Pass the folder of the tables with --real.")
        sys.exit()
    sizes = {"n_subjects": options.n_subjects, "random_state": options.seed}
    for form, settings in FORMS.items():
        smiles = make_smiles(options.n_clips, **sizes, **STILL, **settings)
        for part, table in describe_clips(smiles.clips).items():
            real = pd.read_csv(options.real / f"uva_nemo_{part}_half.csv")
            both = compare(table, smiles.target, real)
            scores = summarise(both) | transfer(table, smiles.target, real)
            print(f"{form}, {part}:", *(f"{key} {value:.3f}" for key, value in scores.items()))
            if form != "default" or part != "lip":
                continue
            print(both.head(options.n_rows).round(2).to_string())
            if options.picture:
                draw(both, options.picture)


if __name__ == "__main__":
    main()
