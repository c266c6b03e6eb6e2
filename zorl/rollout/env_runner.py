"""What steps environments: the inner part of every backend that is not compiled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Protocol

from zorl.rollout.batch import EpisodeBatch, EpisodeResults


class EnvRunner(Protocol):
    """Plays episodes in this process. Subclass it: what has a default is optional.

    A runner is pickled for worker processes before its first run.

    Attributes:
        heartbeat: a worker process with a timeout sets this function; calling it says that the
            environments still make progress. A runner that never calls it must begin or end an
            episode within the timeout. None: nobody listens.
        description: a line for the log about how the episodes are played; None: nothing special.
    """

    heartbeat: Callable[[], object] | None = None

    @property
    def description(self) -> str | None:
        """See the class."""
        return None

    @property
    def env_id(self) -> str:
        """What messages call the environment."""
        return "the environment"

    def prepare(self) -> None:
        """Do what may take longer than any step, such as compiling, before a timeout counts."""
        return None  # noqa: RET501  # not abstract: a runner may leave it out

    @abstractmethod
    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        """Play jobs to the end of their episodes and write each one into its row of `results`.

        An episode's numbers depend on its theta, its seed and the normalizer alone, to the last
        bit: neither on the jobs beside it nor on their order. An episode is written completely
        before the next job is taken in its place, and its length is above 0 then.

        Args:
            batch: what the jobs are numbers of.
            jobs: taken one at a time, as places become free.
            results: (k,) arrays over all jobs of the batch.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the environments; a later `run` opens new ones."""
