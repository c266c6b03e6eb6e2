"""The backend of compiled kernels: a task's twin takes the environment's place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, NonFiniteRewardError
from zorl.common.subprocesses import available_cores
from zorl.envs import Task, find_twin
from zorl.envs.twins.base import Twin, rehearse
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ObservationEncoder
from zorl.rollout.backend import Backend, BackendSetup, register_backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.compiled.cache import compiled, was_compiled, why_no_numba
from zorl.rollout.compiled.parts import LANES, Spec
from zorl.rollout.compiled.source import kernel_source, why_not

_WORTH = 2e-4  # seconds: waking a thread takes a good part of a tenth of a millisecond


class CompiledBackend(Backend):
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
        policy: MlpPolicy,
        encoder: ObservationEncoder,
        *,
        exact: bool = False,
        threads: int | None = None,
        allow_non_finite: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigurationError(f"threads must be ≥ 1, got {threads}")
        if (reason := why_not(policy)) is not None:
            raise ConfigurationError(reason)
        if encoder.kind != "box" or policy.inputs != encoder.size:
            raise ConfigurationError(
                f"kernels take Box observations, as many as the policy has inputs, "
                f"{policy.inputs}; got {encoder}"
            )
        outputs = np.zeros((1, policy.decoder.outputs), np.float32)
        action = np.ravel(policy.decoder.decode(outputs)[0]).astype(float).tolist()
        rehearse(twin, action, encoder.size)
        self.task = task
        self.threads = threads or available_cores()
        self._twin, self._policy, self._encoder = twin, policy, encoder
        self._exact, self._allow_non_finite = exact, allow_non_finite
        self._real = np.float64 if exact else np.float32
        self._kernels: dict[tuple[bool, bool], Callable[..., None]] = {}
        self._starts: dict[int, tuple[float, ...]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._pace = math.inf  # seconds of one thread for a job
        self.compile_seconds = 0.0
        kernel_source(self._spec(active=False, learns=False))  # says what cannot be translated

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled code, which is loaded again when it is needed."""
        return {**vars(self), "_kernels": {}, "_pool": None}

    @property
    def description(self) -> str:
        """See `Backend`."""
        kind = "double precision" if self._exact else "single precision"
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"the compiled twin of {self.task.env_id} plays it, in {kind}, on {threads}"

    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        """See `Backend`.

        Raises:
            NonFiniteRewardError: a NaN or infinite reward or observation, unless these are
                allowed; right after a reset always.
        """
        self._check_sizes(batch)
        results = EpisodeResults.empty(batch)
        if not len(batch):
            return results
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
        if self.task.success == "threshold":
            np.greater_equal(
                results.native_returns, self.task.require_threshold(), out=results.successes
            )
        elif self.task.success != "terminated":
            results.successes[:] = False
        self._refuse_non_finite(batch, results)
        return results

    def _check_sizes(self, batch: EpisodeBatch) -> None:
        """A kernel reads memory unchecked."""
        d, o = self._policy.dim, self._encoder.size
        if batch.thetas.ndim != 2 or batch.thetas.shape[1] != d or batch.normalizer.low.size != o:
            raise ConfigurationError(
                f"expected thetas of shape (n, {d}) and a normalizer of {o} observations, got "
                f"{batch.thetas.shape} and {batch.normalizer.low.size}"
            )

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
            self._starting_states(batch.seeds),
            self._twin.limit,
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
            if (why := why_no_numba()) is not None:
                raise ConfigurationError(
                    f"the compiled twin of {self.task.env_id} needs numba, which cannot be "
                    f"imported ({why}): pip install numba, or train again with --backend gymnasium"
                )
            began = time.perf_counter()
            kernel = compiled(self._spec(*kind))
            nothing = EpisodeBatch(np.zeros((0, self._policy.dim), np.float32), (0,), normalizer)
            kernel(*self._arguments(nothing, EpisodeResults.empty(nothing)))
            if was_compiled(kernel):
                self.compile_seconds += time.perf_counter() - began
            self._kernels[kind] = kernel
        return self._kernels[kind]

    def _starting_states(self, seeds: Iterable[int]) -> NDArray[Any]:
        """(e, states) what Gymnasium's reset would give; kept, for gates ask for the same again."""
        if len(self._starts) > 10_000:
            self._starts.clear()
        rows = []
        for seed in seeds:
            if seed not in self._starts:
                self._starts[seed] = self._twin.env.reset(np_random(seed)[0])
            rows.append(self._starts[seed])
        return np.array(rows, self._real).reshape(len(rows), -1)

    def _refuse_non_finite(self, batch: EpisodeBatch, results: EpisodeResults) -> None:
        """Episodes with a number that is not finite: raise, or give a NaN return."""
        bad = np.flatnonzero(~np.isfinite(results.returns) | ~np.isfinite(results.native_returns))
        # A reset that is not finite is no candidate's doing.
        raising = bad[results.lengths[bad] == 0] if self._allow_non_finite else bad
        if raising.size:
            job = int(raising[0])
            error = NonFiniteRewardError(
                f"the compiled twin of {self.task.env_id} has a NaN or infinite reward or "
                f"observation after {results.lengths[job]} steps of the episode with seed "
                f"{batch.job(job)[1]}; mend it, or let such candidates count as the worst of their "
                "generation (search agents: train again with --non-finite worst)"
            )
            error.job = job
            raise error
        results.set_nan(bad)

    def close(self) -> None:
        """See `Backend`."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


@register_backend("compiled")
def compiled_backend(setup: BackendSetup) -> CompiledBackend:
    """The compiled twin in double precision: the environment's bits, on all cores."""
    return _of_setup("compiled", setup, exact=True)


@register_backend("compiled-fast")
def compiled_fast_backend(setup: BackendSetup) -> CompiledBackend:
    """The compiled twin in single precision with SIMD: nearly the same numbers, and fastest."""
    return _of_setup("compiled-fast", setup, exact=False)


def _of_setup(name: str, setup: BackendSetup, *, exact: bool) -> CompiledBackend:
    why = why_not_compiled(setup.task, setup.policy)
    if why is not None:
        raise ConfigurationError(f"the backend {name!r} cannot play {setup.task.env_id}: {why}")
    twin = find_twin(setup.task)
    assert twin is not None  # guaranteed by why_not_compiled
    return CompiledBackend(
        setup.task,
        twin,
        setup.policy,
        setup.encoder,
        exact=exact,
        threads=setup.resources.workers,
        allow_non_finite=setup.allow_non_finite,
    )


def why_not_compiled(task: Task, policy: Any) -> str | None:
    """Why compiled kernels cannot play a task with a policy, as a sentence; None: they can."""
    if find_twin(task) is None:
        return (
            "it has no compiled twin, or none for these options and wrappers; "
            "zorl.envs.register_twin registers one"
        )
    return why_not(policy)
