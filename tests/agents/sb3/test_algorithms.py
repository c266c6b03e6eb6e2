"""The algorithms of stable-baselines3: the spaces that they take, the parameters that act."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from toy_baselines import PPO, REPLAY, SMALL, Maker, play

from zorl.agents.sb3.algorithms import Algorithm
from zorl.common.errors import ConfigurationError
from zorl.envs import Task


@pytest.mark.parametrize(
    ("agent", "env", "fitting"),
    [
        ("dqn", "Pendulum-v1", {"ppo", "a2c", "sac", "td3"}),
        ("sac", "CartPole-v1", {"ppo", "a2c", "dqn"}),
    ],
)
def test_a_wrong_action_space_names_the_agents_that_fit(
    make: Maker, agent: str, env: str, fitting: set[str]
) -> None:
    with pytest.raises(ConfigurationError, match=f"{agent} needs .* that fit: ") as caught:
        make(agent, env)
    named = set(str(caught.value).rpartition(": ")[2].split(", "))
    assert named & {"ppo", "a2c", "dqn", "sac", "td3"} == fitting


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("sb4_contrib:TRPO", "the baseline Mine: no module named 'sb4_contrib'; is it installed"),
        ("stable_baselines3:PPO9", "stable_baselines3 .* has no 'PPO9'; it may be too old"),
    ],
)
def test_a_library_that_is_missing_or_old_is_named(reference: str, message: str) -> None:
    mine: Any = type("Mine", (Algorithm,), {"reference": reference})
    with pytest.raises(ConfigurationError, match=message):
        mine.load()


def test_spaces_that_cannot_work_are_refused(make: Maker) -> None:
    for kwargs, message in (
        ({"actions": "unbounded"}, "need finite action bounds"),
        ({"start": 1}, "number actions from 0"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            make("ppo", Task("zorltest/Broken-v0", kwargs))
    with pytest.raises(ConfigurationError, match=r"sac scales actions to the width .* overflows"):
        make("sac", Task("zorltest/Broken-v0", {"actions": "huge"}))
    make("ppo", Task("zorltest/Broken-v0", {"actions": "huge"}), PPO)  # it only clips
    for sees, message in (("discrete", "number observations from 0"), ("number", "with an axis")):
        task = Task("zorltest/Broken-v0", {"sees": sees, "disable_env_checker": True})
        with pytest.raises(ConfigurationError, match=message + r".* wrap .* flatten-observation"):
            make("ppo", task)
        wrapped = replace(task, wrappers=(("flatten-observation", {}),))
        assert make("ppo", wrapped, PPO).learn(64).num_timesteps == 64
    with pytest.raises(ConfigurationError, match="normalize needs Box observations"):
        make("ppo", "FrozenLake-v1", normalize=True)
    with pytest.raises(ConfigurationError, match=r"those of Blackjack-v1 are Tuple.*wrap the env"):
        make("ppo", "Blackjack-v1")


@pytest.mark.parametrize("actions", ["binary", "many"])
def test_spaces_of_several_choices(make: Maker, actions: str) -> None:
    agent = make("ppo", Task("zorltest/Broken-v0", {"actions": actions}), PPO).learn(64)
    env = agent.task.make()
    assert agent.evaluate((9,)).returns[0, 0] == play(agent, env, 9)[0]
    env.close()


def test_discrete_observations(make: Maker) -> None:
    agent = make("ppo", "FrozenLake-v1", PPO).learn(64)
    env = agent.task.make()
    assert agent.evaluate((1,)).lengths[0, 0] == play(agent, env, 1)[2]
    env.close()


@pytest.mark.parametrize(
    ("agent", "env", "options", "count"),
    [
        ("ppo", "CartPole-v1", {}, 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2),
        ("ppo", "Pendulum-v1", SMALL, 3 * 8 + 8 + 8 + 1),  # without the log standard deviation
        ("a2c", "CartPole-v1", SMALL, 4 * 8 + 8 + 8 * 2 + 2),
        ("dqn", "CartPole-v1", REPLAY, 4 * 8 + 8 + 8 * 2 + 2),  # one of its two networks
        ("sac", "Pendulum-v1", REPLAY, 3 * 8 + 8 + 8 + 1),
        ("sac", "Pendulum-v1", {**REPLAY, "use_sde": True}, 3 * 8 + 8 + 8 + 1),
        ("td3", "Pendulum-v1", REPLAY, 3 * 8 + 8 + 8 + 1),
    ],
)
def test_only_parameters_that_act_are_counted(
    make: Maker, agent: str, env: str, options: dict[str, Any], count: int
) -> None:
    assert make(agent, env, options).parameters == count
