"""What is compared: agents on equal terms, one task, one budget of env steps, the same seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import agent_of, make_config
from zorl.agents.training import run_config
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import Options, parse_value, split_call
from zorl.common.plain import plain
from zorl.common.streams import Streams
from zorl.envs import Task


@dataclass(frozen=True)
class AgentSpec:
    """An agent of a comparison.

    Attributes:
        label: how the table and the figures call it.
        name: a name in `zorl list`.
        settings: "tuned" or "default".
        options: see `zorl.agents.registry.make_config`.
    """

    label: str
    name: str
    settings: str = "tuned"
    options: Mapping[str, Any] = Options()

    @classmethod
    def parse(cls, text: str) -> AgentSpec:
        """Read "ars" or "ars(m=4, gate=paired, hidden=(8, 8))"; the label is the text, tidied.

        See `zorl.common.options.parse_call`. `make_config` says whether the names exist.

        Raises:
            ConfigurationError: the text is not of that form.
        """
        name, written = split_call(text, "agent")
        for taken in ("agent", "env", "seed"):
            if taken in written:
                raise ConfigurationError(f"{taken} is the same for all agents: leave it out")
        options = {key: parse_value(value) for key, value in written.items()}
        settings = str(options.pop("settings", "tuned"))
        words = ", ".join(f"{key}={value}" for key, value in written.items())
        return cls(f"{name}({words})" if words else name, name, settings, Options(options))

    @property
    def folder_name(self) -> str:
        """The label, without what would make trouble in the name of a folder."""
        return re.sub(r"[^\w.,=()+-]+", "_", self.label)


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        task: what all agents learn.
        agents: who learns; their labels differ.
        plan: budget, validation and final estimate of every run.
        seeds: of the runs of each agent.
        reference: label of the agent that the others are paired with.

    Raises:
        ConfigurationError: something cannot be compared; the task has no threshold.
    """

    task: Task
    agents: tuple[AgentSpec, ...]
    plan: TrainingPlan
    seeds: tuple[int, ...]
    reference: str

    def __post_init__(self) -> None:
        self.task.require_threshold()
        object.__setattr__(self, "seeds", tuple(map(plain, self.seeds)))
        if not (self.agents and self.seeds):
            raise ConfigurationError("a comparison needs at least one agent and one seed")
        taken: dict[str, str] = {}
        for agent in self.agents:
            if agent.folder_name in taken:
                other = taken[agent.folder_name]
                raise ConfigurationError(f"{agent.label!r} and {other!r} would share one label")
            taken[agent.folder_name] = agent.label
        for seed in self.seeds:
            Streams(seed)  # refuses what is no seed
        if len(set(self.seeds)) != len(self.seeds):
            raise ConfigurationError(f"seeds must differ, got {self.seeds}")
        labels = [agent.label for agent in self.agents]
        if self.reference not in labels:
            raise UnknownNameError("reference agent", self.reference, labels)

    @classmethod
    def create(
        cls,
        task: Task,
        agents: Iterable[str | AgentSpec],
        plan: TrainingPlan,
        seeds: Iterable[int],
        reference: str | None = None,
    ) -> Comparison:
        """A comparison of agents given as text; the reference is PPO if it is there."""
        specs = tuple(AgentSpec.parse(a) if isinstance(a, str) else a for a in agents)
        if reference is None:
            first = [spec.label for spec in specs if spec.name == "ppo"] or [s.label for s in specs]
            reference = first[0] if first else ""
        elif reference not in (spec.label for spec in specs):
            reference = AgentSpec.parse(reference).label
        return cls(task, specs, plan, tuple(seeds), reference)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON types."""
        return {
            "task": self.task.to_json(),
            "agents": [
                {**vars(agent), "options": Options(agent.options).thaw()} for agent in self.agents
            ],
            "plan": asdict(self.plan),
            "seeds": list(self.seeds),
            "reference": self.reference,
        }

    def configurations(self) -> dict[str, dict[str, Any]]:
        """What config.json of each agent's runs holds, by label, for the first seed.

        Raises:
            UnknownNameError: an unknown agent or option, with the nearest names.
        """
        found = {}
        for spec in self.agents:
            options = Options(spec.options).thaw()
            agent = agent_of(
                make_config(spec.name, self.task, spec.settings, seed=self.seeds[0], **options)
            )
            try:
                found[spec.label] = json.loads(json.dumps(run_config(agent, self.plan)))
            finally:
                agent.close()
        return found
