"""MuJoCo's C library: the addresses of its functions, and simulations whose memory kernels use."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError

FUNCTIONS = ("mj_step", "mj_forward", "mj_resetData", "mj_rnePostConstraint")


@cache
def addresses() -> NDArray[np.uintp]:
    """(4,) of `FUNCTIONS` in the library that the package `mujoco` has loaded.

    Raises:
        ConfigurationError: it is not found, or lacks a function.
    """
    import mujoco

    folder = Path(mujoco.__file__).parent
    names = ("libmujoco.so*", "libmujoco*.dylib", "mujoco.dll")
    found = sorted(path for name in names for path in folder.glob(name))
    if not found:
        raise ConfigurationError(f"MuJoCo's C library is not in {folder}")
    try:
        library = ctypes.CDLL(str(found[0]))
        pointers = [ctypes.cast(getattr(library, name), ctypes.c_void_p) for name in FUNCTIONS]
    except (OSError, AttributeError) as error:
        raise ConfigurationError(f"MuJoCo's C library cannot be used: {error}") from error
    return np.array([pointer.value for pointer in pointers], np.uintp)


class Simulation:
    """One `MjData`, for one thread.

    Attributes:
        data: the `MjData`.
        memory: addresses of the model and of the data, and the arrays that a kernel asks for.
    """

    def __init__(self, model: Any, fields: Sequence[str]) -> None:
        import mujoco

        self.data = mujoco.MjData(model)
        self.memory = (
            np.uintp(model._address),
            np.uintp(self.data._address),
            *(getattr(self.data, name) for name in fields),
        )


# Options of `model.opt` whose values have names in MuJoCo.
_NAMES = {
    "integrator": ("mjtIntegrator", "mjINT_"),
    "solver": ("mjtSolver", "mjSOL_"),
    "disableflags": ("mjtDisableBit", "mjDSBL_"),
}


def with_options(model: Any, options: Mapping[str, Any]) -> Any:
    """A copy of a model, with other values in `model.opt`.

    Integrators and solvers may be named, as "Euler"; a named flag of `disableflags`, as "island",
    is added to those that the model disables.

    Raises:
        ConfigurationError: there is no such option or value.
    """
    import mujoco

    changed = copy.copy(model)
    for name, value in options.items():
        if not hasattr(changed.opt, name):
            raise ConfigurationError(f"MuJoCo's model.opt has no {name!r}")
        if isinstance(value, str):
            try:
                enum, prefix = _NAMES[name]
                value = int(getattr(getattr(mujoco, enum), prefix + value.upper()))
            except (AttributeError, KeyError) as error:
                raise ConfigurationError(f"model.opt.{name} cannot be {value!r}") from error
            if name == "disableflags":
                value |= model.opt.disableflags
        setattr(changed.opt, name, value)
    return changed
