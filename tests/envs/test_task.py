from __future__ import annotations

import json
import pickle
from typing import Any

import gymnasium as gym
import pytest
from toy_envs import ENDLESS

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs import MomentumReward, NativeReturn, Task, make_task, native_recorder
from zorl.envs.task import DEFAULT_LIMIT

FULL = Task(
    "CartPole-v1",
    {"max_episode_steps": 50, "nested": {"range": [0.2, 1.0]}},
    (("momentum", {"speed_weight": 10}), ("pkg.mod:Class", {})),
    "threshold",
    45,
)


def test_json_round_trip_is_equal_and_plain() -> None:
    data = FULL.to_json()
    assert data == {
        "env_id": "CartPole-v1",
        "env_kwargs": {"max_episode_steps": 50, "nested": {"range": [0.2, 1.0]}},
        "wrappers": [["momentum", {"speed_weight": 10}], ["pkg.mod:Class", {}]],
        "success": "threshold",
        "threshold": 45.0,
    }
    assert Task.from_json(json.loads(json.dumps(data))) == FULL
    assert Task.from_json({"env_id": "CartPole-v1"}) == Task("CartPole-v1")


def test_equal_tasks_have_one_hash_and_survive_pickle() -> None:
    twin = Task.from_json(FULL.to_json())
    assert len({FULL, twin}) == 1
    again = pickle.loads(pickle.dumps(FULL))
    assert again == FULL
    assert hash(again) == hash(FULL)
    assert Task("CartPole-v1", {"max_episode_steps": 51}) != Task(
        "CartPole-v1", {"max_episode_steps": 50}
    )


def test_a_task_does_not_follow_the_dict_it_was_made_of() -> None:
    kwargs = {"max_episode_steps": 50}
    task = Task("CartPole-v1", kwargs)
    kwargs["max_episode_steps"] = 1
    assert task.env_kwargs == {"max_episode_steps": 50}
    with pytest.raises(TypeError):
        task.env_kwargs["max_episode_steps"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"env_id": "A", "treshold": 1}, "field of a task 'treshold'; did you mean 'threshold'"),
        ({"success": "none"}, "needs the field 'env_id'"),
        ([], "a task is a mapping of its fields"),
        ({"env_id": 3}, "env_id must be text, got 3"),
        ({"env_id": "A", "success": "terminatd"}, "did you mean 'terminated'"),
        ({"env_id": "A", "success": ["none"]}, "kind of success"),
        ({"env_id": "A", "threshold": "much"}, "threshold must be a number, got 'much'"),
        ({"env_id": "A", "threshold": True}, "threshold must be a number, got True"),
        ({"env_id": "A", "threshold": float("nan")}, "threshold must be finite"),
        ({"env_id": "A", "success": "threshold"}, "needs a threshold"),
        ({"env_id": "A", "wrappers": None}, "wrappers must be a list"),
        ({"env_id": "A", "wrappers": "momentum"}, "wrappers must be a list"),
        ({"env_id": "A", "wrappers": ["momentum"]}, r"a wrapper is a \(name, options\) pair"),
        ({"env_id": "A", "wrappers": [["momentum", 3]]}, "options must be a mapping"),
        ({"env_id": "A", "env_kwargs": [1]}, "options must be a mapping"),
        ({"env_id": "A", "env_kwargs": {"render_mode": "human"}}, "pass it to Task.make"),
    ],
)
def test_bad_data_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Task.from_json(data)


def test_a_task_without_a_time_limit_gets_one_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = make_task(ENDLESS)
    assert task.env_kwargs == {"max_episode_steps": DEFAULT_LIMIT}
    assert "toy/Endless-v0 has no time limit" in caplog.text
    assert "truncated after 10,000 steps; set another limit with --max-episode-steps" in caplog.text
    env = make_task(ENDLESS, max_episode_steps=3).make()
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]
    caplog.clear()
    for limit in (-1, 7):
        limited = make_task(ENDLESS, max_episode_steps=limit)
        assert limited.env_kwargs == {"max_episode_steps": limit}
        assert make_task(ENDLESS, env_kwargs={"max_episode_steps": limit}) == limited
    assert Task.from_json({"env_id": ENDLESS}).env_kwargs == {}  # a task of before
    assert make_task("CartPole-v1").env_kwargs == {}
    assert not caplog.records
    spec = make_task(ENDLESS, max_episode_steps=-1).make().spec
    assert spec is not None
    assert spec.max_episode_steps is None


@pytest.mark.parametrize("limit", [0, -2, 2.5, "soon", True])
def test_a_time_limit_is_a_number_of_steps(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_episode_steps must be an integer ≥ 1"):
        make_task("CartPole-v1", max_episode_steps=limit)


@pytest.mark.parametrize(
    ("wrapper", "shaped"),
    [
        ("flatten-observation", False),
        ("time-aware-observation", False),
        ("frame-stack(stack_size=2)", False),
        ("gymnasium.wrappers:ClipAction", False),
        ("clip-reward(min_reward=0)", True),
        ("gymnasium.wrappers:OrderEnforcing", True),  # it might do anything
    ],
)
def test_a_task_is_shaped_where_a_wrapper_may_change_rewards(wrapper: str, shaped: bool) -> None:
    assert make_task("Pendulum-v1", [wrapper]).shaped == shaped
    assert make_task("Pendulum-v1", [wrapper, "clip-reward(min_reward=0)"]).shaped


def test_a_wrapper_that_is_not_installed_may_change_rewards() -> None:
    assert Task("Pendulum-v1", wrappers=(("zorl_elsewhere:Wrapper", {}),)).shaped


def test_make_without_wrappers_is_plain_gymnasium() -> None:
    task = make_task("MountainCar-v0", env_kwargs={"max_episode_steps": 2, "goal_velocity": 0.1})
    env = task.make()
    assert not task.shaped
    assert native_recorder(env) is None
    assert env.unwrapped.goal_velocity == 0.1  # type: ignore[attr-defined]
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(2)] == [False, True]


