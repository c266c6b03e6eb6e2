"""Play a MuJoCo task's first step in plain Python, to see that its parts fit together."""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.envs.mujoco.start import start_of
from zorl.envs.mujoco.task import CompiledMujoco


def kept(value: Any) -> Any:
    """What `before` returned, so that a step does not change it."""
    return value.copy() if isinstance(value, np.ndarray) else value


def rehearse(task: CompiledMujoco, actions: int, observations: int | None = None) -> int:
    """The size of a task's observations.

    Args:
        task: the task.
        actions: numbers of an action.
        observations: the size that is expected of an observation; None: any.

    Raises:
        ConfigurationError: a method returns something else than it should; says which and what.
    """
    import mujoco

    name = type(task).__name__
    model, data = task.model, mujoco.MjData(task.model)
    if type(task.frame_skip) is not int or task.frame_skip < 1:
        raise ConfigurationError(f"{name}.frame_skip must be ≥ 1, got {task.frame_skip!r}")
    with np.errstate(all="ignore"):
        for key, numbers in start_of(task, np.random.default_rng(0)).items():
            getattr(data, key)[:] = numbers
        mujoco.mj_forward(model, data)
        seen = _observation(name, task, data)
        if observations is not None and seen.size != observations:
            raise ConfigurationError(
                f"{name}.observe must return {observations} numbers, the size of the observation "
                f"space, got {seen.size}"
            )
        action = np.zeros(actions)
        before = kept(task.before(data))
        try:
            task.control(data, action)
        except ValueError as error:
            raise ConfigurationError(
                f"{name}.control cannot apply an action of {actions} numbers to the {model.nu} "
                f"actuators of the model: {error}"
            ) from error
        mujoco.mj_step(model, data, nstep=task.frame_skip)
        mujoco.mj_rnePostConstraint(model, data)
        _number(name, "reward", task.reward(data, action, before))
        _number(name, "terminated", task.terminated(data))
    return int(seen.size)


def _observation(name: str, task: CompiledMujoco, data: Any) -> Any:
    seen = task.observe(data)
    if not isinstance(seen, np.ndarray) or seen.ndim != 1 or seen.dtype != np.float64:
        raise ConfigurationError(
            f"{name}.observe must return an array of float64 with one dimension, got {seen!r}"
        )
    return seen


def _number(name: str, method: str, value: Any) -> None:
    if np.shape(value) != () or not isinstance(value, (bool, int, float, np.number, np.bool_)):
        raise ConfigurationError(f"{name}.{method} must return a number, got {value!r}")
