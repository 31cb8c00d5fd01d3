from concurrent.futures import ThreadPoolExecutor

from smilefusion._storage._locks import is_locked, locked


def test_lock_holds_in_one_thread_only(tmp_path):
    lock = tmp_path / "x.lock"

    def try_lock(_):
        with locked(lock) as mine:
            return mine

    with locked(lock) as mine, ThreadPoolExecutor() as pool:
        assert mine
        assert is_locked(lock)
        assert not any(pool.map(try_lock, range(4)))
    assert not is_locked(lock)


def test_released_and_left_over_locks_leave_no_file(tmp_path):
    lock = tmp_path / "x.lock"
    with locked(lock):
        assert lock.exists()
    lock.write_text("left over")
    assert not is_locked(lock)
    assert list(tmp_path.iterdir()) == []


def test_locks_exclude_each_other_while_their_files_come_and_go(tmp_path):
    holders, overlaps = [], []

    def work(_):
        for _ in range(50):
            with locked(tmp_path / "x.lock", wait=True):
                holders.append(1)
                overlaps.append(len(holders) > 1)
                holders.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(overlaps) == 200
    assert not any(overlaps)
