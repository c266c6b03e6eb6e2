"""Which worker plays which jobs next, where workers are far away, uneven and may be lost.

Pure bookkeeping, without processes or a clock. The Ray backend uses it, and so does the simulation
of a thousand workers in `benchmarks/scaling.py`.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

# Seconds of work that a message carries at least: its own cost, 1 to 2 ms, stays small.
_LEAST = 0.03
# The same per worker: the driver needs this time to serve each of the others.
_MESSAGE = 4e-4
_SHARE = 3  # a message carries 1/3 of each worker's share of what is left: long chunks come first
_GRACE = 0.1  # seconds before any chunk counts as late


@dataclass(eq=False)
class Chunk:
    """Jobs that one worker is playing.

    Attributes:
        jobs: a contiguous part of the list.
        since: when they were handed out, in seconds.
        reissued: whether they were put back for others to take as well.
    """

    jobs: range
    since: float
    reissued: bool = False


class Scheduler:
    """The jobs of one batch: waiting, being played, or done.

    An idle worker takes a share of what is left. When nothing is left it is given the jobs of a
    worker that takes much longer than others, and the first answer counts. Jobs of a worker that
    was lost are played again one at a time, so that a job that kills its worker is found.

    Args:
        jobs: how many there are.
        workers: how many take part.
        pace: seconds that a job takes one worker, from earlier batches; None: not known yet.
        retries: deaths of a worker, alone with one job, that prove that the job is the cause.
        patience: a chunk is late after this many times the average time of its jobs; math.inf:
            never.
    """

    def __init__(
        self,
        jobs: int,
        workers: int,
        pace: float | None = None,
        retries: int = 3,
        patience: float = 3.0,
    ) -> None:
        self._done = np.zeros(jobs, np.bool_)
        self._left = jobs
        self._workers = max(workers, 1)
        # Serving K workers takes the driver K messages while each plays 1/K of the jobs: their sum
        # is least at this K, and more workers than that would wait for their messages longer.
        worth = self._workers if pace is None else math.ceil(math.sqrt(pace * jobs / _MESSAGE))
        self._share = -(-jobs // max(min(self._workers, worth), 1))
        self._before = pace
        self._retries = retries
        self._patience = patience
        self._todo = deque([range(jobs)])
        self._losses: Counter[int] = Counter()
        self._out: set[Chunk] = set()
        self._seconds = 0.0
        self._timed = 0

    @property
    def finished(self) -> bool:
        """Whether every job has its result."""
        return self._left == 0

    @property
    def pace(self) -> float | None:
        """Seconds that a job takes one worker, on average; None: not known yet."""
        return self._seconds / self._timed if self._timed else self._before

    def next_chunk(self, now: float) -> Chunk | None:
        """Jobs for an idle worker; None: there are none for now."""
        jobs = self._cut()
        if jobs is None:
            return None
        chunk = Chunk(jobs, now)
        self._out.add(chunk)
        return chunk

    def reissue(self, now: float) -> None:
        """Offer the jobs of late chunks to others too; to be called while workers are idle."""
        pace = self.pace
        if pace is None:
            return
        for chunk in sorted(self._out, key=lambda chunk: chunk.since):
            late = now - chunk.since > _GRACE + self._patience * pace * len(chunk.jobs)
            if late and not chunk.reissued:
                chunk.reissued = True
                self._todo.append(chunk.jobs)

    def complete(self, chunk: Chunk, now: float) -> None:
        """Note that a chunk's results have arrived."""
        self._out.discard(chunk)
        self._seconds += now - chunk.since
        self._timed += len(chunk.jobs)
        self._mark_done(chunk.jobs)

    def record_loss(self, chunk: Chunk) -> int | None:
        """Note that a chunk's worker is gone: its jobs are played again, one at a time.

        Returns:
            The job that lost its worker `retries` times alone, and counts as done; or None.
        """
        self._out.discard(chunk)
        if len(chunk.jobs) == 1:
            job = chunk.jobs[0]
            self._losses[job] += 1
            if self._losses[job] >= self._retries and not self._done[job]:
                self._mark_done(chunk.jobs)
                return job
        self._put_back(chunk)
        return None

    def record_failure(self, chunk: Chunk, job: int | None) -> bool:
        """Note that a job of a chunk raised: it counts as done, the others are played again alone.

        Args:
            chunk: what failed.
            job: which job did; None: not known.

        Returns:
            Whether the job is known and this is its first result.
        """
        self._out.discard(chunk)
        if job is None and len(chunk.jobs) == 1:
            job = chunk.jobs[0]
        first = job is not None and not self._done[job]
        if job is not None:
            self._mark_done(range(job, job + 1))
        self._put_back(chunk)
        return first

    def _put_back(self, chunk: Chunk) -> None:
        """Have a chunk's jobs that are not done played again, one at a time."""
        for job in reversed(chunk.jobs):
            if not self._done[job]:
                self._todo.appendleft(range(job, job + 1))

    def _mark_done(self, jobs: range) -> None:
        part = self._done[jobs.start : jobs.stop]
        self._left -= len(jobs) - int(part.sum())
        part[:] = True

    def _cut(self) -> range | None:
        """The next jobs to hand out, taken off the list."""
        while self._todo:
            jobs = self._todo.popleft()
            while jobs and self._done[jobs[0]]:
                jobs = jobs[1:]
            if not jobs:
                continue
            size = self._size(len(jobs))
            if size < len(jobs):
                self._todo.appendleft(jobs[size:])
            return jobs[:size]
        return None

    def _size(self, left: int) -> int:
        """How many of `left` jobs one worker takes at once."""
        part = -(-left // (_SHARE * self._workers))
        seconds = max(_LEAST, _MESSAGE * self._workers)
        least = math.ceil(seconds / self.pace) if self.pace else 1
        return min(left, max(part, min(least, self._share)))
