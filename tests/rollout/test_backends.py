"""Worker processes: the same bits, one clear failure when one dies, and none left behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.envs import make_task
from zorl.errors import ConfigurationError, EnvironmentFailure, NonFiniteRewardError
from zorl.normalization import Normalizer
from zorl.policies import MlpPolicy
from zorl.rollout.backends import Chunk, Processes, Serial
from zorl.rollout.episodes import EpisodeRunner
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.spaces import ActionDecoder
from zorl.storage import flatten

OFF = Normalizer.create("off", np.zeros(3), np.zeros(3))


def runner(**kwargs: Any) -> EpisodeRunner:
    task = make_task(WALK, env_kwargs=kwargs)
    env = task.make()
    policy = MlpPolicy(3, ActionDecoder.for_space(env.action_space))
    env.close()
    return EpisodeRunner(task, policy)


def chunks(count: int, of: int = 2) -> list[Chunk]:
    """Each with a candidate of its own and `of` episodes."""
    dim = runner().policy.dim
    rng = np.random.default_rng(1)
    return [
        Chunk(
            rng.normal(size=(1, dim)).astype(np.float32),
            tuple((0, 100 * index + seed) for seed in range(of)),
            OFF,
        )
        for index in range(count)
    ]


def workers() -> list[Any]:
    return [p for p in multiprocessing.active_children() if p.name.startswith("zorl-")]


@pytest.fixture
def pool() -> Iterator[list[Processes]]:
    """Backends to be closed after the test; none of their processes may live on."""
    opened: list[Processes] = []
    yield opened
    for backend in opened:
        backend.close()
    assert workers() == []


def test_workers_give_the_bits_of_one_process() -> None:
    """The whole state of a search: theta, moments, gate, counters, after several generations."""
    states = {}
    for count in (1, 2, 3):
        agent = make_agent(
            "ars",
            "CartPole-v1",
            workers=count,
            settings="default",
            m=2,
            top=None,
            stochastic=True,
            normalize="running",
            gate="sequential",
            episodes=3,
            seed=5,
        )
        try:
            agent.learn(5000)
            held_out = agent.evaluate((1, 2, 3)).returns.tolist()
        finally:
            agent.close()
        scalars, arrays = flatten(agent.state, "state")
        states[count] = scalars, {k: v.tobytes() for k, v in arrays.items()}, held_out
    assert states[1] == states[2] == states[3]
    scalars = states[1][0]
    assert scalars["state.generation"] >= 3
    assert scalars["state.counters.gate_steps"] > 0
    assert scalars["state.normalizer.moments.count"] == scalars["state.counters.search_steps"]
    assert workers() == []


def test_one_pool_from_its_start_to_its_end(pool: list[Processes]) -> None:
    pool.append(Processes(runner(), 2))
    backend = pool[0]
    work = chunks(7, of=3)
    serial = [result.returns.tolist() for result in Serial(runner()).map(work)]
    assert len({tuple(returns) for returns in serial}) == 7
    backend.close()  # nothing yet to close

    # More chunks than workers come back in order, the second time from the same processes.
    for _ in range(2):
        assert [result.returns.tolist() for result in backend.map(work)] == serial
        assert len(workers()) == 2
    pids = [p.pid for p in workers()]
    assert len(backend.map(chunks(1))) == 1  # fewer than workers
    assert [p.pid for p in workers()] == pids

    # A worker that was killed is one failure, and the others go with it.
    victim = next(p for p in workers() if p.name == "zorl-1")
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(5)
    died = r"a worker of toy_envs:toy/Walk-v0 died \(signal 9\).*seeds \[100, 101\].*__main__"
    with pytest.raises(EnvironmentFailure, match=died):
        backend.map(chunks(4))
    assert workers() == []

    # New processes, and no answers from before.
    assert [result.returns.tolist() for result in backend.map(work)] == serial
    backend.close()
    backend.close()
    assert workers() == []


def test_a_worker_that_dies_in_an_episode_is_one_failure(pool: list[Processes]) -> None:
    pool.append(Processes(runner(fault="kill", fault_seed=101), 2))  # one of the two
    with pytest.raises(EnvironmentFailure, match=r"died \(signal 9\).*seeds \[100, 101\]"):
        pool[0].map(chunks(4))
    assert workers() == []


def test_an_exception_in_a_worker_arrives_as_in_one_process(pool: list[Processes]) -> None:
    broken = {"fault": "nan-reward", "fault_seed": 101}
    with pytest.raises(NonFiniteRewardError) as here:
        Serial(runner(**broken)).map(chunks(2))
    pool.append(Processes(runner(**broken), 1))
    with pytest.raises(EnvironmentFailure, match="seed 101") as there:
        pool[0].map(chunks(2))
    assert type(there.value) is NonFiniteRewardError
    assert str(there.value) == str(here.value)
    assert workers() == []


def test_what_a_worker_inherits(monkeypatch: pytest.MonkeyPatch, pool: list[Processes]) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    pool.append(Processes(runner(), 1))
    pool[0]._start()
    (worker,) = workers()
    # Ctrl-C of a terminal goes to all: here while it is still importing, before any handler is set.
    os.kill(worker.pid, signal.SIGINT)
    assert len(pool[0].map(chunks(1))) == 1
    os.kill(worker.pid, signal.SIGINT)
    assert len(pool[0].map(chunks(1))) == 1
    assert [p.pid for p in workers()] == [worker.pid]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())  # here it does

    environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=1", b"MKL_NUM_THREADS=1", b"OPENBLAS_NUM_THREADS=1"} <= {*environment}
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert "MKL_NUM_THREADS" not in os.environ

    broken = Chunk(chunks(1)[0].thetas, ((5, 1),), OFF)  # there is no row 5: zorl's own fault
    with pytest.raises(EnvironmentFailure, match=r"a worker failed:\n(.*\n)*.*IndexError"):
        pool[0].map([broken])


def test_there_is_at_least_one_worker() -> None:
    with pytest.raises(ConfigurationError, match="workers must be ≥ 1, got 0"):
        Processes(runner(), 0)


class Recorded:
    """A backend that runs in this process and remembers the chunks."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.serial = Serial(runner())
        self.sizes: list[int] = []

    def map(self, chunks: list[Chunk]) -> list[Any]:
        self.sizes = [len(chunk.jobs) for chunk in chunks]
        return self.serial.map(chunks)

    def close(self) -> None:
        self.serial.close()


