"""Which jobs a runner has begun, and which of them are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner

WAITING, BEGUN, OVER = 0, 1, 2


class JobTracker:
    """Hands jobs to a runner and notes what becomes of them.

    A runner writes an episode's results before it takes the next job in its place. So every job
    that has a length when the next one is asked for is over, and its results are complete.

    Args:
        jobs: the jobs to hand out.
        results: the runner fills them in; lengths of jobs that are not over must be 0.
        status: (k,) `WAITING`, `BEGUN` or `OVER`, kept up to date.
        most: a call of the runner ends when this many jobs are begun and not over, so that a
            runner with many lanes does not take the share of others; None: no limit.
        heartbeat: called whenever a job is handed out.
    """

    def __init__(
        self,
        jobs: Iterable[int],
        results: EpisodeResults,
        status: NDArray[np.uint8],
        most: int | None = None,
        heartbeat: Callable[[], object] = lambda: None,
    ) -> None:
        self._more = True
        self._jobs = iter(jobs)
        # Reading single numbers is several times faster from a memoryview than from an array.
        self._lengths: Any = memoryview(results.lengths)  # type: ignore[arg-type]
        self._status: Any = memoryview(status)  # type: ignore[arg-type]
        self._most = len(status) if most is None else max(most, 1)
        self._heartbeat = heartbeat
        self._begun: list[int] = []
        self._handed_out = 0

    def play(self, runner: EnvRunner, batch: EpisodeBatch, results: EpisodeResults) -> None:
        """Let a runner play all jobs; if it raises, `status` says how far each one is.

        Raises:
            RuntimeError: the runner took no job, and never would.
        """
        try:
            while self._more:
                before = self._handed_out
                runner.run(batch, self._hand_out(), results)
                if self._more and self._handed_out == before:
                    raise RuntimeError(f"{type(runner).__name__}.run returned and took no job")
                for job in self._begun:
                    self._status[job] = OVER
                self._begun = []
        finally:
            self._update_status()

    def _hand_out(self) -> Iterator[int]:
        """Jobs for one call of the runner."""
        # Doubling the count between updates keeps their cost at two looks per job.
        next_update = 1
        while True:
            self._heartbeat()
            if len(self._begun) >= min(next_update, self._most):
                self._update_status()
                next_update = 2 * len(self._begun) or 1
                if len(self._begun) >= self._most:
                    return
            job = next(self._jobs, None)
            if job is None:
                self._more = False
                return
            self._status[job] = BEGUN
            self._begun.append(job)
            self._handed_out += 1
            yield job

    def _update_status(self) -> None:
        """Note which of the jobs begun are over."""
        under_way = []
        for job in self._begun:
            if self._lengths[job]:
                self._status[job] = OVER
            else:
                under_way.append(job)
        self._begun = under_way
