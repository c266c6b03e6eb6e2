"""What is to be run and what comes of it: both are plain arrays over one list of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zorl.common.streams import Seeds
from zorl.policies.normalization import Moments, Normalizer
from zorl.rollout.origin import CandidateOrigin


@dataclass(frozen=True)
class EpisodeBatch:
    """Every candidate plays an episode from every seed: job j is row j // e from seed j mod e.

    Attributes:
        thetas: (n, d) candidates.
        seeds: (e,) of the episodes, common to all candidates.
        normalizer: frozen while the work is done.
        origin: what the candidates are a function of, where that is known.
    """

    thetas: NDArray[np.float32]
    seeds: Seeds
    normalizer: Normalizer
    origin: CandidateOrigin | None = None

    def __len__(self) -> int:
        return len(self.thetas) * len(self.seeds)

    def job(self, index: int) -> tuple[int, int]:
        """The row of `thetas` and the episode seed of a job."""
        row, column = divmod(index, len(self.seeds))
        return row, self.seeds[column]


@dataclass(frozen=True)
class EpisodeResults:
    """Results of k jobs in their order, filled in as episodes end; arrays (k,) or (k, o).

    Attributes:
        returns: what was searched: the shaped returns.
        native_returns: the task's own.
        lengths: env steps; 0 where a job was not run.
        successes: whether the task calls the episode a success.
        sums: Σ (x − center) of the observations x acted on, with the normalizer's center; (k, 0)
            where it does not learn.
        squares: Σ (x − center)², likewise.
    """

    returns: NDArray[np.float64]
    native_returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    @staticmethod
    def empty(batch: EpisodeBatch) -> EpisodeResults:
        """Room for the results of a work's jobs."""
        k, o = len(batch), batch.normalizer.low.size if batch.normalizer.learns else 0
        return EpisodeResults(
            np.zeros(k),
            np.zeros(k),
            np.zeros(k, np.int64),
            np.zeros(k, np.bool_),
            np.zeros((k, o)),
            np.zeros((k, o)),
        )

    def void(self, jobs: int | NDArray[np.intp]) -> None:
        """Give jobs NaN returns, which the search scores worst and counts; no success either."""
        self.returns[jobs] = self.native_returns[jobs] = np.nan
        self.successes[jobs] = False

    def moments(self, normalizer: Normalizer) -> Moments | None:
        """Of all observations that were acted on; None where the normalizer does not learn."""
        if not normalizer.learns:
            return None
        center, _ = normalizer.affine()
        steps = int(self.lengths.sum())
        # Row after row, whoever ran them: the order of a sum is part of its bits.
        return Moments.of_shifted_sums(
            steps, center, self.sums.sum(axis=0), self.squares.sum(axis=0)
        )


class EnvRunner(Protocol):
    """Plays episodes in this process.

    It is pickled for workers before its first run. Where a timeout watches over these, an attribute
    `heartbeat`, if there is one, is called to report progress, and a method `prepare`, if there is
    one, is called before that to do what may take longer than any step, as compiling.
    """

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> Any:
        """Play jobs to the end of their episodes and write each into its place of `out`.

        An episode's numbers depend on its theta, its seed and the normalizer alone: neither on
        which jobs there are beside it nor on their order, to the last bit. An episode is written
        down, whole, before another job is taken in its place; its length is above 0 then.
        """

    def close(self) -> None:
        """Free what is held; a later `run` opens it anew."""
