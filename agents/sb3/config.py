"""The configuration of a stable-baselines3 baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from zorl.agents.published import tuned as published_settings
from zorl.agents.sb3.algorithms import BASELINES
from zorl.agents.sb3.options import by_name, resolve
from zorl.agents.search.config import OPTIONS as SEARCH_OPTIONS
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.options import Options
from zorl.common.plain import plain
from zorl.common.streams import Streams
from zorl.envs import Task, given_again


@dataclass(frozen=True)
class BaselineConfig:
    """Everything that decides what a baseline learns; JSON types but for the task.

    Attributes:
        agent: a name in `BASELINES`.
        task: what is learned.
        options: arguments of the SB3 class as JSON values, see `zorl.agents.sb3.options`.
        n_envs: environments stepped side by side while training.
        normalize: observations and rewards by SB3's VecNormalize, as the Zoo does it.
        seed: of the run.
        source: where the settings come from.
    """

    agent: str
    task: Task
    options: Mapping[str, Any] = Options()
    n_envs: int = 1
    normalize: bool = False
    seed: int = 0
    source: str = "stable-baselines3 defaults"

    def __post_init__(self) -> None:
        if self.agent not in BASELINES:
            raise UnknownNameError("baseline", self.agent, BASELINES)
        for name in ("n_envs", "normalize", "seed", "source"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if isinstance(self.n_envs, bool) or not isinstance(self.n_envs, int) or self.n_envs < 1:
            raise ConfigurationError(f"n_envs must be an integer ≥ 1, got {self.n_envs!r}")
        if not isinstance(self.normalize, bool):
            raise ConfigurationError(f"normalize must be true or false, got {self.normalize!r}")
        Streams(self.seed)  # refuses what is no seed
        object.__setattr__(self, "options", Options(self.options))

    @classmethod
    def create(
        cls, agent: Any, task: Task, tuned: bool, options: Mapping[str, Any]
    ) -> BaselineConfig:
        """See `zorl.agents.agent.AgentConfig`; options are fields, or the SB3 class's arguments."""
        own = {item.name for item in fields(cls)} - {"agent", "task", "options", "source"}
        for name in options:
            if name in SEARCH_OPTIONS - own - {"policy"}:
                raise ConfigurationError(
                    f"{agent} is a baseline of stable-baselines3, and {name!r} is for search "
                    "agents alone; a baseline's network and updates are set by arguments of its "
                    "SB3 class"
                )
        published = published_settings(agent, task.env_id) if tuned else None
        values: dict[str, Any] = {}
        chosen: dict[str, Any] = {}
        if published is not None:
            chosen = dict(published.settings)
            values = {
                "n_envs": published.n_envs,
                "normalize": published.normalize,
                "source": published.source,
            }
        for name, value in options.items():
            (values if name in own else chosen)[name] = value
        return cls(agent, task, options=by_name(chosen), **values)

    def with_objects(self, objects: Mapping[str, Any]) -> BaselineConfig:
        """See `zorl.agents.agent.AgentConfig`: "env"."""
        others = [name for name in objects if name != "env"]
        if others:
            raise ConfigurationError(f"a baseline has no {' and no '.join(others)}")
        if "env" not in objects:
            return self
        return replace(self, task=given_again(self.task, objects["env"]))

    def resolved(self) -> BaselineConfig:
        """See `zorl.agents.agent.AgentConfig`: with every argument of the SB3 class."""
        return replace(self, options=resolve(self.agent, self.options))

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON types."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        options = Options(self.options).thaw()
        return {**values, "task": self.task.to_json(), "options": options}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BaselineConfig:
        """The inverse of `to_json`.

        Raises:
            FileFormatError: a field is missing or unknown.
        """
        try:
            return cls(**{**values, "task": Task.from_json(values["task"])})
        except (KeyError, TypeError) as error:
            raise FileFormatError(f"not the configuration of a baseline: {error}") from error
