"""Test clips of a benchmark run under recording shifts."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from smilefusion.benchmark._shifts import iterate_shifts
from smilefusion.benchmark.run._cell_runs import Job
from smilefusion.benchmark.run._protocols import Protocol
from smilefusion.benchmark.run._provenance import describe_values
from smilefusion.benchmark.stats._shift_scores import AS_RECORDED
from smilefusion.clips._sequence import check_clips


def check_shifts(
    shifts: bool | Mapping[str, Callable] | None,
    protocol: Protocol,
    results: str | os.PathLike | None,
) -> None:
    """Raise if the shifts are invalid or the run cannot evaluate them."""
    if shifts is None or isinstance(shifts, bool):
        named: Mapping[str, Callable] = {}
    elif isinstance(shifts, Mapping) and shifts:
        named = shifts
    else:
        raise ValueError(
            "shifts must be True, None or a non-empty dict that maps names to functions; got "
            f"{shifts!r}. Pass shifts=True for all recording shifts."
        )
    for name, shift in named.items():
        if not isinstance(name, str) or name == AS_RECORDED or not callable(shift):
            raise ValueError(
                f"shifts has the entry {name!r}: {shift!r}, but it must map names other than "
                f"{AS_RECORDED!r} to functions that return the changed clips. Remove the entry."
            )
    if shifts and results is None:
        raise ValueError(
            "Predictions under recording shifts are only stored in a results folder, but there is "
            "none. Pass results=FOLDER, and load them with load_results(FOLDER, shifts=True)."
        )
    if shifts and protocol.chooses_epoch:
        raise ValueError(
            f"The protocol {protocol.name!r} predicts after every epoch and keeps no model, so it "
            "cannot be tested under recording shifts. Use protocol='honest'."
        )


def add_shifts(jobs: list[Job], shifts: bool | Mapping[str, Callable]) -> list[Job]:
    """Add the changed test clips and a description of the shifts to the jobs."""
    estimators = {job.cell.estimator: job.estimator for job in jobs}.values()
    shifted = {
        name: dict(iterate_shifts(check_clips(clips), shifts, estimators))
        for name, clips in {job.cell.dataset: job.dataset.clips for job in jobs}.items()
    }
    added = []
    for job in jobs:
        changed = {name: clips[job.cell.test] for name, clips in shifted[job.cell.dataset].items()}
        del changed[AS_RECORDED]
        functions = shifts if isinstance(shifts, Mapping) else dict.fromkeys(changed, True)
        settings = {"shifts": describe_values(functions)}
        added.append(replace(job, shifts=changed, settings=settings))
    return added
