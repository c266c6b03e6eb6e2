"""`CompiledMujoco`: a task made of a MuJoCo model, written once in plain Python."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError

State = tuple[NDArray[np.float64], NDArray[np.float64]]
Start = State | Mapping[str, Any]


@dataclass(frozen=True)
class CompiledMujoco:
    """A task made of a MuJoCo model (MJCF): written once, stepped by Gymnasium and compiled.

    A subclass is a frozen dataclass whose fields are its options. It defines `observe` and
    `reward`, and others of the methods below where the defaults do not fit;
    `zorl.envs.register_mujoco` makes a Gymnasium environment of it.

    `data` is MuJoCo's `MjData`, under this name in all methods and helpers: with its arrays
    (`data.qpos`, `data.qvel`, `data.ctrl`, `data.xpos`, `data.sensordata`, …) and named parts
    (`data.body("torso").xpos`, `data.site("tip").xpos`, `data.sensor("touch").data`, …).
    `reset` is ordinary Python. The others are compiled: they may use these arrays, attributes of
    `self` (among them `self.model` and `self.dt`), arithmetic, `if`, loops, helper functions
    written alike, `math`, and numpy's elementwise functions, concatenate, clip, where, sum, mean
    and linalg.norm (of up to 15 numbers). Numbers are double precision, the action's too.

    Example:
        >>> @dataclass(frozen=True)
        ... class Balance(CompiledMujoco):
        ...     xml_file: str = "pole.xml"
        ...     frame_skip: int = 4
        ...     effort: float = 0.1
        ...     def observe(self, data):
        ...         return np.concatenate((data.qpos, data.qvel))
        ...     def reward(self, data, action, before):
        ...         return 1.0 - self.effort * np.sum(np.square(action))
        ...     def terminated(self, data):
        ...         return data.site("top").xpos[2] < 1.0

    Attributes:
        xml_file: the model: a path, absolute, beside the file of the class or from the working
            directory; or the text of the model itself.
        frame_skip: steps of the simulation per env step.
        camera: how the environment is shown: arguments of Gymnasium's `MujocoRenderer`, such as
            camera_name, width, height and default_cam_config.
        fast_options: what `--backend compiled-fast` sets in `model.opt`: cheaper physics.
    """

    xml_file: str = ""
    frame_skip: int = 1

    camera: ClassVar[Mapping[str, Any]] = {}
    fast_options: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        """See that options of a subclass are fields of it."""
        for name in ("xml_file", "frame_skip"):
            known = {field.name: field.default for field in fields(self)}
            if getattr(type(self), name, known[name]) != known[name]:
                raise ConfigurationError(
                    f"{type(self).__name__}.{name} is no field; write @dataclass(frozen=True) "
                    f"above the class, and the type with the value: {name}: "
                    f"{type(known[name]).__name__} = {getattr(type(self), name)!r}"
                )

    # What is to be defined ---------------------------------------------------------------------

    def observe(self, data: Any) -> Any:
        """The observation, (o,) float64."""
        raise NotImplementedError

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        """The reward of a step, from the state after it, the action and what `before` returned."""
        raise NotImplementedError

    def terminated(self, data: Any) -> Any:
        """Whether the state after a step ends the episode."""
        return False

    def before(self, data: Any) -> Any:
        """A number or an array to remember of the state before a step, for `reward`."""
        return 0.0

    def control(self, data: Any, action: Any) -> None:
        """Act: write `data.ctrl`."""
        data.ctrl[:] = action

    def reset(self, rng: np.random.Generator) -> Start:
        """The first (nq,) positions and (nv,) velocities, from `reset(seed=…)`'s generator.

        Or a mapping to arrays from names of them: `zorl.envs.mujoco.start.NAMES`.
        """
        return self.init_qpos, self.init_qvel

    @property
    def action_bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(a,) the least and the largest action: the actuators' ranges, infinite without one."""
        model = self.model
        limited = model.actuator_ctrllimited.astype(bool)
        low, high = model.actuator_ctrlrange.T
        return np.where(limited, low, -np.inf), np.where(limited, high, np.inf)

    # What is there to be used ------------------------------------------------------------------

    @cached_property
    def model(self) -> Any:
        """The `mujoco.MjModel`.

        Raises:
            ConfigurationError: there is no such file, or MuJoCo cannot read it.
        """
        import mujoco

        text = str(self.xml_file)
        path = None if text.lstrip().startswith("<") else str(self.model_path())
        try:
            if path is None:
                return mujoco.MjModel.from_xml_string(text)
            return mujoco.MjModel.from_xml_path(path)
        except ValueError as error:
            raise ConfigurationError(
                f"MuJoCo cannot read the model of {type(self).__name__}"
                f"{f', {path}' if path else ''}: {error}"
            ) from error

    def model_path(self) -> Path:
        """Where the model's file is.

        Raises:
            ConfigurationError: there is none.
        """
        given = Path(self.xml_file).expanduser()
        try:
            beside = Path(inspect.getfile(type(self))).parent / given
        except (OSError, TypeError):  # a class of a notebook
            beside = given
        for path in (beside, given):
            if self.xml_file and path.is_file():
                return path.resolve()
        raise ConfigurationError(
            f"{type(self).__name__} names the model {self.xml_file!r}, and there is no such file "
            f"beside the class ({beside.parent}) or in the working directory"
        )

    @property
    def dt(self) -> float:
        """Seconds of simulated time per env step."""
        return float(self.model.opt.timestep * self.frame_skip)

    @property
    def init_qpos(self) -> NDArray[np.float64]:
        """(nq,) the model's own positions."""
        return np.array(self.model.qpos0)

    @property
    def init_qvel(self) -> NDArray[np.float64]:
        """(nv,) zeros."""
        return np.zeros(self.model.nv)

    def __getstate__(self) -> dict[str, Any]:
        """Without the model, which is loaded again."""
        return {name: value for name, value in vars(self).items() if name != "model"}
