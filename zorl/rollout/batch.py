"""A batch of episodes and its results: plain arrays over one list of jobs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import TooManySteps
from zorl.common.streams import Seeds
from zorl.policies.normalization import Moments, Normalizer
from zorl.rollout.origin import CandidateOrigin


@dataclass(frozen=True)
class EpisodeBatch:
    """Every candidate plays one episode from every seed.

    Job j is the episode of candidate j // e from seed number j mod e.

    Attributes:
        thetas: (n, d) candidates.
        seeds: (e,) episode seeds, the same for all candidates.
        normalizer: frozen for the whole batch.
        origin: what the candidates can be computed from, where that is known.
        most_steps: env steps that all episodes may take together; None: any number. A batch that
            takes more is given up, and whether it is depends on nothing but its episodes.
    """

    thetas: NDArray[np.float32]
    seeds: Seeds
    normalizer: Normalizer
    origin: CandidateOrigin | None = None
    most_steps: int | None = None

    def __len__(self) -> int:
        return len(self.thetas) * len(self.seeds)

    def job(self, index: int) -> tuple[int, int]:
        """The row of `thetas` and the episode seed of a job."""
        row, column = divmod(index, len(self.seeds))
        return row, self.seeds[column]

    def check_steps(self, steps: int) -> None:
        """Give the batch up if it takes too many env steps.

        Args:
            steps: that some of its episodes, or all, have taken.

        Raises:
            TooManySteps: more than `most_steps`.
        """
        if self.most_steps is not None and steps > self.most_steps:
            error = TooManySteps(
                f"{len(self):,} episodes took more than {self.most_steps:,} env steps in all and "
                "were given up"
            )
            error.most_steps = self.most_steps
            raise error


@dataclass(frozen=True)
class EpisodeResults:
    """Results of k jobs in their order, filled in as episodes end; arrays (k,) or (k, o).

    Attributes:
        returns: sums of the rewards that the search maximises (shaped by the task's wrappers).
        native_returns: sums of the environment's own rewards.
        lengths: env steps; 0 where a job was not run.
        successes: whether the task calls the episode a success.
        sums: Σ (x − center) over the observations x that the policy acted on, with the
            normalizer's center; (k, 0) where the normalizer does not learn.
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
        """Zeros for all jobs of a batch."""
        k, o = len(batch), batch.normalizer.low.size if batch.normalizer.learns else 0
        return EpisodeResults(
            np.zeros(k),
            np.zeros(k),
            np.zeros(k, np.int64),
            np.zeros(k, np.bool_),
            np.zeros((k, o)),
            np.zeros((k, o)),
        )

    def set_nan(self, jobs: int | NDArray[np.intp]) -> None:
        """Give jobs NaN returns and no success; the search counts these and scores them worst."""
        self.returns[jobs] = self.native_returns[jobs] = np.nan
        self.successes[jobs] = False

    def moments(self, normalizer: Normalizer) -> Moments | None:
        """Of all observations that were acted on; None where the normalizer does not learn."""
        if not normalizer.learns:
            return None
        center, _ = normalizer.affine()
        steps = int(self.lengths.sum())
        # In the order of the jobs, whoever ran them: the order of a sum decides its last bits.
        return Moments.of_shifted_sums(
            steps, center, self.sums.sum(axis=0), self.squares.sum(axis=0)
        )
