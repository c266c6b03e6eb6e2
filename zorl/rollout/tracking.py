"""Which jobs a runner has begun, and which of them are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.rollout.batch import EnvRunner, EpisodeBatch, EpisodeResults

WAITING, BEGUN, OVER = 0, 1, 2


class JobTracker:
    """Hands jobs to a runner and notes what becomes of them.

    A runner writes an episode down before it takes another job in its place, so whatever has a
    length when the next job is asked for is over and whole.

    Args:
        jobs: what to hand out.
        results: what the runner fills in; lengths of jobs that are not over must be 0.
        status: (k,) kept up to date.
        most: a batch ends where so many jobs are begun and not over, so that a runner with many
            lanes does not take the share of others.
        heartbeat: called whenever something gets on.
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
        # Numbers out of a memoryview come several times as fast as out of an array.
        self._lengths: Any = memoryview(results.lengths)  # type: ignore[arg-type]
        self._status: Any = memoryview(status)  # type: ignore[arg-type]
        self._most = len(status) if most is None else max(most, 1)
        self._heartbeat = heartbeat
        self._begun: list[int] = []
        self._handed = 0

    def play(self, runner: EnvRunner, batch: EpisodeBatch, results: EpisodeResults) -> None:
        """Let a runner play all jobs; if it raises, `status` says how far each one is.

        Raises:
            RuntimeError: the runner took no job, and never would.
        """
        try:
            while self._more:
                before = self._handed
                runner.run(batch, self._batch(), results)
                if self._more and self._handed == before:
                    raise RuntimeError(f"{type(runner).__name__}.run returned and took no job")
                for job in self._begun:
                    self._status[job] = OVER
                self._begun = []
        finally:
            self._look()

    def _batch(self) -> Iterator[int]:
        due = 1  # look when so many are begun: seldom enough to cost two looks a job
        while True:
            self._heartbeat()
            if len(self._begun) >= min(due, self._most):
                self._look()
                due = 2 * len(self._begun) or 1
                if len(self._begun) >= self._most:
                    return
            job = next(self._jobs, None)
            if job is None:
                self._more = False
                return
            self._status[job] = BEGUN
            self._begun.append(job)
            self._handed += 1
            yield job

    def _look(self) -> None:
        """Note which of the jobs begun are over."""
        flying = []
        for job in self._begun:
            if self._lengths[job]:
                self._status[job] = OVER
            else:
                flying.append(job)
        self._begun = flying
