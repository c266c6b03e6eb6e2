"""Where episodes run: in this process, or in several. The results are the same bits.
 A worker process keeps its
environments between calls, uses one numerical thread, and leaves when its parent is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import cloudpickle

from zorl.errors import ConfigurationError, EnvironmentFailure, ZorlError
from zorl.rollout.episodes import EpisodeRunner
from zorl.rollout.work import Episodes, Runner, Work

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Backend(Protocol):
    """Runs all jobs of a work, somewhere."""

    def run(self, work: Work) -> Episodes:
        """The episodes of the work's jobs, in order."""

    def close(self) -> None:
        """Free environments and processes."""


class Serial:
    """Episodes in this process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run(self, work: Work) -> Episodes:
        """See `Backend`."""
        out = Episodes.empty(work)
        self._runner.run(work, range(len(work)), out)
        return out

    def close(self) -> None:
        """See `Backend`."""
        self._runner.close()


class Processes:
    """Episodes in worker processes, started by spawn when first needed and then kept.

    Args:
        runner: what each worker runs; it is copied to them.
        workers: number of processes.
    """

    def __init__(self, runner: EpisodeRunner, workers: int) -> None:
        if workers < 1:
            raise ConfigurationError(f"workers must be ≥ 1, got {workers}")
        self.workers = workers
        # cloudpickle, so that a policy defined in a notebook reaches the workers.
        self._payload = cloudpickle.dumps(
            (runner.task, runner.policy, runner.lanes, runner.uniforms, runner.tolerant)
        )
        self._env_id = runner.task.env_id
        self._pool: list[tuple[BaseProcess, Connection]] = []

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        with one_thread(), blocked(signal.SIGINT, signal.SIGTERM):
            for index in range(self.workers):
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_work, args=(theirs, self._payload), name=f"zorl-{index}", daemon=True
                )
                process.start()
                theirs.close()  # so that the pipe breaks when the worker dies
                self._pool.append((process, ours))

    def run(self, work: Work) -> Episodes:
        """See `Backend`."""
        if not self._pool:
            self._start()
        size = max(8, -(-len(work) // (4 * self.workers)))
        chunks = [range(i, min(i + size, len(work))) for i in range(0, len(work), size)]
        out = Episodes.empty(work)
        todo = chunks[::-1]
        busy: dict[Connection, tuple[range, BaseProcess]] = {}
        try:
            for process, connection in self._pool:
                if todo:
                    busy[connection] = (self._send(connection, process, work, todo.pop()), process)
            while busy:
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    chunk, process = busy.pop(ready)
                    part = self._receive(ready, process, work, chunk)
                    for name, values in vars(part).items():
                        getattr(out, name)[chunk.start : chunk.stop] = values
                    if todo:
                        busy[ready] = (self._send(ready, process, work, todo.pop()), process)
        except BaseException:
            self.close()  # answers still under way would be taken for later ones
            raise
        return out

    def _send(
        self, connection: Connection, process: BaseProcess, work: Work, chunk: range
    ) -> range:
        try:
            connection.send((work, chunk))
        except (BrokenPipeError, ConnectionResetError):
            raise self._died(process, work, chunk) from None
        return chunk

    def _receive(
        self, connection: Connection, process: BaseProcess, work: Work, chunk: range
    ) -> Episodes:
        try:
            answer: Any = connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._died(process, work, chunk) from None
        if isinstance(answer, Episodes):
            return answer
        error, text = answer
        if isinstance(error, ZorlError):
            raise error
        raise EnvironmentFailure(f"a worker failed:\n{text}")

    def _died(self, process: BaseProcess, work: Work, chunk: range) -> EnvironmentFailure:
        process.join(1)
        code = process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        seeds = sorted({work.job(index)[1] for index in chunk})
        return EnvironmentFailure(
            f"a worker of {self._env_id} died ({how}) while running episodes with seeds "
            f"{seeds[:8]}{'…' if len(seeds) > 8 else ''}; likely causes: the environment crashed, "
            "the machine ran out of memory, or a script of your own starts its training without "
            "if __name__ == '__main__'"
        )

    def close(self) -> None:
        """See `Backend`."""
        for _, connection in self._pool:
            connection.close()
        for process, _ in self._pool:
            process.join(0.5)
            if process.is_alive():  # in an environment that does not come back
                process.kill()
                process.join()
        self._pool = []


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries of processes started in here use one thread."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def blocked(*signals: signal.Signals) -> Iterator[None]:
    """Processes started in here never see these signals, which are sent to whole groups of them.

    Ctrl-C in a terminal and the SIGTERM of a service manager reach parent and workers alike, and
    are the parent's to handle. Unlike a handler, which a new process could set only after its
    imports, the mask is inherited. One that arrives meanwhile reaches this process afterwards.
    """
    resource_tracker.ensure_running()  # its own start, left to the first process, would unblock
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, payload: bytes) -> None:
    """A worker's life: receive a chunk, run it, answer, until the pipe closes."""
    runner: EpisodeRunner | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            work, chunk = connection.recv()
            try:
                if runner is None:
                    task, policy, lanes, uniforms, tolerant = cloudpickle.loads(payload)
                    runner = EpisodeRunner(task, policy, lanes, uniforms, tolerant)
                out = Episodes.empty(work)
                runner.run(work, chunk, out)
                connection.send(
                    Episodes(*(values[chunk.start : chunk.stop] for values in vars(out).values()))
                )
            except Exception as error:
                known = error if isinstance(error, ZorlError) else None
                connection.send((known, traceback.format_exc()))
    if runner is not None:
        runner.close()
