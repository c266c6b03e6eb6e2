"""`auto`: what the rule chooses, and that what comes out is a plain agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_searches import CART

from zorl.agents.registry import agent_of, config_from_json, load_agent, make_agent, make_config
from zorl.agents.search.auto import AGENTS, CHOSEN, POLICIES, Shape, first
from zorl.agents.search.config import SearchConfig
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.optimizers.registry import METHODS


def chosen(env: str, **options: Any) -> SearchConfig:
    config = make_config("auto", env, **options)
    assert isinstance(config, SearchConfig)
    return config


@pytest.mark.parametrize(
    ("shape", "hidden"),
    [
        (Shape(16, states=True, continuous=False), ()),
        (Shape(8, states=False, continuous=True), ()),
        (Shape(7, states=False, continuous=True), (16,)),
        (Shape(8, states=False, continuous=False), (8,)),
    ],
    ids=str,
)
def test_the_policy_is_chosen_by_the_spaces(shape: Shape, hidden: tuple[int, ...]) -> None:
    assert first(POLICIES, shape).settings(shape)["hidden"] == hidden


@pytest.mark.parametrize(
    ("shape", "agent"),
    [
        (Shape(9, False, True, linear=True, parameters=10), "ars"),
        (Shape(3, False, True, linear=False, parameters=1000), "cma-es"),
        (Shape(3, False, True, linear=False, parameters=1001), "lm-ma-es"),
        (Shape(4, False, False, linear=False, parameters=1000), "cma-es"),
        (Shape(4, False, False, linear=False, parameters=1001), "lm-ma-es"),
        (Shape(500, True, False, linear=True, parameters=3000), "lm-ma-es"),
    ],
    ids=str,
)
def test_the_agent_is_chosen_by_the_policy(shape: Shape, agent: str) -> None:
    assert first(AGENTS, shape).agent == agent


def test_a_perturbation_moves_an_action_alike_for_any_number_of_features() -> None:
    for features in (9, 100):
        shape = Shape(features, states=False, continuous=True, linear=True, parameters=30)
        radius = first(AGENTS, shape).settings(shape)["radius"]
        inputs = np.random.default_rng(features).standard_normal((2000, features))
        weights = radius * np.random.default_rng(1).standard_normal((features, 500))
        assert (inputs @ weights).std() == pytest.approx(0.12, rel=0.1)


def test_every_row_s_settings_are_options_of_its_agent() -> None:
    shape = Shape(20, states=False, continuous=True, linear=True, parameters=500)
    for row in AGENTS:
        settings = row.settings(shape)
        own = {name: value for name, value in settings.items() if name not in CHOSEN}
        assert METHODS.resolve(row.agent)(**own)
    for row in POLICIES:
        assert row.settings(shape).keys() <= {*CHOSEN}


def test_a_task_gets_plain_settings_of_a_plain_agent() -> None:
    config = chosen("FrozenLake-v1")
    assert (config.agent, config.hidden, config.bias) == ("cma-es", (), False)
    assert (config.normalize, config.episodes) == ("off", 2)
    assert config.source == "auto: cma-es for 16 states, discrete actions, 64 parameters"
    again = config_from_json({"family": "search", **config.to_json()})
    assert again == config


def test_what_is_set_comes_first_and_the_rule_minds_it() -> None:
    assert chosen(CART, sigma0=0.5, episodes=7).options["sigma0"] == 0.5
    assert chosen(CART, episodes=7).episodes == 7
    large = chosen(CART, hidden="64,64")
    assert (large.agent, large.hidden) == ("lm-ma-es", (64, 64))
    assert "4,610 parameters" in large.source
    assert large.max_episodes == METHODS.defaults("lm-ma-es")["max_episodes"]
    assert chosen(CART, hidden="64,64", episodes=3).max_episodes is None


def test_a_bonus_for_survival_is_left_out_of_the_search() -> None:
    pytest.importorskip("mujoco")
    hopper = chosen("Hopper-v5")
    assert (hopper.agent, hopper.hidden, hopper.alive_bonus_offset) == ("ars", (), -1.0)
    assert hopper.source.endswith("36 parameters; without the bonus of 1 for each step survived")
    assert chosen("Hopper-v5", alive_bonus_offset=0.0).alive_bonus_offset == 0


@pytest.mark.parametrize(
    ("env", "options", "kind", "words"),
    [
        (CART, {"hidden": "many"}, ConfigurationError, "hidden sizes must be like 8"),
        (CART, {"activation": "tan"}, UnknownNameError, "did you mean 'tanh'"),
        (CART, {"policy": 3}, ConfigurationError, "policy must be"),
        (CART, {"radius": 3}, UnknownNameError, "option of cma-es 'radius'"),
    ],
)
def test_bad_input_is_told(env: str, options: dict[str, Any], kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        agent_of(make_config("auto", env, **options))


def test_the_agent_is_the_one_of_that_name_and_a_file_knows_no_rule(tmp_path: Path) -> None:
    auto, plain = (make_agent(name, CART, seed=3).learn(1500) for name in ("auto", "cma-es"))
    assert auto.name == "cma-es"
    assert auto.state.theta.tolist() == plain.state.theta.tolist()  # type: ignore[attr-defined]
    assert (auto.description or "").startswith("auto: cma-es for 4 features, discrete actions, 58")
    assert "auto" not in (plain.description or "")
    auto.save(tmp_path / "agent.zip")
    loaded = load_agent(tmp_path / "agent.zip")
    assert loaded.config == auto.config
    for agent in (auto, plain, loaded):
        agent.close()
