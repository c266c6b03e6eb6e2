"""Published tuned settings, row by row."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import gymnasium as gym
import pytest

from zorl.agents.published import TABLES, Settings, tuned
from zorl.agents.registry import make_config
from zorl.agents.sb3.algorithms import BASELINES
from zorl.agents.sb3.options import check_action_space, keywords, resolve
from zorl.agents.search.config import SearchConfig
from zorl.common.options import resolve_options
from zorl.envs import Task, make_task
from zorl.optimizers import ars

SB3_ROWS = [(agent, env_id) for agent in BASELINES for env_id in TABLES.get(agent, ())]
CLASSIC = ["CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1", "Pendulum-v1"]


def row_of(agent: str, env_id: str) -> Settings:
    found = tuned(agent, env_id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("agent", "env_id", "n_envs", "normalize", "n_timesteps", "some"),
    [
        (
            "ppo",
            "CartPole-v1",
            8,
            False,
            100_000,
            {"n_epochs": 20, "clip_range": {"schedule": "linear", "initial": 0.2}},
        ),
        ("ppo", "MountainCar-v0", 16, True, 1_000_000, {"n_steps": 16, "gae_lambda": 0.98}),
        ("ppo", "MountainCarContinuous-v0", 1, True, 20_000, {"vf_coef": 0.19, "use_sde": True}),
        ("ppo", "HalfCheetah-v5", 1, True, 1_000_000, {"learning_rate": 2.0633e-05}),
        ("ppo", "Hopper-v5", 1, True, 1_000_000, {"vf_coef": 0.835671, "batch_size": 32}),
        ("a2c", "LunarLander-v3", 8, False, 200_000, {"gamma": 0.995, "ent_coef": 1e-05}),
        ("a2c", "Pendulum-v1", 8, True, 1_000_000, {"n_steps": 8, "normalize_advantage": False}),
        ("dqn", "CartPole-v1", 1, False, 50_000, {"train_freq": 256, "gradient_steps": 128}),
        ("dqn", "Acrobot-v1", 1, False, 100_000, {"gradient_steps": -1, "learning_starts": 0}),
        ("sac", "Pendulum-v1", 1, False, 20_000, {"learning_rate": 0.001}),
        ("sac", "Swimmer-v5", 1, False, 1_000_000, {"gamma": 0.999, "learning_starts": 10_000}),
        (
            "td3",
            "MountainCarContinuous-v0",
            1,
            False,
            300_000,
            {"action_noise": {"type": "ornstein-uhlenbeck", "std": 0.5}},
        ),
        ("ars", "Hopper-v5", 1, True, 7_000_000, {"m": 8, "top": 4, "radius": 0.025, "hidden": []}),
        (
            "ars",
            "MountainCar-v0",
            1,
            True,
            500_000,
            {"m": 8, "top": 1, "learning_rate": 0.018, "hidden": [16], "normalize": "running"},
        ),
        ("ars", "Swimmer-v5", 1, False, 2_000_000, {"m": 1, "normalize": "off", "bias": False}),
    ],
)
def test_rows_are_those_that_were_published(
    agent: str, env_id: str, n_envs: int, normalize: bool, n_timesteps: int, some: dict[str, Any]
) -> None:
    row = row_of(agent, env_id)
    assert (row.n_envs, row.normalize, row.n_timesteps) == (n_envs, normalize, n_timesteps)
    assert {name: row.settings[name] for name in some} == some


def test_rows_have_what_was_published_and_no_more() -> None:
    assert row_of("sac", "Pendulum-v1").settings == {"learning_rate": 0.001}
    assert row_of("ppo", "Ant-v5").settings == {}
    assert row_of("a2c", "MountainCar-v0").settings == {"ent_coef": 0.0}


def test_every_environment_at_hand_is_there() -> None:
    for agent in ("ppo", "a2c", "ars"):
        assert all(tuned(agent, env_id) is not None for env_id in CLASSIC)
        for env_id in ("LunarLander-v3", "BipedalWalker-v3", "Swimmer-v5", "Walker2d-v5"):
            assert tuned(agent, env_id) is not None


@pytest.mark.parametrize("env_id", ["Hopper-v4", "Hopper-v5", "Hopper-v3", "Hopper"])
def test_versions_share_settings_and_the_source_says_which_was_published(env_id: str) -> None:
    row = row_of("ppo", env_id)
    assert row.settings == TABLES["ppo"]["Hopper-v4"].settings
    assert row.source == "RL Baselines3 Zoo 22e3ff2, hyperparams/ppo.yml, Hopper-v4"


def test_a_module_is_no_part_of_the_name_but_a_namespace_is() -> None:
    assert tuned("ppo", "some.module:CartPole-v1") == tuned("ppo", "CartPole-v1")
    assert tuned("ppo", "phys2d/CartPole-v1") is None


@pytest.mark.parametrize(
    ("agent", "env_id"),
    [("ppo", "Hopperr-v4"), ("dqn", "Pendulum-v1"), ("sac", "CartPole-v1"), ("cma-es", "Ant-v4")],
)
def test_where_nothing_was_published_there_is_nothing(agent: str, env_id: str) -> None:
    assert tuned(agent, env_id) is None


def test_changing_what_was_given_out_does_not_change_the_table() -> None:
    row_of("ppo", "Hopper-v4").settings["policy_kwargs"]["net_arch"]["pi"].append(7)
    assert row_of("ppo", "Hopper-v4").settings["policy_kwargs"]["net_arch"]["pi"] == [256, 256]
    assert row_of("ppo", "HalfCheetah-v4").settings["policy_kwargs"]["net_arch"]["pi"] == [256, 256]


@pytest.mark.parametrize(("agent", "env_id"), SB3_ROWS)
def test_sb3_knows_every_option(agent: str, env_id: str) -> None:
    row = row_of(agent, env_id)
    assert json.loads(json.dumps(row.settings)) == row.settings
    box = gym.spaces.Box(-1.0, 1.0, (2,))
    options = resolve(agent, {"policy": "MlpPolicy", **row.settings})
    arguments = keywords(agent, options, box, row.n_envs)
    for name, value in row.settings.items():
        if isinstance(value, (bool, int, float, str)):
            assert arguments[name] == value


@pytest.mark.parametrize("agent", BASELINES)
def test_rows_are_for_environments_that_the_agent_can_act_in(agent: str) -> None:
    for env_id in set(TABLES.get(agent, ())) & set(CLASSIC):
        env = gym.make(env_id)
        check_action_space(agent, env_id, env.action_space)
        env.close()


@pytest.mark.parametrize("env_id", sorted(TABLES["ars"]))
def test_ars_rows_are_a_configuration_of_the_search_agent(env_id: str) -> None:
    row = row_of("ars", env_id)
    names = {field.name for field in fields(SearchConfig)}
    own = {name: value for name, value in row.settings.items() if name in names}
    rest = {name: value for name, value in row.settings.items() if name not in names}
    more = {"alive_bonus_offset", "zero_policy"}
    assert set(own) - more == {"hidden", "bias", "activation", "normalize", "episodes"}
    resolve_options(ars, rest, "option of ars")
    assert set(rest) == {"m", "top", "learning_rate", "radius"}
    assert 1 <= rest["top"] <= rest["m"]
    own["hidden"] = tuple(own["hidden"])
    config = SearchConfig("ars", make_task("CartPole-v1"), rest, **own)
    assert config.episodes == 1
    assert config.bias == bool(config.hidden)  # the Zoo's LinearPolicy has no bias


def test_what_zorl_cannot_do_is_said() -> None:
    assert row_of("ars", "Hopper-v5").left_out == {}
    assert row_of("ars", "BipedalWalker-v3").left_out == {"squash_output": True}


def test_what_is_left_out_of_published_settings_is_told_where_they_are_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config: Any = make_config("ars", make_task("MountainCarContinuous-v0"))
    assert config.source.endswith("; without squash_output=True, which zorl does not have")
    assert config.source in caplog.text
    config = make_config("ars", Task("BipedalWalker-v3"))
    assert (config.alive_bonus_offset, config.zero_policy, config.hidden) == (-0.1, True, (16,))
    caplog.clear()
    assert make_config("ars", Task("Hopper-v5")).to_json()["alive_bonus_offset"] == -1
    assert not caplog.records
