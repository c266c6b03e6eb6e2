"""The backend of compiled kernels: a task's twin takes the environment's place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.envs import Task, find_twin
from zorl.envs.mujoco.task import CompiledMujoco
from zorl.envs.twins.base import Twin, rehearse
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.rollout.backend import BackendSetup, register_backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.compiled.base import KernelBackend
from zorl.rollout.compiled.cache import compiled
from zorl.rollout.compiled.layers import Network
from zorl.rollout.compiled.mujoco.backend import MujocoBackend
from zorl.rollout.compiled.parts import LANES, Spec
from zorl.rollout.compiled.source import kernel_source, why_no_lanes, why_not

_WORTH = 2e-4  # seconds: waking a thread takes a good part of a tenth of a millisecond


class CompiledBackend(KernelBackend):
    """Plays whole episodes in compiled code, on several threads.

    Args:
        task: the task.
        twin: the compiled twin of its environment.
        policy: the network.
        encoder: of the environment's observations.
        exact: double precision, bit-equal dynamics; otherwise single precision and SIMD.
        threads: None for one per core.
        allow_non_finite: give an episode with a NaN or infinite reward or observation a NaN
            return, instead of raising.

    Attributes:
        compile_seconds: spent so far on compiling kernels that were not in the cache.

    Raises:
        ConfigurationError: kernels cannot run this policy, these observations or this twin.
    """

    def __init__(
        self,
        task: Task,
        twin: Twin,
        policy: Network,
        encoder: ObservationEncoder,
        *,
        exact: bool = False,
        threads: int | None = None,
        allow_non_finite: bool = False,
    ) -> None:
        if (reason := why_not(policy) or why_no_lanes(policy)) is not None:
            raise ConfigurationError(reason)
        super().__init__(
            task, twin, policy, encoder, threads=threads, allow_non_finite=allow_non_finite
        )
        outputs = np.zeros((1, policy.decoder.outputs), np.float32)
        action = np.ravel(policy.decoder.decode(outputs)[0]).astype(float).tolist()
        rehearse(twin, action, encoder.size)
        self._exact = exact
        self._real = np.float64 if exact else np.float32
        self._kernels: dict[tuple[bool, bool], Callable[..., None]] = {}
        self._pace = math.inf  # seconds of one thread for a job
        kernel_source(self._spec(active=False, learns=False))  # says what cannot be translated

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled code, which is loaded again when it is needed."""
        return {**super().__getstate__(), "_kernels": {}}

    @property
    def description(self) -> str:
        """See `Backend`."""
        kind = "double precision" if self._exact else "single precision"
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"the compiled twin of {self.task.env_id} plays it, in {kind}, on {threads}"

    def _play(self, batch: EpisodeBatch, results: EpisodeResults) -> None:
        kernel = self._kernel(batch.normalizer)
        arguments = self._arguments(batch, results)
        busy = min(
            len(batch) / LANES, len(batch) * self._pace / _WORTH
        )  # threads with enough to do
        helpers = int(min(self.threads, max(busy, 1))) - 1
        if helpers and self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, "zorl-compiled")
        futures = [self._pool.submit(kernel, *arguments) for _ in range(helpers) if self._pool]
        began = time.perf_counter()
        kernel(*arguments)
        for future in futures:
            future.result()
        self._pace = (time.perf_counter() - began) * (helpers + 1) / len(batch)

    def _start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.array(self._twin.env.reset(rng), np.float64)

    def _spec(self, active: bool, learns: bool) -> Spec:
        single = self._encoder.dtype == "float32"
        return Spec(self._twin, self._policy, self._exact, single, active, learns)

    def _arguments(self, batch: EpisodeBatch, results: EpisodeResults) -> tuple[Any, ...]:
        """What a kernel takes."""
        episodes = len(batch.seeds)
        # Episodes of one candidate in one lane load its parameters once, where that leaves enough
        # to do for every lane.
        run = episodes if len(batch.thetas) >= 4 * LANES * self.threads else 1
        normalizer = batch.normalizer
        # numba compiles again for read-only arrays, such as a normalizer's statistics.
        center, factor = (np.require(array, None, ["C", "W"]) for array in normalizer.affine())
        return (
            np.require(batch.thetas, np.float32, ["C", "W"]),
            run,
            episodes,
            np.zeros(1, np.int64),
            self._starting_states(batch.seeds, self._real),
            self._limit(batch),
            center,
            factor,
            float(normalizer.clip),
            results.returns,
            results.native_returns,
            results.lengths,
            results.successes,
            results.sums,
            results.squares,
        )

    def _kernel(self, normalizer: Normalizer) -> Callable[..., None]:
        """The kernel for a way of normalising; compiled, if it was not in the cache."""
        kind = (normalizer.active, normalizer.learns)
        if kind not in self._kernels:
            self._need_numba()
            kernel = compiled(self._spec(*kind))
            nothing = EpisodeBatch(np.zeros((0, self._policy.dim), np.float32), (0,), normalizer)
            self._warm(kernel, *self._arguments(nothing, EpisodeResults.empty(nothing)))
            self._kernels[kind] = kernel
        return self._kernels[kind]


@register_backend("compiled")
def compiled_backend(setup: BackendSetup) -> KernelBackend:
    """The compiled twin in double precision: the environment's bits, on all cores."""
    return _of_setup("compiled", setup, exact=True)


@register_backend("compiled-fast")
def compiled_fast_backend(setup: BackendSetup) -> KernelBackend:
    """The compiled twin in single precision, or with cheaper physics: close, and fastest."""
    return _of_setup("compiled-fast", setup, exact=False)


def _of_setup(name: str, setup: BackendSetup, *, exact: bool) -> KernelBackend:
    why = why_not_compiled(setup.task, setup.policy, exact=exact)
    if why is not None:
        raise ConfigurationError(f"the backend {name!r} cannot play {setup.task.env_id}: {why}")
    twin = find_twin(setup.task)
    assert twin is not None  # guaranteed by why_not_compiled
    common = (setup.task, twin, setup.policy, setup.encoder)
    more: Any = {
        "threads": setup.resources.workers,
        "allow_non_finite": setup.allow_non_finite,
    }
    if isinstance(twin.env, CompiledMujoco):
        return MujocoBackend(*common, options={} if exact else twin.env.fast_options, **more)
    return CompiledBackend(*common, exact=exact, **more)


def why_not_compiled(task: Task, policy: Any, *, exact: bool = True) -> str | None:
    """Why compiled kernels cannot play a task with a policy, as a sentence; None: they can."""
    twin = find_twin(task)
    if twin is None:
        return (
            "it has no compiled twin, or none for these options and wrappers; "
            "zorl.envs.register_twin registers one"
        )
    if not isinstance(twin.env, CompiledMujoco):
        return why_not(policy) or why_no_lanes(policy)
    if not (exact or twin.env.fast_options):
        return "its twin has no cheaper physics; --backend compiled plays it with MuJoCo's own"
    return why_not(policy)
