"""The backend of compiled kernels: a task's twin takes the environment's place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray

from zorl.envs import Task
from zorl.envs.compiled import Twin
from zorl.errors import ConfigurationError, NonFiniteRewardError
from zorl.normalization import Normalizer
from zorl.policies import MlpPolicy
from zorl.rollout.compiled.cache import compiled
from zorl.rollout.compiled.source import LANES, Spec
from zorl.rollout.work import Episodes, Work
from zorl.spaces import ObservationEncoder


class Compiled:
    """Plays whole episodes in compiled code, on several threads; see `Backend`.

    Args:
        task: the task.
        twin: what takes its place.
        policy: the network.
        encoder: of the environment's observations.
        exact: double precision, bit-equal dynamics; otherwise single precision and SIMD.
        threads: None for one per core.
        tolerant: let non-finite rewards through to the search's rule instead of raising.
    """

    def __init__(
        self,
        task: Task,
        twin: Twin,
        policy: MlpPolicy,
        encoder: ObservationEncoder,
        exact: bool = False,
        threads: int | None = None,
        tolerant: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigurationError(f"threads must be ≥ 1, got {threads}")
        self.task = task
        self.threads = threads or len(os.sched_getaffinity(0))
        self._twin, self._policy, self._encoder = twin, policy, encoder
        self._exact, self._tolerant = exact, tolerant
        self._real = np.float64 if exact else np.float32
        self._kernels: dict[tuple[bool, bool], Callable[..., None]] = {}
        self._starts: dict[int, tuple[float, ...]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Work) -> Episodes:
        """See `Backend`.

        Raises:
            NonFiniteRewardError: a NaN or infinite return, unless they are let through.
        """
        out = Episodes.empty(work)
        jobs, candidates, episodes = len(work), len(work.thetas), len(work.seeds)
        normalizer = work.normalizer
        kernel = self._kernel(normalizer)
        # Episodes of one candidate in one lane load its parameters once, where that leaves enough
        # to do for every lane.
        run = episodes if candidates >= 4 * LANES * self.threads else 1
        arguments = (
            work.thetas,
            run,
            episodes,
            np.zeros(1, np.int64),
            self._starting_states(work.seeds),
            self._twin.limit,
            *normalizer.affine(),
            float(normalizer.clip),
            out.returns,
            out.native_returns,
            out.lengths,
            out.successes,
            out.sums,
            out.squares,
        )
        helpers = min(self.threads - 1, (jobs - 1) // LANES)
        if helpers and self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, "zorl-compiled")
        futures = [self._pool.submit(kernel, *arguments) for _ in range(helpers) if self._pool]
        kernel(*arguments)
        for future in futures:
            future.result()
        if self.task.success == "threshold":
            np.greater_equal(out.native_returns, self.task.require_threshold(), out=out.successes)
        elif self.task.success != "terminated":
            out.successes[:] = False
        if not self._tolerant:
            self._check(work, out)
        return out

    def _kernel(self, normalizer: Normalizer) -> Callable[..., None]:
        """The kernel for a way of normalising."""
        kind = (normalizer.active, normalizer.learns)
        if kind not in self._kernels:
            single = self._encoder.dtype == "float32"
            spec = Spec(self._twin, self._policy, self._exact, single, *kind)
            self._kernels[kind] = compiled(spec)
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
        return np.array(rows, self._real)

    def _check(self, work: Work, out: Episodes) -> None:
        finite = np.isfinite(out.returns) & np.isfinite(out.native_returns)
        if not finite.all():
            job = int(np.flatnonzero(~finite)[0])
            raise NonFiniteRewardError(
                f"the compiled twin of {self.task.env_id} has a NaN or infinite return in the "
                f"episode with seed {work.job(job)[1]}; mend it, or let such candidates count as "
                "the worst of their generation (search agents: train anew with --non-finite worst)"
            )

    def close(self) -> None:
        """See `Backend`."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
