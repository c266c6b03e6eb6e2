"""The configuration of a search agent: all that decides what it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from zorl.agents.published import tuned as published_settings
from zorl.agents.search.backend_choice import BACKENDS
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.streams import Streams
from zorl.common.validation import at_least
from zorl.envs import Task
from zorl.optimizers.registry import METHODS
from zorl.policies.normalization import MODES
from zorl.policies.source import check_source, reference
from zorl.rollout.failures import ON_FAILURE
from zorl.search.gates import GATES


@dataclass(frozen=True)
class SearchConfig:
    """Everything that decides what a search agent learns; JSON types but for the task.

    Attributes:
        agent: a name in `METHODS`.
        task: what is learned.
        options: arguments of the optimizer's recipe; resolved ones include its defaults.
        hidden: hidden layer sizes; () is a linear policy.
        activation: of the hidden layers.
        bias: whether layers have biases.
        policy: a network of one's own instead of these three: a `torch.nn.Module`, a factory that
            makes one from (features, outputs), or "module:function", the name of a factory.
        stochastic: act by seeded chance during the search; evaluation is deterministic.
        normalize: of observations: "off", "bounds" or "running".
        gate: a name in `zorl.search.gates.GATES`.
        gate_options: its arguments; resolved ones include its defaults.
        episodes: per candidate, on common seeds.
        max_episodes: let episodes per candidate grow up to this when noise drowns the signal.
        seed: of the run.
        non_finite: "raise" at a NaN or infinite reward, or count the candidate as the "worst".
        on_failure: "fail" when an environment raises, hangs or kills its worker process for good,
            or count the candidate as the "worst".
        backend: what plays the episodes of the search, a name in `zorl.rollout.BACKENDS`;
            "auto" is resolved to another one.
        source: where the settings come from.
    """

    agent: str
    task: Task
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = (8,)
    activation: str = "tanh"
    bias: bool = True
    policy: Any = None
    stochastic: bool = False
    normalize: str = "running"
    gate: str = "off"
    gate_options: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 5
    max_episodes: int | None = None
    seed: int = 0
    non_finite: str = "raise"
    on_failure: str = "fail"
    backend: str = "auto"
    source: str = "zorl defaults"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("agent", self.agent, METHODS),
            ("gate", self.gate, GATES),
            ("normalisation", self.normalize, MODES),
            ("rule for non-finite rewards", self.non_finite, ("raise", "worst")),
            ("rule for failed episodes", self.on_failure, ON_FAILURE),
            ("backend", self.backend, BACKENDS),
        ):
            if value not in known:
                raise UnknownNameError(name, value, known)
        for name in ("bias", "stochastic"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(
                    f"{name} must be True or False, got {getattr(self, name)!r}"
                )
        if self.policy is not None:
            check_source(self.policy)
        if not isinstance(self.hidden, (tuple, list)):
            raise ConfigurationError(f"hidden must be layer sizes, as (8,), got {self.hidden!r}")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name in ("options", "gate_options"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigurationError(
                    f"{name} must be names with values, got {getattr(self, name)!r}"
                )
        at_least("episodes", self.episodes, 1)
        if self.max_episodes is not None:
            at_least("max_episodes", self.max_episodes, 2)
        Streams(self.seed)  # refuses what is no seed

    @classmethod
    def create(
        cls, agent: str, task: Task, tuned: bool, options: Mapping[str, Any]
    ) -> SearchConfig:
        """See `zorl.agents.base.AgentConfig`; options are fields, or arguments of the recipe."""
        published = published_settings(agent, task.env_id) if tuned else None
        if published is None:
            chosen, source = dict(METHODS.defaults(agent)), "zorl defaults"
        else:
            chosen, source = dict(published.settings), published.source
        given = {name: value for name, value in options.items() if name in OPTIONS}
        values = {name: chosen.pop(name) for name in list(chosen) if name in OPTIONS}
        if given.get("policy") is not None:
            for name in ("hidden", "activation", "bias"):
                values.pop(name, None)
                if name in given:
                    raise ConfigurationError(
                        f"{name} is for zorl's own network, not beside a policy"
                    )
        if "episodes" in given:  # exactly this many, unless they are told to grow
            values.pop("max_episodes", None)
        recipe = {name: value for name, value in options.items() if name not in OPTIONS}
        return cls(agent, task, options={**chosen, **recipe}, source=source, **{**values, **given})

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON types."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        policy = None if self.policy is None else reference(self.policy)
        own = {"task": self.task.to_json(), "hidden": list(self.hidden), "policy": policy}
        return {**values, **own}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SearchConfig:
        """The inverse of `to_json`.

        Raises:
            FileFormatError: a field is missing or unknown.
        """
        try:
            return cls(**{**values, "task": Task.from_json(values["task"])})
        except (KeyError, TypeError) as error:
            raise FileFormatError(f"not the configuration of a search agent: {error}") from error


# The fields that a user sets; what else is set goes to the optimizer's recipe.
OPTIONS = {item.name for item in fields(SearchConfig)} - {"agent", "task", "options", "source"}
