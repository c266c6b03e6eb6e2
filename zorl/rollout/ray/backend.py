"""Episodes on the machines of a Ray cluster: one actor per core, bit-identical to one process.

A batch is put once into Ray's object store, as its candidates' origin (the optimizer's state, the
run's seed and the generation) or as rows, whichever is smaller. A message to an actor is two
integers; one with results has a few numbers per episode. `Scheduler` decides who plays what.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import sys
import time
from typing import Any

import cloudpickle

from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.common.stop_signals import raise_if_overdue
from zorl.common.validation import at_least
from zorl.rollout.backend import Backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.failures import FailureRule
from zorl.rollout.ray.actor import Broadcast, EpisodeActor, Failure, versions
from zorl.rollout.ray.cluster import Cluster, require_ray
from zorl.rollout.ray.scheduler import Chunk, Scheduler

log = logging.getLogger("zorl")
_TICK = 0.1  # seconds between looks for late chunks and actors
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class RayBackend(Backend):
    """Episodes on Ray actors, started when first needed and then kept.

    An actor that dies, with its machine or alone, is replaced; its jobs are played again.

    Args:
        runner: what every actor runs; it is copied to them.
        workers: number of actors; None: one for every CPU of the cluster.
        address: of a cluster, as `ray.init` takes it; None: that of the environment variable
            RAY_ADDRESS, or else a new one on this machine, which ends with the last backend. A
            program that has called `ray.init` itself is taken as it is.
        failures: what becomes of an episode that cannot be played to its end; by default it raises.
        timeout: seconds that an episode may take, on average over those of a message, before its
            actor is killed; None: any.
        retries: deaths of an actor, alone with one episode, that prove that the episode is the
            cause.
        start_timeout: seconds to wait for the first actor.

    Attributes:
        replaced: how many actors died and were replaced.
    """

    uses_origin = True

    def __init__(
        self,
        runner: EnvRunner,
        workers: int | None = None,
        address: str | None = None,
        failures: FailureRule | None = None,
        timeout: float | None = None,
        retries: int = 3,
        start_timeout: float = 120.0,
    ) -> None:
        if workers is not None:
            at_least("workers", workers, 1)
        at_least("retries", retries, 1)
        if timeout is not None and not timeout > 0:
            raise ConfigurationError(f"timeout must be > 0 seconds, got {timeout}")
        self._ray = require_ray()
        # cloudpickle, so that a policy defined in a notebook reaches the actors.
        self._payload = cloudpickle.dumps(runner)
        self._failures = failures or FailureRule()
        self._workers = workers
        self._address = address
        self._retries = retries
        self._timeout = math.inf if timeout is None else timeout
        self._start_timeout = start_timeout
        self._cluster: Cluster | None = None
        self._actors: list[_Actor] = []
        self._idle: list[_Actor] = []
        self._answers: queue.SimpleQueue[tuple[_Actor, Any]] = queue.SimpleQueue()
        self._number = 0
        self._pace: float | None = None
        self._failed_starts = 0
        self.replaced = 0

    @property
    def actors(self) -> list[Any]:
        """Ray's handles of the actors that have started, in no special order."""
        return [actor.handle for actor in self._actors if actor.started]

    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        """See `Backend`.

        Raises:
            EnvironmentFailure: of an environment; a job killed its actor `retries` times alone; or
                no actor lives.
            ConfigurationError: of the cluster: it cannot be reached, or has other versions.
            TooManySteps: one message's jobs, or all that are done, took more steps than the batch
                may.
        """
        try:
            return self._run(batch)
        except BaseException:
            if not any(actor.started for actor in self._actors):
                self.close()  # there is nothing to keep for a later call
            raise

    def _run(self, batch: EpisodeBatch) -> EpisodeResults:
        self._start()
        self._number += 1
        broadcast = self._ray.put(Broadcast.of(batch, self._number))
        scheduler = Scheduler(len(batch), len(self._actors), self._pace, self._retries)
        results = EpisodeResults.empty(batch)
        began = checked = time.monotonic()
        while not scheduler.finished:
            raise_if_overdue()
            now = time.monotonic()
            if now - checked > _TICK:
                checked = now
                self._check(scheduler, began)
            while self._idle and (chunk := scheduler.next_chunk(now)) is not None:
                self._idle.pop().play(broadcast, self._number, chunk)
            with contextlib.suppress(queue.Empty):
                actor, future = self._answers.get(timeout=_TICK)
                self._handle_answer(actor, future, scheduler, batch, results)
        self._pace = scheduler.pace
        return results

    def _start(self) -> None:
        if self._cluster is not None:
            return
        self._cluster = Cluster(self._ray, self._address, self._workers)
        count = self._workers or max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        self._kind = self._ray.remote(
            num_cpus=1, max_restarts=0, runtime_env={"env_vars": _THREADS}
        )(EpisodeActor)
        # As with spawned processes, modules are found where this process finds them.
        path = [folder for folder in sys.path if folder]
        self._start_with = self._ray.put((self._payload, path, self._timeout < math.inf))
        self._actors = [self._new_actor() for _ in range(count)]

    def _new_actor(self) -> _Actor:
        return _Actor(self._kind.remote(self._start_with), self._answers)

    def _check(self, scheduler: Scheduler, began: float) -> None:
        """Offer late chunks to idle actors, kill hung ones, and raise if none starts."""
        now = time.monotonic()
        if self._idle:
            scheduler.reissue(now)
        for actor in self._actors:
            if actor.chunk and now - actor.chunk.since > self._timeout * len(actor.chunk.jobs):
                self._ray.kill(actor.handle)  # its answer will be that it died
        started = any(actor.started for actor in self._actors)
        if not started and now - began > self._start_timeout:
            raise self._no_actor()

    def _handle_answer(
        self,
        actor: _Actor,
        future: Any,
        scheduler: Scheduler,
        batch: EpisodeBatch,
        results: EpisodeResults,
    ) -> None:
        chunk = actor.chunk if actor.number == self._number else None  # else of an earlier batch
        errors = self._ray.exceptions
        try:
            answer: Any = future.result()
        except errors.RayTaskError as error:  # the actor could not read what it was sent
            answer = Failure(None, str(error))
        except errors.RayError as error:  # it died, or its machine did
            self._replace(actor, error)
            if chunk is not None and (job := scheduler.record_loss(chunk)) is not None:
                self._failures.resolve(self._verdict(batch, job, error), batch, job, results)
            return
        actor.chunk = None
        if not actor.started:
            if isinstance(answer, Failure):
                raise answer.exception()
            self._check_versions(answer)
            actor.started = True
            self._failed_starts = 0
        elif chunk is not None and isinstance(answer, Failure):
            self._idle.append(actor)
            self._handle_failure(answer, chunk, scheduler, batch, results)
            return
        elif chunk is not None:
            for name, values in vars(answer).items():
                getattr(results, name)[chunk.jobs.start : chunk.jobs.stop] = values
            scheduler.complete(chunk, time.monotonic())
            batch.check_steps(int(results.lengths.sum()))
        self._idle.append(actor)

    def _replace(self, actor: _Actor, error: Exception) -> None:
        """Replace a dead actor, unless no actor lives long enough to start."""
        if not actor.started:
            self._failed_starts += 1
            if self._failed_starts >= max(self._retries, len(self._actors)):
                raise EnvironmentFailure(
                    f"{self._failed_starts} Ray actors in a row died before they had begun; likely "
                    "causes: zorl or the environment's module is not installed on the cluster's "
                    f"machines, or these run out of memory. The last one: {error}"
                )
        log.warning("a Ray actor died and is replaced: %s", str(error).splitlines()[0])
        self.replaced += 1
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor.handle)  # if it is only out of reach, it must not come back
        self._actors[self._actors.index(actor)] = self._new_actor()

    def _handle_failure(
        self,
        failure: Failure,
        chunk: Chunk,
        scheduler: Scheduler,
        batch: EpisodeBatch,
        results: EpisodeResults,
    ) -> None:
        """An actor answered with an error: find the episode that failed, if one did."""
        error = failure.error
        if not isinstance(error, EnvironmentFailure):  # not an environment's
            raise failure.exception()
        if error.job is None and len(chunk.jobs) == 1:
            error.job = chunk.jobs[0]
        if error.job is None:
            log.warning(
                "one of %d episodes raised; each is played again: %s", len(chunk.jobs), error
            )
        if scheduler.record_failure(chunk, error.job) and error.job is not None:
            self._failures.resolve(error, batch, error.job, results)

    def _verdict(self, batch: EpisodeBatch, job: int, error: Exception) -> EnvironmentFailure:
        row, seed = batch.job(job)
        return EnvironmentFailure(
            f"the episode with seed {seed} (candidate {row}) ended its Ray actor {self._retries} "
            "times, alone in it; likely causes: the environment crashes or hangs, or the machine "
            f"has no memory left. The last time: {error}"
        )

    def _no_actor(self) -> EnvironmentFailure:
        return EnvironmentFailure(
            f"no Ray actor started within {self._start_timeout:g} s; each needs one CPU, and the "
            f"cluster has {self._ray.cluster_resources().get('CPU', 0):g}, of which "
            f"{self._ray.available_resources().get('CPU', 0):g} are free"
        )

    def _check_versions(self, theirs: dict[str, str]) -> None:
        ours = versions()
        if theirs != ours:
            differ = [f"{k} {theirs[k]} instead of {ours[k]}" for k in ours if theirs[k] != ours[k]]
            raise ConfigurationError(
                f"a machine of the Ray cluster has {', '.join(differ)}; results would depend on "
                "where an episode ran: install the same versions on all"
            )

    def close(self) -> None:
        """See `Backend`."""
        if self._cluster is None:
            return
        for actor in self._actors:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor.handle)
        self._actors, self._idle = [], []
        self._answers = queue.SimpleQueue()
        cluster, self._cluster = self._cluster, None
        cluster.close()


class _Actor:
    """An actor as the driver sees it: starting, idle, or playing a chunk."""

    def __init__(self, handle: Any, answers: queue.SimpleQueue[tuple[_Actor, Any]]) -> None:
        self.handle = handle
        self.started = False
        self.chunk: Chunk | None = None
        self.number = 0
        self._answers = answers
        self._await(handle.ready.remote())

    def _await(self, ref: Any) -> None:
        answers = self._answers
        self._future = ref.future()
        self._future.add_done_callback(lambda future: answers.put((self, future)))

    def play(self, broadcast: Any, number: int, chunk: Chunk) -> None:
        """Send a chunk of a batch; the answer comes into the queue."""
        self.chunk, self.number = chunk, number
        self._await(self.handle.run.remote(broadcast, chunk.jobs.start, chunk.jobs.stop))
