"""`auto`: which agent and settings a task gets, by its spaces, its rewards, and the parameters.

Two tables, `POLICIES` and `AGENTS`; in each the first row that holds decides. A bonus for survival
(`zorl.envs.survival`) is left out of the search. What comes out are plain settings of a plain
agent: a configuration, a file and a resumed run know nothing of the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from zorl.common.options import parse_sizes
from zorl.envs import Task
from zorl.envs.ids import close_env
from zorl.envs.survival import survival_bonus
from zorl.policies.observations import ObservationEncoder
from zorl.policies.source import check_source, make_policy
from zorl.policies.spaces import ActionDecoder, check_spaces

AUTO: Final = "auto"
SUMMARY: Final = (
    "Chooses agent and settings by the spaces, the first rewards, and the number of parameters."
)

# The fields of `SearchConfig` that it sets.
CHOSEN: Final = (
    *("hidden", "bias", "normalize", "episodes", "max_episodes"),
    "alive_bonus_offset",
)


@dataclass(frozen=True)
class Shape:
    """What the rule knows of a task and of the policy that acts in it.

    Attributes:
        features: numbers that the policy reads.
        states: whether these are one state of a finite number, one-hot.
        continuous: whether actions are a Box.
        linear: whether the policy is linear; False before it is known.
        parameters: d, of the policy; 0 before it is known.
        memory: whether the policy has one.
    """

    features: int
    states: bool
    continuous: bool
    linear: bool = False
    parameters: int = 0
    memory: bool = False


@dataclass(frozen=True)
class Row:
    """A row of one of the tables.

    Attributes:
        when: for which tasks it is, in words.
        what: what it chooses, in words.
        holds: for which tasks it is.
        settings: fields of `SearchConfig` and arguments of the agent's recipe.
        agent: the agent; "" in the table of policies.
    """

    when: str
    what: str
    holds: Callable[[Shape], bool]
    settings: Callable[[Shape], dict[str, Any]]
    agent: str = ""


POLICIES: Final = (
    Row(
        "a memory is asked for",
        "the memory, and outputs that are linear in its state",
        lambda shape: shape.memory,
        lambda _: {"hidden": ()},
    ),
    Row(
        "observations are Discrete",
        "linear without biases, of the one-hot state: an action for each state",
        lambda shape: shape.states,
        lambda _: {"hidden": (), "bias": False, "normalize": "off"},
    ),
    Row(
        "actions are a Box, 8 features or more",
        "linear",
        lambda shape: shape.continuous and shape.features >= 8,
        lambda _: {"hidden": ()},
    ),
    Row(
        "actions are a Box, fewer features",
        "16 hidden units, tanh",
        lambda shape: shape.continuous,
        lambda _: {"hidden": (16,)},
    ),
    Row(
        "any other",
        "8 hidden units, tanh",
        lambda _: True,
        lambda _: {"hidden": (8,)},
    ),
)

AGENTS: Final = (
    Row(
        "a linear policy of a Box of actions",
        "one episode a candidate; 16 directions, the better half of which is used; radius "
        "0.12/√features, which moves an action by 0.12 of half its range; learning rate "
        "0.08/√features",
        lambda shape: shape.continuous and shape.linear,
        lambda shape: {
            "m": 16,
            "top": 0.5,
            "radius": _per_feature(0.12, shape),
            "learning_rate": _per_feature(0.08, shape),
            "episodes": 1,
            "max_episodes": None,
        },
        "ars",
    ),
    Row(
        "another policy of a Box of actions, up to 1,000 parameters",
        "64 candidates",
        lambda shape: shape.continuous and shape.parameters <= 1000,
        lambda _: {"popsize": 64},
        "cma-es",
    ),
    Row(
        "any other, up to 1,000 parameters",
        "its own settings",
        lambda shape: shape.parameters <= 1000,
        lambda _: {},
        "cma-es",
    ),
    Row(
        "any other",
        "its own settings",
        lambda _: True,
        lambda _: {},
        "lm-ma-es",
    ),
)


def _per_feature(change: float, shape: Shape) -> float:
    """The size of a parameter's perturbation that changes an output by `change`, on average.

    An output is a sum over features whose mean square is 1 once they are normalised.
    """
    return float(f"{change / np.sqrt(shape.features):.2g}")


def choose(task: Task, given: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
    """An agent and its settings for a task.

    Args:
        task: what is to be learned.
        given: what the user has set already; a policy of one's own and its size are minded.

    Returns:
        The agent's name; its settings, as in `zorl.optimizers.registry`; and the choice in words.

    Raises:
        UnsupportedSpaceError: no policy can handle the task's spaces.
    """
    env = task.make()
    try:
        check_spaces(env)
        encoder = ObservationEncoder.for_space(env.observation_space)
        decoder = ActionDecoder.for_space(env.action_space)
        bonus = 0.0 if "alive_bonus_offset" in given else survival_bonus(env)
    finally:
        close_env(env)
    memory = given.get("memory")
    shape = Shape(
        encoder.size,
        encoder.kind == "discrete",
        decoder.kind == "box",
        memory=memory is not None,
    )
    settings = first(POLICIES, shape).settings(shape)
    network = {**settings, **given}
    source, hidden = network.get("policy"), parse_sizes(network["hidden"])
    if source is not None:
        check_source(source)
    kind = {name: network[name] for name in ("activation", "bias") if name in network}
    policy = make_policy(encoder.size, decoder, source, hidden, memory=memory, **kind)
    linear = source is None and memory is None and not hidden
    shape = replace(shape, linear=linear, parameters=policy.dim)
    row = first(AGENTS, shape)
    words = (
        f"auto: {row.agent} for {shape.features} {'states' if shape.states else 'features'}, "
        f"{'continuous' if shape.continuous else 'discrete'} actions, {policy.dim:,} parameters"
    )
    settings |= row.settings(shape)
    if bonus:
        settings["alive_bonus_offset"] = -bonus
        words += f"; without the bonus of {bonus:g} for each step survived"
    return row.agent, settings, words


def first(table: tuple[Row, ...], shape: Shape) -> Row:
    """The first row of a table that holds; the last one always does."""
    return next(row for row in table if row.holds(shape))
