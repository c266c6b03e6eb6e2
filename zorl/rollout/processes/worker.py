"""A worker process: it receives batches, plays jobs of them and answers until its parent closes."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from zorl.common.errors import ZorlError
from zorl.common.spawning import end_with_parent
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.failures import as_sent
from zorl.rollout.processes.shared_memory import Header, MemoryFile, SharedBatch
from zorl.rollout.tracking import JobTracker


@dataclass(frozen=True)
class Order:
    """What the parent sends.

    Attributes:
        header: of a batch that the worker has not seen yet, else None.
        jobs: what to play, already noted as the worker's; None: whatever is in the pool.
    """

    header: Header | None
    jobs: list[int] | None


@dataclass(frozen=True)
class Answer:
    """What a worker sends: first that it is ready, then one answer to each order.

    Attributes:
        clock: `time.monotonic()`, which all processes share.
        error: what went wrong, None where nothing did; a `ZorlError` where it was one.
        trace: its traceback.
    """

    clock: float
    error: ZorlError | None = None
    trace: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.error or self.trace)


def serve(
    connection: Connection, memory: MemoryFile, index: int, payload: bytes, watched: bool = False
) -> None:
    """Run a worker until its parent closes the pipe.

    Args:
        connection: to the parent.
        memory: shared with it.
        index: of this worker.
        payload: the runner, pickled.
        watched: whether a timeout watches: then the runner prepares, and reports progress.
    """
    end_with_parent()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            runner: EnvRunner = cloudpickle.loads(payload)
            if watched:
                runner.prepare()
        except Exception as error:
            connection.send(Answer(time.monotonic(), *as_sent(error)))
            return
        connection.send(Answer(time.monotonic()))
        with contextlib.closing(runner):
            _obey(connection, memory, index, runner, watched)


def _obey(
    connection: Connection, memory: MemoryFile, index: int, runner: EnvRunner, watched: bool
) -> None:
    """Answer orders until the pipe closes."""
    while True:
        order: Order = connection.recv()
        if order.header is not None:
            shared = SharedBatch(memory, order.header)
            batch, results = shared.batch, shared.results
            most = -(-len(batch) // order.header.workers)
            heartbeats: Any = memoryview(shared.heartbeats)  # type: ignore[arg-type]

            def heartbeat(heartbeats: Any = heartbeats) -> None:
                heartbeats[index] += 1

            if watched:  # the runner reports more often than jobs are handed out
                runner.heartbeat = heartbeat
        jobs = shared.claim(index) if order.jobs is None else order.jobs
        try:
            JobTracker(jobs, results, shared.status, most, heartbeat).play(runner, batch, results)
            answer = Answer(time.monotonic())
        except Exception as error:
            answer = Answer(time.monotonic(), *as_sent(error))
            with contextlib.suppress(Exception):
                runner.close()  # the next order makes new environments
        connection.send(answer)
