import os
from contextlib import contextmanager
from pathlib import Path

import pytest

# Tests run in several processes, whose BLAS threads would wait for each other. NumPy reads these
# variables at its import, so do not import it above.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_configure(config):
    """Let joblib replace workers that have grown, as they do when they import torch."""
    # The warning comes in a thread of joblib's; as an error it would end that, and the run hang.
    message = "ignore:A worker stopped while some jobs were given:UserWarning"
    config.addinivalue_line("filterwarnings", message)


def pytest_terminal_summary(terminalreporter):
    """Print the figures that tests report, also those of worker processes."""
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == "report":
                terminalreporter.write_line(value)


@pytest.fixture(scope="session")
def shared():
    """Return the folder of golden files and real clips, which some checkouts have next to them."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"needs golden files and real clips in {SHARED}; the repository has none")
    return SHARED


@pytest.fixture(scope="session")
def smiles():
    """Return 24 simulated clips of 8 subjects, at 25 frames per second."""
    from smilefusion.datasets import make_smiles

    return make_smiles(24, n_subjects=8, fps=25, random_state=0)


@pytest.fixture(scope="session")
def folder(smiles, tmp_path_factory):
    """Return a folder of 24 labelled clips that state their frame rate, as a user has it."""
    import numpy as np

    folder = tmp_path_factory.mktemp("mine")
    rows = ["file,label,subject"]
    for i, clip in enumerate(smiles.clips):
        np.savez(folder / f"{i}.npz", landmarks=clip, fps=25.0)
        rows.append(f"{i}.npz,{('posed', 'spontaneous')[smiles.target[i]]},{smiles.groups[i]}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def full_disk():
    """Context manager in which no file can grow beyond a number of bytes."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limit(n_bytes=0):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limit
