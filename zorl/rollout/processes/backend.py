"""Episodes in worker processes: bit-identical to one process, also when workers die.

A worker that dies or hangs is replaced. Jobs that it had not begun are handed out again. Episodes
under way at that moment are played again alone, one at a time: so the episode that kills its worker
every time is found among those that were only beside it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter, deque
from multiprocessing.connection import wait
from typing import Any

import cloudpickle

from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.common.spawning import require_posix
from zorl.common.stop_signals import raise_if_overdue
from zorl.common.validation import at_least
from zorl.rollout.backend import Backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.failures import FailureRule, log
from zorl.rollout.processes.pool import Worker, WorkerPool
from zorl.rollout.processes.worker import Answer, Order
from zorl.rollout.tracking import OVER

# Deaths in a row, per worker, without an episode ending in between.
_MOST_FRUITLESS = 10
_POLL_SHARE = 8  # looks at the workers' progress per timeout
_LOOK_SECONDS = 1.0  # between two looks at whether a signal asked to stop


class ProcessBackend(Backend):
    """Plays episodes in worker processes, started by spawn when first needed and then kept.

    Args:
        runner: what each worker runs; it is copied to them, by cloudpickle.
        workers: number of processes.
        failures: what becomes of an episode that raises, hangs or kills its worker; by default it
            raises.
        timeout: seconds without progress after which a worker counts as hung and is killed; None
            waits forever. Progress is a call of the runner's `heartbeat`, or a job handed out.
        retries: deaths of a worker, alone with one episode, that prove that the episode is the
            cause.
        chunk: most episodes that a worker takes at a time.

    Attributes:
        pool: the worker processes.
        failures, timeout, retries, chunk: see Args.

    Raises:
        ConfigurationError: a number is out of range, or this system has no fcntl.
    """

    def __init__(
        self,
        runner: EnvRunner,
        workers: int,
        failures: FailureRule | None = None,
        timeout: float | None = None,
        retries: int = 3,
        chunk: int = 64,
    ) -> None:
        require_posix()
        for name, value in (("workers", workers), ("retries", retries), ("chunk", chunk)):
            at_least(name, value, 1)
        if timeout is not None and not 0 < timeout < math.inf:
            raise ConfigurationError(f"a timeout must be a positive number, got {timeout!r}")
        self.env_id = runner.env_id
        self.failures = failures or FailureRule()
        self.timeout = timeout
        self.retries = retries
        self.chunk = chunk
        # cloudpickle, so that a policy defined in a notebook reaches the workers.
        self.pool = WorkerPool(cloudpickle.dumps(runner), workers, watched=timeout is not None)

    @property
    def workers(self) -> int:
        """Number of processes."""
        return self.pool.size

    @property
    def startup_seconds(self) -> float | None:
        """From the first start until all workers were ready; None before."""
        return self.pool.startup_seconds

    @property
    def replaced(self) -> int:
        """How many workers died and were replaced."""
        return self.pool.replaced

    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        """See `Backend`.

        Raises:
            EnvironmentFailure: an episode failed and the rule is to fail, or workers die before
                they finish anything.
            TooManySteps: one worker's share, or all episodes that are over, took more steps than
                the batch may.
        """
        if not len(batch):
            return EpisodeResults.empty(batch)
        try:
            return _BatchRun(self, batch).run()
        except BaseException:
            self.close()  # or answers still under way would be taken for those of a later batch
            raise

    def close(self) -> None:
        """See `Backend`."""
        self.pool.close()


class _BatchRun:
    """One batch on its way through the workers."""

    def __init__(self, backend: ProcessBackend, batch: EpisodeBatch) -> None:
        self._backend = backend
        self._pool = backend.pool
        self._batch = batch
        self._header, self._shared = backend.pool.share(batch, backend.chunk)
        self._again: list[int] = []  # jobs that a dead worker had taken and not begun
        self._alone: deque[int] = deque()  # jobs under way when a worker died or raised
        self._kills: Counter[int] = Counter()
        self._unexplained: EnvironmentFailure | None = None
        self._fruitless = 0

    def run(self) -> EpisodeResults:
        """Play everything and return it."""
        workers = self._pool.workers
        while True:
            for worker in workers:
                if worker.ready and not worker.busy:
                    self._order(worker)
            if not any(worker.busy for worker in workers):
                left = self._shared.left()
                if not left:
                    break
                if self._shared.pool_is_empty and not self._alone:
                    # Also those that nobody has: a worker died when it had just taken them.
                    self._again = left
                    if any(worker.ready for worker in workers):
                        continue
            self._wait()
        if self._unexplained is not None and self._backend.failures.raises:
            raise self._unexplained  # although it did not happen again
        return self._shared.read()

    def _order(self, worker: Worker) -> None:
        """Give a worker something to do, if there is anything."""
        jobs: list[int] | None = None
        if self._shared.pool_is_empty:
            if self._again:
                share = -(-len(self._again) // len(self._pool.workers))
                jobs, self._again = self._again[:share], self._again[share:]
            elif self._alone:
                jobs = [self._alone.popleft()]
            else:
                return
            self._shared.assign(worker.index, jobs)
        header = self._header if worker.batch != self._header.number else None
        worker.batch = self._header.number
        worker.busy = True
        worker.last_progress = time.monotonic()
        # A broken pipe: `_wait` notices that the worker has ended.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send(Order(header, jobs))

    def _wait(self) -> None:
        """Wait until a worker answers or ends."""
        raise_if_overdue()
        if self._batch.most_steps is not None:
            self._batch.check_steps(int(self._shared.results.lengths.sum()))
        timeout = self._backend.timeout
        sources: dict[Any, Worker] = {}
        for worker in self._pool.workers:
            sources[worker.connection] = sources[worker.process.sentinel] = worker
        patience = min(_LOOK_SECONDS, math.inf if timeout is None else timeout / _POLL_SHARE)
        ready = wait(list(sources), patience)
        for worker in {sources[source].index: sources[source] for source in ready}.values():
            answer = None
            with contextlib.suppress(EOFError, OSError):  # OSError: in the middle of an answer
                if worker.connection.poll():
                    answer = worker.connection.recv()
            if answer is not None:
                self._handle_answer(worker, answer)
            elif not worker.process.is_alive() or worker.connection in ready:
                self._replace(worker)
        if timeout is not None:
            self._stop_the_hung(timeout)

    def _handle_answer(self, worker: Worker, answer: Answer) -> None:
        """A worker is ready, or has done what it was ordered, or failed at it."""
        if answer.failed and not isinstance(answer.error, EnvironmentFailure):
            failure = answer.error or EnvironmentFailure(
                f"a worker of {self._backend.env_id} failed:\n{answer.trace}"
            )
            raise failure
        if not worker.ready:
            self._pool.mark_ready(worker, answer.clock)
            return
        worker.busy = False
        self._fruitless = 0
        if isinstance(answer.error, EnvironmentFailure):
            self._handle_failure(worker, answer.error)

    def _handle_failure(self, worker: Worker, error: EnvironmentFailure) -> None:
        """An environment raised: find the episode that failed."""
        begun, waiting = self._shared.reclaim(worker.index)
        self._again += waiting
        if error.job is None and len(begun) == 1:
            error.job = begun[0]
        if error.job is None:
            self._unexplained = error
            self._alone.extend(begun)
            return
        self._unexplained = None
        self._resolve(error, error.job)
        self._again += [job for job in begun if job != error.job]

    def _resolve(self, error: EnvironmentFailure, job: int) -> None:
        self._backend.failures.resolve(error, self._batch, job, self._shared.results)
        self._shared.status[job] = OVER

    def _replace(self, worker: Worker) -> None:
        """Replace a dead worker and put its jobs back."""
        backend = self._backend
        worker.process.join(1)
        if worker.process.is_alive():  # with a broken pipe it is of no use
            worker.process.kill()
            worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if worker.hung:
            how = f"stopped after {backend.timeout:g} s without progress"
        begun, waiting = self._shared.reclaim(worker.index)
        self._again += waiting
        self._fruitless = 0 if begun else self._fruitless + 1
        most = _MOST_FRUITLESS * len(self._pool.workers)
        if (not worker.ready and code > 0) or self._fruitless > most:
            raise EnvironmentFailure(
                f"workers of {backend.env_id} die before they finish anything ({how}); likely "
                "causes: a script of your own starts its training without "
                "if __name__ == '__main__', something that it imports fails, or the machine has "
                "no memory left"
            )
        if len(begun) == 1:
            self._kills[begun[0]] += 1
            if self._kills[begun[0]] >= backend.retries:
                self._resolve(self._verdict(begun[0], how), begun.pop())
        self._alone.extend(begun)
        log.warning(
            "a worker of %s died (%s) and is replaced; episodes to play again: %d",
            backend.env_id, how, len(begun),
        )  # fmt: skip
        self._pool.replace(worker)

    def _verdict(self, job: int, how: str) -> EnvironmentFailure:
        row, seed = self._batch.job(job)
        return EnvironmentFailure(
            f"the episode of {self._backend.env_id} with seed {seed} (candidate {row}) ended its "
            f"worker {self._kills[job]} times, alone in it ({how}); likely causes: the environment "
            "crashes or hangs, or the machine has no memory left"
        )

    def _stop_the_hung(self, timeout: float) -> None:
        """Kill workers that made no progress for too long; `_wait` notices their end."""
        now = time.monotonic()
        for worker in self._pool.workers:
            heartbeats = int(self._shared.heartbeats[worker.index])
            if heartbeats != worker.heartbeats or not worker.busy:
                worker.heartbeats, worker.last_progress = heartbeats, now
            elif now - worker.last_progress > timeout:
                worker.hung = True
                worker.process.kill()
