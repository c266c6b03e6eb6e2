"""Episodes in worker processes: the bits of one process, also when workers die.

A worker that dies or hangs is replaced. What it had not finished is run again, and what was under
way at that moment is run again alone, one episode at a time: so the episode that kills its worker
every time is told from those that were only near it.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import time
from collections import Counter, deque
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

import cloudpickle

from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.common.spawning import blocked, one_thread
from zorl.rollout.batch import EnvRunner, EpisodeBatch, EpisodeResults
from zorl.rollout.failures import FailureRule, log
from zorl.rollout.processes.shared_memory import Header, MemoryFile, SharedBatch
from zorl.rollout.processes.worker import Answer, Order, serve
from zorl.rollout.tracking import OVER

# Deaths, for each worker there is, without an episode ending anywhere in between.
_MOST_FRUITLESS = 10
_POLL_SHARE = 8  # looks at the workers' progress per timeout


class _Worker:
    """One worker process as its parent sees it."""

    def __init__(self, process: BaseProcess, connection: Connection, index: int) -> None:
        self.process = process
        self.connection = connection
        self.index = index
        self.ready = False
        self.busy = False
        self.hung = False
        self.serial = -1  # of the last work that it was told of
        self.heartbeat = -1
        self.since = math.inf  # when it was last seen to get on


class ProcessBackend:
    """Episodes in worker processes, started by spawn when first needed and then kept.

    Args:
        runner: what each worker runs; it is copied to them, by cloudpickle.
        workers: number of processes.
        failures: what becomes of an episode that raises, hangs or kills its worker.
        timeout: seconds without progress after which a worker counts as hung and is killed; None
            waits for ever. Runners with an attribute `heartbeat` report progress by calling it;
            with others an episode must begin or end in that time.
        retries: deaths of a worker, alone with one episode, that prove the episode guilty.
        chunk: most episodes that a worker takes at a time.

    Attributes:
        startup_seconds: from the first start until all workers were ready; None before.
        replaced: how many workers died and were replaced.
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
        for name, value in (("workers", workers), ("retries", retries), ("chunk", chunk)):
            if value < 1:
                raise ConfigurationError(f"{name} must be ≥ 1, got {value}")
        if timeout is not None and not 0 < timeout < math.inf:
            raise ConfigurationError(f"a timeout must be a positive number, got {timeout!r}")
        self.workers = workers
        self.startup_seconds: float | None = None
        self.replaced = 0
        # cloudpickle, so that a policy defined in a notebook reaches the workers.
        self._payload = cloudpickle.dumps(runner)
        self._name = str(getattr(getattr(runner, "task", None), "env_id", "the environment"))
        self._failures = failures or FailureRule()
        self._timeout, self._retries, self._chunk = timeout, retries, chunk
        self._memory: MemoryFile | None = None
        self._pool: list[_Worker] = []
        self._serial = 0
        self._began = 0.0
        # At the end of the program too, before multiprocessing waits there for workers in vain. In
        # a fork, whose workers these are not, it does nothing.
        Finalize(self, _end, (self._pool,), exitpriority=0)

    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        """See `Backend`.

        Raises:
            EnvironmentFailure: an episode failed and the rule is to fail, or workers die before
                they finish anything.
        """
        if not len(batch):
            return EpisodeResults.empty(batch)
        try:
            return _Run(self, batch).finish()
        except BaseException:
            self.close()  # answers still under way would be taken for later ones
            raise

    def close(self) -> None:
        """See `Backend`; a later `run` starts anew."""
        _end(self._pool)
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _start(self, index: int) -> _Worker:
        if self._memory is None:
            self._memory = MemoryFile()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve,
            args=(theirs, self._memory, index, self._payload, self._timeout is not None),
            name=f"zorl-{index}",
            daemon=True,
        )
        with one_thread(), blocked(signal.SIGINT, signal.SIGTERM):
            process.start()
        theirs.close()  # so that the pipe breaks when the worker dies
        return _Worker(process, ours, index)

    def _share(self, batch: EpisodeBatch) -> tuple[Header, SharedBatch]:
        """Lay a work out in shared memory, and have workers."""
        if not self._pool:
            self._began = time.monotonic()
            for index in range(self.workers):
                self._pool.append(self._start(index))
        assert self._memory is not None
        self._serial += 1
        shape = (len(batch.thetas), batch.thetas.shape[1])
        header = Header(
            self._serial, shape, batch.seeds, batch.normalizer, self.workers, self._chunk
        )
        shared = SharedBatch(self._memory, header)
        shared.write(batch)
        return header, shared


