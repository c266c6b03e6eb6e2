"""A MuJoCo task's compiled episodes with given actions, to compare them step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zorl.envs.mujoco.task import CompiledMujoco
from zorl.rollout.compiled.cache import guarded, loaded
from zorl.rollout.compiled.mujoco.library import Simulation, addresses
from zorl.rollout.compiled.mujoco.source import kernel_source


def traced(task: CompiledMujoco) -> Callable[..., None]:
    """A function that plays given actions.

    `play(states, actions, observations, rewards, ends, chained)` takes (t + 1, nq + nv) states, of
    which the first counts, and (t, a) actions, both float64. It fills (t + 1, o) observations, (t,)
    rewards and (t,) whether a step terminated. Every step starts from the one before: `chained`
    must be true.

    Raises:
        ConfigurationError: a method uses something that a kernel cannot do.
    """
    kernel = kernel_source(task)
    trace = guarded(loaded(kernel.source).trace, task)
    simulation = Simulation(task.model, kernel.fields)

    def play(
        states: Any, actions: Any, observations: Any, rewards: Any, ends: Any, chained: bool
    ) -> None:
        assert chained, "MuJoCo's own state is more than positions and velocities"
        trace(addresses(), *simulation.memory, states[0], actions, observations, rewards, ends)

    return play
