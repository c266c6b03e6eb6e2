"""The configuration of a search agent: resolved, checked, read back."""

from __future__ import annotations

from typing import Any

import pytest
from run_outcomes import bits
from toy_searches import CART, small

from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs import make_task
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.weights import SigmaR
from zorl.policies.mlp import MlpPolicy
from zorl.search.gates import StaleBest


def test_the_configuration_is_resolved_and_comes_back() -> None:
    given: dict[str, Any] = {"learning_rate": 0.5, "sigma": 0.25, "m": 5}
    agent = small("openai-es", hidden=[4, 2], gate="sequential", **given)
    config = agent.config
    assert config["family"] == "search"
    assert config["hidden"] == [4, 2]
    assert config["options"] == {**given, "weight_decay": 0.0}
    assert config["gate_options"] == {"max_episodes": 30, "error_rate": 0.1, "batch": 5}
    values = {key: value for key, value in config.items() if key != "family"}
    again = SearchConfig.from_json(values)
    assert SearchAgent(again).config == config
    assert again.to_json() == values
    assert agent.parameters == (4 * 5) + (2 * 5) + (2 * 3) == len(agent.state.theta)


def test_the_published_mountain_car_network_has_51_parameters() -> None:
    agent = make_agent("mpge", "MountainCar-v0", hidden=(8,))
    assert agent.parameters == 51


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"agent": "cmaes"}, UnknownNameError, "unknown agent 'cmaes'; did you mean 'cma-es'"),
        ({"gate": "paird"}, UnknownNameError, "unknown gate 'paird'; did you mean 'paired'"),
        ({"normalize": "runing"}, UnknownNameError, "did you mean 'running'"),
        ({"non_finite": "wurst"}, UnknownNameError, "did you mean 'worst'"),
        ({"activation": "tan"}, UnknownNameError, "unknown activation 'tan'; did you mean 'tanh'"),
        ({"bias": 1}, ConfigurationError, "bias must be True or False, got 1"),
        ({"stochastic": "yes"}, ConfigurationError, "stochastic must be True or False, got 'yes'"),
        ({"noise_std": -0.1}, ConfigurationError, "noise_std must be a number ≥ 0, got -0.1"),
        ({"hidden": 0.5}, ConfigurationError, "hidden sizes must be like 8"),
        ({"hidden": (8, 0)}, ConfigurationError, "each hidden size must be an integer ≥ 1, got 0"),
        ({"episodes": 0}, ConfigurationError, "episodes must be an integer ≥ 1, got 0"),
        ({"episodes": "5"}, ConfigurationError, "episodes must be an integer ≥ 1, got '5'"),
        ({"max_episodes": "5"}, ConfigurationError, "max_episodes must be an integer ≥ 2"),
        ({"episodes": 5, "max_episodes": 4}, ConfigurationError, "≥ episodes = 5, got 4"),
        ({"seed": -1}, ConfigurationError, "a seed must be ≥ 0, got -1"),
        ({"seed": 0.5}, ConfigurationError, "a seed must be an integer, got 0.5"),
        ({"options": [1]}, ConfigurationError, "options must be names with values"),
        ({"options": {"raduis": 1}}, UnknownNameError, "option of spsa 'raduis'; .*'radius'"),
        ({"options": {"radius": "x"}}, ConfigurationError, "radius must be like [0-9.]+, got 'x'"),
        ({"options": {"m": 1.5}}, ConfigurationError, "m must be like [0-9]+, got 1.5"),
        ({"options": {"m": True}}, ConfigurationError, "m must be like [0-9]+, got True"),
        ({"options": {"gains": 1}}, ConfigurationError, "gains must be like False, got 1"),
        ({"options": {"radius": -1}}, ConfigurationError, "radius must be a finite number > 0"),
        (
            {"gate": "paired", "gate_options": {"episode": 3}},
            UnknownNameError,
            "option of the gate paired 'episode'; did you mean 'episodes'",
        ),
        (
            {"gate": "sequential", "gate_options": {"error_rate": "x"}},
            ConfigurationError,
            "error_rate must be like 0.1, got 'x'",
        ),
        ({"gate_options": {"episodes": 3}}, UnknownNameError, "option of the gate off 'episodes'"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        SearchAgent(SearchConfig(**{"agent": "spsa", "task": make_task(CART), **changes}))
    assert type(caught.value) is kind


def test_options_reach_the_optimizer_and_the_gate() -> None:
    agent = small("ars", m=6, top=2, radius=0.5, gate="stale-best", gate_options={"episodes": 9})
    optimizer = agent.search.optimizer
    assert isinstance(optimizer, GradientSearch)
    assert (optimizer.m, optimizer.radius, optimizer.weights) == (6, 0.5, SigmaR(2))
    assert agent.search.gate == StaleBest(9)
    assert small(episodes=3).search.episodes == 3
    policy = small(bias=False).policy
    assert isinstance(policy, MlpPolicy)
    assert not policy.bias
    assert small(normalize="bounds").state.normalizer.mode == "bounds"


def test_the_run_s_seed_decides() -> None:
    states = [bits(small("mpge", seed=seed, hidden=(2,)).learn(300)) for seed in (1, 1, 2)]
    assert states[0] == states[1]
    assert states[0] != states[2]
