"""Run joblib tasks on the active backend and show their progress."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

from joblib import Parallel, effective_n_jobs
from joblib.parallel import get_active_backend
from tqdm import TqdmWarning

from smilefusion._storage._scratch import scratch_folder

_WATCH_SECONDS = 1


def run_unordered(tasks: list, n_jobs: int | None = None, **options: Any) -> Iterator:
    """Run tasks made by `joblib.delayed`; yield results as they finish if supported."""
    backend, _ = get_active_backend()
    name = type(backend).__name__
    if name == "DaskDistributedBackend":
        options["pre_dispatch"] = "all"  # workers that join later get tasks too
    if name == "LokyBackend" and effective_n_jobs(n_jobs) > 1:
        options |= {"initializer": _start_worker, "initargs": (os.getpid(),)}
        options["temp_folder"] = str(scratch_folder())
    return_as = "generator_unordered" if backend.supports_return_generator else "list"
    yield from Parallel(n_jobs, return_as=return_as, batch_size=1, **options)(tasks)


def progress_bar(n_tasks: int, *, shown: bool, **options: Any) -> Any:
    """Return a progress bar: a widget in notebooks, otherwise text on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # notebooks without widgets get text
        from tqdm.auto import tqdm
    return tqdm(total=n_tasks, disable=not shown, dynamic_ncols=True, **options)


def _start_worker(parent: int) -> None:
    """Make a worker process ignore Ctrl-C and end with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
