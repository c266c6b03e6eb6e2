"""Episodes played in this process, one batch after the other."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import EnvironmentFailure
from zorl.rollout.backend import Backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.failures import FailureRule
from zorl.rollout.tracking import BEGUN, OVER, JobTracker


class SerialBackend(Backend):
    """Plays episodes in this process.

    Args:
        runner: plays them.
        failures: what becomes of an episode that raises; by default it raises.
    """

    def __init__(self, runner: EnvRunner, failures: FailureRule | None = None) -> None:
        self._runner = runner
        self._failures = failures or FailureRule()

    @property
    def description(self) -> str | None:
        """The runner's."""
        return self._runner.description

    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        """See `Backend`."""
        results = EpisodeResults.empty(batch)
        status = np.zeros(len(batch), np.uint8)
        while (left := np.flatnonzero(status != OVER)).size:
            error = self._play(batch, left, results, status)
            if error is not None:
                self._resolve(error, batch, results, status)
        return results

    def _play(
        self,
        batch: EpisodeBatch,
        jobs: NDArray[np.intp],
        results: EpisodeResults,
        status: NDArray[np.uint8],
    ) -> EnvironmentFailure | None:
        """Play jobs. Returns what an environment raised, if one did."""
        try:
            JobTracker(jobs.tolist(), results, status).play(self._runner, batch, results)
        except EnvironmentFailure as error:
            with contextlib.suppress(Exception):
                self._runner.close()  # the next run makes new environments
            return error
        return None

    def _resolve(
        self,
        error: EnvironmentFailure,
        batch: EpisodeBatch,
        results: EpisodeResults,
        status: NDArray[np.uint8],
    ) -> None:
        """Find the episode that failed and apply the rule to it."""
        begun = np.flatnonzero(status == BEGUN)
        if error.job is not None or begun.size == 1:
            failed = {int(begun[0]) if error.job is None else error.job: error}
        else:  # the runner does not say which one: play each alone
            alone = {
                int(job): self._play(batch, begun[[i]], results, status)
                for i, job in enumerate(begun)
            }
            failed = {job: found for job, found in alone.items() if found is not None}
            if not failed and self._failures.raises:
                raise error  # although it did not happen again
        for job, found in failed.items():
            self._failures.resolve(found, batch, job, results)
            status[job] = OVER

    def close(self) -> None:
        """See `Backend`."""
        self._runner.close()
