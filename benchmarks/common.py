"""What the benchmark scripts share: options, clips in files, timing side by side, processes."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from smilefusion.clips import check_clips


def read_options(doc, **defaults):
    """Parse the command line; the defaults give the options' names and types.

    A type instead of a default makes a required argument, a tuple an option with several values,
    None an optional path and False a switch. The docstring is the help text.
    """
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=doc, formatter_class=style)
    for name, default in defaults.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(default, type):
            parser.add_argument(name, type=default)
        elif default is False:
            parser.add_argument(flag, action="store_true")
        elif isinstance(default, tuple):
            parser.add_argument(flag, nargs="+", type=type(default[0]), default=list(default))
        else:
            kind = Path if default is None else type(default)
            parser.add_argument(flag, type=kind, default=default)
    return parser.parse_args()


def store_clips(data, folder):
    """Write the clips of a data set to files; return the data with paths as clips."""
    paths = [Path(folder, f"{i:05d}.npy") for i in range(len(data.clips))]
    for path, clip in zip(paths, data.clips, strict=True):
        np.save(path, clip)
    clips = check_clips(paths, fps=data.fps, subjects=data.groups)
    data.update(clips=clips, files=[path.name for path in paths])
    return data


def time_in_turn(ways, n_times, *, n_warm_up=1, clock=time.perf_counter):
    """Call functions in turn, so that other work on the machine slows down all of them alike.

    Returns the milliseconds of each call by name, (n_times,) each, and the last results by name.
    """
    times, results = {name: [] for name in ways}, {}
    for _ in range(n_warm_up + n_times):
        for name, call in ways.items():
            start = clock()
            results[name] = call()
            times[name].append(1000 * (clock() - start))
    return {name: np.array(calls[n_warm_up:]) for name, calls in times.items()}, results


def print_times(times, reference=None, *, n_items=1):
    """Print the median time of each way in ms per item, and its ratio to the reference's time.

    The ratio is the median of the ratios of neighbouring calls, with its quartiles.
    """
    reference = reference or next(iter(times))
    for name, each in times.items():
        low, middle, high = np.percentile(each / times[reference], [25, 50, 75])
        ratio = f"{middle:8.3g} ({low:.3g} to {high:.3g})"
        print(f"  {name:44s}{np.median(each) / n_items:10.3g} ms   {ratio} x {reference}")


def run_script(script, *arguments, **environment):
    """Run a script in a process of its own and return the JSON that it prints."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def read_status(field, process="self"):
    """Return an entry of /proc/PROCESS/status in MiB (Linux); 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = [line for line in lines if line.startswith(field)]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def largest(ours, theirs):
    """Return the largest absolute difference of two arrays."""
    return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())


def calibration_error(y, probability):
    """Return the expected calibration error of the second class's probability."""
    bins = np.array_split(np.argsort(probability, kind="stable"), 10)
    return sum(abs(y[part].sum() - probability[part].sum()) for part in bins) / len(y)
