"""Episodes in environments that step many lanes in one call, where the user asks for them.

The environment decides how an episode begins (see `envs.vector.lanes`). A native vector environment
with one shared random generator cannot keep what `EnvRunner` promises: an episode's start is no
function of its seed. Then the candidates of a generation do not meet the same starts, and results
depend on the number of lanes and on how the jobs are cut into calls. Equal calls give equal
results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs.task import Task
from zorl.envs.vector.envpool import PoolLanes
from zorl.envs.vector.lanes import Lanes, NativeLanes, check_same_spaces
from zorl.policies.observations import ObservationEncoder
from zorl.rollout.backend import BackendSetup, register_backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.local.step_batch import BatchPolicy, StepBatch, step_batch_class
from zorl.rollout.vector.episodes import VectorEpisodes

VECTOR_KINDS: Final = ("vector", "envpool")
_BLOCK = 8  # times as many EnvPool environments are held as are stepped, each for one episode
_WARM = 20_000  # steps until compiled code is worth loading


class VectorRunner(EnvRunner):
    """Plays episodes in one vector environment; the policy acts deterministically.

    Args:
        task: without wrappers; `check_vector` says whether it can be run so.
        policy: what decides.
        kind: "vector" for the task's native vector environment, "envpool" for EnvPool's.
        lanes: environments stepped by one call.
        threads: that EnvPool steps them with; a native vector environment uses its own.
        allow_non_finite: end an episode whose reward or observation is not finite with a NaN
            return, instead of raising.
        compiled: whether compiled code decides, to the same bits: True, False, or None for as
            soon as that pays, after some 20,000 steps.

    It calls `heartbeat` after every step of all lanes.
    """

    def __init__(
        self,
        task: Task,
        policy: BatchPolicy,
        kind: str = "vector",
        lanes: int = 64,
        threads: int = 1,
        *,
        allow_non_finite: bool = False,
        compiled: bool | None = None,
    ) -> None:
        if kind not in VECTOR_KINDS:
            raise UnknownNameError("kind of vector environment", kind, VECTOR_KINDS)
        for name, value in (("lanes", lanes), ("threads", threads)):
            if value < 1:
                raise ConfigurationError(f"{name} must be ≥ 1, got {value}")
        self.task = task
        self.policy = policy
        self.kind = kind
        self.lanes = lanes
        self.threads = threads
        self.allow_non_finite = allow_non_finite
        self.compiled = compiled
        self.steps = 0
        self._native: NativeLanes | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_native": None}  # a worker opens its own

    @property
    def env_id(self) -> str:
        """See `EnvRunner`."""
        return self.task.env_id

    @property
    def seeded(self) -> bool:
        """Whether every episode starts from its own seed, as `EnvRunner` promises."""
        return self.kind == "envpool" or self._open().seeded

    @property
    def description(self) -> str:
        """How episodes start; see `EnvRunner`."""
        if self.kind == "envpool":
            return (
                f"EnvPool plays {self.task.env_id}: every episode starts from its own seed, but "
                "not where Gymnasium's starts from the same; validation is Gymnasium's"
            )
        if self.seeded:
            return (
                f"the native vector environment of {self.task.env_id} plays it: every episode "
                "starts from its own seed"
            )
        return (
            f"the native vector environment of {self.task.env_id} plays it, {self.lanes} lanes "
            "with one random generator: candidates do not meet the same starts (no common random "
            "numbers), and results depend on the number of lanes"
        )

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        """See `EnvRunner`; EnvPool takes jobs in blocks, others one by one as lanes become free.

        Raises:
            NonFiniteRewardError: a NaN or infinite reward or observation.
            EnvironmentFailure: the environment raised, or returned what it should not.
        """
        queue = iter(jobs)
        if self.kind == "vector":
            try:
                self._play(self._open(), batch, queue, results)
            except BaseException:
                self.close()  # it is in the middle of episodes
                raise
            return
        while block := list(islice(queue, _BLOCK * self.lanes)):
            lanes = PoolLanes(self.task, [batch.job(job)[1] for job in block], self.threads)
            try:
                self._play(lanes, batch, iter(block), results)
            finally:
                lanes.close()

    def _play(
        self, lanes: Lanes, batch: EpisodeBatch, queue: Iterator[int], results: EpisodeResults
    ) -> None:
        """Play a queue of jobs to its end."""
        first = list(islice(queue, self.lanes))
        if not first:
            return
        compiled = self.steps >= _WARM if self.compiled is None else self.compiled
        kind = step_batch_class(self.policy) if compiled else StepBatch
        features = ObservationEncoder.for_space(lanes.single_observation_space).size
        step_batch = kind(self.policy, batch.thetas, batch.normalizer, len(first), features)
        rows = VectorEpisodes(
            self.task, lanes, step_batch, batch, first, results, self.allow_non_finite
        )
        while rows.playing:
            self.steps += rows.playing
            rows.step()
            if self.heartbeat is not None:
                self.heartbeat()
            if rows.over.any():
                rows.finish(queue)

    def _open(self) -> NativeLanes:
        if self._native is None:
            self._native = NativeLanes(self.task, self.lanes)
        return self._native

    def close(self) -> None:
        """Close the environment; a later `run` opens a new one."""
        native, self._native = self._native, None
        if native is not None:
            native.close()


def check_vector(task: Task, kind: str, workers: int = 1, *, stochastic: bool = False) -> None:
    """Refuse what a `VectorRunner` cannot do, before anything is run.

    Args:
        task: what is to be run.
        kind: see `VectorRunner`.
        workers: processes that would play it.
        stochastic: whether the policy draws its actions.

    Raises:
        UnknownNameError: for another kind, or an environment that EnvPool does not have.
        ConfigurationError: saying what is asked for that such environments do not have.
    """
    if kind not in VECTOR_KINDS:
        raise UnknownNameError("kind of vector environment", kind, VECTOR_KINDS)
    if stochastic:
        raise ConfigurationError(
            "vector environments run policies that act deterministically; leave out the "
            "stochastic policy, or use another backend"
        )
    lanes: Lanes = NativeLanes(task, 2) if kind == "vector" else PoolLanes(task, [0, 1])
    try:
        check_same_spaces(task, lanes)
        if workers > 1 and not lanes.seeded:
            raise ConfigurationError(
                f"the vector environment of {task.env_id} has one random generator: with "
                f"{workers} workers their timing would decide where an episode starts; use 1"
            )
    finally:
        lanes.close()


@register_backend("vector")
def vector_backend(setup: BackendSetup) -> SerialBackend:
    """Its native vector environment: no common random numbers where it has one generator."""
    return _of_setup("vector", setup, processes=setup.resources.workers or 1)


@register_backend("envpool")
def envpool_backend(setup: BackendSetup) -> SerialBackend:
    """EnvPool's environment of that name: other initial states."""
    return _of_setup("envpool", setup, processes=1)


def _of_setup(kind: str, setup: BackendSetup, *, processes: int) -> SerialBackend:
    resources = setup.resources
    if resources.timeout is not None:
        raise ConfigurationError(
            f"the backend {kind!r} plays in this process, where nothing could stop an "
            "environment that hangs: leave out the timeout, or use the backend gymnasium"
        )
    check_vector(setup.task, kind, processes, stochastic=setup.policy.decoder.stochastic)
    runner = VectorRunner(
        setup.task,
        setup.policy,
        kind,
        resources.lanes or 64,
        resources.workers or 1,
        allow_non_finite=setup.allow_non_finite,
    )
    return SerialBackend(runner, setup.failures)
