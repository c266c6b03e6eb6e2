"""What plays the episodes of a search: environments, their compiled twins, or vector ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from zorl.common.errors import ConfigurationError
from zorl.common.validation import at_least
from zorl.envs import Task, find_twin
from zorl.policies.mlp import Policy
from zorl.policies.spaces import ObservationEncoder
from zorl.rollout.backend import Backend
from zorl.rollout.compiled.backend import CompiledBackend
from zorl.rollout.compiled.cache import why_no_numba
from zorl.rollout.compiled.source import why_not
from zorl.rollout.failures import FailureRule
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.processes.backend import ProcessBackend
from zorl.rollout.vector.runner import VECTOR_KINDS, VectorRunner, check_vector

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


@dataclass(frozen=True)
class Resources:
    """Where episodes run; what is learned does not depend on it.

    Attributes:
        workers: processes, or threads of compiled code and of EnvPool; None: one process, all
            cores for compiled code, all CPUs of a Ray cluster.
        timeout: seconds without progress after which an environment counts as hung and its worker
            process, of which there is one at least then, is killed; None waits for ever. Compiled
            code has no environment that could hang.
        ray: run on Ray: the address of a cluster, "auto" for the one of this machine, or "local"
            for that of the environment variable RAY_ADDRESS, or else a new one; None: no Ray.
        lanes: environments per process that share one forward pass; None: as many as pay.
    """

    workers: int | None = None
    timeout: float | None = None
    ray: str | None = None
    lanes: int | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "lanes"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)


def resolve_backend(name: str, task: Task, policy: Policy, resources: Resources) -> str:
    """The backend itself for "auto", and the name as it is otherwise.

    Raises:
        ConfigurationError: the task cannot be played so; says why.
    """
    if resources.ray is not None and name not in ("auto", "gymnasium"):
        raise ConfigurationError(f"Ray plays Gymnasium's environments, not the backend {name!r}")
    if name == "auto":
        # These ask for processes around the environment.
        if resources.ray is not None or resources.timeout is not None:
            return "gymnasium"
        if why_not_compiled(task, policy) is not None:
            return "gymnasium"
        if (reason := why_no_numba()) is not None:
            log.warning(
                "numba cannot be imported (%s): the episodes of %s are played by the environment "
                "itself, not by its compiled twin (pip install numba)",
                reason,
                task.env_id,
            )
            return "gymnasium"
        return "compiled"
    if name.startswith("compiled"):
        why = why_not_compiled(task, policy)
        if why is not None:
            raise ConfigurationError(f"the backend {name!r} cannot play {task.env_id}: {why}")
    if name in VECTOR_KINDS:
        if resources.timeout is not None:
            raise ConfigurationError(
                f"the backend {name!r} plays in this process, where nothing could stop an "
                "environment that hangs: leave out the timeout, or use the backend gymnasium"
            )
        decoder: Any = policy.decoder
        processes = 1 if name == "envpool" else resources.workers or 1
        check_vector(task, name, processes, decoder.stochastic)
    return name


def why_not_compiled(task: Task, policy: Policy) -> str | None:
    """What keeps a task and a policy from compiled kernels; None: nothing."""
    if find_twin(task) is None:
        return (
            "it has no compiled twin, or none for these options and wrappers; "
            "zorl.envs.register_twin registers one"
        )
    return why_not(policy)


def make_backend(
    name: str,
    task: Task,
    policy: Any,
    encoder: ObservationEncoder,
    resources: Resources,
    failures: FailureRule,
    allow_non_finite: bool,
) -> Backend:
    """The backend of a resolved name.

    Args:
        name: from `resolve_backend`.
        task: the task.
        policy: what decides.
        encoder: of the task's observations.
        resources: processes, timeout, lanes and Ray.
        failures: what becomes of episodes that fail.
        allow_non_finite: let non-finite rewards through to the search's rule instead of raising.
    """
    if name.startswith("compiled"):
        twin = find_twin(task)
        assert twin is not None  # says resolve_backend
        exact = name == "compiled"
        return CompiledBackend(
            task, twin, policy, encoder, exact, resources.workers, allow_non_finite
        )
    workers = resources.workers or 1
    if name in VECTOR_KINDS:
        lanes = resources.lanes or 64
        vector = VectorRunner(task, policy, name, lanes, workers, allow_non_finite)
        return SerialBackend(vector, failures)
    uniforms = policy.decoder.outputs if policy.decoder.stochastic else 0
    runner = GymnasiumRunner(task, policy, resources.lanes, uniforms, allow_non_finite)
    if resources.ray is not None:
        from zorl.rollout.ray.backend import RayBackend

        address = None if resources.ray == "local" else resources.ray
        return RayBackend(runner, resources.workers, address, failures, resources.timeout)
    if workers == 1 and resources.timeout is None:
        return SerialBackend(runner, failures)
    return ProcessBackend(runner, workers, failures, resources.timeout)
