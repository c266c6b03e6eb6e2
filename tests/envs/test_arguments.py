"""Arguments of constructors: what JSON does not have comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import (
    DtypeObservation,
    FilterObservation,
    FlattenObservation,
    RescaleAction,
    RescaleObservation,
    ReshapeObservation,
    ResizeObservation,
)

from zorl.common.errors import ConfigurationError
from zorl.envs import Task, make_task, parse_wrapper, task_of
from zorl.envs.arguments import Arguments

VALUES: dict[str, Any] = {
    "shape": (84, 84),
    "keys": ["a", "b"],
    "pairs": [(1, 2), [3, (4,)]],
    "nothing": (),
    "nested": {"size": (1, 2.5), "name": "x", "none": None},
    "class": np.float32,
    "dtype": np.dtype("int16"),
    "array": np.array([[1.5, -2.0]], np.float32),
    "scalar": np.int64(3),
    "mapping": {"python/tuple": [1], "more": 2},  # not one of ours
}


def test_arguments_come_back_from_json_as_they_were() -> None:
    arguments = Arguments(VALUES)
    text = json.dumps(arguments.thaw())
    again = Arguments(json.loads(text))
    assert again == arguments
    assert hash(again) == hash(arguments)
    built = again.build()
    array, expected = built.pop("array"), dict(VALUES)
    assert array.dtype == np.float32
    assert array.tolist() == expected.pop("array").tolist()
    assert built == {**expected, "scalar": 3}
    assert [type(value) for value in built.values()] == [
        *(type(value) if name != "scalar" else int for name, value in expected.items())
    ]
    assert built["class"] is np.float32
    assert Arguments({"shape": (84, 84)}) != Arguments({"shape": [84, 84]})
    assert Arguments(dict(arguments)) == arguments
    task = make_task("CartPole-v1", env_kwargs={"size": (1, 2)})
    assert Arguments(Task(task.env_id, dict(task.env_kwargs)).env_kwargs).build() == {
        "size": (1, 2)
    }
    for wrong in ({"f": print}, {"x": (1, object())}, {"x": np.array([np.inf])}):
        with pytest.raises(ConfigurationError, match="option"):
            Arguments(wrong)


@pytest.mark.parametrize(
    "value",
    [
        {"numpy/dtype": "nonsense"},
        {"numpy/type": 3},
        {"numpy/array": [1, [2]], "dtype": "float32"},
        {"numpy/array": [1], "dtype": "x"},
    ],
)
def test_a_mutated_file_is_one_message(value: Any) -> None:
    task = Task.from_json({"env_id": "CartPole-v1", "env_kwargs": {"deep": [value]}})
    with pytest.raises(ConfigurationError, match="is no value of an argument"):
        task.make()


class Picture(gym.Env[Any, Any]):
    """A picture and a number."""

    observation_space = gym.spaces.Dict(
        {
            "picture": gym.spaces.Box(0, 255, (8, 6, 3), np.uint8),
            "number": gym.spaces.Box(-1, 1, (4,), np.float64),
        }
    )
    action_space = gym.spaces.Discrete(2)


@pytest.fixture(autouse=True)
def picture() -> Any:
    gym.register("zorltest/Picture-v0", Picture, max_episode_steps=5)  # type: ignore[arg-type]
    yield "zorltest/Picture-v0"
    gym.registry.pop("zorltest/Picture-v0")


@pytest.mark.parametrize(
    ("wrap", "wrappers"),
    [
        (
            lambda env: ReshapeObservation(
                FlattenObservation(FilterObservation(env, filter_keys=["number"])), (2, 2)
            ),
            [
                "gymnasium.wrappers:FilterObservation(filter_keys=[number])",
                "flatten-observation",
                "gymnasium.wrappers:ReshapeObservation(shape=(2, 2))",
            ],
        ),
        (
            lambda env: DtypeObservation(
                FlattenObservation(FilterObservation(env, ["picture"])), np.float32
            ),
            None,
        ),
    ],
)
def test_wrappers_with_lists_tuples_and_types_are_made_again(
    wrap: Any, wrappers: list[str] | None, picture: str
) -> None:
    env = wrap(gym.make(picture))
    task = task_of(env)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    assert task.make().observation_space == env.observation_space
    if wrappers is not None:
        assert make_task(picture, wrappers).make().observation_space == env.observation_space


def test_arrays_and_sizes_reach_gymnasiums_wrappers() -> None:
    pendulum = gym.make("Pendulum-v1")
    low, high = np.array([-1.0], np.float32), np.array([1.0], np.float32)
    task = task_of(RescaleAction(pendulum, low, high))
    assert task.make().action_space == gym.spaces.Box(low, high, dtype=np.float32)
    bounds = np.full(3, -1.0, np.float32), np.full(3, 1.0, np.float32)
    scaled = RescaleObservation(gym.make("Pendulum-v1"), *bounds)
    assert task_of(scaled).make().observation_space == scaled.observation_space
    name, arguments = parse_wrapper("gymnasium.wrappers:ResizeObservation(shape=(84, 84))")
    assert (name, arguments) == (
        "gymnasium.wrappers:ResizeObservation",
        Arguments({"shape": (84, 84)}),
    )
    pytest.importorskip("cv2")
    env = gym.make("CartPole-v1")
    assert ResizeObservation(env, **arguments.build())
