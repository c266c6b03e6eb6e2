from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import (
    MaxAndSkipObservation as MaxAndSkip,
    TimeAwareObservation as TimeAware,
    TimeLimit,
)

from zorl.common.errors import ConfigurationError
from zorl.envs import Task, make_task, task_of
from zorl.envs.from_env import TIME_LIMIT


class Silent(gym.Wrapper):
    """Does not record its arguments."""


def wrapped_cart_pole(**kwargs: Any) -> Any:
    return gym.wrappers.ClipReward(gym.make("CartPole-v1", **kwargs).unwrapped, 0.0, 0.5)


@pytest.fixture
def prewrapped() -> Iterator[Any]:
    """An environment whose constructor, and whose registration, put wrappers on."""
    gym.register(
        id="zorltest/Pre-v0",
        entry_point=wrapped_cart_pole,
        max_episode_steps=20,
        additional_wrappers=(
            gym.wrappers.ClipReward.wrapper_spec(min_reward=0.0, max_reward=0.5),
            gym.wrappers.FrameStackObservation.wrapper_spec(stack_size=2),
        ),
    )
    yield "zorltest/Pre-v0"
    gym.registry.pop("zorltest/Pre-v0")


@pytest.mark.parametrize(
    "task",
    [
        make_task("CartPole-v1"),
        make_task("CartPole-v1", env_kwargs={"max_episode_steps": 7, "sutton_barto_reward": True}),
        make_task("CartPole-v1", env_kwargs={"max_episode_steps": -1}),
        make_task("CartPole-v1", env_kwargs={"disable_env_checker": True}),
        make_task("FrozenLake-v1", ["flatten-observation"], {"is_slippery": False}),
        make_task("MountainCar-v0", ["momentum", "frame-stack(stack_size=2)"]),
    ],
)
def test_an_environment_gives_its_task_back(task: Any) -> None:
    found = task_of(task.make())
    assert found.env_id == task.env_id
    assert found.env_kwargs == task.env_kwargs
    assert (found.success, found.threshold) == (task.success, task.threshold)
    assert [name for name, _ in found.wrappers] == [name for name, _ in task.wrappers]
    assert str(found.make()) == str(task.make())
    assert task_of(found.make()) == found == Task.from_json(found.to_json())


def test_arguments_of_wrappers_come_back() -> None:
    env = gym.wrappers.ClipReward(gym.make("Pendulum-v1"), -1.0, 0.0)
    assert task_of(env).wrappers == (("clip-reward", {"min_reward": -1.0, "max_reward": 0.0}),)


def test_wrappers_that_only_watch_and_the_render_mode_are_left_out() -> None:
    env = gym.make("CartPole-v1", render_mode="rgb_array_list")
    assert task_of(gym.wrappers.RecordEpisodeStatistics(env)) == make_task("CartPole-v1")


def test_sb3s_monitor_is_left_out() -> None:
    monitor = pytest.importorskip("stable_baselines3.common.monitor")
    env = gym.wrappers.ClipReward(monitor.Monitor(gym.make("CartPole-v1")), 0.0, 0.5)
    assert [name for name, _ in task_of(env).wrappers] == ["clip-reward"]


def test_wrappers_of_the_environment_itself_are_not_put_on_twice(prewrapped: Any) -> None:
    env = make_task(prewrapped).make()
    assert task_of(env) == make_task(prewrapped)
    env = gym.wrappers.ClipReward(env, 0.0, 0.25)
    found = task_of(env)
    assert found.wrappers == (("clip-reward", {"min_reward": 0.0, "max_reward": 0.25}),)
    assert found.make().observation_space == env.observation_space


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (lambda: Silent(gym.make("CartPole-v1")), "Silent does not record its arguments"),
        (
            lambda: gym.wrappers.TransformReward(gym.make("Pendulum-v1"), float),
            "TransformReward: option 'func' must be a JSON value.*give a function that makes",
        ),
    ],
)
def test_environments_that_cannot_be_made_again_are_refused(env: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        task_of(env())


def length(env: gym.Env[Any, Any]) -> int:
    """Steps of an episode that nothing but a time limit ends."""
    env.reset(seed=0)
    for step in range(1, 3000):
        _, _, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
        if terminated or truncated:
            return step
    return 0


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        (lambda: TimeLimit(gym.make("Pendulum-v1"), 1000), 200),  # the inner one ends it
        (lambda: TimeLimit(gym.make("Pendulum-v1"), 50), 50),
        (lambda: TimeLimit(MaxAndSkip(gym.make("Pendulum-v1"), 4), 20), 20),
        (lambda: TimeLimit(MaxAndSkip(gym.make("Pendulum-v1"), 4), 70), 50),
        (lambda: MaxAndSkip(TimeLimit(gym.make("Pendulum-v1"), 20), 4), 5),
        (lambda: TimeLimit(TimeLimit(TimeAware(gym.make("Pendulum-v1")), 90), 30), 30),
        (lambda: TimeLimit(gym.make("Pendulum-v1").unwrapped, 30), 30),
        (lambda: gym.make("Pendulum-v1", max_episode_steps=-1), 0),
    ],
)
def test_time_limits_stay_in_their_places(build: Any, steps: int) -> None:
    env = build()
    task = task_of(env)
    again = task.make()
    assert length(env) == length(again) == steps
    assert again.observation_space == env.observation_space
    assert task_of(again) == task == Task.from_json(task.to_json())


def test_a_time_limit_around_the_wrappers_of_the_registration_stays_outside(
    prewrapped: Any,
) -> None:
    task = task_of(TimeLimit(make_task(prewrapped).make(), 5))
    assert task.env_kwargs == {}
    assert task.wrappers == ((TIME_LIMIT, {"max_episode_steps": 5}),)
    assert not task.shaped


def test_what_was_set_on_the_environment_is_told(caplog: pytest.LogCaptureFixture) -> None:
    env = gym.make("Pendulum-v1")
    env.unwrapped.g = 100.0  # type: ignore[attr-defined]
    assert task_of(env) == make_task("Pendulum-v1")
    assert "has g = 100.0, one that is made again has g = 10.0" in caplog.text
    caplog.clear()
    envs = [gym.make("Pendulum-v1", g=3.0), gym.make("CartPole-v1"), gym.make("Acrobot-v1")]
    for env in envs:
        env.reset(seed=3)
        for _ in range(3):
            env.step(env.action_space.sample())
        task_of(env)
    assert not caplog.records
