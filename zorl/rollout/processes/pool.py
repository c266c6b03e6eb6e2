"""Worker processes and the memory that they share with their parent."""

from __future__ import annotations

import math
import multiprocessing
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

from zorl.common.spawning import blocked, one_thread, without_missing_program
from zorl.common.stop_signals import STOPPING
from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.processes.shared_memory import Header, MemoryFile, SharedBatch
from zorl.rollout.processes.worker import serve


class Worker:
    """One worker process as its parent sees it.

    Attributes:
        process: the process.
        connection: the parent's end of the pipe.
        index: 0, 1, … in the pool.
        ready: whether it has its runner.
        busy: whether an order has not been answered yet.
        hung: whether it was killed because it made no progress.
        batch: the number of the last batch whose header it was sent.
        heartbeats: the count that it had reached when the parent last looked.
        last_progress: `time.monotonic()` of the last progress that the parent saw.
    """

    def __init__(self, process: BaseProcess, connection: Connection, index: int) -> None:
        self.process = process
        self.connection = connection
        self.index = index
        self.ready = False
        self.busy = False
        self.hung = False
        self.batch = -1
        self.heartbeats = -1
        self.last_progress = math.inf


class WorkerPool:
    """Worker processes, started by spawn when first needed and then kept.

    Args:
        payload: the runner of every worker, pickled.
        size: number of workers.
        watched: whether a timeout watches over them, so that they report progress.

    Attributes:
        workers: those that run; empty before the first start and after `close`.
        startup_seconds: from the first start until all workers were ready; None before.
        replaced: how many workers died and were replaced.
    """

    def __init__(self, payload: bytes, size: int, *, watched: bool) -> None:
        self.size = size
        self.workers: list[Worker] = []
        self.startup_seconds: float | None = None
        self.replaced = 0
        self._payload = payload
        self._watched = watched
        self._memory: MemoryFile | None = None
        self._batches = 0
        self._began = 0.0
        # At the end of the program too, before multiprocessing waits there for workers in vain. In
        # a fork, whose workers these are not, it does nothing.
        Finalize(self, _end, (self.workers,), exitpriority=0)

    def __getstate__(self) -> dict[str, Any]:
        """What makes such a pool again; its workers are started when they are needed."""
        return {"payload": self._payload, "size": self.size, "watched": self._watched}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def share(self, batch: EpisodeBatch, chunk: int) -> tuple[Header, SharedBatch]:
        """Write a batch into the shared memory; starts the workers if none runs.

        Args:
            batch: what is to be played.
            chunk: most jobs that a worker takes at a time.
        """
        if self._memory is None:
            self._memory = MemoryFile()
        if not self.workers:
            self._began = time.monotonic()
            for index in range(self.size):
                self.workers.append(self._start(index, self._memory))
        self._batches += 1
        shape = (len(batch.thetas), batch.thetas.shape[1])
        header = Header(
            self._batches,
            shape,
            batch.seeds,
            batch.normalizer,
            self.size,
            chunk,
            batch.most_steps,
        )
        shared = SharedBatch(self._memory, header)
        shared.write(batch)
        return header, shared

    def _start(self, index: int, memory: MemoryFile) -> Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve,
            args=(theirs, memory, index, self._payload, self._watched),
            name=f"zorl-{index}",
            daemon=True,
        )
        with one_thread(), without_missing_program(), blocked(*STOPPING):
            process.start()
        theirs.close()  # so that the pipe breaks when the worker dies
        return Worker(process, ours, index)

    def mark_ready(self, worker: Worker, clock: float) -> None:
        """Note that a worker has its runner since `clock`."""
        worker.ready = True
        if self.startup_seconds is None and all(other.ready for other in self.workers):
            self.startup_seconds = clock - self._began

    def replace(self, worker: Worker) -> None:
        """Start a new worker in the place of one whose process has ended."""
        assert self._memory is not None
        worker.connection.close()
        worker.process.close()
        self.workers[self.workers.index(worker)] = self._start(worker.index, self._memory)
        self.replaced += 1

    def close(self) -> None:
        """End all workers and free the memory; `share` starts new ones."""
        _end(self.workers)
        if self._memory is not None:
            self._memory.close()
            self._memory = None


def _end(workers: list[Worker]) -> None:
    """End all workers; those in an episode, or still starting, are killed."""
    for worker in workers:
        worker.connection.close()
        if worker.busy or not worker.ready:
            worker.process.kill()
    for worker in workers:
        worker.process.join(0.5)
        if worker.process.is_alive():  # in a close() that does not come back
            worker.process.kill()
            worker.process.join()
        worker.process.close()
    workers.clear()
