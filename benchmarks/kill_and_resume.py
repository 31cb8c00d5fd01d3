"""Kill benchmark runs at random moments, resume them, and let two runners share a folder.

Run ``python benchmarks/kill_and_resume.py``; with the defaults it takes about three minutes, most
of it for starting Python. Every run is a process of its own: 10 logistic regressions on one small
data set, 4 folds and 5 repeats, 200 cells, each of which notes its fit in a folder and then
waits. Three trials are compared with an undisturbed run:

* kills: a run is killed (SIGKILL) at a random moment after its first fit, 20 times, and then
  left to its end;
* two runners: two runs on one folder, started together;
* two runners, one killed: the same, where one of them is killed on the way.

``fits`` counts all fits that were begun, ``cells`` those that had to be computed; the difference
is work that kills cut off, at most one cell per kill and process. ``refitted`` counts fits of
cells that were finished when the runner that refitted them started. ``predictions`` are the CSV
files of the cells and ``tables`` what `run_benchmark` returned, without its columns of times;
``identical`` means byte for byte. ``left over`` counts files other than finished cells.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch

from smilefusion.benchmark import run_benchmark

TIMES = ["fit_seconds", "predict_seconds"]
N_ESTIMATORS, N_FOLDS, N_REPEATS = 10, 4, 5
N_CELLS = N_ESTIMATORS * N_FOLDS * N_REPEATS


class Paused(LogisticRegression):
    """Note each fit in a folder, by the strength and the clips that tell the cell, and wait."""

    def __init__(self, C=1.0, pause=0.0, notes="."):
        super().__init__(C=C)
        self.pause = pause
        self.notes = notes

    def fit(self, X, y):
        """Fit after the note and the pause."""
        note = f"{self.C:g}-{X.sum():.12f}-{time.time_ns()}-{os.getpid()}"
        Path(self.notes, note).touch()
        time.sleep(self.pause)
        return super().fit(X, y)


def work(folder, notes, table, pause, n_jobs):
    """Be one runner: run the benchmark and write the table that it returns."""
    rng = np.random.default_rng(0)
    target = np.arange(60) % 2
    data = Bunch(
        clips=rng.normal(size=(60, 3)) + target[:, None],
        target=target,
        groups=np.arange(60) // 2,
        name="toy",
    )
    estimators = {
        f"strength {C:.3g}": Paused(C, pause, notes) for C in np.logspace(-2, 2, N_ESTIMATORS)
    }
    predictions = run_benchmark(
        estimators, data, cv=N_FOLDS, n_repeats=N_REPEATS, n_jobs=n_jobs, results=folder
    )
    predictions.drop(columns=TIMES).to_csv(table, index=False)


class Trial:
    """A results folder, the notes of the fits in it, and the tables that its runners returned."""

    def __init__(self, root, name, args):
        self.name, self.args = name, args
        self.folder, self.notes = root / name, root / f"{name}, notes"
        self.folder.mkdir()
        self.notes.mkdir()
        self.n_started, self.n_kills, self.n_refitted, self.tables = 0, 0, 0, []

    def start(self, n_runners=1):
        """Start runners at once, and return them at the first fit, or at the first one's end."""
        n_notes = len(os.listdir(self.notes))
        runners = [self.launch() for _ in range(n_runners)]
        while len(os.listdir(self.notes)) == n_notes and runners[0].poll() is None:
            time.sleep(0.001)
        return runners

    def launch(self):
        """Start a runner."""
        self.n_started += 1
        table = self.folder / f"table-{self.n_started}.csv"
        options = "--pause", str(self.args.pause), "--n-jobs", str(self.args.n_jobs)
        runner = subprocess.Popen(
            [sys.executable, __file__, *options, "--work", self.folder, self.notes, table],
            start_new_session=True,
            env=os.environ | {"JOBLIB_TEMP_FOLDER": str(self.folder)},
        )
        runner.table = table
        return runner

    def finish(self, runner):
        """Wait for a runner's end and keep its table."""
        if runner.wait() != 0:
            raise RuntimeError("A runner failed; its message is above.")
        self.tables.append(runner.table.read_bytes())

    def kill(self, runner):
        """Kill a runner with its joblib workers, unless it has ended."""
        if runner.poll() is None:
            os.killpg(runner.pid, signal.SIGKILL)
            self.n_kills += 1
        runner.wait()
        for semaphore in Path("/dev/shm").glob(f"sem.loky-{runner.pid}-*"):
            semaphore.unlink()  # joblib's, whose keeper was killed too

    def files(self, suffix):
        """Return the finished files of the cells, bytes by name."""
        paths = self.folder.glob(f"cells/*{suffix}")
        return {path.name: path.read_bytes() for path in paths if path.name[0] != "."}

    def count_refits(self, finished):
        """Count those of once finished cells that have another record now."""
        now = self.files(".json")
        self.n_refitted += sum(now.get(name) != record for name, record in finished.items())

    def report(self, whole):
        """Print what the trial left, and return whether it equals the undisturbed one."""
        predictions = self.files(".csv") == whole.files(".csv")
        tables = set(self.tables) == set(whole.tables)
        left_over = len(list((self.folder / "cells").iterdir())) - 2 * N_CELLS
        print(
            f"{self.name:24} {self.n_kills:5} {len(list(self.notes.iterdir())):5} {N_CELLS:6} "
            f"{self.n_refitted:9} {'identical' if predictions else 'DIFFERENT':>12} "
            f"{'identical' if tables else 'DIFFERENT':>10} {left_over:9}"
        )
        return predictions and tables and left_over == 0


