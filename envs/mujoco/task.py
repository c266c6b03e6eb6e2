"""`CompiledMujoco`: a task made of a MuJoCo model, written once in plain Python."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError

State = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class CompiledMujoco:
    """A task made of a MuJoCo model (MJCF).

    Subclasses (frozen dataclasses, if they have parameters) define `observe` and `reward`, and
    others of the methods below where the defaults do not fit. `data` is MuJoCo's `MjData`, with its
    arrays (`data.qpos`, `data.qvel`, `data.ctrl`, `data.xpos`, `data.sensordata`, …) and its named
    parts (`data.body("torso").xpos`, `data.site("tip").xpos`, `data.sensor("touch").data`, …).
    `reset` is ordinary Python. The others are compiled: they may use these arrays, attributes of
    `self` (among them `self.model` and `self.dt`), arithmetic, `if`, loops, helper functions
    written alike, `math`, and numpy's elementwise functions, concatenate, clip, where, sum and
    linalg.norm (of up to 15 numbers). Numbers are double precision, the action's too.

    Example:
        >>> class Balance(CompiledMujoco):
        ...     xml_file = "pole.xml"
        ...     frame_skip = 4
        ...     def observe(self, data):
        ...         return np.concatenate((data.qpos, data.qvel))
        ...     def reward(self, data, action, before):
        ...         return 1.0 - 0.1 * np.sum(np.square(action))
        ...     def terminated(self, data):
        ...         return data.site("top").xpos[2] < 1.0

    Attributes:
        xml_file: the model: a path, absolute, beside the file of the class or from the working
            directory; or the text of the model itself.
        frame_skip: steps of the simulation per env step.
        fast_options: what `--backend compiled-fast` sets in `model.opt`: cheaper physics.
    """

    xml_file: str = ""
    frame_skip: int = 1

    fast_options: ClassVar[Mapping[str, Any]] = {}

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

    def reset(self, rng: np.random.Generator) -> State:
        """The first (nq,) positions and (nv,) velocities, from `reset(seed=…)`'s generator."""
        return self.init_qpos, self.init_qvel

    # What is there to be used ------------------------------------------------------------------

    @cached_property
    def model(self) -> Any:
        """The `mujoco.MjModel`."""
        import mujoco

        text = self.xml_file
        if text.lstrip().startswith("<"):
            return mujoco.MjModel.from_xml_string(text)
        return mujoco.MjModel.from_xml_path(str(self.model_path()))

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
            if path.is_file():
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
