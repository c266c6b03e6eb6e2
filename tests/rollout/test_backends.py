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
            stochastic=True,
            normalize="running",
            gate="sequential",
            episodes=3,
            seed=5,
        )
        try:
            agent.learn(4000)
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


def test_more_chunks_than_workers_come_back_in_order(pool: list[Processes]) -> None:
    pool.append(Processes(runner(), 2))
    work = chunks(7, of=3)
    serial = Serial(runner()).map(work)
    for _ in range(2):  # the second time with the same processes
        for one, other in zip(serial, pool[0].map(work), strict=True):
            assert one.returns.tolist() == other.returns.tolist()
            assert one.lengths.tolist() == other.lengths.tolist()
    assert len({tuple(result.returns) for result in serial}) == 7
    assert len(pool[0].map(chunks(1))) == 1  # fewer than workers
    assert len(workers()) == 2


@pytest.mark.parametrize("busy", [True, False], ids=["at work", "idle"])
def test_a_killed_worker_is_one_failure_and_leaves_no_process(
    pool: list[Processes], busy: bool
) -> None:
    if busy:  # one worker dies in an episode while the other is at work
        pool.append(Processes(runner(fault="kill", fault_seed=101), 2))
    else:
        pool.append(Processes(runner(), 2))
        pool[0].map(chunks(2))
        victim = next(p for p in workers() if p.name == "zorl-1")
        os.kill(victim.pid, signal.SIGKILL)
        victim.join(5)
    expected = r"a worker of toy_envs:toy/Walk-v0 died \(signal 9\).*seeds \[100, 101\]"
    with pytest.raises(EnvironmentFailure, match=expected):
        pool[0].map(chunks(4))
    assert workers() == []
    # And it can be used again: new processes, and no answers from before.
    if not busy:
        assert pool[0].map(chunks(3))[2].returns.tolist() == (
            Serial(runner()).map(chunks(3))[2].returns.tolist()
        )


def test_an_environment_that_exits_in_a_worker_is_one_failure(pool: list[Processes]) -> None:
    pool.append(Processes(runner(fault="exit", fault_seed=1), 1))
    with pytest.raises(EnvironmentFailure, match=r"died \(exit code 7\) .*seeds \[0, 1\]"):
        pool[0].map(chunks(1))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("raise-step", EnvironmentFailure), ("nan-reward", NonFiniteRewardError)],
)
def test_an_exception_in_a_worker_arrives_as_in_one_process(
    pool: list[Processes], fault: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as here:
        Serial(runner(fault=fault, fault_seed=101)).map(chunks(2))
    pool.append(Processes(runner(fault=fault, fault_seed=101), 1))
    with pytest.raises(kind, match="seed 101") as there:
        pool[0].map(chunks(2))
    assert type(there.value) is type(here.value) is kind
    assert str(there.value) == str(here.value)


def test_a_fault_of_zorl_itself_arrives_with_its_traceback(pool: list[Processes]) -> None:
    pool.append(Processes(runner(), 1))
    broken = Chunk(chunks(1)[0].thetas, ((5, 1),), OFF)  # there is no row 5
    with pytest.raises(EnvironmentFailure, match="a worker failed:\n(.*\n)*.*IndexError"):
        pool[0].map([broken])


def test_close_may_come_early_and_often(pool: list[Processes]) -> None:
    pool.append(Processes(runner(), 1))
    pool[0].close()
    pool[0].map(chunks(1))
    pool[0].close()
    pool[0].close()
    assert workers() == []
    assert len(pool[0].map(chunks(2))) == 2


def test_an_interrupt_of_the_terminal_does_not_reach_workers(pool: list[Processes]) -> None:
    pool.append(Processes(runner(), 1))
    pool[0]._start()
    (worker,) = workers()
    os.kill(worker.pid, signal.SIGINT)  # while it is still importing, before any handler is set
    assert len(pool[0].map(chunks(1))) == 1
    os.kill(worker.pid, signal.SIGINT)
    assert len(pool[0].map(chunks(1))) == 1
    assert [p.pid for p in workers()] == [worker.pid]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())  # here it does


def test_workers_use_one_thread_and_this_process_keeps_its_own_setting(
    monkeypatch: pytest.MonkeyPatch, pool: list[Processes]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    pool.append(Processes(runner(), 1))
    pool[0]._start()
    (worker,) = workers()
    environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=1", b"MKL_NUM_THREADS=1", b"OPENBLAS_NUM_THREADS=1"} <= {*environment}
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert "MKL_NUM_THREADS" not in os.environ


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
        process.kill()  # no chance to clean up
        assert process.stderr.read() == ""
    assert serial == parallel
    assert float(serial.split("[[")[1].strip("]\n")) % 3 == 0
    children = [int(pid) for pid in pids.split()]
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, children))


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import zorl\nzorl.make_agent('spsa', 'CartPole-v1', workers=2).learn(1)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "__name__ == '__main__'" in done.stderr.splitlines()[-1]
