"""What runs on the machines of a Ray cluster: an actor with a runner, and what is sent to it."""

from __future__ import annotations

import contextlib
import platform
import sys
from dataclasses import dataclass
from importlib import metadata

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, EnvironmentFailure, ZorlError
from zorl.common.streams import Seeds
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.failures import as_sent
from zorl.rollout.origin import CandidateOrigin, fingerprint

LARGEST = (
    1 << 24
)  # bytes of rows up to which actors compute them from the origin; see docs/scaling.md


@dataclass(frozen=True)
class Broadcast:
    """A batch as it travels, once per machine: its candidates' origin, or their rows.

    Attributes:
        number: of the batch, so that an actor prepares each once.
        candidates: (n, d) rows, or a pickled `CandidateOrigin`.
        fingerprint: of the rows that the driver has.
        seeds: of the episodes.
        normalizer: frozen for the whole batch.
        most_steps: of the batch.
    """

    number: int
    candidates: NDArray[np.float32] | bytes
    fingerprint: bytes
    seeds: Seeds
    normalizer: Normalizer
    most_steps: int | None = None

    @classmethod
    def of(cls, batch: EpisodeBatch, number: int) -> Broadcast:
        """The smaller of the two forms; always rows where computing them again takes longer."""
        candidates: NDArray[np.float32] | bytes = batch.thetas
        if batch.origin is not None and batch.thetas.nbytes <= LARGEST:
            origin = cloudpickle.dumps(batch.origin)
            if len(origin) < batch.thetas.nbytes:
                candidates = origin
        mark = fingerprint(batch.thetas) if isinstance(candidates, bytes) else b""
        return cls(number, candidates, mark, batch.seeds, batch.normalizer, batch.most_steps)

    def batch(self) -> EpisodeBatch:
        """The batch itself.

        Raises:
            ConfigurationError: this machine computes other candidates than the driver did.
        """
        if not isinstance(self.candidates, bytes):
            return self._batch(self.candidates)
        origin: CandidateOrigin = cloudpickle.loads(self.candidates)
        thetas = origin.thetas()
        if fingerprint(thetas) != self.fingerprint:
            raise ConfigurationError(
                f"the machine {platform.node()} makes other candidates than the driver from the "
                f"same state and seed ({_versions_line()}); every machine needs the same versions "
                "of zorl, numpy and scipy, and processors on which these give the same bits"
            )
        return self._batch(thetas)

    def _batch(self, thetas: NDArray[np.float32]) -> EpisodeBatch:
        return EpisodeBatch(thetas, self.seeds, self.normalizer, most_steps=self.most_steps)


class EpisodeActor:
    """Plays jobs; keeps its environments, and the candidates of the last batch.

    Args:
        start_with: a pickled runner, where the driver looks for modules, and whether a timeout
            watches over the runs.
    """

    def __init__(self, start_with: tuple[bytes, list[str], bool]) -> None:
        self._payload, path, self._watched = start_with
        sys.path.extend(folder for folder in path if folder not in sys.path)
        self._runner: EnvRunner | None = None
        self._number = -1
        self._batch: EpisodeBatch
        self._out: EpisodeResults

    def ready(self) -> dict[str, str] | Failure:
        """Make the runner. Returns the versions of what decides the bits."""
        try:
            self._runner = runner = cloudpickle.loads(self._payload)
            if self._watched:
                runner.prepare()
        except Exception as error:
            return Failure.of(error)
        return versions()

    def run(self, broadcast: Broadcast, start: int, stop: int) -> EpisodeResults | Failure:
        """The results of jobs `start` to `stop` − 1."""
        assert self._runner is not None
        try:
            if broadcast.number != self._number:
                self._batch = broadcast.batch()
                self._out = EpisodeResults.empty(self._batch)
                self._number = broadcast.number
            self._runner.run(self._batch, range(start, stop), self._out)
        except Exception as error:
            with contextlib.suppress(Exception):
                self._runner.close()  # the next run makes new environments
            return Failure.of(error)
        return EpisodeResults(*(values[start:stop] for values in vars(self._out).values()))


@dataclass(frozen=True)
class Failure:
    """An exception of an actor, as it travels.

    Attributes:
        error: the exception where it is zorl's own; None otherwise.
        text: its traceback.
    """

    error: ZorlError | None
    text: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """The exception that is being handled."""
        return cls(*as_sent(error))

    def exception(self) -> ZorlError:
        """What the driver raises."""
        return self.error or EnvironmentFailure(f"a Ray actor failed:\n{self.text}")


def versions() -> dict[str, str]:
    """Versions of what decides the bits of candidates and episodes, on this machine."""
    found = {"Python": platform.python_version()}
    for name in ("zorl", "numpy", "scipy", "gymnasium"):
        found[name] = metadata.version(name)
    return found


def _versions_line() -> str:
    return ", ".join(f"{name} {version}" for name, version in versions().items())
