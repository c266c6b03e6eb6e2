"""Where episodes run; whatever the place, the results are the same bits."""

from __future__ import annotations

from typing import Protocol

from zorl.rollout.batch import EpisodeBatch, EpisodeResults


class Backend(Protocol):
    """Runs all jobs of a work, somewhere."""

    def run(self, batch: EpisodeBatch) -> EpisodeResults:
        """The episodes of the work's jobs, in order."""

    def close(self) -> None:
        """Free environments and processes."""
