"""Episodes in environments that step many lanes in one call, where the user asks for them.

How an episode begins is such an environment's business (see `envs.vector.lanes`). With a native
vector environment of one shared generator that costs what `Runner` promises: an episode's start is
no function of its seed. Then the candidates of a generation do not meet the same starts, and
results depend on the number of lanes and on how the jobs are cut into calls; equal calls have equal
results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs.task import Task
from zorl.envs.vector.envpool import PoolLanes
from zorl.envs.vector.lanes import Lanes, NativeLanes, check_same_spaces
from zorl.policies.spaces import ObservationEncoder
from zorl.rollout.batch import Episodes, Work
from zorl.rollout.local.batch_step import Decider, Turn, turn_kind
from zorl.rollout.vector.episodes import Rows

VECTOR_KINDS: Final = ("vector", "envpool")
_BLOCK = 8  # times as many EnvPool environments are held as are stepped, each for one episode
_WARM = 20_000  # steps until compiled code is worth loading


class VectorRunner:
    """A `Runner` over one vector environment; the policy acts deterministically.

    Args:
        task: without wrappers; `check_vector` says whether it can be run so.
        policy: what decides.
        kind: "vector" for the task's native vector environment, "envpool" for EnvPool's.
        lanes: environments stepped by one call.
        threads: that EnvPool steps them with; a native vector environment uses its own.
        tolerant: end an episode whose reward or observation is not finite, with a NaN return,
            instead of raising.
        compiled: whether compiled code decides, to the same bits: True, False, or None for as
            soon as that pays, after some 20,000 steps.

    Attributes:
        beat: called at every turn.
    """

    beat: Callable[[], object] | None = None

    def __init__(
        self,
        task: Task,
        policy: Decider,
        kind: str = "vector",
        lanes: int = 64,
        threads: int = 1,
        tolerant: bool = False,
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
        self.tolerant = tolerant
        self.compiled = compiled
        self.steps = 0
        self._native: NativeLanes | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_native": None}  # a worker opens its own

    @property
    def seeded(self) -> bool:
        """Whether every episode starts from its own seed, as `Runner` promises."""
        return self.kind == "envpool" or self._open().seeded

    @property
    def notice(self) -> str:
        """What a log should say of how episodes start."""
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

    def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
        """See `Runner`; EnvPool's jobs are taken in blocks, others one by one as lanes fall free.

        Raises:
            NonFiniteRewardError: a NaN or infinite reward or observation.
            EnvironmentFailure: the environment raised, or returned what it should not.
        """
        queue = iter(jobs)
        if self.kind == "vector":
            try:
                self._play(self._open(), work, queue, out)
            except BaseException:
                self.close()  # it is in the middle of episodes
                raise
            return
        while block := list(islice(queue, _BLOCK * self.lanes)):
            lanes = PoolLanes(self.task, [work.job(job)[1] for job in block], self.threads)
            try:
                self._play(lanes, work, iter(block), out)
            finally:
                lanes.close()

    def _play(self, lanes: Lanes, work: Work, queue: Iterator[int], out: Episodes) -> None:
        """Play a queue of jobs to its end."""
        first = list(islice(queue, self.lanes))
        if not first:
            return
        compiled = self.steps >= _WARM if self.compiled is None else self.compiled
        kind = turn_kind(self.policy) if compiled else Turn
        features = ObservationEncoder.for_space(lanes.single_observation_space).size
        turn = kind(self.policy, work.thetas, work.normalizer, len(first), features)
        rows = Rows(self.task, lanes, turn, work, first, out, self.tolerant)
        while rows.playing:
            self.steps += rows.playing
            rows.step()
            if self.beat is not None:
                self.beat()
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


def check_vector(task: Task, kind: str, workers: int = 1, stochastic: bool = False) -> None:
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
