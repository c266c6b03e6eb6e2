from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.envs import Task, make_task, task_of


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
        (lambda: gym.envs.classic_control.CartPoleEnv(), "has no spec"),  # type: ignore[attr-defined]
        (lambda: Silent(gym.make("CartPole-v1")), "Silent does not record its arguments"),
        (
            lambda: gym.wrappers.RescaleAction(
                gym.make("Pendulum-v1"), np.array([-1.0], np.float32), np.array([1.0], np.float32)
            ),
            "'min_action' must be a JSON value",
        ),
    ],
)
def test_environments_that_cannot_be_made_again_are_refused(env: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        task_of(env())