class _Run:
    """One work on its way through the workers."""

    def __init__(self, backend: ProcessBackend, batch: EpisodeBatch) -> None:
        self._backend = backend
        self._batch = batch
        self._header, self._shared = backend._share(batch)
        self._pool = backend._pool
        self._rule = backend._failures
        self._again: list[int] = []  # jobs that a dead worker had taken and not begun
        self._alone: deque[int] = deque()  # jobs under way when a worker died or raised
        self._kills: Counter[int] = Counter()
        self._unexplained: EnvironmentFailure | None = None
        self._fruitless = 0

    def finish(self) -> EpisodeResults:
        """Play everything and return it."""
        while True:
            for worker in self._pool:
                if worker.ready and not worker.busy:
                    self._order(worker)
            if not any(worker.busy for worker in self._pool):
                left = self._shared.left()
                if not left:
                    break
                if self._shared.pool_is_empty and not self._alone:
                    # Also those that nobody has: a worker died when it had just taken them.
                    self._again = left
                    if any(worker.ready for worker in self._pool):
                        continue
            self._wait()
        if self._unexplained is not None and self._rule.raises:
            raise self._unexplained  # though it did not happen again
        return self._shared.read()

    def _order(self, worker: _Worker) -> None:
        """Give a worker something to do, if there is anything."""
        jobs: list[int] | None = None
        if self._shared.pool_is_empty:
            if self._again:
                share = -(-len(self._again) // len(self._pool))
                jobs, self._again = self._again[:share], self._again[share:]
            elif self._alone:
                jobs = [self._alone.popleft()]
            else:
                return
            self._shared.assign(worker.index, jobs)
        header = self._header if worker.serial != self._header.serial else None
        worker.serial = self._header.serial
        worker.busy = True
        worker.since = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end will be noticed
            worker.connection.send(Order(header, jobs))

    def _wait(self) -> None:
        """Wait until something happens to a worker."""
        timeout = self._backend._timeout
        sources: dict[Any, _Worker] = {}
        for worker in self._pool:
            sources[worker.connection] = sources[worker.process.sentinel] = worker
        ready = wait(list(sources), None if timeout is None else timeout / _POLL_SHARE)
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

    def _handle_answer(self, worker: _Worker, answer: Answer) -> None:
        """Take a worker's answer."""
        if answer.failed and not isinstance(answer.error, EnvironmentFailure):
            failure = answer.error or EnvironmentFailure(
                f"a worker of {self._backend._name} failed:\n{answer.trace}"
            )
            raise failure
        if not worker.ready:
            worker.ready = True
            backend = self._backend
            if all(w.ready for w in self._pool) and backend.startup_seconds is None:
                backend.startup_seconds = answer.clock - backend._began
            return
        worker.busy = False
        self._fruitless = 0
        if isinstance(answer.error, EnvironmentFailure):
            self._handle_failure(worker, answer.error)

    def _handle_failure(self, worker: _Worker, error: EnvironmentFailure) -> None:
        """An environment raised: find the episode that is to blame."""
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
        self._rule.resolve(error, self._batch, job, self._shared.results)
        self._shared.status[job] = OVER

    def _replace(self, worker: _Worker) -> None:
        """Put a new worker in the place of a dead one, and see to what it leaves."""
        backend, shared = self._backend, self._shared
        worker.process.join(1)
        if worker.process.is_alive():  # with a broken pipe it is of no use
            worker.process.kill()
            worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if worker.hung:
            how = f"stopped after {backend._timeout:g} s without progress"
        begun, waiting = shared.reclaim(worker.index)
        self._again += waiting
        self._fruitless = 0 if begun else self._fruitless + 1
        if (not worker.ready and code > 0) or self._fruitless > _MOST_FRUITLESS * len(self._pool):
            raise EnvironmentFailure(
                f"workers of {backend._name} die before they finish anything ({how}); likely "
                "causes: a script of your own starts its training without "
                "if __name__ == '__main__', something that it imports fails, or the machine has "
                "no memory left"
            )
        if len(begun) == 1:
            self._kills[begun[0]] += 1
            if self._kills[begun[0]] >= backend._retries:
                self._resolve(self._verdict(begun[0], how), begun.pop())
        self._alone.extend(begun)
        log.warning(
            "a worker of %s died (%s) and is replaced; episodes to play again: %d",
            backend._name, how, len(begun),
        )  # fmt: skip
        worker.connection.close()
        worker.process.close()
        self._pool[self._pool.index(worker)] = backend._start(worker.index)
        backend.replaced += 1

    def _verdict(self, job: int, how: str) -> EnvironmentFailure:
        times = self._kills[job]
        return EnvironmentFailure(
            f"the episode of {self._backend._name} with seed {self._batch.job(job)[1]} "
            f"(candidate {self._batch.job(job)[0]}) ended its worker {times} times, alone in it "
            f"({how}); likely causes: the environment crashes or hangs, or the machine has no "
            "memory left"
        )

    def _stop_the_hung(self, timeout: float) -> None:
        """Kill workers that have not got on for too long; their end will be noticed."""
        now = time.monotonic()
        for worker in self._pool:
            heartbeat = int(self._shared.heartbeats[worker.index])
            if heartbeat != worker.heartbeat or not worker.busy:
                worker.heartbeat, worker.since = heartbeat, now
            elif now - worker.since > timeout:
                worker.hung = True
                worker.process.kill()


def _end(pool: list[_Worker]) -> None:
    """End all workers: those that wait at once by themselves, those in an episode by force."""
    for worker in pool:
        worker.connection.close()
        if worker.busy or not worker.ready:
            worker.process.kill()
    for worker in pool:
        worker.process.join(0.5)
        if worker.process.is_alive():  # in a close() that does not come back
            worker.process.kill()
            worker.process.join()
        worker.process.close()
    pool.clear()
