"""Episodes that are no function of their seed are noticed."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

from zorl.common.errors import ConfigurationError
from zorl.envs import make_task, task_of
from zorl.envs.repeatable import warn_if_not_repeatable


class Drifting(gym.RewardWrapper[Any, Any]):
    """Pays more in every episode."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.episodes = 0

    def reset(self, **kwargs: Any) -> Any:
        self.episodes += 1
        return super().reset(**kwargs)

    def reward(self, reward: Any) -> float:
        return float(reward) * self.episodes


class Steady(gym.RewardWrapper[Any, Any]):
    """Pays double."""

    def reward(self, reward: Any) -> float:
        return 2.0 * float(reward)


class Unseeded(gym.ObservationWrapper[Any, Any, Any]):
    """Starts every episode where the last one ended."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.calls = 0

    def observation(self, observation: Any) -> Any:
        self.calls += 1
        return observation + self.calls


@pytest.mark.parametrize(("wrapper", "warned"), [(Drifting, 1), (Unseeded, 1), (Steady, 0)])
@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
def test_a_wrapper_with_a_memory_of_earlier_episodes_is_told(
    env_id: str, wrapper: Any, warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(env_id)
    object.__setattr__(task, "wrappers", ((f"mine:{wrapper.__name__}", {}),))
    warn_if_not_repeatable(wrapper(gym.make(env_id)), task)
    assert len(caplog.records) == warned
    assert caplog.text.count(f"mine:{wrapper.__name__}) or the environment remembers") == warned


def test_environments_without_wrappers_of_others_are_not_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for wrappers in ([], ["frame-stack(stack_size=2)"]):
        warn_if_not_repeatable(
            Drifting(gym.make("CartPole-v1")), make_task("CartPole-v1", wrappers)
        )
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("NormalizeObservation", "--normalize running does it right"),
        ("NormalizeReward", "a baseline has it with --set normalize=true"),
    ],
)
def test_wrappers_with_statistics_of_earlier_episodes_are_refused(name: str, cure: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} keeps statistics .*{cure}"):
        make_task("Pendulum-v1", [f"gymnasium.wrappers:{name}"])
    with pytest.raises(ConfigurationError, match=f"{name} keeps statistics .*{cure}"):
        make_task("Pendulum-v1", [name])  # as it is called in most code
    with pytest.raises(ConfigurationError, match="'ClipAction'; Gymnasium's is named"):
        make_task("Pendulum-v1", ["ClipAction"])
    with pytest.raises(ConfigurationError, match=cure):
        task_of(getattr(gym.wrappers, name)(gym.make("Pendulum-v1")))
