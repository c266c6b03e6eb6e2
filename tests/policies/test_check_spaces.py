from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from zorl.common.errors import UnsupportedSpaceError
from zorl.policies.spaces import check_spaces

BOX = spaces.Box(-1, 1, (2,))


class Spaces(gym.Env):
    def __init__(self, observation: Any, action: Any) -> None:
        self.observation_space, self.action_space = observation, action


@pytest.mark.parametrize(
    "observation",
    [
        BOX,
        spaces.Box(0, 255, (3, 4, 2), np.uint8),
        spaces.Box(-5, 5, (2,), np.int64),
        spaces.Box(-1, 1, (), np.float64),
        spaces.Discrete(4, start=2),
    ],
)
def test_supported_observations(observation: Any) -> None:
    check_spaces(Spaces(observation, spaces.Discrete(2)))


@pytest.mark.parametrize(
    "action",
    [
        spaces.Discrete(3),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(4),
        BOX,
        spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
    ],
)
def test_supported_actions(action: Any) -> None:
    check_spaces(Spaces(BOX, action))


@pytest.mark.parametrize(
    "observation",
    [
        spaces.Dict({"a": BOX}),
        spaces.Tuple([BOX, BOX]),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
    ],
)
def test_unsupported_observations_that_can_be_flattened_say_so(observation: Any) -> None:
    env = Spaces(observation, spaces.Discrete(2))
    with pytest.raises(UnsupportedSpaceError) as caught:
        check_spaces(env)
    message = str(caught.value)
    assert str(observation) in message
    assert "Box" in message and "Discrete" in message
    assert "flatten-observation" in message
    check_spaces(gym.wrappers.FlattenObservation(env))  # the cure works


def test_unsupported_observations_that_cannot_be_flattened_promise_no_cure() -> None:
    with pytest.raises(UnsupportedSpaceError, match="observation space Text") as caught:
        check_spaces(Spaces(spaces.Text(5), spaces.Discrete(2)))
    assert "flatten" not in str(caught.value)


class Mission(gym.Space[Any]):
    """A space that does not say whether it can be flattened, as MiniGrid's."""


def test_parts_that_cannot_be_flattened_are_left_out_by_the_cure() -> None:
    parts: Any = {"direction": spaces.Discrete(4), "image": BOX, "mission": Mission()}
    with pytest.raises(UnsupportedSpaceError) as caught:
        check_spaces(Spaces(spaces.Dict(parts), spaces.Discrete(2)))
    cure = "gymnasium.wrappers:FilterObservation(filter_keys=['image', 'direction'])"
    assert cure in str(caught.value) or cure.replace(
        "'image', 'direction'", "'direction', 'image'"
    ) in str(caught.value)
    with pytest.raises(UnsupportedSpaceError) as caught:
        check_spaces(Spaces(spaces.Tuple([BOX, Mission()]), spaces.Discrete(2)))
    assert "flatten" not in str(caught.value)


@pytest.mark.parametrize(
    "action",
    [spaces.Dict({"a": BOX}), spaces.Tuple([BOX]), spaces.Box(0, 5, (2,), np.int64)],
)
def test_unsupported_actions_name_what_is_supported(action: Any) -> None:
    with pytest.raises(UnsupportedSpaceError) as caught:
        check_spaces(Spaces(BOX, action))
    message = str(caught.value)
    assert str(action) in message
    assert all(kind in message for kind in ("Discrete", "MultiBinary", "Box of floats"))
    assert "ActionWrapper" in message
