"""What an agent is: SB3's verbs, so that a search and PPO are interchangeable.

`Agent` is what training, comparisons and the command line ask of an agent, `AgentConfig` what they
ask of its configuration. `zorl.agents.base.BaseAgent` holds what the families of agents share.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from typing_extensions import Self

from zorl.common.streams import Seeds
from zorl.common.types import Stop
from zorl.envs import Task
from zorl.recorders.base import Predictor, Recorder
from zorl.rollout.evaluation import Evaluation


class AgentConfig(Protocol):
    """All that decides what an agent learns; a frozen dataclass."""

    @property
    def agent(self) -> Any:
        """The agent's name, or what a family takes instead of one."""

    @property
    def task(self) -> Task:
        """What is learned."""

    @property
    def seed(self) -> int:
        """The seed of the run."""

    @classmethod
    def create(cls, agent: Any, task: Task, tuned: bool, options: Mapping[str, Any]) -> Self:
        """The configuration of an agent by name.

        Args:
            agent: the name, or what the family takes instead of one.
            task: what is learned.
            tuned: start from published settings, where there are some for this task.
            options: what the user set, by name.

        Raises:
            ConfigurationError: an option that this agent does not have.
        """

    def with_objects(self, objects: Mapping[str, Any]) -> Self:
        """The configuration with objects that a file could not hold.

        Args:
            objects: by name; none for a family that always saves everything.

        Raises:
            ConfigurationError: an object that the file does not lack.
        """

    def resolved(self) -> Self:
        """The configuration with a value for every option that was left to its default.

        Raises:
            UnknownNameError: an option that this agent does not have.
        """

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON types."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            FileFormatError: a field is missing or unknown.
        """


class Agent(Predictor, Protocol):
    """Something that learns a task and acts in it.

    Attributes:
        name: its registered name, as "cma-es" or "ppo".
        task: what it is trained on.
        not_resumable: why its interrupted runs cannot be resumed; empty where they can.
        training_per_validation: env steps of training, at the least, for each env step of the
            validation before, where the user does not say when to validate: a validation costs
            about a fifth of the training's time then. 0 where it is cheap.
        failures: folder for episodes that failed, which `zorl replay` plays again; None keeps none.
        given_up: why the last `learn` ended before its budget although nobody stopped it; empty
            where it did not.
    """

    name: str
    task: Task
    not_resumable: ClassVar[str]
    training_per_validation: ClassVar[float]
    failures: Path | None
    given_up: str

    @property
    def seed(self) -> int:
        """The seed of its random numbers."""

    @property
    @abstractmethod
    def num_timesteps(self) -> int:
        """Env steps charged to training so far."""

    @property
    @abstractmethod
    def num_episodes(self) -> int:
        """Episodes finished in training so far."""

    @property
    @abstractmethod
    def num_records(self) -> int:
        """How many records it has made so far: the index of the next one."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Number of parameters of the policy that acts."""

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, JSON types; equal configurations train equal agents."""

    @property
    def description(self) -> str | None:
        """What a user should know before training starts; None: nothing."""

    @property
    def result_fields(self) -> Mapping[str, Any]:
        """Fields of `zorl.runs.result.RunResult` that only this family has."""

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        progress_bar: bool = False,
        recorders: Iterable[Recorder] = (),
        stop: Stop | None = None,
        select: str = "last",
    ) -> Self:
        """Train until `num_timesteps` has grown by `total_timesteps`, or until `stop()`."""

    def incumbent(self) -> Predictor | None:
        """The policy as it is now, whatever is learned later; None if it cannot be kept cheaply."""

    @abstractmethod
    def evaluate(self, seeds: Seeds) -> Evaluation:
        """One deterministic episode from each seed, on the training task; arrays (1, e)."""

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write the agent to one file, atomically."""

    @abstractmethod
    def as_saved(self, path: str | Path) -> Self:
        """The agent as it was when it was saved to a file; closing this one frees both."""

    @abstractmethod
    def close(self) -> None:
        """Free environments and processes."""
