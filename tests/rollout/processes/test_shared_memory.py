"""Jobs are handed out, and taken back from dead workers, in shared memory."""

from __future__ import annotations

import os

import numpy as np
import pytest
from toy_batches import RUNNING

from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.processes.shared_memory import Header, MemoryFile, SharedBatch
from zorl.rollout.tracking import BEGUN, OVER


def shared_batch(k: int, workers: int, chunk: int = 64) -> SharedBatch:
    header = Header(1, (k, 2), (5,), RUNNING, workers, chunk)
    shared = SharedBatch(MemoryFile(), header)
    shared.write(EpisodeBatch(np.ones((k, 2), np.float32), (5,), RUNNING))
    return shared


def test_jobs_are_handed_out_in_order_in_chunks_that_shrink() -> None:
    shared = shared_batch(100, workers=2)
    first, second = shared.claim(0), shared.claim(1)
    assert [next(first) for _ in range(3)] == [0, 1, 2]
    assert next(second) == 12  # an eighth was the other's
    rest = list(first)
    assert sorted([*range(3), 12, *rest, *second]) == list(range(100))
    assert rest == sorted(rest)
    assert shared.pool_is_empty
    # The last ones go one by one.
    owners = shared.owners.tolist()
    assert owners[:12] == [0] * 12 and owners[12:23] == [1] * 11
    chunks = np.diff(np.flatnonzero(np.diff([-1, *owners, -1])))
    assert chunks.max() == 77  # with nobody else asking, the first took all that followed

    assert list(shared_batch(5, 2, chunk=1).claim(1)) == list(range(5))
    assert shared_batch(5, 2).left() == list(range(5))


def test_a_dead_worker_s_jobs_are_taken_back_once() -> None:
    shared = shared_batch(100, workers=2)
    taken = shared.claim(0)
    for _ in range(5):
        shared.status[next(taken)] = BEGUN
    shared.status[:2] = OVER
    shared.results.lengths[2] = 9  # half written
    assert shared.reclaim(1) == ([], [])
    assert shared.reclaim(0) == ([2, 3, 4], list(range(5, 12)))
    assert shared.reclaim(0) == ([], [])
    shared.assign(1, [2, 5])
    assert shared.results.lengths[2] == 0
    assert shared.reclaim(1) == ([], [2, 5])


def test_the_memory_has_no_name_and_is_read_only_where_it_should_be() -> None:
    shared = shared_batch(3, workers=1)
    with pytest.raises(ValueError, match="read-only"):
        shared.batch.thetas[0, 0] = 1.0
    assert (shared.batch.thetas == 1).all()
    memory = MemoryFile()
    assert os.fstat(memory._fd).st_nlink == 0
    memory.close()
    memory.close()
