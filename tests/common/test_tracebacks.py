"""What the author of an environment is shown of an exception."""

from __future__ import annotations

import gymnasium as gym
import pytest
import toy_envs

from zorl.common.tracebacks import own_traceback
from zorl.envs import make_task


def frames(error: BaseException) -> list[str]:
    return [line.split('"')[1] for line in own_traceback(error).splitlines() if '", line ' in line]


def test_frames_of_zorl_and_of_gymnasium_s_wrappers_are_left_out() -> None:
    task = make_task(
        toy_envs.WALK, ["toy_envs:Doubled"], {"fault": "raise-step", "at": 1}, max_episode_steps=5
    )
    env = gym.wrappers.TransformReward(task.make(), float)
    env.reset(seed=1)
    with pytest.raises(RuntimeError) as caught:
        env.step(0)
    found = frames(caught.value)
    assert found[0] == __file__  # the caller is nobody's library
    caught.value.__traceback__ = caught.value.__traceback__ and caught.value.__traceback__.tb_next
    assert set(frames(caught.value)) == {toy_envs.__file__}
    again = ValueError("later")
    again.__cause__ = caught.value
    assert set(frames(again)) == {toy_envs.__file__}
    assert "RuntimeError: the step is broken" in own_traceback(again)


def test_of_an_exception_of_the_libraries_alone_no_frame_is_shown() -> None:
    env = gym.wrappers.OrderEnforcing(toy_envs.Walk())
    with pytest.raises(gym.error.ResetNeeded) as caught:
        env.step(0)
    error = caught.value
    assert frames(error) == [__file__, gym.wrappers.OrderEnforcing.step.__code__.co_filename]
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    assert own_traceback(error) == f"gymnasium.error.ResetNeeded: {error}\n"
