from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared():
    """Folder of golden files and real clips that lies beside a checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"the folder of golden files and real clips, {SHARED.name}/, is absent")
    return SHARED
