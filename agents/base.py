"""What an agent is: SB3's verbs, so that a search and PPO are interchangeable.

`Agent` is what training, comparisons and the command line ask of an agent. `BaseAgent` holds what
the families share; a family is a class derived from it and registered by `register_family`.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeVar

from typing_extensions import Self

from zorl.common.class_methods import told_on_instances
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.options import Option
from zorl.common.plain import plain
from zorl.common.registry import Registry
from zorl.common.storage import Arrays, load_archive
from zorl.common.streams import Seeds
from zorl.common.types import Stop
from zorl.envs import Task
from zorl.recorders.base import Predictor, Recorder, Recorders, Run
from zorl.recorders.console import ConsoleRecorder
from zorl.rollout.backend import Resources
from zorl.rollout.evaluation import Evaluation

log = logging.getLogger("zorl")

DEFAULT_RESOURCES = Resources()
NO_OBJECTS: Mapping[str, Any] = MappingProxyType({})


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
        failures: folder for episodes that failed, which `zorl replay` plays again; None keeps none.
    """

    name: str
    task: Task
    not_resumable: ClassVar[str]
    failures: Path | None

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
    ) -> Self:
        """Train until `num_timesteps` has grown by `total_timesteps`, or until `stop()`."""

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


class BaseAgent(Agent):
    """What the families of agents share.

    Attributes:
        family: the family's name, set by `register_family`.
        config_class: the class of the family's configurations.
    """

    family: ClassVar[str]
    config_class: ClassVar[type[AgentConfig]]
    not_resumable: ClassVar[str] = ""
    failures: Path | None = None

    _config: AgentConfig

    @classmethod
    @abstractmethod
    def list_agents(cls) -> dict[str, str]:
        """The names of the family's agents, and what each is in one line."""

    @classmethod
    def list_options(cls, agent: str) -> list[Option]:
        """The options of one of the family's agents that are no fields of its configuration."""
        return []

    @classmethod
    def has(cls, agent: Any) -> bool:
        """Whether the family can make what a user named."""
        return isinstance(agent, str) and agent in cls.list_agents()

    @classmethod
    @abstractmethod
    def from_config(cls, config: Any, resources: Resources = DEFAULT_RESOURCES) -> Self:
        """The agent that a configuration of `config_class` describes.

        Raises:
            ConfigurationError: it cannot run there.
        """

    @classmethod
    @abstractmethod
    def from_archive(
        cls,
        metadata: Mapping[str, Any],
        arrays: Arrays,
        resources: Resources = DEFAULT_RESOURCES,
        objects: Mapping[str, Any] = NO_OBJECTS,
    ) -> Self:
        """The agent that `save` wrote.

        Args:
            metadata: of the file.
            arrays: of the file.
            resources: where episodes run.
            objects: what was given in Python and has no name to import, given again, by name.

        Raises:
            FileFormatError: something is missing, or does not fit the configuration.
        """

    @told_on_instances(
        "load returns a new agent and leaves this one as it was: agent = zorl.load_agent(path)"
    )
    @classmethod
    def load(cls, path: str | Path, **arguments: Any) -> Self:
        """The agent that `save` wrote to a file; `zorl.load_agent` takes every family's.

        Args:
            path: of the file.
            arguments: as of `zorl.load_agent`.

        Raises:
            FileFormatError: the file is missing, corrupt, truncated, newer, or not such an agent's.
        """
        metadata, arrays = read_agent(path, cls.family)
        names = {item.name for item in fields(Resources)}
        objects = {name: arguments.pop(name) for name in [*arguments] if name not in names}
        return cls.from_archive(metadata, arrays, Resources(**arguments), objects)

    @property
    def seed(self) -> int:
        """See `Agent`."""
        return self._config.seed

    @property
    def config(self) -> dict[str, Any]:
        """See `Agent`."""
        return {"family": self.family, **self._config.to_json()}

    @property
    def description(self) -> str | None:
        """See `Agent`."""
        return None

    @property
    def result_fields(self) -> Mapping[str, Any]:
        """See `Agent`."""
        return {}

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        progress_bar: bool = False,
        recorders: Iterable[Recorder] = (),
        stop: Stop | None = None,
    ) -> Self:
        """Train until at least `total_timesteps` more env steps are taken.

        A search stops after the generation that takes the last of them, candidates and gate
        together; on-policy algorithms of SB3 take whole rollouts.

        Args:
            total_timesteps: env steps to take.
            callback: for a search, a function that is called with every `Generation` (False stops),
                a callback of stable-baselines3, or a list of these; for a baseline, as for SB3.
            progress_bar: show progress on standard error.
            recorders: consumers of the records. They are started and finished here, all but those
                that the caller has started: the caller finishes these.
            stop: asked between records whether to stop.

        Raises:
            ConfigurationError: `total_timesteps` is below 1, or `callback` is none.
        """
        total_timesteps = plain(total_timesteps)
        if total_timesteps < 1:
            raise ConfigurationError(f"total_timesteps must be ≥ 1, got {total_timesteps}")
        target = self.num_timesteps + total_timesteps
        run = Run(
            self.name,
            self,
            self.task,
            self.config,
            target,
            start_index=self.num_records,
            start_steps=self.num_timesteps,
            description=self.description,
            seed=self.seed,
        )
        if self.description is not None:
            log.info(self.description)
        bar = [ConsoleRecorder()] if progress_bar else []
        with Recorders([*recorders, *bar]) as group:
            group.result["status"] = "failed"
            group.start(run)
            self._learn(target, callback, group, stop)
            finished = self.num_timesteps >= target
            group.result["status"] = "finished" if finished else "interrupted"
        return self

    @abstractmethod
    def _learn(self, target: int, callback: Any, recorder: Recorder, stop: Stop | None) -> None:
        """Train until `num_timesteps` is at least `target`, or until `stop()`."""


