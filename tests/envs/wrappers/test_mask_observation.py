"""mask-observation against the environment that it hides numbers of."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from zorl.common.errors import ConfigurationError
from zorl.envs import MaskObservation, find_twin, make_task


def test_what_is_kept_is_the_environments_own_in_the_order_asked_for() -> None:
    whole, masked = gym.make("Pendulum-v1"), MaskObservation(gym.make("Pendulum-v1"), keep=(2, 0))
    seen = [whole.reset(seed=1)[0], masked.reset(seed=1)[0]]
    for _ in range(5):
        assert seen[1].tolist() == [seen[0][2], seen[0][0]]
        assert masked.observation_space.contains(seen[1])
        (a, reward, *_), (b, same, *_) = (env.step(np.array([0.5])) for env in (whole, masked))
        assert reward == same
        seen = [a, b]
    assert masked.observation_space == gym.spaces.Box(
        np.array([-8.0, -1.0], np.float32), np.array([8.0, 1.0], np.float32)
    )


def test_a_mask_comes_back_from_the_spec() -> None:
    text = MaskObservation(gym.make("CartPole-v1"), keep=np.array([0, 2])).spec.to_json()  # type: ignore[arg-type,union-attr]
    again = gym.make(EnvSpec.from_json(text))
    assert isinstance(again, MaskObservation)
    assert again.observation_space.shape == (2,)


@pytest.mark.parametrize("keep", [[], [4], [-1], [0, 0], [0.5], [True], 2, None, "02"])
def test_indices_that_are_not_there_are_refused(keep: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep must be"):
        MaskObservation(gym.make("CartPole-v1"), keep=keep)


def test_other_observations_are_refused_with_the_cure() -> None:
    with pytest.raises(ConfigurationError, match="flatten-observation"):
        MaskObservation(gym.make("FrozenLake-v1"), keep=[0])


def test_a_mask_keeps_the_twin_and_rewards_inside_of_it() -> None:
    mask = ("mask-observation", {"keep": [3, 1, 0]})
    twin = find_twin(make_task("CartPole-v1", [mask, ("mask-observation", {"keep": [2, 0]})]))
    assert twin is not None
    assert twin.kept == (0, 3)
    mask = ("mask-observation", {"keep": [0]})
    shaped = find_twin(make_task("MountainCar-v0", ["momentum", mask]))
    assert shaped is not None
    assert len(shaped.rewards) == 1
    assert shaped.kept == (0,)
    assert find_twin(make_task("MountainCar-v0", [mask, "momentum"])) is None
