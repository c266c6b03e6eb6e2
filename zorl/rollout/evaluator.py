"""The rollout evaluator: every candidate plays an episode from every seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.streams import Seeds
from zorl.policies.normalization import Normalizer
from zorl.rollout.backend import Backend
from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.evaluation import Evaluation, Evaluator
from zorl.rollout.origin import CandidateOrigin


class RolloutEvaluator(Evaluator):
    """Every candidate plays an episode from every seed: common random numbers.

    Args:
        backend: where the episodes run.
        reward_offset: is added to the reward of every step; native returns are without it.
    """

    takes_most_steps = True

    def __init__(self, backend: Backend, reward_offset: float = 0.0) -> None:
        self._backend = backend
        self._reward_offset = reward_offset
        self.takes_origin = backend.uses_origin

    def begin(self, spent: float) -> None:
        """See `Evaluator`."""
        self._backend.begin(spent)

    def evaluate(
        self,
        thetas: NDArray[Any],
        seeds: Seeds,
        normalizer: Normalizer,
        origin: CandidateOrigin | None = None,
        most_steps: int | None = None,
    ) -> Evaluation:
        """See `Evaluator`.

        Raises:
            TooManySteps: the episodes take more than `most_steps` env steps in all. What is played
                until then depends on the backend; whether it is raised does not.
        """
        rows = np.ascontiguousarray(thetas, dtype=np.float32)
        batch = EpisodeBatch(rows, tuple(seeds), normalizer, origin, most_steps)
        results = self._backend.run(batch)
        batch.check_steps(int(results.lengths.sum()))
        shape = (len(batch.thetas), len(batch.seeds))
        returns = results.returns
        if self._reward_offset:
            returns = returns + self._reward_offset * results.lengths
        return Evaluation(
            returns.reshape(shape),
            results.native_returns.reshape(shape),
            results.lengths.reshape(shape),
            results.successes.reshape(shape),
            results.moments(normalizer),
        )

    def close(self) -> None:
        """Free environments and processes."""
        self._backend.close()
