"""What tests run in processes of their own, in a module that those can import.

They cannot import the test modules: some distributions install a package named `tests`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zorl.errors import EnvironmentFailure
from zorl.optimizers.base import Asked
from zorl.rollout.work import Episodes, Work
from zorl.storage import write_json


def describe(path: Path) -> None:
    """Write down how this process was started, and fail with status 3."""
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    write_json(path, {"blocked": blocked, "threads": os.environ.get("OMP_NUM_THREADS")})
    sys.exit(3)


def never_ends(path: Path) -> None:
    """Say that it has begun, and then ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path.touch()
    time.sleep(60)


class ToyRunner:
    """Episodes whose results are a formula of theta and seed, with faults on demand.

    Args:
        seconds: that an episode takes.
        folder: where the faults leave marks.
        fault: of the episodes with `seed`: "kill" kills the process, "kill-once" the first that
            plays it, "hang-once" lets the first wait for a minute, "raise" raises.
        seed: of these episodes.
    """

    def __init__(
        self, seconds: float = 0.0, folder: Path = Path(), fault: str = "none", seed: int = -1
    ) -> None:
        self._seconds, self._folder, self._fault, self._seed = seconds, folder, fault, seed

    def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
        taken = list(jobs)
        for job in taken:
            row, seed = work.job(job)
            if seed == self._seed:
                self._go_wrong(f"row {row} seed {seed} of {len(taken)}")
            time.sleep(self._seconds)
            theta = work.thetas[row]
            out.returns[job] = float(np.sin(theta.astype(np.float64)).sum()) * seed
            out.native_returns[job] = out.returns[job] + 1
            out.lengths[job] = seed % 7 + 1
            out.successes[job] = seed % 2

    def _go_wrong(self, line: str) -> None:
        path = self._folder / "marks"
        first = not path.exists()
        with path.open("a") as file:
            file.write(line + "\n")
        if self._fault == "raise":
            raise EnvironmentFailure(f"broken: {line}")
        if self._fault == "hang-once" and first:
            time.sleep(60)
        if self._fault == "kill" or (self._fault == "kill-once" and first):
            os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        """Nothing is held."""


class ThreadsRunner(ToyRunner):
    """Returns the number of threads that numerical libraries of this process may use."""

    def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
        for job in jobs:
            out.returns[job] = float(os.environ["OPENBLAS_NUM_THREADS"])


@dataclass(frozen=True)
class ElsewhereOtherwise:
    """An optimizer that asks for other candidates in another process than `pid`."""

    optimizer: Any
    pid: int

    def init(self, theta: Any) -> Any:
        return self.optimizer.init(theta)

    def ask(self, state: Any, rng: np.random.Generator) -> Asked:
        asked = self.optimizer.ask(state, rng)
        thetas = asked.thetas * (1 if os.getpid() == self.pid else 1 + 1e-6)
        return Asked(thetas, asked.t, asked.directions, asked)

    def tell(self, state: Any, asked: Asked, returns: Any) -> Any:
        return self.optimizer.tell(state, asked.source, returns)
