"""Policies to export: agents of every kind of space and activation, with observations for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.envs import make_task
from zorl.policies.normalization import Moments


@dataclass(frozen=True)
class Case:
    """An agent with parameters as after a search, and observations (n, …) that reach far out."""

    name: str
    agent: Any
    observations: NDArray[Any]

    @cached_property
    def expected(self) -> NDArray[Any]:
        """(n, k) the actions of `predict`."""
        actions = np.asarray(self.agent.predict(self.observations)[0])
        return actions.reshape(len(actions), -1)


def case(
    name: str, observation: str, action: str, n: int = 10_000, spread: float = 1.0, **options: Any
) -> Case:
    """A case of `toy_envs:Walk`.

    Args:
        name: of the case.
        observation: a name in `toy_envs.OBSERVATIONS`.
        action: a name in `toy_envs.ACTIONS`.
        n: how many observations.
        spread: of the parameters.
        options: of the agent.
    """
    options = {"normalize": "running", "backend": "gymnasium", **options}
    task = make_task(WALK, env_kwargs={"observation": observation, "action": action})
    agent: Any = make_agent("random-search", task, **options)
    rng = np.random.default_rng(0)
    snapshot = agent.snapshot()
    size = snapshot.encoder.size
    observations: NDArray[Any]
    if observation == "discrete":
        observations = rng.integers(2, 7, n)
    elif observation == "image":
        observations = rng.integers(0, 256, (n, 2, 3)).astype(np.uint8)
    else:
        observations = rng.standard_normal((n, size)) * 10.0 ** rng.uniform(-3, 1, (n, size))
    features = snapshot.encoder.batch(observations)[0]
    m2 = 50 * features.var(axis=0) * rng.uniform(0.2, 4.0, size)
    m2[-1] = 0.0  # a feature that never changed
    normalizer = agent.state.normalizer.merge(Moments(50, features.mean(axis=0), m2))
    theta = spread * rng.standard_normal(agent.parameters)
    last = agent.policy.layers[-1]
    theta[-last[0] * last[1] :] /= 4 * spread  # so that few actions are clipped to their bounds
    agent.state = agent.search.init(theta, normalizer)
    return Case(name, agent, observations)


def cases(n: int = 10_000) -> list[Case]:
    """Every activation, space and way to normalise; linear and deep."""
    return [
        case("linear_1", "box", "open-box", n, hidden=(), bias=False),
        case("tanh_2", "box", "box", n, 3.0),
        case("relu_3", "image", "box", n, hidden=(6, 5), activation="relu"),
        case("elu_4", "box", "box", n, activation="elu", normalize="off", bias=False),
        case("sigmoid_5", "discrete", "open-box", n, activation="sigmoid", hidden=(4, 7, 3)),
        case("squashed_5", "box", "box", n, activation="relu", squash=True),
        case("silu_6", "image", "box", n, activation="silu", normalize="bounds"),
        case("choice_7", "image", "discrete", n),
        case("choices_8", "box", "multi-discrete", n, activation="relu"),
        case("switches_9", "discrete", "multi-binary", n, 9.0),
    ]