def run_kills(trial, rng, n_kills, longest):
    """Kill a run again and again, then let it end."""
    found = []
    for _ in range(n_kills):
        finished = trial.files(".json")
        (runner,) = trial.start()
        time.sleep(longest * rng.random())
        trial.kill(runner)
        trial.count_refits(finished)
        names = [path.name for path in trial.folder.glob("cells/*")]
        half = any(name.startswith(".") for name in names)
        locked = any(name.endswith(".lock") for name in names)
        found.append((len(trial.files(".json")), locked, half))
    finished = trial.files(".json")
    trial.finish(*trial.start())
    trial.count_refits(finished)
    counts, locked, half = zip(*found, strict=True)
    print(f"Finished cells after each kill: {', '.join(map(str, counts))}.")
    print(f"Kills after which a lock lay there: {sum(locked)}; half-written files: {sum(half)}.")


def run_two(trial, rng, longest, *, kill):
    """Let two runners share a folder."""
    one, two = trial.start(2)
    finished = {}
    if kill:
        time.sleep(longest * rng.random())
        trial.kill(one)
        finished = trial.files(".json")
    else:
        trial.finish(one)
    trial.finish(two)
    trial.count_refits(finished)
    shares = Counter(path.name.rpartition("-")[2] for path in trial.notes.iterdir())
    print(f"Fits of each process, {trial.name}: {', '.join(map(str, shares.values()))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds that a fit waits")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes of each runner")
    parser.add_argument("--seed", type=int, default=0)
    # With what the script starts itself to be a runner:
    parser.add_argument("--work", nargs=3, metavar=("FOLDER", "NOTES", "TABLE"))
    args = parser.parse_args()
    if args.work:
        work(*args.work, args.pause, args.n_jobs)
        return
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as root:
        names = "undisturbed", "kills", "two runners", "two runners, one killed"
        whole, kills, two, one_killed = (Trial(Path(root), name, args) for name in names)
        runners, start = whole.start(), time.perf_counter()
        whole.finish(*runners)
        seconds = time.perf_counter() - start
        print(f"An undisturbed run of {N_CELLS} cells takes {seconds:.1f} s from the first fit.")
        run_kills(kills, rng, args.kills, seconds / args.kills)  # about half the work is left
        run_two(two, rng, seconds, kill=False)
        run_two(one_killed, rng, seconds / 2, kill=True)
        print(f"\n{'trial':24} kills  fits  cells  refitted  predictions     tables  left over")
        same = [trial.report(whole) for trial in (whole, kills, two, one_killed)]
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
