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

from zorl.common.errors import EnvironmentFailure
from zorl.common.storage import write_json
from zorl.optimizers.base import Asked
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner


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


class ToyRunner(EnvRunner):
    """Episodes whose results are a formula of theta and seed, with faults on demand.

    Args:
        seconds: that an episode takes.
        folder: where the faults leave marks.
        fault: of the episodes with `seed`: "kill" kills the process, "kill-once" the first that
            plays it, "hang-once" lets the first wait for long, or for a file "go on", "raise"
            raises, "bug" what is no environment's.
        seed: of these episodes.
        long: seconds to wait then.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        folder: Path = Path(),
        fault: str = "none",
        seed: int = -1,
        long: float = 60.0,
    ) -> None:
        self._seconds, self._folder, self._fault, self._seed = seconds, folder, fault, seed
        self._long = long

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        taken = list(jobs)
        for job in taken:
            row, seed = batch.job(job)
            if seed == self._seed:
                self._go_wrong(f"row {row} seed {seed} of {len(taken)}")
            time.sleep(self._seconds)
            theta = batch.thetas[row]
            results.returns[job] = float(np.sin(theta.astype(np.float64)).sum()) * seed
            results.native_returns[job] = results.returns[job] + 1
            results.lengths[job] = seed % 7 + 1
            results.successes[job] = seed % 2

    def _go_wrong(self, line: str) -> None:
        path = self._folder / "marks"
        first = not path.exists()
        with path.open("a") as file:
            file.write(line + "\n")
        if self._fault == "raise":
            raise EnvironmentFailure(f"broken: {line}")
        if self._fault == "bug":
            raise RuntimeError("a bug")
        if self._fault == "hang-once" and first:
            end = time.monotonic() + self._long
            while time.monotonic() < end and not (self._folder / "go on").exists():
                time.sleep(0.02)
        if self._fault == "kill" or (self._fault == "kill-once" and first):
            os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        """Nothing is held."""


class ThreadsRunner(ToyRunner):
    """Returns the number of threads that a numerical library of this process may use; 0: any."""

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        for job in jobs:
            results.returns[job] = float(os.environ.get("MKL_NUM_THREADS", 0))


class PreparedRunner(ToyRunner):
    """Returns 1 where `prepare` was called before, which takes a second, and 0 where it was not."""

    prepared = 0.0

    def prepare(self) -> None:
        time.sleep(1.0)
        self.prepared = 1.0

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        for job in jobs:
            results.returns[job], results.lengths[job] = self.prepared, 1


def _make_nothing() -> None:
    raise RuntimeError("it cannot be made here")


class Unmakeable(ToyRunner):
    """A runner that cannot be read from its pickle."""

    def __reduce__(self) -> Any:
        return _make_nothing, ()


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
        return Asked(thetas, asked.t, asked.directions, asked, sigma=asked.sigma)

    def tell(self, state: Any, asked: Asked, returns: Any) -> Any:
        return self.optimizer.tell(state, asked.source, returns)


def kill_and_resume(folder: Path, options: list[str], kills: int) -> None:
    """`zorl train` killed with SIGKILL again and again, and resumed each time, in forks of this.

    Writes runs into the folder: `long`, unbroken; `torn`, the same killed `kills` times at random
    moments or file operations; `short`, unbroken; and `point-i` for every i that there is, the same
    killed once, at its file operation number i. `report.json` has the counts.
    """
    import random

    from zorl.agents import training
    from zorl.cli.main import main

    training.CHECKPOINT_SECONDS = 0.0  # one after every generation
    os.fsync = lambda fd: None  # which is against the end of the machine, and slow
    chance = random.Random(1)
    sys.stdout = sys.stderr = (folder / "log").open("w", buffering=1)

    def life(
        run: Path, steps: int, seconds: float | None = None, operation: int | None = None
    ) -> bool:
        """Begin or resume a run in a fork; whether it came to its end before its death."""
        pid = os.fork()
        if pid == 0:
            if operation is not None:
                die_at_file_operation(operation)
            again = ["resume", str(run), "--quiet", "--no-tensorboard"]
            first = ["train", "--run", str(run), "--timesteps", str(steps), *options]
            os._exit(main(again if (run / "config.json").exists() else first))
        if seconds is not None:
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise RuntimeError(f"{run.name} failed; see {folder / 'log'}")
        return os.WIFEXITED(status)

    few, many = 600, 60_000  # on a fast machine too, more than 50 lives
    for name, steps in (("short", few), ("long", many)):
        assert (
            main(["train", "--run", str(folder / name), "--timesteps", str(steps), *options]) == 0
        )
    killed = 0
    while killed < kills:
        seconds = chance.random() * 0.06 if killed % 2 else None
        if life(folder / "torn", many, seconds, None if seconds else chance.randrange(50)):
            break
        killed += 1
    if not (folder / "torn" / "agent.zip").exists():
        life(folder / "torn", many)
    points, whole = 0, False
    while not whole:
        run = folder / f"point-{points}"
        whole = life(run, few, operation=points)
        if not (run / "agent.zip").exists():
            life(run, few)
        points += 1
    write_json(folder / "report.json", {"killed": killed, "points": points})


def die_at_file_operation(number: int) -> None:
    """Kill this process before its `number`-th opening, renaming, … of a file."""
    left = [number]

    def count(event: str, _: Any) -> None:
        if event in ("open", "os.rename", "os.chmod", "os.mkdir", "os.remove", "tempfile.mkstemp"):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    sys.addaudithook(count)
