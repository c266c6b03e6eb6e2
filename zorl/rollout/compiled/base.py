"""What backends of compiled kernels have in common."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, NonFiniteRewardError
from zorl.common.subprocesses import available_cores
from zorl.envs import Task
from zorl.envs.twins.base import Twin
from zorl.policies.observations import ObservationEncoder
from zorl.rollout.backend import Backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.compiled.cache import announced, was_compiled, why_no_numba
from zorl.rollout.compiled.layers import Network


class KernelBackend(Backend):
    """Plays whole episodes of a task's twin in compiled code, on several threads.

    Args:
        task: the task.
        twin: the compiled twin of its environment.
        policy: the network.
        encoder: of the environment's observations.
        threads: None for one per core.
        allow_non_finite: give an episode with a NaN or infinite reward or observation a NaN
            return, instead of raising.

    Attributes:
        compile_seconds: spent so far on compiling kernels that were not in the cache.

    Raises:
        ConfigurationError: kernels do not take these observations.
    """

    def __init__(
        self,
        task: Task,
        twin: Twin,
        policy: Network,
        encoder: ObservationEncoder,
        *,
        threads: int | None = None,
        allow_non_finite: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigurationError(f"threads must be ≥ 1, got {threads}")
        if encoder.kind != "box" or policy.inputs != encoder.size:
            raise ConfigurationError(
                f"kernels take Box observations, as many as the policy has inputs, "
                f"{policy.inputs}; got {encoder}"
            )
        self.task = task
        self.threads = threads or available_cores()
        self._twin, self._policy, self._encoder = twin, policy, encoder
        self._allow_non_finite = allow_non_finite
        self._starts: dict[int, NDArray[np.float64]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self.compile_seconds = 0.0

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
        self._play(batch, results)
        if self.task.success == "threshold":
            np.greater_equal(
                results.native_returns, self.task.require_threshold(), out=results.successes
            )
        elif self.task.success != "terminated":
            results.successes[:] = False
        self._refuse_non_finite(batch, results)
        return results

    @abstractmethod
    def _play(self, batch: EpisodeBatch, results: EpisodeResults) -> None:
        """Play a batch of at least one job, with successes where episodes terminated."""

    @abstractmethod
    def _start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """The numbers of the state that Gymnasium's reset would begin with."""

    def _need_numba(self) -> None:
        if (why := why_no_numba()) is not None:
            raise ConfigurationError(
                f"the compiled twin of {self.task.env_id} needs numba, which cannot be imported "
                f"({why}): pip install numba, or train again with --backend gymnasium"
            )

    def _warm(self, kernel: Callable[..., None], *nothing: Any) -> None:
        """Load a kernel, or compile it, by a call that has nothing to do."""
        began = time.perf_counter()
        line = f"compiling the twin of {self.task.env_id} for this machine, once: some seconds …"
        with announced(kernel, line):
            kernel(*nothing)
        if was_compiled(kernel):
            self.compile_seconds += time.perf_counter() - began

    def _limit(self, batch: EpisodeBatch) -> int:
        """Env steps at which an episode ends."""
        if batch.most_steps is None:
            return self._twin.limit
        return min(self._twin.limit, batch.most_steps + 1)  # a longer one is already too long

    def _check_sizes(self, batch: EpisodeBatch) -> None:
        """A kernel reads memory unchecked."""
        d, o = self._policy.dim, self._encoder.size
        if batch.thetas.ndim != 2 or batch.thetas.shape[1] != d or batch.normalizer.low.size != o:
            raise ConfigurationError(
                f"expected thetas of shape (n, {d}) and a normalizer of {o} observations, got "
                f"{batch.thetas.shape} and {batch.normalizer.low.size}"
            )

    def _starting_states(self, seeds: Iterable[int], kind: Any = np.float64) -> NDArray[Any]:
        """(e, states) what Gymnasium's reset would give; kept, for gates ask for the same again."""
        if len(self._starts) > 10_000:
            self._starts.clear()
        rows = []
        for seed in seeds:
            if seed not in self._starts:
                self._starts[seed] = self._start(np_random(seed)[0])
            rows.append(self._starts[seed])
        return np.array(rows, kind).reshape(len(rows), -1)

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

    def __getstate__(self) -> dict[str, Any]:
        """Without threads."""
        return {**vars(self), "_pool": None}

    def close(self) -> None:
        """See `Backend`."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
