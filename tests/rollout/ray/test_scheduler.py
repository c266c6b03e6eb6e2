"""Who plays what: every job once, long shares first, late ones twice, the guilty found."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from hypothesis import given, settings, strategies as st

from zorl.rollout.ray.scheduler import Chunk, Scheduler


def take(scheduler: Scheduler, now: float) -> Chunk:
    chunk = scheduler.next_chunk(now)
    assert chunk is not None
    return chunk


@settings(max_examples=200, deadline=None)
@given(
    jobs=st.integers(1, 300),
    workers=st.integers(1, 20),
    pace=st.none() | st.floats(1e-4, 1.0),
    lossy=st.floats(0.0, 0.3),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_job_is_played_whatever_is_lost_or_late(
    jobs: int, workers: int, pace: float | None, lossy: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scheduler = Scheduler(jobs, workers, pace, retries=10**6)
    played = np.zeros(jobs, int)
    busy: list[Any] = []
    idle, now = workers, 0.0
    while not scheduler.finished:
        scheduler.reissue(now)
        while idle and (chunk := scheduler.next_chunk(now)) is not None:
            idle -= 1
            if pace is None or pace > 0.4:  # then nobody takes more than a share
                assert 1 <= len(chunk.jobs) <= -(-jobs // workers)
            speed = rng.choice([1.0, 1.0, 100.0])
            end = now + len(chunk.jobs) * speed * rng.uniform(0.5, 1.5)
            heapq.heappush(busy, (end, id(chunk), chunk))
        now, _, chunk = heapq.heappop(busy)
        idle += 1
        if rng.random() < lossy:
            assert scheduler.record_loss(chunk) is None
        else:
            played[chunk.jobs.start : chunk.jobs.stop] += 1
            scheduler.complete(chunk, now)
    assert played.all()
    assert scheduler.next_chunk(now) is None


def test_without_losses_nothing_is_played_twice_and_shares_shrink() -> None:
    scheduler = Scheduler(1000, 10)
    sizes: list[int] = []
    jobs: list[int] = []
    while (chunk := scheduler.next_chunk(0.0)) is not None:
        sizes.append(len(chunk.jobs))
        jobs.extend(chunk.jobs)
        scheduler.complete(chunk, 0.0)
    assert jobs == list(range(1000))
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (34, 1)
    assert scheduler.finished


def test_no_message_is_too_short_to_pay_but_none_leaves_workers_idle() -> None:
    assert len(take(Scheduler(4000, 10, pace=1e-3), 0.0).jobs) == 134  # a third of a share
    assert len(take(Scheduler(1000, 10, pace=5e-4), 0.0).jobs) == 60  # 30 ms
    assert len(take(Scheduler(400, 10, pace=5e-4), 0.0).jobs) == 40  # a share
    assert len(take(Scheduler(10**6, 1000, pace=2e-3), 0.0).jobs) == 334
    assert len(take(Scheduler(10**6, 1000, pace=1e-3), 0.0).jobs) == 400  # 0.4 ms for each of 1000
    small = Scheduler(8, 2, pace=1e-4)
    assert [len(take(small, 0.0).jobs) for _ in range(2)] == [4, 4]
    assert len(take(Scheduler(400, 1000, pace=1e-3), 0.0).jobs) == 13  # 32 workers are served
    assert len(take(Scheduler(400, 1000), 0.0).jobs) == 1  # before the first time is known


def test_the_late_are_found_and_the_first_answer_counts() -> None:
    scheduler = Scheduler(8, 4, patience=3.0)
    chunks = [take(scheduler, 0.0) for _ in range(8)]
    scheduler.reissue(1e9)
    assert scheduler.next_chunk(1e9) is None  # nothing is known of how long a job takes
    for chunk in chunks[1:]:
        scheduler.complete(chunk, 1.0)
    assert scheduler.pace == 1.0
    scheduler.reissue(3.0)
    assert scheduler.next_chunk(3.0) is None
    scheduler.reissue(3.2)
    copy = take(scheduler, 3.2)
    assert copy.jobs == chunks[0].jobs
    scheduler.reissue(4.0)
    assert scheduler.next_chunk(4.0) is None  # a second copy only when the first is late too
    scheduler.reissue(7.0)
    assert take(scheduler, 7.0).jobs == copy.jobs
    scheduler.complete(copy, 7.0)
    assert scheduler.finished
    scheduler.complete(chunks[0], 9.0)  # the straggler's own answer changes nothing
    assert scheduler.finished


def test_a_late_chunk_is_shared_out() -> None:
    scheduler = Scheduler(400, 2, pace=1e-3)
    long = take(scheduler, 0.0)
    assert len(long.jobs) == 67
    while (chunk := scheduler.next_chunk(0.0)) is not None:
        scheduler.complete(chunk, 1e-3 * len(chunk.jobs))
    scheduler.reissue(1.0)
    pieces = []
    while (chunk := scheduler.next_chunk(1.0)) is not None:
        pieces.append(chunk)
    assert len(pieces) >= 2
    assert [job for piece in pieces for job in piece.jobs] == list(long.jobs)


def test_the_guilty_one_is_found_alone() -> None:
    scheduler = Scheduler(30, 1, retries=3)
    chunk = take(scheduler, 0.0)
    assert list(chunk.jobs) == list(range(10))
    assert scheduler.record_loss(chunk) is None
    losses = 0
    played = []
    while True:
        chunk = take(scheduler, 0.0)
        if 4 in chunk.jobs:
            assert len(chunk.jobs) == 1
            losses += 1
            if (guilty := scheduler.record_loss(chunk)) is not None:
                break
        else:
            played.append(list(chunk.jobs))
            scheduler.complete(chunk, 0.0)
    assert (guilty, losses) == (4, 3)
    assert played == [[0], [1], [2], [3]]
    assert [take(scheduler, 0.0).jobs[0] for _ in range(5)] == [5, 6, 7, 8, 9]
    assert len(take(scheduler, 0.0).jobs) == 7  # the others were under no suspicion


def test_whoever_was_lost_after_the_answer_of_another_is_forgotten() -> None:
    scheduler = Scheduler(2, 2, pace=1.0, retries=1)
    first, second = take(scheduler, 0.0), take(scheduler, 0.0)
    scheduler.complete(second, 1.0)
    scheduler.reissue(10.0)
    scheduler.complete(take(scheduler, 10.0), 11.0)
    assert scheduler.finished
    assert scheduler.record_loss(first) is None
    assert scheduler.next_chunk(11.0) is None


def test_a_job_that_fails_counts_as_done_and_the_rest_is_played_again() -> None:
    scheduler = Scheduler(12, 1)
    chunk = take(scheduler, 0.0)
    assert chunk.jobs == range(4)
    assert scheduler.record_failure(chunk, 2)
    again = [take(scheduler, 0.0) for _ in range(3)]
    assert [list(each.jobs) for each in again] == [[0], [1], [3]]
    assert not scheduler.record_failure(chunk, 2)  # once is enough


def test_who_failed_is_found_alone() -> None:
    scheduler = Scheduler(12, 1)
    assert not scheduler.record_failure(take(scheduler, 0.0), None)
    found = []
    while (chunk := scheduler.next_chunk(0.0)) is not None:
        if 2 in chunk.jobs:
            assert scheduler.record_failure(chunk, None)
            found.append(list(chunk.jobs))
        else:
            scheduler.complete(chunk, 0.0)
    assert found == [[2]]
    assert scheduler.finished
