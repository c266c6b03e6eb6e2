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
        spaces.Dict({"a": BOX, "b": spaces.MultiBinary(2)}),
        spaces.Tuple([BOX, spaces.MultiDiscrete([2, 3])]),
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


class Mission(gym.Space[Any]):
    """A space that does not say whether it can be flattened, as MiniGrid's."""


def test_an_environment_is_named_with_what_it_cannot_be_read_of() -> None:
    parts: Any = {"direction": spaces.Discrete(4), "image": BOX, "mission": Mission()}
    with pytest.raises(UnsupportedSpaceError, match=r"Spaces.*not Mission \(\['mission'\]\)") as e:
        check_spaces(Spaces(spaces.Dict(parts), spaces.Discrete(2)))
    wrapper = "gymnasium.wrappers:FilterObservation(filter_keys=['direction', 'image'])"
    assert wrapper in str(e.value)
    env = Spaces(spaces.Dict(parts), spaces.Discrete(2))
    check_spaces(gym.wrappers.FilterObservation(env, ["direction", "image"]))  # the cure works


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


def test_spaces_without_a_number_are_refused() -> None:
    for observation, action in ((spaces.Box(-1, 1, (0,)), BOX), (BOX, spaces.Box(-1, 1, (2, 0)))):
        with pytest.raises(UnsupportedSpaceError, match="holds no number at all"):
            check_spaces(Spaces(observation, action))
