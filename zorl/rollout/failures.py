"""What becomes of an episode that cannot be played to its end."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import EnvironmentFailure, NonFiniteRewardError, UnknownNameError, ZorlError
from zorl.common.tracebacks import own_traceback
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import EpisodeBatch, EpisodeResults

ON_FAILURE = ("fail", "worst")
log = logging.getLogger("zorl")


@dataclass(frozen=True)
class FailedEpisode:
    """All that an episode depended on, except the task and the policy.

    Attributes:
        seed: of the episode.
        theta: (d,) its candidate.
        normalizer: frozen as it was.
        reason: what went wrong, in words.
        trace: the traceback of what the environment raised; "" where it did not.
        crashed: whether it ended or blocked its process, instead of raising.
    """

    seed: int
    theta: NDArray[np.float32]
    normalizer: Normalizer
    reason: str
    trace: str = ""
    crashed: bool = False


Keep = Callable[[FailedEpisode], "Path | None"]


class FailureRule:
    """Decides about episodes that raise, hang, or kill their process.

    Args:
        on_failure: "fail" raises; "worst" gives the episode a NaN return, which the search counts
            and scores as the worst of its generation. A NaN or infinite reward always raises here;
            `allow_non_finite` of the runners decides about those.
        keep: saves an episode for `zorl replay` and returns the file, or None where it has no
            folder for it; raises a `ZorlError` where saving fails.
    """

    def __init__(self, on_failure: str = "fail", keep: Keep | None = None) -> None:
        if on_failure not in ON_FAILURE:
            raise UnknownNameError("rule for failed episodes", on_failure, ON_FAILURE)
        self.on_failure = on_failure
        self._keep = keep

    @property
    def raises(self) -> bool:
        """Whether a failed episode is the end of the run."""
        return self.on_failure == "fail"

    def resolve(
        self, error: EnvironmentFailure, batch: EpisodeBatch, job: int, results: EpisodeResults
    ) -> None:
        """Raise, or write the results of an episode that failed.

        Raises:
            EnvironmentFailure: `error`, with the job and the file that replays it.
        """
        error.job = job
        error.trace = error.trace or own_trace(error)
        message = self._keep_episode(error, batch, job)
        if message:
            error.args = (f"{error}; {message}",)
        if self.raises or isinstance(error, NonFiniteRewardError):
            raise error
        log.warning("scored worst: %s", error)
        results.set_nan(job)
        results.lengths[job] = 0
        for values in (results.sums, results.squares):
            values[job] = 0.0

    def _keep_episode(self, error: EnvironmentFailure, batch: EpisodeBatch, job: int) -> str:
        """Save an episode. Returns a message that says where, or why not."""
        row, seed = batch.job(job)
        crashed = not error.trace and not isinstance(error, NonFiniteRewardError)
        theta = batch.thetas[row].copy()
        episode = FailedEpisode(seed, theta, batch.normalizer, str(error), error.trace, crashed)
        try:
            path = None if self._keep is None else self._keep(episode)
        except ZorlError as reason:
            return f"not saved for replay: {reason}"
        if path is None:
            return ""
        error.replay = str(path)
        return f"see it again: zorl replay {path}"


def as_sent(error: Exception) -> tuple[ZorlError | None, str]:
    """The exception that is being handled, for another process.

    Returns:
        The exception itself where it is zorl's own and survives the way, else None; its traceback.
    """
    trace = traceback.format_exc()
    if isinstance(error, EnvironmentFailure):
        error.trace = own_trace(error)
    known = error if isinstance(error, ZorlError) else None
    try:
        pickle.loads(pickle.dumps(known))
    except Exception:  # an exception class that takes other arguments than it keeps
        known = None
    return known, trace


def own_trace(error: EnvironmentFailure) -> str:
    """The environment's part of the traceback behind a failure; "" where there is none."""
    return "" if error.__cause__ is None else own_traceback(error.__cause__)
