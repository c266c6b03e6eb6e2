"""Worker processes: the bits of one process, also when workers die, hang or raise."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from toy_batches import RUNNING, batch, bits, runner
from toy_envs import WALK
from toy_jobs import PreparedRunner, ToyRunner

from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.common.errors import ConfigurationError, EnvironmentFailure, NonFiniteRewardError
from zorl.common.storage import flatten
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.failures import FailedEpisode, FailureRule
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.processes.backend import ProcessBackend


def serial(task: EpisodeBatch) -> dict[str, bytes]:
    return bits(SerialBackend(runner()).run(task))


def workers() -> list[Any]:
    return [p for p in multiprocessing.active_children() if p.name.startswith("zorl-")]


@pytest.fixture
def pool() -> Iterator[Callable[..., ProcessBackend]]:
    """Makes backends, closed after the test; none of their processes may live on."""
    opened: list[ProcessBackend] = []

    def make(runner: GymnasiumRunner, workers: int, *args: Any, **kwargs: Any) -> ProcessBackend:
        opened.append(ProcessBackend(runner, workers, *args, **kwargs))
        return opened[-1]

    yield make
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
            backend="gymnasium",
            episodes=3,
            seed=5,
        )
        try:
            agent.learn(5000)
            held_out = agent.evaluate((1, 2, 3)).returns.tolist()
        finally:
            agent.close()
        assert isinstance(agent, SearchAgent)
        scalars, arrays = flatten(agent.state, "state")
        states[count] = scalars, {k: v.tobytes() for k, v in arrays.items()}, held_out
    assert states[1] == states[2] == states[3]
    scalars = states[1][0]
    assert scalars["state.generation"] >= 3
    assert scalars["state.counters.gate_steps"] > 0
    assert scalars["state.normalizer.moments.count"] == scalars["state.counters.search_steps"]
    assert workers() == []


def test_one_pool_from_its_start_to_its_end(pool: Callable[..., ProcessBackend]) -> None:
    backend = pool(runner(), 2)
    task = batch(7)
    expected = serial(task)
    backend.close()  # nothing yet to close
    assert backend.startup_seconds is None

    # The second time from the same processes, then a larger work in a memory that grows.
    for _ in range(2):
        assert bits(backend.run(task)) == expected
    while backend.startup_seconds is None:  # the first may have done it all alone
        backend.run(batch(1))
    assert 0.05 < backend.startup_seconds < 600
    pids = [p.pid for p in workers()]
    assert len(pids) == 2
    large = batch(300, (1, 2, 3, 4))
    assert bits(backend.run(large)) == serial(large)
    assert bits(backend.run(task)) == expected
    assert len(backend.run(batch(0)).returns) == 0
    assert [p.pid for p in workers()] == pids

    # One that was killed between two works is replaced, and is no failure.
    victim = next(p for p in workers() if p.name == "zorl-1")
    pid = victim.pid
    os.kill(pid, signal.SIGKILL)
    victim.join(60)
    for _ in range(3):
        assert bits(backend.run(task)) == expected
    assert backend.replaced == 1
    assert pid not in [p.pid for p in workers()]
    assert len(workers()) == 2

    backend.close()
    backend.close()
    assert workers() == []
    assert bits(backend.run(task)) == expected  # new processes


@pytest.mark.parametrize("fault", ["kill", "exit"])
def test_a_worker_that_dies_once_is_replaced_and_nothing_is_lost(
    fault: str,
    tmp_path: Path,
    pool: Callable[..., ProcessBackend],
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = pool(runner(fault=fault, fault_seed=8, fails=2, ledger=str(tmp_path / "ledger")), 2)
    task = batch(8)
    with caplog.at_level(logging.WARNING):
        assert bits(backend.run(task)) == serial(task)
    assert backend.replaced == 2
    assert len((tmp_path / "ledger").read_bytes()) == 2
    how = "signal 9" if fault == "kill" else "exit code 7"
    assert f"a worker of {WALK} died ({how}) and is replaced" in caplog.text


def test_the_episode_that_kills_its_worker_is_found(
    tmp_path: Path, pool: Callable[..., ProcessBackend]
) -> None:
    kept: list[FailedEpisode] = []

    def keep(episode: FailedEpisode) -> Path:
        kept.append(episode)
        return tmp_path / "here.zip"

    ledger = tmp_path / "ledger"
    broken: dict[str, Any] = {"fault": "kill", "fault_seed": 8, "at": 4, "ledger": str(ledger)}
    task = batch(1, (5, 6, 7, 8, 9, 10))
    backend = pool(runner(**broken), 2, FailureRule("fail", keep), retries=2)
    guilty = r"with seed 8 \(candidate 0\) ended its worker 2 times, alone in it \(signal 9\)"
    with pytest.raises(EnvironmentFailure, match=guilty) as caught:
        backend.run(task)
    assert caught.value.replay == str(tmp_path / "here.zip")
    assert [episode.seed for episode in kept] == [8]
    assert kept[0].theta.tobytes() == task.thetas[0].tobytes()
    assert 2 <= len(ledger.read_bytes()) <= 3  # once beside others, then alone
    assert workers() == []

    # By the other rule it is the only one without a result.
    backend = pool(runner(**broken), 2, FailureRule("worst"), retries=1)
    results = backend.run(task)
    assert np.isnan(results.returns).tolist() == [False, False, False, True, False, False]
    assert np.isnan(results.native_returns).tolist() == np.isnan(results.returns).tolist()
    assert results.lengths[3] == 0 and not results.successes[3] and not results.sums[3].any()
    whole = SerialBackend(runner()).run(task)
    for name, values in vars(results).items():
        assert np.delete(values, 3, 0).tobytes() == np.delete(getattr(whole, name), 3, 0).tobytes()


def test_an_environment_that_hangs_is_stopped(pool: Callable[..., ProcessBackend]) -> None:
    backend = pool(runner(fault="hang", fault_seed=8), 1, timeout=1.0, retries=1)
    with pytest.raises(EnvironmentFailure, match=r"seed 8 .*stopped after 1 s without progress"):
        backend.run(batch(1))
    assert workers() == []


@pytest.mark.parametrize("lanes", [1, 30])
def test_a_slow_environment_is_not_stopped(lanes: int, pool: Callable[..., ProcessBackend]) -> None:
    """Each reset sleeps a little; all of them, or all lanes, take longer than the timeout."""
    backend = pool(runner(lanes, nap=0.2), 1, timeout=1.5)
    task = batch(15, (7, 8))
    began = time.monotonic()
    assert bits(backend.run(task)) == serial(task)
    assert time.monotonic() - began > 1.5
    assert backend.replaced == 0


def test_every_step_and_every_reset_is_progress() -> None:
    """As many environments as there are lanes step between two turns."""
    heartbeats: list[int] = []
    playing = runner(lanes=3)
    playing.heartbeat = lambda: heartbeats.append(1)
    results = SerialBackend(playing).run(batch())
    assert len(heartbeats) == results.lengths.sum() + len(results.lengths)


def test_what_takes_long_is_done_before_a_timeout_counts(
    pool: Callable[..., ProcessBackend],
) -> None:
    task = EpisodeBatch(np.ones((2, 4), np.float32), (1, 2), Normalizer.create("off", [], []))
    backend = pool(PreparedRunner(), 1, timeout=0.9)
    assert set(backend.run(task).returns.tolist()) == {1.0}
    assert backend.replaced == 0
    unwatched = pool(PreparedRunner(), 1)
    assert set(unwatched.run(task).returns.tolist()) == {0.0}


@pytest.mark.parametrize(
    ("fault", "kind"), [("nan-reward", NonFiniteRewardError), ("raise-step", EnvironmentFailure)]
)
def test_an_exception_in_a_worker_arrives_as_in_one_process(
    fault: str, kind: type[Exception], pool: Callable[..., ProcessBackend]
) -> None:
    broken: dict[str, Any] = {"fault": fault, "fault_seed": 8}
    task = batch(1)
    with pytest.raises(kind) as here:
        SerialBackend(runner(**broken)).run(task)
    with pytest.raises(EnvironmentFailure, match="seed 8") as there:
        pool(runner(**broken), 2).run(task)
    assert type(there.value) is type(here.value)
    assert str(there.value) == str(here.value)
    assert there.value.job == here.value.job == 1
    if fault == "raise-step":
        assert there.value.trace.endswith("RuntimeError: the step is broken\n")
        assert "_go_wrong" in there.value.trace
    assert workers() == []


def test_an_exception_scored_worst_is_the_same_everywhere(
    pool: Callable[..., ProcessBackend],
) -> None:
    broken: dict[str, Any] = {"fault": "raise-step", "fault_seed": 8}
    task = batch(6)
    results = pool(runner(**broken), 2, FailureRule("worst")).run(task)
    assert bits(results) == bits(SerialBackend(runner(**broken), FailureRule("worst")).run(task))
    assert np.isnan(results.returns).tolist() == [False, True, False] * 6


def test_what_a_worker_inherits(
    monkeypatch: pytest.MonkeyPatch, pool: Callable[..., ProcessBackend]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    backend = pool(runner(), 1)
    thread = threading.Thread(target=backend.run, args=(batch(1),))
    thread.start()
    while not workers():
        time.sleep(0.001)
    (worker,) = workers()
    # Ctrl-C of a terminal goes to all: here while it is still importing, before any handler is set.
    os.kill(worker.pid, signal.SIGINT)
    thread.join()
    os.kill(worker.pid, signal.SIGINT)
    backend.run(batch(1))
    assert [p.pid for p in workers()] == [worker.pid]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())  # here it does

    environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=1", b"MKL_NUM_THREADS=1", b"OPENBLAS_NUM_THREADS=1"} <= {*environment}
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert "MKL_NUM_THREADS" not in os.environ

    wrong = EpisodeBatch(np.zeros((1, 2), np.float32), (1,), RUNNING)  # zorl's own fault
    with pytest.raises(Exception, match=r"float32 of shape|a worker of toy_envs.* failed:\n"):
        backend.run(wrong)
    assert workers() == []


class Unloadable(ToyRunner):
    """A runner that the workers cannot have."""

    def __reduce__(self) -> Any:
        return os.listdir, ("/no/such/folder",)


class Deadly(ToyRunner):
    def __reduce__(self) -> Any:
        return os._exit, (9,)


class Murdered(ToyRunner):
    def __reduce__(self) -> Any:
        return signal.raise_signal, (signal.SIGKILL,)


def test_workers_that_cannot_start_are_one_error(pool: Callable[..., ProcessBackend]) -> None:
    with pytest.raises(EnvironmentFailure, match=r"failed:\n(.*\n)*.*/no/such/folder"):
        pool(Unloadable(), 2).run(batch(1))
    with pytest.raises(EnvironmentFailure, match=r"before they finish .*exit code 9.*__main__"):
        pool(Deadly(), 2).run(batch(1))


def test_workers_that_are_killed_at_their_start_are_no_endless_loop(
    pool: Callable[..., ProcessBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zorl.rollout.processes.backend._MOST_FRUITLESS", 2)
    backend = pool(Murdered(), 1)
    with pytest.raises(EnvironmentFailure, match=r"die before they finish anything \(signal 9\)"):
        backend.run(batch(1))
    assert backend.replaced == 2


def test_workers_that_are_all_killed_at_once_are_replaced(
    pool: Callable[..., ProcessBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zorl.rollout.processes.backend._MOST_FRUITLESS", 1)
    backend, task = pool(runner(), 3), batch(9)
    while backend.startup_seconds is None:
        backend.run(task)
    for worker in workers():
        worker.kill()
        worker.join(60)
    assert bits(backend.run(task)) == serial(task)
    assert backend.replaced == 3


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="workers must be an integer ≥ 1, got 0"):
        ProcessBackend(runner(), 0)
    with pytest.raises(ConfigurationError, match="retries must be an integer ≥ 1, got 0"):
        ProcessBackend(runner(), 1, retries=0)
    for wrong in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="timeout must be a positive number"):
            ProcessBackend(runner(), 1, timeout=wrong)


@pytest.fixture(scope="module")
def pools() -> Iterator[dict[Any, ProcessBackend]]:
    """Backends that live as long as this module: their start is most of what an example costs."""
    opened: dict[Any, ProcessBackend] = {}
    yield opened
    for backend in opened.values():
        backend.close()


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_workers_any_chunks_any_deaths_give_the_bits_of_one_process(
    pools: dict[Any, ProcessBackend], data: st.DataObject
) -> None:
    count = data.draw(st.sampled_from([1, 2, 2, 3, 8]), "workers")
    lanes = data.draw(st.sampled_from([1, 3, 16]) if count < 8 else st.just(3), "lanes")
    if (count, lanes) not in pools:
        pools[count, lanes] = ProcessBackend(runner(lanes, nap=0.004), count, retries=1000)
    backend = pools[count, lanes]
    backend.chunk = data.draw(st.sampled_from([1, 2, 5, 64]), "chunk")
    n = data.draw(st.integers(1, 24), "candidates")
    task = batch(n, tuple(range(data.draw(st.integers(1, 6), "episodes"))))
    kills = data.draw(st.integers(0, 2) if count < 8 else st.just(0), "kills")
    chance = random.Random(n)
    over = threading.Event()

    def assassin() -> None:
        for _ in range(kills):
            if over.wait(chance.random() * 0.05):
                return
            alive = [w for w in backend.pool.workers if w.ready]
            with contextlib.suppress(ValueError, ProcessLookupError):  # replaced at this moment
                if alive:
                    chance.choice(alive).process.kill()

    thread = threading.Thread(target=assassin)
    thread.start()
    try:
        results = bits(backend.run(task))
    finally:
        over.set()
        thread.join()
    assert results == serial(task)


def test_a_program_from_standard_input_has_workers_and_an_environment_of_its_own() -> None:
    program = (
        "import gymnasium as gym, gymnasium.envs.classic_control as classic, zorl\n"
        "class Mine(classic.CartPoleEnv): pass\n"
        "gym.register('Mine-v0', Mine, max_episode_steps=20)\n"
        "agent = zorl.make_agent('ars', 'Mine-v0', workers=2)\n"
        "agent.learn(200)\n"
        "agent.close()\n"
        "print(agent.num_timesteps, __file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "<stdin>"
