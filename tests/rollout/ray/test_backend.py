"""Ray actors on a local cluster of several nodes: the bits of one process, whatever is lost."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import WALK
from toy_jobs import ElsewhereOtherwise, ThreadsRunner, ToyRunner, Unmakeable

from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.common.storage import flatten
from zorl.common.streams import Streams
from zorl.envs import make_task
from zorl.optimizers.registry import METHODS
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.backend import Backend
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.failures import FailureRule
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.ray import actor as ray_actor, backend as ray_backend
from zorl.rollout.ray.actor import Broadcast
from zorl.rollout.ray.backend import RayBackend
from zorl.search.gates import make_gate
from zorl.search.loop import Search

pytest.importorskip("ray")

OFF = Normalizer.create("off", np.zeros(3), np.zeros(3))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, beside a head that runs no actors."""
    import ray
    from ray.cluster_utils import Cluster

    handler = signal.getsignal(signal.SIGTERM)  # which Ray replaces
    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    logs = cluster.head_node.get_session_dir_path()
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    signal.signal(signal.SIGTERM, handler)
    shutil.rmtree(logs, ignore_errors=True)


@contextmanager
def backend(runner: Any, workers: int | None = None, **more: Any) -> Iterator[Any]:
    """A backend, closed at the end."""
    opened = RayBackend(runner, workers, **more)
    try:
        yield opened
    finally:
        opened.close()


def toy_batch(rows: int = 20, seeds: int = 10) -> EpisodeBatch:
    thetas = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    return EpisodeBatch(thetas, tuple(range(100, 100 + seeds)), OFF)


def bits(episodes: EpisodeResults) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in vars(episodes).items()}


EXPECTED = bits(SerialBackend(ToyRunner()).run(toy_batch()))


def walk_runner() -> GymnasiumRunner:
    task = make_task(WALK)
    env = task.make()
    policy = MlpPolicy(3, ActionDecoder.for_space(env.action_space), (8,))
    env.close()
    return GymnasiumRunner(task, policy, lanes=4)


def searched(backend: Backend, runner: GymnasiumRunner) -> tuple[Any, Any]:
    """The whole state of a search after four generations."""
    search = Search(
        METHODS["ars"](m=16, top=8),
        RolloutEvaluator(backend),
        Streams(3),
        make_gate("sequential"),
        episodes=3,
    )
    normalizer = Normalizer.create("running", np.full(3, -np.inf), np.full(3, np.inf))
    theta = runner.policy.init(Streams(3).init())  # type: ignore[attr-defined]
    for generation in search.run(search.init(theta, normalizer)):
        if generation.index == 3:
            break
    scalars, arrays = flatten(generation.state, "state")
    return scalars, {name: array.tobytes() for name, array in arrays.items()}


