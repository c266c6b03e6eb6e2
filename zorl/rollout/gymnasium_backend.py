"""The backend `gymnasium`: the environment itself, here, in worker processes or on Ray."""

from __future__ import annotations

from zorl.rollout.backend import Backend, BackendSetup, register_backend
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.processes.backend import ProcessBackend


@register_backend("gymnasium")
def gymnasium_backend(setup: BackendSetup) -> Backend:
    """The environment itself, many copies in lockstep; in several processes with --workers."""
    resources, decoder = setup.resources, setup.policy.decoder
    runner = GymnasiumRunner(
        setup.task,
        setup.policy,
        resources.lanes,
        uniforms=decoder.outputs if decoder.stochastic else 0,
        allow_non_finite=setup.allow_non_finite,
    )
    if resources.ray is not None:
        from zorl.rollout.ray.backend import RayBackend

        address = None if resources.ray == "local" else resources.ray
        return RayBackend(runner, resources.workers, address, setup.failures, resources.timeout)
    workers = resources.workers or 1
    if workers == 1 and resources.timeout is None:
        return SerialBackend(runner, setup.failures)
    return ProcessBackend(runner, workers, setup.failures, resources.timeout)