@pytest.mark.parametrize(
    ("workers", "sizes"), [(1, [35]), (2, [8, 8, 8, 8, 3]), (4, [8, 8, 8, 8, 3])]
)
def test_the_evaluator_joins_chunks_that_cut_through_candidates(
    workers: int, sizes: list[int]
) -> None:
    backend = Recorded(workers)
    evaluator = RolloutEvaluator(backend)
    thetas = np.random.default_rng(2).normal(size=(7, runner().policy.dim))
    bounds = np.full(3, np.inf)
    normalizer = Normalizer.create("running", -bounds, bounds)
    seeds = (5, 3, 9, 1, 2)
    result = evaluator.evaluate(thetas, seeds, normalizer)
    assert backend.sizes == sizes
    assert result.returns.shape == result.lengths.shape == result.successes.shape == (7, 5)
    assert result.episodes == 35
    assert result.env_steps == result.lengths.sum()
    assert result.moments is not None
    for row in range(7):
        alone = Serial(runner()).map(
            [Chunk(thetas[[row]].astype(np.float32), tuple((0, s) for s in seeds), normalizer)]
        )[0]
        assert result.returns[row].tolist() == alone.returns.tolist()
        assert result.native_returns[row].tolist() == alone.native_returns.tolist()
        assert result.lengths[row].tolist() == alone.lengths.tolist()
        assert result.moments[row].count == alone.lengths.sum()
    evaluator.close()


SCRIPT = """
import sys, time
import gymnasium as gym
import multiprocessing
import zorl


class Tripled(gym.Wrapper):  # of no importable module: only this script has it
    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, 3 * reward, terminated, truncated, info


if __name__ == "__main__":
    task = zorl.make_task("CartPole-v1", ["__main__:Tripled"])
    for workers in (1, 2):
        agent = zorl.make_agent("spsa", task, workers=workers, m=8, episodes=2)
        agent.learn(1)
        print(agent.state.theta.sum().hex(), agent.evaluate((1,)).returns.tolist())
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    return False


def test_a_script_s_own_wrapper_reaches_workers_and_they_do_not_outlive_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        serial, parallel, pids = (process.stdout.readline() for _ in range(3))
        children = [int(pid) for pid in pids.split()]
        status = [Path(f"/proc/{pid}/status").read_text() for pid in children]
        process.kill()  # no chance to clean up
        assert process.stderr.read() == ""
    assert serial == parallel
    assert float(serial.split("[[")[1].strip("]\n")) % 3 == 0
    assert len(children) == 2
    for text in status:  # the very first worker of a process too has SIGINT blocked
        blocked = next(line for line in text.splitlines() if line.startswith("SigBlk"))
        assert int(blocked.split()[1], 16) & 1 << (signal.SIGINT - 1)
    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, children))
