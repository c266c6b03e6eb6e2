"""Options of the SB3 baselines: JSON values in, arguments of the SB3 class out."""

from __future__ import annotations

from typing import Any

import pytest
from toy_baselines import PPO, REPLAY, Collector, Maker

from zorl.agents.sb3.options import LinearSchedule, resolve
from zorl.common.errors import ConfigurationError, UnknownNameError


def test_a_linear_schedule_ends_at_zero_where_the_training_ends(make: Maker) -> None:
    options = {
        **PPO,
        "n_steps": 512,
        "learning_rate": {"schedule": "linear", "initial": 0.002},
        "clip_range": {"schedule": "linear", "initial": 0.4},
    }
    agent, collector = make("ppo", "CartPole-v1", options), Collector()
    agent.learn(1024, recorders=[collector])
    rates = [record.scalars["train/learning_rate"] for record in collector.records]
    assert rates == pytest.approx([0.001, 0.0])
    assert [r.scalars["train/clip_range"] for r in collector.records] == pytest.approx([0.2, 0.0])
    assert LinearSchedule(0.5)(-0.1) == 0.0  # a rollout may end beyond the end


def test_a_whole_number_is_an_integer_where_one_is_wanted() -> None:
    resolved = resolve("dqn", {"buffer_size": 1e4, "max_grad_norm": 5.0, "train_freq": 2.0})
    found = [resolved[name] for name in ("buffer_size", "max_grad_norm", "train_freq")]
    assert repr(found) == "[10000, 5.0, 2]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gama": 0.9}, "unknown option of ppo 'gama'; did you mean 'gamma'"),
        ({"seed": 1}, "unknown option of ppo 'seed'"),
        ({"policy": "MlpPolic"}, "did you mean 'MlpPolicy'"),
        ({"policy_kwargs": {"net_arc": [8]}}, "did you mean 'net_arch'"),
        ({"policy_kwargs": {"activation_fn": "rellu"}}, "did you mean .*'relu'"),
        ({"learning_rate": {"schedule": "linaer", "initial": 1.0}}, "did you mean 'linear'"),
    ],
)
def test_unknown_names_get_the_nearest(make: Maker, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        make("ppo", "CartPole-v1", options)


@pytest.mark.parametrize(
    ("agent", "options", "more", "message"),
    [
        ("ppo", {"batch_size": 1}, {}, "ppo cannot be made: .*batch_size"),
        ("ppo", {"learning_rate": "fast"}, {}, "ppo cannot be made"),
        ("ppo", {"learning_rate": {"schedule": "linear"}}, {}, "entries schedule and initial"),
        ("ppo", {"learning_rate": {"schedule": "linear", "initial": "1"}}, {}, "must be a number"),
        ("sac", {"buffer_size": 1.5}, {}, "buffer_size of sac must be an integer, got 1.5"),
        ("ppo", {"policy_kwargs": [8]}, {}, "policy_kwargs must be a mapping"),
        ("ppo", {"gamma": float("nan")}, {}, "must be finite"),
        ("td3", {"action_noise": {"type": "pink", "std": 1}}, {}, "unknown action noise 'pink'"),
        ("td3", {"train_freq": [1, "episode"]}, {"n_envs": 2}, "train_freq in episodes"),
        ("ppo", {}, {"n_envs": 0}, "n_envs must be"),
        ("ppo", {}, {"normalize": 1}, "normalize must be"),
        ("ppo", {}, {"seed": -1}, "seed must be"),
        ("pppo", {}, {}, "did you mean 'ppo'"),
    ],
)
def test_values_that_cannot_work_are_refused(
    make: Maker, agent: str, options: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(agent, "Pendulum-v1", options, **more)


def test_training_by_the_episode(make: Maker) -> None:
    agent = make("td3", "Pendulum-v1", {**REPLAY, "train_freq": [1, "episode"]}).learn(150)
    assert agent.num_timesteps == 200
