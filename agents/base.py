"""What the families of agents share.

A family is a class derived from `BaseAgent` and registered by `register_family`.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from typing_extensions import Self

from zorl.agents.agent import Agent, AgentConfig
from zorl.agents.plan import SELECT, TrainingPlan
from zorl.agents.validation import Validator
from zorl.common.class_methods import told_on_instances
from zorl.common.errors import (
    ConfigurationError,
    FileFormatError,
    TooManySteps,
    UnknownNameError,
)
from zorl.common.options import Option
from zorl.common.plain import whole
from zorl.common.registry import Registry
from zorl.common.storage import Arrays, load_archive
from zorl.common.streams import Seeds
from zorl.common.types import Stop
from zorl.common.validation import is_finite
from zorl.envs.task import DEFAULT_LIMIT
from zorl.export.formats import export
from zorl.export.snapshot import Snapshot
from zorl.policies.normalization import Normalizer
from zorl.recorders.base import Predictor, Recorder, Recorders, Run
from zorl.recorders.console import ConsoleRecorder
from zorl.rollout.backend import Resources
from zorl.rollout.evaluation import Evaluation
from zorl.rollout.evaluator import RolloutEvaluator

log = logging.getLogger("zorl")

DEFAULT_RESOURCES = Resources()
NO_OBJECTS: Mapping[str, Any] = MappingProxyType({})


class BaseAgent(Agent):
    """What the families of agents share.

    Attributes:
        family: the family's name, set by `register_family`.
        config_class: the class of the family's configurations.

    A family sets `_limited`, whether episodes of its task have a time limit (`has_time_limit`).
    """

    family: ClassVar[str]
    config_class: ClassVar[type[AgentConfig]]
    not_resumable: ClassVar[str] = ""
    training_per_validation: ClassVar[float] = 0.0
    failures: Path | None = None
    given_up: str = ""

    _config: AgentConfig
    _limited: bool

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

    def incumbent(self) -> Predictor | None:
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
        select: str = "last",
    ) -> Self:
        """Train until at least `total_timesteps` more env steps are taken.

        A search stops after the generation that takes the last of them, candidates and gate
        together; on-policy algorithms of SB3 take whole rollouts. A generation that goes far beyond
        them, for which see `zorl.search.Budget`, is given up with a warning: the agent stays as it
        was before.

        The agent is left with its last policy. With `select="best"` it is left as it was at the
        best of some 20 validations, as `zorl.train` and `zorl train` do: 20 episodes on validation
        seeds, at the start and as `TrainingPlan` says; their steps are not counted.

        Args:
            total_timesteps: env steps to take.
            callback: for a search, a function that is called with every `Generation` (False stops),
                a callback of stable-baselines3, or a list of these; for a baseline, as for SB3.
            progress_bar: show progress on standard error.
            recorders: consumers of the records. They are started and finished here, all but those
                that the caller has started: the caller finishes these.
            stop: asked between records whether to stop.
            select: "last" or "best".

        Raises:
            ConfigurationError: `total_timesteps` is below 1, or `callback` is none.
            UnknownNameError: `select` is neither.
        """
        total_timesteps = whole(total_timesteps)
        if not (is_finite(total_timesteps) and total_timesteps >= 1):
            raise ConfigurationError(f"total_timesteps must be ≥ 1, got {total_timesteps!r}")
        if select not in SELECT:
            raise UnknownNameError("selection", select, SELECT)
        target = self.num_timesteps + total_timesteps
        self.given_up = ""
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
            if select == "best":
                reached = self._learn_best(target, callback, group, stop)
            else:
                self._learn(target, callback, group, stop)
                reached = self.num_timesteps
            finished = reached >= target or bool(self.given_up)
            group.result["status"] = "finished" if finished else "interrupted"
        return self

    def _learn_best(self, target: int, callback: Any, recorder: Recorder, stop: Stop | None) -> int:
        """As `_learn`, but then return to the best policy by validation; the steps it came to."""
        plan = TrainingPlan(target, select="best")
        with TemporaryDirectory() as folder:
            best = Path(folder) / "best.zip"
            validator = Validator(self, plan, best)
            validator.measure(0.0)

            def after_record() -> bool:
                if validator.due(0.0):
                    validator.measure(0.0)
                return stop is not None and stop()

            self._learn(target, callback, recorder, after_record)
            if validator.rows[-1]["env_steps"] < self.num_timesteps:
                validator.measure(0.0)
            reached = self.num_timesteps
            self._return_to(best)
        return reached

    def _measured(
        self, evaluator: RolloutEvaluator, thetas: Any, seeds: Seeds, normalizer: Normalizer
    ) -> Evaluation:
        """An evaluation, which also ends where an episode never does.

        Raises:
            TooManySteps: episodes without a time limit took more than `DEFAULT_LIMIT` steps on
                average.
        """
        most = None if self._limited else DEFAULT_LIMIT * len(seeds)
        try:
            return evaluator.evaluate(thetas, seeds, normalizer, most_steps=most)
        except TooManySteps as error:
            error.args = (
                f"{error}, {DEFAULT_LIMIT:,} an episode: {self.task.env_id} has no time limit; set "
                "one with --max-episode-steps, or max_episode_steps= in Python",
            )
            raise

    def snapshot(self) -> Snapshot:
        """All that decides the deterministic actions of the policy as it is now, for `export`.

        Raises:
            ConfigurationError: this family has none.
        """
        raise ConfigurationError(
            f"{self.name} cannot be exported: agents of the family {self.family!r} have no policy "
            "that files of other languages could hold"
        )

    def export(self, path: str | Path, to: str | None = None) -> Path:
        """Write the policy to one file that runs without zorl.

        The file holds normalisation, network and decoding: observations as the environment gives
        them go in, its actions come out, those of `predict`.

        Args:
            path: of the file; without a suffix it gets the format's.
            to: "c", "js", "numpy", …, of `zorl.export.FORMATS`; None: by the path's suffix.

        Returns:
            The path of the file.

        Raises:
            ConfigurationError: an unknown format, or one that cannot hold this policy.
        """
        return export(self.snapshot(), path, to)

    def to_sb3(self, algorithm: str = "ppo", **options: Any) -> Any:
        """A model of stable-baselines3 whose deterministic actions are this policy's.

        Its `learn` goes on from there, with a new critic; it normalises observations itself, by
        the statistics as they are now.

        Args:
            algorithm: "ppo" or "a2c".
            options: arguments of its class; `n_envs`, environments side by side, too.

        Raises:
            ConfigurationError: an unknown algorithm, or a policy that its actor cannot be.
        """
        from zorl.agents.sb3.from_search import to_sb3

        return to_sb3(self.snapshot(), self.task, algorithm, options)

    @abstractmethod
    def _return_to(self, path: Path) -> None:
        """Become the agent again that this one was when it was saved to a file."""

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
    elif path.suffix == ".zip" and not path.exists() and path.with_suffix("").is_file():
        path = path.with_suffix("")  # SB3 would have written the suffix
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