# The search first: it is what zorl is for.
FAMILIES: Registry[type[BaseAgent]] = Registry(
    "family of agents", "zorl.agents.search.agent", "zorl.agents.*.agent"
)

A = TypeVar("A", bound=type[BaseAgent])


def register_family(name: str) -> Callable[[A], A]:
    """A decorator that registers a family of agents: a class derived from `BaseAgent`.

    Its agents are then among those of `zorl.make_agent`, `zorl.load_agent`, `zorl.train`,
    comparisons and the command line.

    Args:
        name: the family's name in files.

    Raises:
        ConfigurationError: the name is another family's.
    """

    def add(family: A) -> A:
        FAMILIES.add(name, family)
        family.family = name
        return family

    return add


def family_of(agent: Any) -> type[BaseAgent]:
    """The family that can make an agent.

    Args:
        agent: a name, or what a family takes instead of one.

    Raises:
        UnknownNameError: no family has such an agent; the nearest names are listed.
    """
    for family in FAMILIES.values():
        if family.has(agent):
            return family
    raise UnknownNameError(
        "agent", agent, [name for family in FAMILIES.values() for name in family.list_agents()]
    )


def read_agent(path: str | Path, family: str | None = None) -> tuple[dict[str, Any], Arrays]:
    """Metadata and arrays of a saved agent.

    Args:
        path: of the file.
        family: the family that it must be of; None: any.

    Raises:
        FileFormatError: the file is missing, corrupt, truncated, newer, or not such an agent's.
    """
    path = Path(path)
    if not path.suffix and not path.exists() and path.with_name(f"{path.name}.zip").exists():
        path = path.with_name(f"{path.name}.zip")  # as SB3 writes and reads it
    _, metadata, arrays = load_archive(path, "agent")
    found = metadata.get("family")
    if found not in FAMILIES:
        raise FileFormatError(f"{path}: unknown family of agents {found!r}")
    if family is not None and found != family:
        raise FileFormatError(
            f"{path}: holds an agent of the family {found!r}, expected {family!r}; "
            "zorl.load_agent takes every family's"
        )
    return metadata, arrays
