"""The backend of MuJoCo tasks in compiled code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.stop_signals import raise_if_overdue
from zorl.envs import Task
from zorl.envs.mujoco.rehearsal import rehearse
from zorl.envs.mujoco.start import start_of
from zorl.envs.mujoco.task import CompiledMujoco
from zorl.envs.twins.base import Twin
from zorl.policies.memory import NONE
from zorl.policies.observations import ObservationEncoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.compiled.base import KernelBackend
from zorl.rollout.compiled.cache import guarded, loaded
from zorl.rollout.compiled.layers import Network
from zorl.rollout.compiled.mujoco.source import kernel_source
from zorl.rollout.compiled.source import why_not

EXACT_SHARE = 0.2  # of a search's env steps, its last ones, with `options`
_GLANCE = 0.2  # seconds between looks at signals


class MujocoBackend(KernelBackend):
    """Plays whole episodes of a MuJoCo task in compiled code: one simulation for each thread.

    Args:
        task, twin, policy, encoder, threads, allow_non_finite: see `KernelBackend`.
        options: what is set in `model.opt`, for cheaper physics, as a twin's `fast_options`; with
            none of them the episodes are Gymnasium's to the bit. A search with a budget of env
            steps has cheaper physics until only the share `EXACT_SHARE` of it is left.

    Raises:
        ConfigurationError: kernels cannot run this policy or this twin.
    """

    def __init__(
        self,
        task: Task,
        twin: Twin,
        policy: Network,
        encoder: ObservationEncoder,
        *,
        options: Mapping[str, Any] = MappingProxyType({}),
        threads: int | None = None,
        allow_non_finite: bool = False,
    ) -> None:
        if (reason := why_not(policy)) is not None:
            raise ConfigurationError(reason)
        super().__init__(
            task, twin, policy, encoder, threads=threads, allow_non_finite=allow_non_finite
        )
        assert isinstance(twin.env, CompiledMujoco)
        self._env = twin.env
        self._options = dict(options)
        self._cheaper = bool(options)
        size = rehearse(
            self._env, policy.decoder.outputs, encoder.size if twin.kept is None else None
        )
        self._kept = np.arange(size) if twin.kept is None else np.array(twin.kept)
        self._source = kernel_source(self._env, memory=policy.layout[2] != NONE)
        self._packing = policy.packing()
        self._kernel: Callable[..., None] | None = None
        self._model: Any = None
        self._simulations: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled code and the simulations, which are made again when needed."""
        return {**super().__getstate__(), "_kernel": None, "_model": None, "_simulations": []}

    @property
    def description(self) -> str:
        """See `Backend`."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        kind = "with MuJoCo's own step"
        if self._options:
            options = ", ".join(f"{name} {value}" for name, value in self._options.items())
            kind = (
                f"with cheaper physics ({options}; other numbers than the task's own), and with "
                f"MuJoCo's own step for the last {EXACT_SHARE:.0%} of the env steps"
            )
        return f"the compiled twin of {self.task.env_id} plays it, {kind}, on {threads}"

    @property
    def caution(self) -> str | None:
        """See `Backend`."""
        if not self._options:
            return None
        until = (
            "to its end" if self._cheaper else f"but for the last {EXACT_SHARE:.0%} of its steps"
        )
        return (
            f"the search saw cheaper physics than the task's, {until}; validation and held-out "
            "episodes are the task's own"
        )

    def begin(self, spent: float) -> None:
        """See `Backend`: the first part of a search has cheaper physics."""
        cheaper = bool(self._options) and spent < 1 - EXACT_SHARE
        if cheaper != self._cheaper:
            self._cheaper = cheaper
            self._model, self._simulations = None, []

    def _start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.concatenate([part.ravel() for part in start_of(self._env, rng).values()])

    def _play(self, batch: EpisodeBatch, results: EpisodeResults) -> None:
        kernel, arguments = self._ready(batch), self._arguments(batch, results)
        counter = arguments[2]
        threads = min(self.threads, len(batch))
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "zorl-compiled")
        futures = [
            self._pool.submit(kernel, *self._simulation(i), *arguments) for i in range(threads)
        ]
        try:
            _watch(futures)
        except BaseException:
            counter[0] = len(batch)  # after the episodes under way there is nothing left to do
            wait(futures)
            raise
        for future in futures:
            future.result()

    def _arguments(self, batch: EpisodeBatch, results: EpisodeResults) -> tuple[Any, ...]:
        """What a kernel takes after the simulation."""
        policy, normalizer = self._policy, batch.normalizer
        center, factor = normalizer.affine()
        clip = np.full_like(center, normalizer.clip)
        layout = [normalizer.active, normalizer.learns, *policy.layout]
        return (
            np.ascontiguousarray(batch.thetas[:, self._packing], np.float32),
            len(batch.seeds),
            np.zeros(1, np.int64),
            self._starting_states(batch.seeds),
            self._limit(batch),
            self._kept,
            np.array([center, factor, clip]),
            np.array(layout, np.int64),
            policy.width,
            np.array(policy.decoder.range),
            policy.decoder.dtype == "float32",
            results.returns,
            results.native_returns,
            results.lengths,
            results.successes,
            results.sums,
            results.squares,
        )

    def _ready(self, batch: EpisodeBatch) -> Callable[..., None]:
        """The kernel, compiled, if it was not in the cache."""
        if self._kernel is None:
            self._need_numba()
            kernel = guarded(loaded(self._source.source).kernel, self._env)
            nothing = replace(batch, thetas=batch.thetas[:0])
            arguments = self._arguments(nothing, EpisodeResults.empty(nothing))
            self._warm(kernel, *self._simulation(0), *arguments)
            self._kernel = kernel
        return self._kernel

    def _simulation(self, index: int) -> tuple[Any, ...]:
        """What a kernel takes first: C functions, and the memory of a thread's simulation."""
        from zorl.rollout.compiled.mujoco.library import Simulation, addresses, with_options

        if self._model is None:
            options = self._options if self._cheaper else {}
            self._model = with_options(self._env.model, options)
        while len(self._simulations) <= index:
            self._simulations.append(Simulation(self._model, self._source.fields))
        return (addresses(), *self._simulations[index].memory)


def _watch(futures: Sequence[Future[None]]) -> None:
    """Wait for all, and look at signals meanwhile."""
    while wait(futures, timeout=_GLANCE).not_done:
        raise_if_overdue()
