"""The configuration of a search agent: all that decides what it learns."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, cast

from zorl.agents.published import tuned as published_settings
from zorl.agents.search.auto import AUTO, choose
from zorl.agents.search.objects import described, encoded, is_label, label, missing, rebuilt
from zorl.agents.warm_start import read_start
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.options import parse_sizes, resolve_options
from zorl.common.plain import plain
from zorl.common.registry import Registry
from zorl.common.streams import Streams
from zorl.common.validation import at_least, check_name, is_finite
from zorl.envs import Task, given_again
from zorl.optimizers.base import Optimizer
from zorl.optimizers.checks import check_wrapped
from zorl.optimizers.registry import METHODS
from zorl.policies.activations import ACTIVATIONS
from zorl.policies.memory import parse_memory
from zorl.policies.normalization import MODES
from zorl.policies.source import check_source, reference
from zorl.rollout.backend import BACKENDS
from zorl.rollout.failures import ON_FAILURE
from zorl.search.gates import GATES, Gate, checked_gate, make_gate

log = logging.getLogger("zorl")

NON_FINITE = ("raise", "worst")

# What some fields of a configuration may be.
CHOICES: Final[Mapping[str, Collection[str]]] = {
    "activation": ACTIVATIONS,
    "normalize": MODES,
    "gate": GATES,
    "non_finite": NON_FINITE,
    "on_failure": ON_FAILURE,
    "backend": BACKENDS,
}


@dataclass(frozen=True)
class SearchConfig:
    """Everything that decides what a search agent learns; JSON types but for the task.

    Attributes:
        agent: the optimizer: a name in `METHODS`, a recipe as "module:function", or an object,
            which becomes its class's name and `options` where these rebuild it.
        task: what is learned.
        options: arguments of the optimizer's recipe; resolved ones include its defaults.
        hidden: sizes of the hidden layers, as 8 or 64,64; none for a linear policy.
        activation: nonlinearity of the hidden layers.
        bias: give the layers biases.
        memory: give the policy a memory: a recurrent cell and its number of units, as gru:8 or
            elman:8. The hidden layers, none unless they are given, then follow it.
        squash: let the network's outputs go through a tanh, as SAC's and TD3's; for Box actions.
        policy: a network of your own instead of these five: a `torch.nn.Module`, a function that
            makes one from (features, outputs), or "module:function", the name of such a function.
        stochastic: act by seeded chance during the search; evaluation is deterministic.
        noise_std: standard deviation of the noise on stochastic Box actions, in units of half
            their range.
        normalize: how observations are normalised.
        gate: which updates are kept; by name, as "module:Class", or as an object.
        gate_options: options of the gate, as episodes=5.
        episodes: episodes per candidate, on common seeds.
        max_episodes: let the episodes per candidate grow up to this number where noise drowns the
            differences between candidates.
        alive_bonus_offset: is added to the reward of every step in the search and the gate alone,
            as -1 against a bonus for staying alive; figures of the task are without it.
        zero_policy: start with all parameters 0, as a linear policy does.
        init: start from the network in a file, which brings its layers and normalisation along: a
            file of zorl's, a zip of stable-baselines3's, or a torch state_dict.
        init_stats: beside a zip of stable-baselines3's the pickle that VecNormalize saved.
        seed: of the run.
        non_finite: raise an error at a NaN or infinite reward, or score the candidate worst.
        on_failure: fail the run when an environment raises, hangs or kills its worker process for
            good, or score the candidate worst.
        backend: what plays the episodes of the search.
        source: where the settings come from.
    """

    agent: Any
    task: Task
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = (8,)
    activation: str = "tanh"
    bias: bool = True
    memory: str | None = None
    squash: bool = False
    policy: Any = None
    stochastic: bool = False
    noise_std: float = 0.1
    normalize: str = "running"
    gate: Any = "off"
    gate_options: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 5
    max_episodes: int | None = None
    alive_bonus_offset: float = 0.0
    zero_policy: bool = False
    init: str | None = None
    init_stats: str | None = None
    seed: int = 0
    non_finite: str = "raise"
    on_failure: str = "fail"
    backend: str = "auto"
    source: str = "zorl defaults"

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, plain(getattr(self, item.name)))
        self._name_object("agent", "options", METHODS)
        self._name_object("gate", "gate_options", GATES)
        for name, value, known in (
            ("normalisation", self.normalize, MODES),
            ("rule for non-finite rewards", self.non_finite, NON_FINITE),
            ("rule for failed episodes", self.on_failure, ON_FAILURE),
            ("backend", self.backend, BACKENDS),
        ):
            check_name(name, value, known)
        for name in ("bias", "squash", "stochastic", "zero_policy"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(
                    f"{name} must be True or False, got {getattr(self, name)!r}"
                )
        for name in ("init", "init_stats"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else str(value))
        if self.init_stats is not None and self.init is None:
            raise ConfigurationError("init_stats belongs to init, the network's own file")
        if self.init is not None and self.zero_policy:
            raise ConfigurationError("zero_policy and init are two different starts")
        if self.memory is not None:
            parse_memory(self.memory)
        if self.policy is not None:
            check_source(self.policy)
        object.__setattr__(self, "hidden", parse_sizes(self.hidden))
        for name in ("options", "gate_options"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigurationError(
                    f"{name} must be names with values, got {getattr(self, name)!r}"
                )
        at_least("episodes", self.episodes, 1)
        if not is_finite(self.alive_bonus_offset):
            raise ConfigurationError(
                f"alive_bonus_offset must be a finite number, got {self.alive_bonus_offset!r}"
            )
        if not is_finite(self.noise_std) or self.noise_std < 0:
            raise ConfigurationError(f"noise_std must be a number ≥ 0, got {self.noise_std!r}")
        if self.max_episodes is not None:
            at_least("max_episodes", self.max_episodes, 2)
        Streams(self.seed)  # refuses what is no seed

    def _name_object(self, field_name: str, options: str, registry: Registry[Any]) -> None:
        """Check a name; put a name and options in place of an object that they rebuild."""
        given = getattr(self, field_name)
        if isinstance(given, str):
            if ":" not in given and not is_label(given) and given not in registry:
                raise UnknownNameError(field_name, given, registry)
            return
        if getattr(self, options):
            raise ConfigurationError(
                f"{options} belong to the {field_name} by name; an object has its own, got "
                f"{getattr(self, options)!r} beside {given!r}"
            )
        if field_name == "agent":
            check_wrapped("a search agent", given)
        else:
            checked_gate(given)
        found = described(given, registry)
        if found is not None:
            object.__setattr__(self, field_name, found[0])
            object.__setattr__(self, options, found[1])

    @classmethod
    def create(
        cls, agent: Any, task: Task, tuned: bool, options: Mapping[str, Any]
    ) -> SearchConfig:
        """See `zorl.agents.agent.AgentConfig`; options are fields, or arguments of the recipe."""
        by_name = isinstance(agent, str)
        published = published_settings(agent, task.env_id) if tuned and by_name else None
        chosen: dict[str, Any]
        if not by_name:
            chosen, source = {}, "given as an object"
        elif agent == AUTO:
            agent, chosen, source = choose(task, options)
            chosen = {**METHODS.defaults(agent), **chosen}
        elif published is None:
            chosen, source = dict(METHODS.defaults(agent)), "zorl defaults"
        else:
            chosen, source = dict(published.settings), published.source
            if published.left_out:
                lacking = ", ".join(f"{k}={value}" for k, value in published.left_out.items())
                source += f"; without {lacking}, which zorl does not have"
                log.warning("%s on %s: settings of %s", agent, task.env_id, source)
        given = {name: value for name, value in options.items() if name in OPTIONS}
        values = {name: chosen.pop(name) for name in list(chosen) if name in OPTIONS}
        if given.get("memory") is not None:  # the agent's settings are those of another network
            values = {**values, "hidden": (), "bias": True}
        if given.get("init") is not None:
            start = read_start(str(given["init"]), given.get("init_stats"))
            taken = start.fields if given.get("policy") is None else {}
            values = {**values, **taken, "zero_policy": False}
        if given.get("policy") is not None:
            for name in ("hidden", "activation", "bias", "memory", "squash"):
                values.pop(name, None)
                if given.get(name) is not None:
                    raise ConfigurationError(
                        f"{name} is for zorl's own network, not beside a policy"
                    )
        if "episodes" in given:  # exactly this many, unless they are told to grow
            values.pop("max_episodes", None)
        recipe = {name: value for name, value in options.items() if name not in OPTIONS}
        return cls(agent, task, options={**chosen, **recipe}, source=source, **{**values, **given})

    def with_objects(self, objects: Mapping[str, Any]) -> SearchConfig:
        """See `zorl.agents.agent.AgentConfig`: "env", "policy", "optimizer" and "gate"."""
        names = {"policy": "policy", "optimizer": "agent", "gate": "gate", "env": "task"}
        objects = {**objects}
        if "env" in objects:
            objects["env"] = given_again(self.task, objects["env"])
        for name, given in objects.items():
            if name not in names:
                raise UnknownNameError("object of a search agent", name, names)
            saved = getattr(self, names[name])
            if name in ("optimizer", "gate") and saved != label(given):
                raise ConfigurationError(
                    f"the saved {name} is {saved}, which is not the given {label(given)}"
                )
        return replace(self, **{names[name]: given for name, given in objects.items()})

    def optimizer(self) -> Optimizer[Any]:
        """The optimizer.

        Raises:
            ConfigurationError: it cannot be made, or the file did not hold it.
        """
        if is_label(self.agent):
            raise missing("optimizer", self.agent)
        if not isinstance(self.agent, str):
            return cast(Optimizer[Any], self.agent)
        made = METHODS.resolve(self.agent)(**rebuilt(self.options))
        check_wrapped(f"the agent {self.agent}", made)
        return made

    def make_gate(self) -> Gate[Any]:
        """The gate.

        Raises:
            ConfigurationError: it cannot be made, or the file did not hold it.
        """
        if is_label(self.gate):
            raise missing("gate", self.gate)
        return make_gate(self.gate, **rebuilt(self.gate_options))

    def resolved(self) -> SearchConfig:
        """The configuration with every option of the optimizer and of the gate.

        Raises:
            UnknownNameError: an option that one of the two does not have.
        """
        values: dict[str, Any] = {}
        for name, options, registry, what in (
            ("agent", "options", METHODS, f"option of {label(self.agent)}"),
            ("gate", "gate_options", GATES, f"option of the gate {label(self.gate)}"),
        ):
            given = getattr(self, name)
            if isinstance(given, str) and not is_label(given):
                whole = rebuilt(getattr(self, options))
                recipe: Any = registry.resolve(given)
                values[options] = encoded(resolve_options(recipe, whole, what))
        return replace(self, **values)

    @property
    def network(self) -> dict[str, Any]:
        """The policy's network, as arguments of `make_policy`."""
        names = ("hidden", "activation", "bias", "memory", "squash")
        return {"source": self.policy, **{name: getattr(self, name) for name in names}}

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON types."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        own = {
            "agent": label(self.agent),
            "gate": label(self.gate),
            "task": self.task.to_json(),
            "hidden": list(self.hidden),
            "policy": None if self.policy is None else reference(self.policy),
        }
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
