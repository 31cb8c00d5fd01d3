"""joblib's tasks on a Dask cluster, whose workers may die."""

import pickle
from concurrent.futures import BrokenExecutor, Future

from joblib.parallel import ParallelBackendBase

from smilefusion.exceptions import InvalidDataError


class DaskBackend(ParallelBackendBase):
    """Run what joblib runs in parallel on a Dask cluster, also where its workers die.

    For searches, benchmarks, the extraction of videos and everything else that works through
    joblib: ``with joblib.parallel_config(backend=DaskBackend(client)):``. All workers are used,
    whatever `n_jobs` says.

    Parameters
    ----------
    client : distributed.Client or None, default=None
        The client of the cluster; None takes the one that was made last.
    max_megabytes : float, default=50
        Greatest size of a task on its way to a worker, in MB (10⁶ bytes).

    Attributes
    ----------
    client : distributed.Client
        The client of the cluster.

    Raises
    ------
    ImportError
        If distributed is not installed.
    ValueError
        If there is no client.

    See Also
    --------
    smilefusion.benchmark.run_benchmark : Benchmarks, whose cells are tasks.
    smilefusion.video.FaceMeshExtractor : Extraction, where every video is a task.

    Notes
    -----
    A task whose worker dies is run again by another one, from the start; its result is the same,
    since every task has its own seed. A task that ends as many workers as Dask's setting
    ``distributed.scheduler.allowed-failures`` allows, 3, and one more, ends the run with a
    `BrokenExecutor`.

    joblib's own backend, ``"dask"``, sends larger arguments to one worker and loses the run with
    it; and it waits for ever for a task that ended its workers. `run_benchmark` and
    `FaceMeshExtractor` take this class in its place.

    A task travels whole, so that clips must be given as paths: a larger one than `max_megabytes`
    is an error. On a worker, what works through joblib inside a task runs in threads if it asks
    for several jobs.

    Examples
    --------
    >>> from distributed import Client, LocalCluster
    >>> from joblib import Parallel, delayed, parallel_config
    >>> from smilefusion.clusters import DaskBackend
    >>> options = {"n_workers": 1, "processes": False, "dashboard_address": ":0"}
    >>> with LocalCluster(**options) as cluster, Client(cluster) as client:
    ...     with parallel_config(backend=DaskBackend(client)):
    ...         Parallel()(delayed(abs)(number) for number in (-1, -2))
    [1, 2]
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, client=None, *, max_megabytes=50):
        super().__init__()
        distributed = _import_distributed()
        self.client = distributed.get_client() if client is None else client
        self.max_megabytes = max_megabytes
        self._open = set()

    def effective_n_jobs(self, n_jobs):
        """Return the number of tasks that can run at the same time.

        Parameters
        ----------
        n_jobs : int
            Ignored.

        Returns
        -------
        n_jobs : int
            Threads of all workers, at least 2, for joblib runs a single one here; waits for the
            first worker. On a worker 1: if it waited for others, all could wait.
        """
        if _is_worker():
            return 1
        self.client.wait_for_workers(1)
        return max(sum(self.client.ncores().values()), 2)

    def submit(self, func, callback=None):
        """Send a task to the cluster.

        Parameters
        ----------
        func : callable
            The task.
        callback : callable or None, default=None
            Called with the future once the task is done or has failed.

        Returns
        -------
        future : distributed.Future or concurrent.futures.Future
            The future of the result; one that has failed where the task cannot travel.
        """
        try:
            future = self.client.submit(_run_packed, self._pack(func), pure=False)
        except Exception as error:  # in joblib's threads nobody would see it
            future = Future()
            future.set_exception(error)
        self._open.add(future)
        future.add_done_callback(callback)
        return future

    apply_async = submit  # the name that joblib had for it before 1.5

    def retrieve_result_callback(self, out):
        """Fetch a result, and let the cluster forget it.

        Parameters
        ----------
        out : future
            What `submit` returned.

        Returns
        -------
        result : object
            What the task returned.

        Raises
        ------
        BrokenExecutor
            If the task ended several workers.
        """
        from distributed import KilledWorker

        self._open.discard(out)
        try:
            return out.result()
        except KilledWorker as error:
            raise BrokenExecutor(
                f"{error.allowed_failures + 1} of the cluster's workers ended while they ran the "
                f"same task, by lack of memory or a fault of a library. Give workers more memory, "
                f"or run without the cluster and with n_jobs=1 to see what it was."
            ) from error
        finally:
            # A result that is kept would be computed again when its worker dies.
            getattr(out, "release", bool)()

    def abort_everything(self, ensure_ready=True):
        """Cancel what is not done.

        Parameters
        ----------
        ensure_ready : bool, default=True
            Ignored: the cluster stays as it is.
        """
        self.client.cancel([each for each in self._open if not isinstance(each, Future)])
        self._open.clear()

    def _pack(self, func):
        """Return a task as bytes, which Dask does not look into; refuse one that holds clips."""
        import cloudpickle

        packed = cloudpickle.dumps(func)
        if len(packed) > 1e6 * self.max_megabytes:
            raise InvalidDataError(
                f"A task of {len(packed) / 1e6:.0f} MB would travel to a worker of the cluster; "
                f"max_megabytes={self.max_megabytes:g}. Clips travel as paths: save them as .npy "
                f"files where every worker finds them, and give the paths. For a large table, "
                f"raise max_megabytes."
            )
        return packed


def _import_distributed():
    """Import distributed, or say what to install."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "DaskBackend needs distributed, which is not installed; "
            "run pip install 'smilefusion[dask]'."
        ) from error
    return distributed


def _is_worker():
    """Whether this code runs in a task of a Dask cluster."""
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


def _run_packed(packed):
    """Run a task on a worker."""
    return pickle.loads(packed)()