def test_make_records_the_native_return_inside_the_wrappers_in_order() -> None:
    task = make_task("MountainCar-v0", ["momentum(step_cost=2)", "frame-stack(stack_size=2)"])
    env = task.make()
    assert task.shaped
    assert isinstance(env, gym.wrappers.FrameStackObservation)
    assert isinstance(env.env, MomentumReward)
    assert isinstance(env.env.env, NativeReturn)
    env.reset(seed=0)
    assert -2.0 <= env.step(0)[1] < -1.0  # type: ignore[operator]
    assert native_recorder(env).episode_return == -1.0  # type: ignore[union-attr]


def test_render_mode_is_passed_on() -> None:
    assert make_task("CartPole-v1").make().render_mode is None
    env = make_task("MountainCar-v0", ["momentum"]).make(render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    env.close()


@pytest.mark.parametrize(
    ("env_id", "success", "threshold"),
    [
        ("MountainCar-v0", "terminated", -110.0),
        ("MountainCarContinuous-v0", "terminated", 90.0),
        ("Acrobot-v1", "terminated", -100.0),
        ("CartPole-v0", "threshold", 195.0),
        ("CartPole-v1", "threshold", 475.0),
        ("LunarLander-v3", "threshold", 200.0),
        ("LunarLanderContinuous-v3", "threshold", 200.0),
        ("BipedalWalker-v3", "threshold", 300.0),
        ("Swimmer-v5", "threshold", 360.0),
        ("HalfCheetah-v5", "threshold", 4800.0),
        ("Hopper-v5", "threshold", 3800.0),
        ("Walker2d-v5", "none", None),
        ("Pendulum-v1", "none", None),
    ],
)
def test_success_and_threshold_of_known_tasks(
    env_id: str, success: str, threshold: float | None
) -> None:
    task = make_task(env_id)
    assert (task.env_id, task.success, task.threshold) == (env_id, success, threshold)


def test_success_and_threshold_can_be_given() -> None:
    task = make_task("Pendulum-v1", threshold=-200)
    assert (task.success, task.threshold) == ("threshold", -200.0)
    task = make_task("MountainCar-v0", threshold=-100)
    assert (task.success, task.threshold) == ("terminated", -100.0)
    task = make_task("CartPole-v1", success="none")
    assert (task.success, task.threshold) == ("none", 475.0)
    with pytest.raises(ConfigurationError, match="needs a threshold"):
        make_task("Pendulum-v1", success="threshold")


@pytest.mark.parametrize(
    ("task", "native_return", "terminated", "info", "expected"),
    [
        (make_task("MountainCar-v0"), -150.0, True, {}, True),
        (make_task("MountainCar-v0"), -200.0, False, {}, False),
        (make_task("MountainCar-v0"), 0.0, False, {"is_success": True}, False),
        (make_task("CartPole-v1"), 475.0, False, {}, True),
        (make_task("CartPole-v1"), 475.0, True, {}, True),
        (make_task("CartPole-v1"), 474.9, True, {}, False),
        (make_task("CartPole-v1"), float("nan"), True, {}, False),
        (make_task("CartPole-v1", success="info"), 0.0, False, {"is_success": 1}, True),
        (make_task("CartPole-v1", success="info"), 500.0, True, {"is_success": 0}, False),
        (make_task("Pendulum-v1"), 0.0, True, {"is_success": True}, False),
    ],
)
def test_what_counts_as_success(
    task: Any, native_return: Any, terminated: bool, info: Any, expected: bool
) -> None:
    assert task.succeeded(native_return, terminated, info) is expected


@pytest.mark.parametrize("info", [None, {"success": True}])
def test_success_from_info_needs_the_key(info: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs 'is_success'"):
        make_task("CartPole-v1", success="info").succeeded(500.0, False, info)


def test_require_threshold() -> None:
    assert make_task("CartPole-v1").require_threshold() == 475.0
    with pytest.raises(ConfigurationError, match="Pendulum-v1 has no threshold; pass --threshold"):
        make_task("Pendulum-v1").require_threshold()


def test_wrappers_are_a_list() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean \['momentum'\]"):
        make_task("MountainCar-v0", "momentum")
    with pytest.raises(ConfigurationError, match="pair"):
        make_task("MountainCar-v0", [("momentum",)])  # type: ignore[list-item]


def test_unknown_kind_of_success() -> None:
    with pytest.raises(UnknownNameError, match="kind of success 'treshold'"):
        make_task("CartPole-v1", success="treshold")  # type: ignore[arg-type]
