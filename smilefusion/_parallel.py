"""Tasks in parallel, on whatever joblib is told to use."""

from joblib import Parallel
from joblib.parallel import get_active_backend

from smilefusion.clusters import DaskBackend


def run_unordered(tasks, n_jobs=None, **options):
    """Run tasks, and yield what they return as they are done.

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
        What a task returned. Backends that cannot give results one by one, such as that of Ray,
        give them in the end.
    """
    backend, _ = get_active_backend()
    if type(backend).__name__ == "DaskDistributedBackend":
        backend = DaskBackend(backend.client)
        options["backend"] = backend
    if isinstance(backend, DaskBackend):
        options["pre_dispatch"] = "all"  # workers that come later shall find tasks
    return_as = "generator_unordered" if backend.supports_return_generator else "list"
    yield from Parallel(n_jobs, return_as=return_as, batch_size=1, **options)(tasks)
