"""However a run ends, nothing of it stays: no process, no shared memory, no semaphore."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.envs import make_task

ROOT = Path(__file__).parents[3]
TRAIN = ["-m", "zorl.cli", "train", "--agent", "spsa", "--env", WALK, "--workers", "2", "--quiet"]
TRAIN += ["--hidden", "3", "--no-tensorboard", "--video-budget", "0", "--validate-episodes", "2"]
ENDLESS = ["--timesteps", "10_000_000", "--env-set", "nap=0.002"]
FORGETFUL = """
import tempfile
folder = tempfile.TemporaryDirectory()  # its end was registered before that of any worker
import zorl
if __name__ == "__main__":
    task = zorl.make_task("toy_envs:toy/Walk-v0")
    agent = zorl.make_agent("spsa", task, workers=2, hidden=(3,))
    agent.learn(500)  # and it is not closed
    print("learned")
"""


def members(group: int) -> list[str]:
    """The command lines of a process group's living members."""
    found = subprocess.run(
        ["ps", "-wweo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(maxsplit=2) for line in found]
    return [row[-1] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


def wait_for(condition: Callable[[], object], what: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Ending:
    """A program in a process group of its own, and how it is made to end."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/helpers'}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def has_workers_at_work(self) -> bool:
        return (self.folder / "run" / "validation.csv").exists()

    def ended(self) -> tuple[int, str, str]:
        """Exit status and what was printed; all processes must be gone soon after."""
        results, err = self.process.communicate(timeout=240)
        wait_for(lambda: not members(self.process.pid), f"the end of {members(self.process.pid)}")
        assert "leaked" not in err  # multiprocessing's tracker of semaphores and shared memory
        return self.process.returncode, results, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Ending]]:
    """Starts programs; nothing of them may be left in /dev/shm."""
    before = {path.name for path in Path("/dev/shm").iterdir()}
    opened: list[Ending] = []

    def begin(*arguments: str) -> Ending:
        opened.append(Ending(tmp_path / str(len(opened)), *arguments))
        return opened[-1]

    try:
        yield begin
    finally:
        for ending in opened:
            if members(ending.process.pid):
                os.killpg(ending.process.pid, signal.SIGKILL)
            ending.process.wait()
    left = {path.name for path in Path("/dev/shm").iterdir()} - before
    assert {name for name in left if name.startswith(("sem.", "psm_", "zorl"))} == set()


def test_nothing_is_left_however_a_run_ends(start: Callable[..., Ending]) -> None:
    """All at once: most of their time is the start of processes."""
    run = ["--run", "run"]
    good = start(*TRAIN, *run, "--timesteps", "300", "--held-out", "2")
    raises = start(*TRAIN, *run, "--env-set", "fault=raise-step", "--env-set", "at=3")
    forgetful = start("-c", FORGETFUL)
    interrupted, stopped, killed = (start(*TRAIN, *run, *ENDLESS) for _ in range(3))
    # Its workers are in an episode that never ends when the parent is gone.
    hung = start(*TRAIN, *run, "--env-set", "fault=hang", "--env-set", "ledger=hanging")

    for running in (interrupted, stopped, killed):
        wait_for(running.has_workers_at_work, "workers at work")
        assert len(members(running.process.pid)) >= 3
    os.killpg(interrupted.process.pid, signal.SIGINT)
    stopped.process.terminate()
    killed.process.kill()
    status, _, err = interrupted.ended()
    assert status == 130 and "Traceback" not in err
    assert stopped.ended()[0] == 143
    assert killed.ended()[0] == -signal.SIGKILL

    assert good.ended()[0] == 0
    status, _, err = raises.ended()
    assert status == 1 and "RuntimeError: the step is broken" in err
    assert forgetful.ended() == (0, "learned\n", "")

    hanging = hung.folder / "hanging"  # a byte from each worker
    wait_for(lambda: hanging.exists() and hanging.stat().st_size >= 2, "workers that hang")
    hung.process.kill()
    assert hung.ended()[0] == -signal.SIGKILL


def resident(pid: int | str = "self") -> float:
    """Memory of a process that is its own, in MiB: not what libraries share."""
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_flat_over_small_generations(workers: int) -> None:
    """A megabyte in 1,500 generations would be 700 bytes a generation."""
    task = make_task(WALK, env_kwargs={"max_episode_steps": 1})
    agent = make_agent("spsa", task, workers=workers, hidden=(3,), episodes=1, m=1)
    assert isinstance(agent, SearchAgent)
    try:

        def generations(count: int) -> list[float]:
            last = agent.state.generation + count - 1
            agent.learn(10**9, callback=lambda generation: generation.index < last)
            pids = (
                []
                if agent.processes is None
                else [w.process.pid for w in agent.processes.pool.workers]
            )
            return [resident(), *(resident(pid or "") for pid in pids)]

        before = generations(500)
        growth = [b - a for a, b in zip(before, generations(1500), strict=True)]
        assert agent.state.generation == 2000
        assert len(growth) == (1 if workers == 1 else 3)
        assert max(growth) < 1.0, growth
    finally:
        agent.close()
