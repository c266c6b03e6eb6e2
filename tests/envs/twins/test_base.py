"""Which tasks have a twin, and which one it is."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import pytest
from registries import forget_afterwards
from toy_twins import DRIFT, ECHO, EchoFive, EchoTwo, RightDrift

from zorl.common.errors import ConfigurationError
from zorl.envs import CompiledEnv, Task, find_twin, make_task, register_twin
from zorl.envs.twins import classic_control as twins
from zorl.envs.twins.base import REWARD_TWINS, TWINS, Twin, register_reward_twin, rehearse


@pytest.mark.parametrize(
    ("env_id", "kind", "limit"),
    [
        ("MountainCar-v0", twins.MountainCar, 200),
        ("MountainCarContinuous-v0", twins.MountainCarContinuous, 999),
        ("CartPole-v0", twins.CartPole, 200),
        ("CartPole-v1", twins.CartPole, 500),
        ("Acrobot-v1", twins.Acrobot, 500),
        ("Pendulum-v1", twins.Pendulum, 200),
    ],
)
def test_classic_control_has_twins(env_id: str, kind: type[CompiledEnv], limit: int) -> None:
    assert find_twin(Task(env_id)) == Twin(kind(), (), limit)


def test_options_and_wrappers_reach_the_twin() -> None:
    task = make_task(
        "MountainCar-v0",
        ["momentum(speed_weight=7, step_cost=2)"],
        {"goal_velocity": 0.01, "max_episode_steps": 77},
    )
    twin = find_twin(task)
    assert twin == Twin(
        twins.MountainCar(goal_velocity=0.01), (twins.Momentum(speed_weight=7, step_cost=2),), 77
    )
    assert find_twin(make_task(ECHO, env_kwargs={"action": "wide", "single": False})) == Twin(
        EchoTwo(single=False), (), 8
    )
    assert find_twin(make_task(ECHO)) == Twin(EchoFive(), (), 8)


@pytest.mark.parametrize(("place", "taken"), [("zorl.envs.drift", True), ("elsewhere", False)])
def test_zorl_s_twins_are_of_gymnasium_s_and_zorl_s_environments(
    place: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_afterwards(TWINS, monkeypatch)
    monkeypatch.setitem(
        gym.registry,
        "zorltest/Own-v0",
        gym.envs.registration.EnvSpec("zorltest/Own-v0", f"{place}:Own", max_episode_steps=9),
    )
    register_twin("zorltest/Own-v0", twins.Pendulum)
    assert (find_twin(Task("zorltest/Own-v0")) is not None) == taken


def test_the_twin_of_momentum_has_its_defaults() -> None:
    from zorl.envs import MomentumReward

    momentum = find_twin(make_task("MountainCar-v0", ["momentum"]))
    assert momentum is not None
    defaults = MomentumReward.__init__.__kwdefaults__
    assert vars(momentum.rewards[0]) == defaults


@pytest.mark.parametrize(
    "task",
    [
        Task("FrozenLake-v1"),
        Task("CartPole-v1", {"no_such_option": 1}),
        Task("MountainCar-v0", wrappers=(("clip-reward", {}),)),
        Task("MountainCar-v0", wrappers=(("momentum", {}), ("clip-reward", {}))),
        Task("MountainCar-v0", wrappers=(("momentum", {"no_such_option": 1}),)),
        Task("MountainCar-v0", success="info"),
        Task("MountainCar-v0", {"max_episode_steps": -1}),  # Gymnasium's word for none
        Task("MountainCar-v0", {"max_episode_steps": 0}),
        Task("MountainCar-v0", {"max_episode_steps": None}),
        Task("MountainCar-v0", {"max_episode_steps": 99.5}),
        Task("MountainCar-v0", {"max_episode_steps": 2**31}),
    ],
)
def test_what_a_twin_does_not_cover_has_none(task: Task) -> None:
    assert find_twin(task) is None


@pytest.mark.parametrize(
    "change", [{"entry_point": "toy_envs:Walk"}, {"additional_wrappers": ("one",)}]
)
def test_another_environment_under_a_known_id_has_no_twin(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = copy.copy(gym.spec("CartPole-v1"))
    for name, value in change.items():
        setattr(spec, name, value)
    assert find_twin(Task("CartPole-v1")) is not None
    monkeypatch.setitem(gym.registry, "CartPole-v1", spec)
    assert find_twin(Task("CartPole-v1")) is None


def test_a_type_error_inside_a_constructor_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(twins.CartPole):
        def __init__(self) -> None:
            len(5)  # type: ignore[arg-type]

    monkeypatch.setitem(TWINS._things, "CartPole-v1", Broken)
    with pytest.raises(TypeError, match=r"no len\(\)"):
        find_twin(Task("CartPole-v1"))


def test_twins_are_registered_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (TWINS, REWARD_TWINS):
        monkeypatch.setattr(registry, "_things", dict(registry))
    register_twin("CartPole-v3", RightDrift)
    assert register_twin("CartPole-v4")(RightDrift) is RightDrift
    assert TWINS["CartPole-v3"] is TWINS["CartPole-v4"] is RightDrift
    register_reward_twin("half", twins.Momentum)
    assert register_reward_twin("double")(twins.Momentum) is twins.Momentum
    assert REWARD_TWINS["half"] is REWARD_TWINS["double"] is twins.Momentum
    for register in (register_twin, register_reward_twin):
        with pytest.raises(ConfigurationError, match="must be"):
            register("CartPole-v5", RightDrift())  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="'CartPole-v1' is registered already"):
        register_twin("CartPole-v1", RightDrift)


def test_options_that_a_twin_takes_as_they_come_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TWINS._things, "CartPole-v1", lambda **options: RightDrift(**options))
    assert find_twin(Task("CartPole-v1", {"push": 3.0})) == Twin(RightDrift(3.0), (), 500)


def test_an_error_of_a_twins_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: Any) -> CompiledEnv:
        raise ConfigurationError("length must be > 0")

    monkeypatch.setitem(TWINS._things, "CartPole-v1", broken)
    with pytest.raises(ConfigurationError, match="length must be"):
        find_twin(Task("CartPole-v1"))


def test_a_rehearsal_passes_what_fits() -> None:
    for env_id, action, observations in [
        ("MountainCar-v0", [1.0], 2),
        ("MountainCarContinuous-v0", [0.5], 2),
        ("CartPole-v1", [0.0], 4),
        ("Acrobot-v1", [2.0], 6),
        ("Pendulum-v1", [0.1], 3),
        (DRIFT, [0.0], 2),
        (ECHO, [0.0] * 5, 3),
    ]:
        twin = find_twin(make_task(env_id))
        assert twin is not None
        rehearse(twin, action, observations)
        with pytest.raises(ConfigurationError, match="expected"):
            rehearse(twin, [*action, 0.0], observations)
        with pytest.raises(ConfigurationError, match=f"tuple of {observations + 1} numbers"):
            rehearse(twin, action, observations + 1)


def test_the_example_of_the_docstring_is_a_twin() -> None:
    text = str(CompiledEnv.__doc__)
    lines = [line.strip()[4:] for line in text.splitlines() if line.strip()[:3] in (">>>", "...")]
    from dataclasses import dataclass

    space: dict[str, Any] = {"dataclass": dataclass, "CompiledEnv": CompiledEnv}
    exec("\n".join(lines), space)
    rehearse(Twin(space["Drift"](), (), 9), [1.0], 1)
