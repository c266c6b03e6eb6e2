"""The rollout evaluator: every candidate plays an episode from every seed."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.normalization import Moments, Normalizer
from zorl.rollout.backends import Backend, Chunk
from zorl.rollout.evaluation import Evaluation
from zorl.streams import Seeds


class RolloutEvaluator:
    """Every candidate plays an episode from every seed: common random numbers.

    Args:
        backend: where the episodes run.
        chunk: least number of episodes that a worker takes at a time.
    """

    def __init__(self, backend: Backend, chunk: int = 8) -> None:
        self._backend = backend
        self._chunk = chunk

    def evaluate(self, thetas: NDArray[Any], seeds: Seeds, normalizer: Normalizer) -> Evaluation:
        """See `Evaluator`."""
        rows = np.asarray(thetas, dtype=np.float32)
        jobs = [(row, seed) for row in range(len(rows)) for seed in seeds]
        workers = self._backend.workers
        # Four chunks a worker: uneven episodes then do not leave a core idle for long.
        size = len(jobs) if workers == 1 else max(self._chunk, -(-len(jobs) // (4 * workers)))
        chunks = []
        for start in range(0, len(jobs), size):
            piece = jobs[start : start + size]
            first, last = piece[0][0], piece[-1][0]
            local = tuple((row - first, seed) for row, seed in piece)
            chunks.append(Chunk(rows[first : last + 1], local, normalizer))
        parts = self._backend.map(chunks)
        shape = (len(rows), len(seeds))
        moments = None
        if normalizer.learns:
            singles = [m for part in parts for m in part.moments or ()]
            moments = tuple(
                reduce(Moments.merge, singles[row * len(seeds) : (row + 1) * len(seeds)])
                for row in range(len(rows))
            )
        return Evaluation(
            np.concatenate([part.returns for part in parts]).reshape(shape),
            np.concatenate([part.native_returns for part in parts]).reshape(shape),
            np.concatenate([part.lengths for part in parts]).reshape(shape),
            np.concatenate([part.successes for part in parts]).reshape(shape),
            moments,
        )

    def close(self) -> None:
        """Free environments and processes."""
        self._backend.close()
