"""What an episode of a MuJoCo task starts from: the arrays of MjData that `reset` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs.mujoco.task import CompiledMujoco

# Arrays that MuJoCo takes as they are: positions, velocities, activations of actuators, controls,
# mocap bodies, and numbers of a task's own (<size nuserdata="…"/>), such as a goal.
NAMES = ("qpos", "qvel", "act", "ctrl", "mocap_pos", "mocap_quat", "userdata")


def start_of(task: CompiledMujoco, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """The arrays that an episode starts from, by name: positions and velocities, then others.

    Args:
        task: the task.
        rng: the generator that `reset(seed=…)` of its environment seeds.

    Raises:
        UnknownNameError: `reset` returns something under another name than `NAMES`.
        ConfigurationError: it returns something else, or of another shape.
    """
    name, model = type(task).__name__, task.model
    shapes = dict(
        zip(
            NAMES,
            [
                *((n,) for n in (model.nq, model.nv, model.na, model.nu)),
                *((model.nmocap, 3), (model.nmocap, 4), (model.nuserdata,)),
            ],
            strict=True,
        )
    )
    found: Any = task.reset(rng)
    if isinstance(found, (tuple, list)) and len(found) == 2:
        found = {"qpos": found[0], "qvel": found[1]}
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"{name}.reset must return {model.nq} positions and {model.nv} velocities, as "
            f"(qpos, qvel), or a mapping with these names, got {found!r}"
        )
    for key in found:
        if key not in NAMES:
            raise UnknownNameError(f"array that {name}.reset returns:", str(key), NAMES)
    given: dict[str, Any] = {"qpos": task.init_qpos, "qvel": task.init_qvel, **found}
    start: dict[str, NDArray[np.float64]] = {}
    for key in sorted(given, key=NAMES.index):
        try:
            start[key] = np.array(given[key], np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{name}.reset returns {given[key]!r} as {key}, which are no numbers"
            ) from error
        if start[key].shape != shapes[key]:
            raise ConfigurationError(
                f"{name}.reset returns {key} of shape {start[key].shape}; that of the model is "
                f"{shapes[key]}"
            )
    return start
