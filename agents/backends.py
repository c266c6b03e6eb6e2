"""What plays the episodes of a search: environments, their compiled twins, or vector ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

from zorl.envs import Task, find_twin
from zorl.errors import ConfigurationError
from zorl.policies import Policy
from zorl.rollout.compiled.source import why_not

log = logging.getLogger("zorl")

# By name, what `SearchConfig.backend` may be.
BACKENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "auto": "compiled, where the task has a compiled twin; else gymnasium",
        "gymnasium": "the environment, in lockstep; in several processes with --workers",
        "compiled": "its compiled twin in double precision: the same bits, on all cores",
        "compiled-fast": "its compiled twin in single precision, as SIMD: close, and fastest",
        "vector": "its native vector environment: no common random numbers",
        "envpool": "EnvPool's environment of that name: other initial states",
    }
)


def resolve_backend(name: str, task: Task, policy: Policy) -> str:
    """The backend itself for "auto", and the name as it is otherwise.

    Raises:
        ConfigurationError: the task cannot be played so; says why.
    """
    if name == "auto":
        if why_not_compiled(task, policy) is not None:
            return "gymnasium"
        if find_spec("numba") is None:
            log.warning(
                "numba is not installed: the episodes of %s are played by the environment itself, "
                "not by its compiled twin (pip install numba)",
                task.env_id,
            )
            return "gymnasium"
        return "compiled"
    if name.startswith("compiled"):
        why = why_not_compiled(task, policy)
        if why is not None:
            raise ConfigurationError(f"the backend {name!r} cannot play {task.env_id}: {why}")
    if name in ("vector", "envpool"):
        from zorl.rollout.vector import check_vector

        decoder: Any = policy.decoder
        check_vector(task, name, stochastic=decoder.stochastic)
    return name


def why_not_compiled(task: Task, policy: Policy) -> str | None:
    """What keeps a task and a policy from compiled kernels; None: nothing."""
    if find_twin(task) is None:
        return (
            "it has no compiled twin, or none for these options and wrappers; "
            "zorl.envs.register_twin registers one"
        )
    return why_not(policy)
