"""Environments given as classes, functions and objects, played by name where they have one."""

from __future__ import annotations

import threading
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from toy_envs import Walk

from zorl.common.errors import ConfigurationError
from zorl.envs import Task, as_task, given_again, make_task


def local_class() -> Any:
    """A class without a name to import, as those of a notebook."""

    class Mine(Walk):
        def __init__(self, push: float = 0.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.push = push

        def step(self, action: Any) -> Any:
            observation, reward, *rest = super().step(action)
            return (observation, reward + self.push, *rest)

    return Mine


def first_rewards(task: Task) -> list[float]:
    env = task.make()
    env.reset(seed=4)
    rewards = [float(env.step(0)[1]) for _ in range(3)]
    env.close()
    return rewards


def elsewhere(task: Task) -> Task:
    """As a worker process or another machine gets it."""
    sent = cloudpickle.dumps(task)
    copy: Task = cloudpickle.loads(sent)
    return copy


def test_whatever_makes_it_the_same_is_played() -> None:
    expected = first_rewards(make_task("toy_envs:toy/Walk-v0"))
    mine = local_class()
    for source, name in (
        (Walk, "toy_envs:Walk"),
        ("toy_envs:Walk", "toy_envs:Walk"),
        (gym.spec("toy/Walk-v0"), "toy/Walk-v0"),
        (Walk(), "<Walk>"),
        (mine, "<Mine>"),
        (mine(), "<Mine>"),
        (lambda: gym.wrappers.ClipReward(mine(), -100, 100), "<lambda>"),
        (lambda: gym.make("toy/Walk-v0"), "toy/Walk-v0"),
    ):
        task = as_task(source)
        assert task.env_id.startswith(name)
        assert first_rewards(task) == expected
        assert first_rewards(elsewhere(task)) == expected
    pushed = make_task(mine, ["clip-reward(max_reward=0)"], {"push": 0.5}, threshold=3.0)
    assert np.allclose(first_rewards(pushed), np.minimum(0, np.array(expected) + 0.5))
    assert pushed.success == "threshold"


def test_an_object_is_copied_when_it_is_given() -> None:
    env = local_class()(push=1.0)
    env.reset(seed=99)
    task = as_task(env)
    env.push = 5.0
    expected = np.array(first_rewards(make_task("toy_envs:toy/Walk-v0"))) + 1
    assert np.allclose(first_rewards(task), expected)
    assert np.allclose(first_rewards(task), expected)  # each time a copy
    assert env.push == 5.0


def test_what_has_no_name_is_asked_for_again() -> None:
    mine = local_class()
    task = make_task(mine, ["clip-reward(max_reward=0)"], {"push": 0.5})
    saved = Task.from_json(task.to_json())
    assert saved == task and saved.spec is None
    with pytest.raises(ConfigurationError, match=r"<Mine> was given in Python .*path, env="):
        saved.make()
    assert first_rewards(given_again(saved, mine)) == first_rewards(task)
    with pytest.raises(ConfigurationError, match=r"saved environment is <Mine>.* given toy_envs"):
        given_again(saved, Walk)
    named = make_task(Walk)
    assert Task.from_json(named.to_json()).make().unwrapped.__class__ is Walk


def test_ids_that_this_program_registers_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("__main__.Mine", local_class(), raising=False)
    for entry in ("__main__:Mine", local_class()):
        gym.register("zorltest/Mine-v0", entry, max_episode_steps=9, kwargs={"push": 1.0})
        task = make_task("zorltest/Mine-v0")
        expected = first_rewards(task)
        gym.registry.pop("zorltest/Mine-v0")
        assert first_rewards(elsewhere(task)) == expected
        with pytest.raises(ConfigurationError, match="Mine-v0"):  # a file needs its name
            Task.from_json(task.to_json()).make()
    assert make_task("CartPole-v1").spec is make_task("toy_envs:toy/Walk-v0").spec is None


def test_its_own_time_limit_counts(caplog: pytest.LogCaptureFixture) -> None:
    def limited() -> Any:
        return gym.wrappers.FlattenObservation(gym.wrappers.TimeLimit(Walk(), 5))

    for source in (limited, limited()):
        task = as_task(source)
        assert task.env_kwargs == {"max_episode_steps": 5}
    assert not caplog.records
    assert make_task(Walk).env_kwargs == {"max_episode_steps": 10_000}
    assert "toy_envs:Walk has no time limit" in caplog.text


class Fixed(Walk):
    """It cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Fixed(), r"Fixed.* cannot be copied \(TypeError.*give its class, or a function"),
        (dict, "derived from gymnasium.Env, got the class"),
        (lambda: 3, "should make a gymnasium.Env, but returned <class 'int'>"),
        (lambda: 1 / 0, "that should make an environment raised ZeroDivisionError"),
        (3, "got 3 of builtins.int"),
    ],
)
def test_what_makes_no_environment_is_refused(source: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        as_task(source)
