"""Episodes played in this process."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import EnvironmentFailure
from zorl.rollout.batch import Episodes, Runner, Work
from zorl.rollout.failures import FailureRule
from zorl.rollout.tracking import BEGUN, OVER, Tracker


class Serial:
    """Episodes in this process.

    Args:
        runner: what plays them.
        failures: what becomes of an episode that raises; by default it raises.
    """

    def __init__(self, runner: Runner, failures: FailureRule | None = None) -> None:
        self._runner = runner
        self._failures = failures or FailureRule()

    @property
    def notice(self) -> str | None:
        """What a log should say of the runner."""
        return getattr(self._runner, "notice", None)

    def run(self, work: Work) -> Episodes:
        """See `Backend`."""
        out = Episodes.empty(work)
        status = np.zeros(len(work), np.uint8)
        while (left := np.flatnonzero(status != OVER)).size:
            error = self._play(work, left, out, status)
            if error is not None:
                self._settle(error, work, out, status)
        return out

    def _play(
        self, work: Work, jobs: NDArray[np.intp], out: Episodes, status: NDArray[np.uint8]
    ) -> EnvironmentFailure | None:
        """Play jobs; what an environment raised, if it did."""
        try:
            Tracker(jobs.tolist(), out, status).play(self._runner, work, out)
        except EnvironmentFailure as error:
            with contextlib.suppress(Exception):
                self._runner.close()  # what raised once is better made anew
            return error
        return None

    def _settle(
        self, error: EnvironmentFailure, work: Work, out: Episodes, status: NDArray[np.uint8]
    ) -> None:
        """Find the episode that is to blame and let the rule decide about it."""
        begun = np.flatnonzero(status == BEGUN)
        if error.job is not None or begun.size == 1:
            guilty = {int(begun[0]) if error.job is None else error.job: error}
        else:  # the runner does not say which: each one alone
            alone = {job: self._play(work, begun[[i]], out, status) for i, job in enumerate(begun)}
            guilty = {int(job): found for job, found in alone.items() if found is not None}
            if not guilty and self._failures.raises:
                raise error  # and it does not happen again
        for job, found in guilty.items():
            self._failures.settle(found, work, job, out)
            status[job] = OVER

    def close(self) -> None:
        """See `Backend`."""
        self._runner.close()
