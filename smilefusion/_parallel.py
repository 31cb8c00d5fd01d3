"""Tasks in parallel, on the backend that joblib is configured to use."""

import os
import signal
import threading
import time

from joblib import Parallel, effective_n_jobs
from joblib.parallel import get_active_backend

from smilefusion._scratch import scratch_folder
from smilefusion.clusters import DaskBackend

_WATCH_SECONDS = 1


def run_unordered(tasks, n_jobs=None, **options):
    """Run tasks and yield their results as they finish.

    Parameters
    ----------
    tasks : list of tuple
        Tasks as `joblib.delayed` makes them.
    n_jobs : int or None, default=None
        Number of processes, as in joblib.
    **options : dict
        Further parameters of `joblib.Parallel`.

    Yields
    ------
    result : object
        Result of a task. Backends that cannot return results one by one, such as Ray's, return
        them all at the end.
    """
    backend, _ = get_active_backend()
    name = type(backend).__name__
    if name == "DaskDistributedBackend":
        backend = DaskBackend(backend.client)
        options["backend"] = backend
    if isinstance(backend, DaskBackend):
        options["pre_dispatch"] = "all"  # so that workers that join later find tasks
    if name == "LokyBackend" and effective_n_jobs(n_jobs) > 1:
        options |= {"initializer": _start_worker, "initargs": (os.getpid(),)}
        options["temp_folder"] = str(scratch_folder())
    return_as = "generator_unordered" if backend.supports_return_generator else "list"
    yield from Parallel(n_jobs, return_as=return_as, batch_size=1, **options)(tasks)


def _start_worker(parent):
    """Make a worker process ignore Ctrl-C and end with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent):
    """End this process as soon as its parent has ended."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