def test_a_search_has_the_bits_of_one_process(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = walk_runner()
    serial = searched(SerialBackend(runner), runner)
    sent: list[Broadcast] = []
    of = Broadcast.of

    def record(*arguments: Any) -> Broadcast:
        sent.append(of(*arguments))
        return sent[-1]

    monkeypatch.setattr(Broadcast, "of", record)
    with backend(runner) as ray_backend_:
        assert searched(ray_backend_, runner) == serial
        assert len(ray_backend_._actors) == 2  # one for every CPU
    assert serial[0]["state.counters.gate_steps"] > 0
    made_again = [isinstance(broadcast.candidates, bytes) for broadcast in sent]
    assert sum(made_again) == 4  # every generation's candidates, no gate's
    assert len(sent) > 4


def test_an_agent_learns_the_same_on_ray(cluster: Any) -> None:
    states = {}
    for ray in (None, "auto"):
        agent = make_agent(
            "cma-es", WALK, settings="default", seed=2, backend="gymnasium", workers=1, ray=ray
        )
        try:
            agent.learn(2000)
            held_out = agent.evaluate((1, 2, 3)).returns.tolist()
        finally:
            agent.close()
        assert isinstance(agent, SearchAgent)
        scalars, arrays = flatten(agent.state, "state")
        states[ray] = scalars, {k: v.tobytes() for k, v in arrays.items()}, held_out
    assert states[None] == states["auto"]
    assert states["auto"][0]["state.generation"] >= 3


def test_a_node_is_removed_in_the_middle(cluster: Any) -> None:
    node = cluster.add_node(num_cpus=1)
    try:
        with backend(ToyRunner(0.02)) as opened:
            assert bits(opened.run(toy_batch(2))) == bits(
                SerialBackend(ToyRunner()).run(toy_batch(2))
            )
            before = list(opened._actors)
            assert len(before) == 3
            thread = threading.Timer(0.3, cluster.remove_node, [node])
            began = time.monotonic()
            thread.start()
            got = bits(opened.run(toy_batch()))
            thread.join()
            assert time.monotonic() - began > 1.3  # three actors, 200 × 20 ms
            assert got == EXPECTED
            lost = [actor for actor in before if actor not in opened._actors]
            assert len(lost) == opened.replaced == 1
            # The machine is gone, so nothing stands for its actor's successor; the rest goes on.
            assert bits(opened.run(toy_batch())) == EXPECTED
            assert sum(actor.started for actor in opened._actors) == 2
    finally:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


def test_an_actor_that_dies_is_replaced(cluster: Any, tmp_path: Path) -> None:
    broken = ToyRunner(0.005, tmp_path, "kill-once", 104)
    with backend(broken, 2) as opened:
        for _ in range(2):
            assert bits(opened.run(toy_batch())) == EXPECTED
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not all(a.started for a in opened._actors):
            opened.run(toy_batch())
        assert [actor.started for actor in opened._actors] == [True, True]


def test_a_job_that_kills_its_actors_is_named(cluster: Any, tmp_path: Path) -> None:
    broken = ToyRunner(0.0, tmp_path, "kill", 3)
    thetas = np.ones((1, 4), np.float32)
    with backend(broken, 2, retries=2) as opened:
        with pytest.raises(EnvironmentFailure, match=r"seed 3 \(candidate 0\).*2 times") as caught:
            opened.run(EpisodeBatch(thetas, (1, 2, 3, 4, 5, 6, 7, 8, 9), OFF))
        assert caught.value.job == 2
        lines = (tmp_path / "marks").read_text().splitlines()
        alone = [line for line in lines if line.endswith("of 1")]
        assert set(alone) == {"row 0 seed 3 of 1"}
        # On a busy machine an actor that is late is overtaken: another one plays the job as well.
        assert len(alone) >= 2
        assert len(lines) == len(alone) + 1
        # The backend is of use again at once, with the actor that lives.
        harmless = EpisodeBatch(thetas, (1, 2, 4), OFF)
        assert bits(opened.run(harmless)) == bits(SerialBackend(ToyRunner()).run(harmless))


def test_a_straggler_is_overtaken_and_its_late_answer_ignored(cluster: Any, tmp_path: Path) -> None:
    broken = ToyRunner(0.002, tmp_path, "hang-once", 104, long=120.0)
    harmless = EpisodeBatch(toy_batch().thetas, tuple(range(200, 210)), OFF)
    expected = bits(SerialBackend(ToyRunner()).run(harmless))
    with backend(broken, 2) as opened:
        opened.run(harmless)  # start-up is no part of this
        assert bits(opened.run(toy_batch())) == EXPECTED
        waiting = [actor for actor in opened._actors if actor.chunk is not None]
        assert len(waiting) == 1  # nobody waited for it
        (tmp_path / "go on").touch()
        began = time.monotonic()
        while waiting[0].chunk is not None and waiting[0].number == 2:
            assert bits(opened.run(harmless)) == expected
            assert time.monotonic() - began < 60
        assert opened._actors.count(waiting[0]) == 1  # it plays on


def test_an_actor_that_hangs_is_killed_after_a_timeout(cluster: Any, tmp_path: Path) -> None:
    broken = ToyRunner(0.002, tmp_path, "hang-once", 104)
    with backend(broken, 1, timeout=0.1) as opened:  # alone, so that no other overtakes it
        assert bits(opened.run(toy_batch(2))) == bits(SerialBackend(ToyRunner()).run(toy_batch(2)))


def test_an_exception_arrives_and_the_backend_lives_on(cluster: Any, tmp_path: Path) -> None:
    broken = ToyRunner(0.0, tmp_path, "raise", 104)
    with backend(broken, 2) as opened:
        with pytest.raises(EnvironmentFailure, match=r"broken: row \d+ seed 104"):
            opened.run(toy_batch())
        harmless = EpisodeBatch(toy_batch().thetas, (1, 2), OFF)
        for _ in range(5):  # answers of the failed work may come late
            assert bits(opened.run(harmless)) == bits(SerialBackend(ToyRunner()).run(harmless))


def test_what_raises_may_score_worst_and_nothing_else_changes(cluster: Any, tmp_path: Path) -> None:
    batch = toy_batch(1)
    good = [index for index in range(len(batch)) if batch.job(index)[1] != 104]
    expected = SerialBackend(ToyRunner()).run(batch)
    for fault in ("raise", "kill"):
        broken = ToyRunner(0.0, tmp_path, fault, 104)
        with backend(broken, 2, failures=FailureRule("worst"), retries=1) as opened:
            got = opened.run(batch)
        assert np.isnan(got.returns).sum() == np.isnan(got.native_returns).sum() == 1
        for name, values in vars(expected).items():
            assert getattr(got, name)[good].tobytes() == values[good].tobytes()


def test_what_no_environment_raised_scores_nobody(cluster: Any, tmp_path: Path) -> None:
    broken = ToyRunner(0.0, tmp_path, "bug", 104)
    with (
        backend(broken, 1, failures=FailureRule("worst")) as opened,
        pytest.raises(EnvironmentFailure, match=r"a Ray actor failed:\n(.*\n)+RuntimeError: a bug"),
    ):
        opened.run(toy_batch(1))


def test_a_runner_that_cannot_be_made_is_one_clear_error(cluster: Any) -> None:
    with (
        backend(Unmakeable(), 1) as opened,
        pytest.raises(EnvironmentFailure, match="cannot be made here"),
    ):
        opened.run(toy_batch())


def test_actors_have_one_thread_and_need_the_drivers_versions(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backend(ThreadsRunner(), 1) as opened:
        assert set(opened.run(toy_batch(1)).returns) == {1.0}
    monkeypatch.setattr(
        ray_backend, "versions", lambda: {**ray_actor.versions(), "numpy": "1.26.0"}
    )
    with (
        backend(ThreadsRunner(), 1) as opened,
        pytest.raises(ConfigurationError, match=r"has numpy \S+ instead of 1\.26\.0"),
    ):
        opened.run(toy_batch(1))


def test_a_machine_that_makes_other_candidates_is_an_error(cluster: Any) -> None:
    optimizer = ElsewhereOtherwise(METHODS["ars"](m=8, top=8), os.getpid())
    with backend(ToyRunner(), 1) as opened:
        search = Search(optimizer, RolloutEvaluator(opened), Streams(0))
        with pytest.raises(ConfigurationError, match="other candidates than the driver"):
            search.step(search.init(np.ones(1000)))


def test_more_actors_than_cpus_wait_for_room_and_none_is_an_error(cluster: Any) -> None:
    with backend(ToyRunner(), 3) as first:  # two CPUs
        assert bits(first.run(toy_batch())) == EXPECTED
        with (
            backend(ToyRunner(), 1, start_timeout=1.0) as second,
            pytest.raises(EnvironmentFailure, match=r"no Ray actor.* within 1 s.* 0 are free"),
        ):
            second.run(toy_batch())


@pytest.mark.parametrize("options", [{"workers": 0}, {"retries": 0}, {"timeout": 0.0}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RayBackend(ToyRunner(), **options)
