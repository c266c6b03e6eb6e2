"""Wrappers by name: listed ones, registered ones, and any importable one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs import (
    WRAPPERS,
    MomentumReward,
    find_wrapper,
    make_task,
    parse_wrapper,
    register_wrapper,
)

# A use of a listed wrapper, where it needs options or another environment than CartPole-v1.
USES: dict[str, tuple[str, dict[str, Any]]] = {
    "clip-reward": ("Pendulum-v1", {"min_reward": -0.5, "max_reward": 0.5}),
    "flatten-observation": ("FrozenLake-v1", {}),
    "frame-stack": ("CartPole-v1", {"stack_size": 3, "padding_type": "zero"}),
    "mask-observation": ("CartPole-v1", {"keep": [0, 2]}),
    "momentum": ("MountainCar-v0", {"speed_weight": 10, "step_cost": 0.5}),
    "time-aware-observation": ("CartPole-v1", {"normalize_time": True}),
}


class Slow(gym.Wrapper[Any, Any, Any, Any]):
    """Changes nothing."""


def episode(env: gym.Env[Any, Any], steps: int = 8) -> list[np.ndarray]:
    observation, _ = env.reset(seed=7)
    env.action_space.seed(7)
    out = [np.asarray(observation)]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        out += [np.asarray(observation), np.asarray(reward)]
        if terminated or truncated:
            break
    return out


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_every_listed_wrapper_changes_something_and_comes_back_from_json(name: str) -> None:
    env_id, options = USES.get(name, ("CartPole-v1", {}))
    task = make_task(env_id, [(name, options)])
    env = task.make()
    assert isinstance(env, WRAPPERS[name])
    assert env.spec is not None
    rows = episode(env)
    assert same(rows, episode(gym.make(EnvSpec.from_json(env.spec.to_json()))))
    assert same(rows, episode(type(task).from_json(task.to_json()).make()))
    plain = episode(gym.make(env_id))
    assert [row.shape for row in rows] != [row.shape for row in plain] or not same(rows, plain)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("frame-stack", {}),
        ("frame-stack(padding_type='zero')", {"padding_type": "zero"}),
        ("frame-stack(padding_type=zero, x=[1, 2])", {"padding_type": "zero", "x": (1, 2)}),
    ],
)
def test_a_wrapper_is_read_as_everything_with_options_is(
    text: str, options: dict[str, Any]
) -> None:
    assert parse_wrapper(text) == ("frame-stack", options)  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("momentum(1)", r"expected wrapper or wrapper\(option=value, …\)"),
        ("momentum(speed_weight=1e999)", "'speed_weight' must be finite"),
        ("momentum(speed_weight=1 + 2j)", "'speed_weight' must be a JSON value"),
    ],
)
def test_text_of_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_wrapper(text)


def test_words_reach_the_wrapper_as_text() -> None:
    env = make_task("CartPole-v1", ["frame-stack(stack_size=3, padding_type=zero)"]).make()
    observation, _ = env.reset(seed=1)
    assert np.array_equal(observation[:2], np.zeros((2, 4)))
    task = make_task("MountainCar-v0", ["momentum(speed_weight=fast)"])
    with pytest.raises(ConfigurationError, match="speed_weight must be a finite number, got 'fast"):
        task.make()


def test_a_wrapper_of_a_module_is_registered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WRAPPERS, "_things", dict(WRAPPERS))
    register_wrapper("slow")(Slow)
    assert find_wrapper("slow") is Slow
    assert isinstance(make_task("CartPole-v1", ["slow"]).make(), Slow)
    monkeypatch.setitem(WRAPPERS._things, "no-wrapper", dict)
    with pytest.raises(ConfigurationError, match="is not a gymnasium"):
        find_wrapper("no-wrapper")


def test_unknown_wrapper_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'momentun'; did you mean 'momentum'"):
        make_task("MountainCar-v0", ["momentun"])


def test_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'speed_wait'; did you mean 'speed_weight'"):
        make_task("MountainCar-v0", ["momentum(speed_wait=3)"])
    with pytest.raises(ConfigurationError, match="'flatten-observation' takes no options, got 'x'"):
        make_task("MountainCar-v0", ["flatten-observation(x=3)"])


def test_missing_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'frame-stack' needs the option 'stack_size'"):
        make_task("CartPole-v1", ["frame-stack"])


def test_any_importable_wrapper_can_be_named() -> None:
    name = "zorl.envs.wrappers.momentum_reward:MomentumReward"
    assert find_wrapper(name) is MomentumReward
    env = make_task("MountainCar-v0", [f"{name}(step_cost=0)"]).make()
    assert isinstance(env, MomentumReward)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Class", "no module named 'no_such_module'; is it installed"),
        ("gymnasium.wrappers:ClipRewards", "'ClipRewards'; did you mean 'ClipReward'"),
        ("math:Class", "unknown class or function of 'math': 'Class'"),
        ("math:sin", "is not a gymnasium.Wrapper class"),
    ],
)
def test_importable_wrappers_that_are_not_there(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        find_wrapper(name)


def test_a_module_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raising_wrappers.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="'raising_wrappers' failed with ZeroDivision"):
        find_wrapper("raising_wrappers:Class")


def test_a_wrapper_that_does_not_fit_says_on_what() -> None:
    task = make_task(
        "CartPole-v1", ["gymnasium.wrappers:RescaleAction(min_action=-1, max_action=1)"]
    )
    with pytest.raises(ConfigurationError, match=r"RescaleAction' cannot be put on <CartPoleEnv"):
        task.make()
    with pytest.raises(ConfigurationError, match="MountainCar-v0"):
        make_task("CartPole-v1", ["momentum"]).make()


def test_the_environment_is_closed_when_a_wrapper_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[gym.Env[Any, Any]] = []
    monkeypatch.setattr(
        "gymnasium.envs.classic_control.CartPoleEnv.close", lambda env: closed.append(env)
    )
    with pytest.raises(ConfigurationError):
        make_task("CartPole-v1", ["momentum"]).make()
    assert len(closed) == 1
