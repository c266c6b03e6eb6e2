"""Choose the backend that plays a search's episodes."""

from __future__ import annotations

import logging

from zorl.common.errors import ConfigurationError
from zorl.envs import find_twin
from zorl.envs.mujoco.task import CompiledMujoco
from zorl.rollout.backend import BACKENDS, Backend, BackendSetup, register_backend
from zorl.rollout.compiled.backend import why_not_compiled
from zorl.rollout.compiled.cache import why_no_numba
from zorl.rollout.compiled.mujoco.bits import why_other_bits

log = logging.getLogger("zorl")


def resolve_backend(name: str, setup: BackendSetup) -> str:
    """The name of the backend that "auto" stands for; any other name as it is.

    Raises:
        UnknownNameError: no backend has the name.
    """
    BACKENDS.resolve(name)
    return _choose(setup) if name == "auto" else name


def make_backend(name: str, setup: BackendSetup) -> Backend:
    """A backend by name.

    Raises:
        UnknownNameError: no backend has the name.
        ConfigurationError: it cannot play the task, or not with these resources; says why.
    """
    if setup.resources.ray is not None and name not in ("auto", "gymnasium"):
        raise ConfigurationError(f"Ray plays Gymnasium's environments, not the backend {name!r}")
    return BACKENDS.resolve(name)(setup)


@register_backend("auto")
def auto(setup: BackendSetup) -> Backend:
    """compiled, where the task has a compiled twin; else gymnasium."""
    return make_backend(_choose(setup), setup)


def _choose(setup: BackendSetup) -> str:
    # A timeout and Ray need processes around the environment.
    if setup.resources.ray is not None or setup.resources.timeout is not None:
        return "gymnasium"
    if why_not_compiled(setup.task, setup.policy) is not None:
        return "gymnasium"
    if (reason := why_no_numba()) is not None:
        log.warning(
            "numba cannot be imported (%s): the episodes of %s are played by the environment "
            "itself, not by its compiled twin (pip install numba)",
            reason,
            setup.task.env_id,
        )
        return "gymnasium"
    twin = find_twin(setup.task)
    assert twin is not None  # guaranteed by why_not_compiled
    if isinstance(twin.env, CompiledMujoco):
        try:
            why = why_other_bits(setup.task, twin)
        except ConfigurationError as error:  # what cannot be translated
            why = str(error)
        if why:
            log.warning("%s is played by the environment itself: %s", setup.task.env_id, why)
            return "gymnasium"
    return "compiled"
