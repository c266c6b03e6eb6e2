"""Where episodes run. Backends give the same bits unless their description says otherwise.

`BACKENDS` has the backends that an agent can be trained with, by name. Each is a function from a
`BackendSetup` to a `Backend`, registered beside the class that it makes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from zorl.common.registry import Registry
from zorl.common.validation import at_least
from zorl.envs.task import Task
from zorl.policies.observations import ObservationEncoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.failures import FailureRule


class Backend(Protocol):
    """Plays all episodes of a batch. Subclass it: what has a default is optional.

    Attributes:
        uses_origin: whether `run` makes use of a batch's `origin`, which costs time to record.
    """

    uses_origin: bool = False

    @property
    def description(self) -> str | None:
        """A line for the log about how episodes are played; None: nothing special."""
        return None

    @property
    def caution(self) -> str | None:
        """A line for the result about episodes that were not the task's own; None: all were."""
        return None

    def begin(self, spent: float) -> None:
        """Before a generation of a search with a budget of env steps: the share that is spent."""
        return

    @abstractmethod
    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        """Play the batch; results are in the order of its jobs."""

    @abstractmethod
    def close(self) -> None:
        """Free environments and processes; a later `run` starts new ones."""


@dataclass(frozen=True)
class Resources:
    """Where episodes run. What is learned does not depend on it.

    Attributes:
        workers: processes that play episodes, or threads of compiled code and of EnvPool; by
            default one process, all cores for compiled code, all CPUs of a Ray cluster.
        timeout: seconds without progress after which an environment counts as hung and its worker
            process is killed and replaced; by default they wait forever. With a timeout there is
            always at least one worker process. Compiled code has no environment that could hang.
        ray: play on this Ray cluster: its address, "auto" for the one of this machine, or "local"
            for that of the environment variable RAY_ADDRESS, or else a new one.
        lanes: environments per process that share one forward pass; by default as many as pay. With
            1 there is never a second one, of a baseline with n_envs = 1 neither: nothing is filmed
            meanwhile.
    """

    workers: int | None = None
    timeout: float | None = None
    ray: str | None = None
    lanes: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("lanes", self.lanes)):
            if value is not None:
                at_least(name, value, 1)


@dataclass(frozen=True)
class BackendSetup:
    """What a backend is made for.

    Attributes:
        task: the task.
        policy: what acts: a `Policy`.
        encoder: of the task's observations.
        resources: processes, lanes, timeout and Ray.
        failures: what becomes of episodes that fail.
        allow_non_finite: give an episode with a NaN or infinite reward or observation a NaN
            return, instead of raising.
    """

    task: Task
    policy: Any
    encoder: ObservationEncoder
    resources: Resources
    failures: FailureRule
    allow_non_finite: bool = False


BackendFactory = Callable[[BackendSetup], Backend]

BACKENDS: Registry[BackendFactory] = Registry(
    "backend",
    "zorl.rollout.choice",
    "zorl.rollout.gymnasium_backend",
    "zorl.rollout.compiled.backend",
    "zorl.rollout.vector.runner",
)
register_backend = BACKENDS.register
