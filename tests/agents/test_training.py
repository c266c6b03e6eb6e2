"""Training from end to end: exact accounts, the learning curve, the final estimate."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import WALK, CountReal
from toy_runs import PLAN, TASK, StopAfter, begin, fresh, recorders

import zorl
from zorl.agents import training
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import load_agent, make_agent
from zorl.agents.resuming import resume
from zorl.agents.training import run_config, train
from zorl.agents.validation import COLUMNS
from zorl.common.errors import NonFiniteRewardError, UnknownNameError
from zorl.common.stats import mean_interval, proportion_interval
from zorl.common.storage import read_json
from zorl.common.streams import Streams, held_out_seeds
from zorl.envs import make_task
from zorl.recorders.base import BaseRecorder, Record, Run
from zorl.runs.curves import first_reaching, read_curve
from zorl.runs.folder import RunFolder


def test_the_accounts_are_exact(tmp_path: Path) -> None:
    task = make_task(WALK, ["toy_envs:CountReal"], {"action": "box"}, threshold=-5.0)
    agent, folder = begin(tmp_path / "run", task=task)
    CountReal.steps = CountReal.episodes = 0
    counts: list[tuple[int, int]] = []

    class Recorder(BaseRecorder):
        def validation(self, env_steps: int, figures: Any) -> None:
            counts.append((CountReal.steps, agent.num_timesteps))

    result = train(agent, PLAN, folder, [Recorder()])
    steps, episodes, counters = result.env_steps, result.episodes, result.counters
    assert result.held_out is not None
    assert counters is not None
    assert steps.total == CountReal.steps
    assert episodes.total == CountReal.episodes
    assert steps.total == steps.training + steps.validation + (steps.held_out or 0)
    assert episodes.total == episodes.training + episodes.validation + (episodes.held_out or 0)
    assert episodes.validation == 4 * len(result.curve)
    assert episodes.held_out == 6 == result.held_out.episodes
    assert steps.held_out == sum(result.held_out.lengths)
    assert steps.training == counters.search_steps + counters.gate_steps
    assert episodes.training == counters.search_episodes + counters.gate_episodes
    assert counters.gate_steps > 0
    assert steps.training == agent.num_timesteps >= PLAN.total_timesteps
    # And at every point on the way: what was stepped is training and validation so far.
    measured = np.cumsum([row["validation_steps"] for row in result.curve])
    assert [real - trained for real, trained in counts] == measured.tolist()


def test_the_learning_curve_has_a_point_at_the_start_every_interval_and_at_the_end(
    unbroken: tuple[TrainingPlan, dict[str, Any]],
) -> None:
    _, left = unbroken
    curve = left["result"]["curve"]
    generations = [line["env_steps"] for line in left["generations"]]
    expected, due = [0], 1100
    for steps in generations:
        if steps >= due or steps == generations[-1]:
            expected.append(steps)
            due = (steps // 1100 + 1) * 1100
    assert [row["env_steps"] for row in curve] == expected
    assert len(expected) >= 5
    assert left["validation"][0] == [c for c in COLUMNS if c != "seconds"]
    assert len(left["validation"]) == len(expected) + 1
    assert [row["episodes"] for row in curve][-1] == left["result"]["episodes"]["training"]


@pytest.mark.parametrize(
    ("name", "steps", "options"),
    [
        ("cma-es", 12_000, {}),
        ("ppo", 1500, {"n_steps": 64, "batch_size": 64, "learning_rate": 0.02}),
    ],
)
def test_learning_may_end_with_the_best_policy_as_training_does(
    name: str, steps: int, options: dict[str, Any]
) -> None:
    plan = TrainingPlan(steps, held_out=5, select="best")

    def agent() -> Any:
        return make_agent(name, "CartPole-v1", settings="default", **options)

    result = train(agent(), plan)
    assert result.held_out is not None
    expected = list(result.held_out.native_returns)
    seeds = held_out_seeds(5)
    learned = agent().learn(steps, select="best")
    assert learned.evaluate(seeds).native_returns[0].tolist() == expected
    best = max(reversed(result.curve), key=lambda row: row["native_return"])
    assert learned.num_timesteps == best["env_steps"] < result.env_steps.training
    last = agent().learn(steps)
    assert last.num_timesteps == result.env_steps.training
    assert last.evaluate(seeds).native_returns[0].tolist() != expected
    with pytest.raises(UnknownNameError, match="unknown selection 'bst'; did you mean 'best'"):
        last.learn(10, select="bst")


def test_validations_are_fewer_where_they_cost_much_beside_the_training() -> None:
    options: Any = {"n_steps": 64, "batch_size": 64}
    make: Any = partial(make_agent, "ppo", "CartPole-v1", settings="default", **options)
    curve = train(make(), TrainingPlan(3000, held_out=2)).curve
    points = [int(row["env_steps"]) for row in curve]
    for last, row in pairwise(curve[:-1]):
        cost = 0.35 * last["validation_steps"]
        due = max((last["env_steps"] // 150 + 1) * 150, last["env_steps"] + cost)
        assert due <= row["env_steps"] < due + 64
    assert points[0] == 0
    assert points[-1] == 3008
    assert 4 < len(points) < 19
    every = TrainingPlan(1280, validate_every=64, validate_episodes=20, held_out=2)
    assert [row["env_steps"] for row in train(make(), every).curve] == [*range(0, 1281, 64)]


def test_a_point_of_the_curve_is_the_mean_of_the_validation_episodes(tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run")
    result = train(agent, PLAN, folder, stop=StopAfter(1))
    seeds = Streams(4).validation(4)
    first, *_ = read_curve(folder.validation)
    own = fresh().evaluate(seeds)
    assert first["native_return"] == own.native_returns.mean()
    assert first["return"] == own.returns.mean() == pytest.approx(2 * own.native_returns.mean())
    assert first["success_rate"] == own.successes.mean()
    assert first["validation_steps"] == own.env_steps
    assert result.curve[0] == first


def test_the_result_is_an_honest_estimate_of_the_file_that_was_saved(
    unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path
) -> None:
    plan, left = unbroken
    path = tmp_path / "agent.zip"
    path.write_bytes(left["agent"])
    own = load_agent(path).evaluate(held_out_seeds(6))
    held_out = left["result"]["held_out"]
    assert held_out["native_returns"] == own.native_returns.ravel().tolist()
    assert held_out["native_return"] == asdict(mean_interval(own.native_returns.ravel()))
    assert held_out["return"] == asdict(mean_interval(own.returns.ravel()))
    assert held_out["success_rate"] == asdict(proportion_interval(int(own.successes.sum()), 6))
    assert held_out["lengths"] == own.lengths.ravel().tolist()
    used = {*held_out_seeds(6)} & {*Streams(4).validation(4), *Streams(4).episodes(0, 5)}
    assert not used
    result = left["result"]
    assert result["status"] == "finished"
    assert result["agent"] == "ars"
    assert result["env_id"] == WALK
    assert result["shaped"] is True
    assert result["seed"] == 4
    assert result["parameters"] == 3 * 4 + 4 + 4 * 4 + 4
    assert result["threshold"] == -9.0
    assert result["reached_threshold"] == first_reaching(result["curve"], "native_return", -9.0)
    assert plan.held_out == result["held_out"]["episodes"]


def test_select_best_takes_the_best_point_of_the_curve(tmp_path: Path) -> None:
    plan = replace(PLAN, select="best", validate_every=300)
    agent, folder = begin(tmp_path / "run", plan)
    result = train(agent, plan, folder)
    values = [row["native_return"] for row in result.curve]
    assert max(values) > values[-1]  # else this would test nothing
    row = max(result.curve, key=lambda row: (row["native_return"], row["env_steps"]))
    best = load_agent(folder.agent)
    assert best.num_timesteps == row["env_steps"] < agent.num_timesteps
    assert folder.agent.read_bytes() == folder.best.read_bytes()
    assert best.evaluate(Streams(4).validation(4)).native_returns.mean() == row["native_return"]
    own = best.evaluate(held_out_seeds(6))
    assert result.held_out is not None
    assert result.held_out.native_returns == tuple(own.native_returns.ravel())
    # Without a folder the same.
    assert train(fresh(), plan).held_out == result.held_out
    assert train(fresh(), replace(plan, select="last")).held_out != result.held_out


def test_of_equal_points_the_later_one_is_best(tmp_path: Path) -> None:
    plan = TrainingPlan(2000, validate_every=500, validate_episodes=2, held_out=2, select="best")
    agent = make_agent("spsa", "MountainCar-v0", hidden=(2,), m=1, episodes=1, settings="default")
    folder = RunFolder.create(tmp_path / "run", run_config(agent, plan))
    result = train(agent, plan, folder)
    assert {row["native_return"] for row in result.curve} == {-200.0}
    assert load_agent(folder.agent).num_timesteps == agent.num_timesteps


def test_training_stops_at_its_goal(tmp_path: Path) -> None:
    whole = train(fresh(), replace(PLAN, validate_every=300)).curve
    goal = max(row["native_return"] for row in whole[1:-1])
    plan = replace(PLAN, validate_every=300, stop_at=goal)
    agent, folder = begin(tmp_path / "run", plan)
    result = train(agent, plan, folder)
    assert result.finished
    values = [row["native_return"] for row in result.curve]
    assert values[-1] == goal
    assert all(value < goal for value in values[:-1])
    assert len(values) < len(whole)
    assert result.held_out is not None
    assert folder.agent.exists()


def test_recorders_hear_of_everything_in_order(tmp_path: Path) -> None:
    class Recorder(BaseRecorder):
        def start(self, run: Run) -> None:
            log.append("start")
            assert (run.name, run.folder) == ("my-run", folder.path)
            assert (run.start_index, run.start_steps) == (0, 0)
            assert run.total_timesteps == 6000
            assert run.task == TASK
            assert run.agent is agent
            assert run.config["agent"] == agent.config

        def record(self, record: Record) -> None:
            log.append("record")

        def validation(self, env_steps: int, figures: Any) -> None:
            log.append(figures["eval/native_return_mean"])
            assert {*figures} == {
                "eval/native_return_mean",
                "eval/return_mean",
                "eval/success_rate",
            }

        def finish(self, result: Any) -> None:
            log.append("finish")
            assert result["status"] == "finished"
            assert "held_out" in result

    log: list[Any] = []
    agent, folder = begin(tmp_path / "my-run")
    result = train(agent, PLAN, folder, [Recorder()])
    assert log[0] == "start"
    assert log[-1] == "finish"
    assert [item for item in log if isinstance(item, float)] == [
        row["native_return"] for row in result.curve
    ]
    assert log.count("record") == agent.state.generation
    assert isinstance(log[1], float)  # before anything was trained


def test_the_best_policy_is_evaluated_by_the_workers_too(tmp_path: Path) -> None:
    """One of them dies of a held-out episode, which costs time alone."""
    plan = replace(PLAN, total_timesteps=1500, select="best")
    results = []
    for workers in (1, 2):
        ledger = tmp_path / f"ledger-{workers}"
        broken = {"fault": "kill", "fault_seed": held_out_seeds(6)[3], "fails": 1}
        task = make_task(WALK, env_kwargs={**broken, "ledger": str(ledger)})
        agent = fresh(task=task, workers=workers, stochastic=False)
        before = agent.state.theta.tobytes()
        try:
            results.append(train(agent, plan).held_out)
            assert agent.state.theta.tobytes() != before
            assert agent.num_timesteps >= plan.total_timesteps  # it is where it was
            assert agent.processes is None or agent.processes.replaced == 1
        finally:
            agent.close()
        assert ledger.exists()
    assert results[0] == results[1]


def test_an_error_leaves_the_last_whole_generation_saved(tmp_path: Path) -> None:
    class Fails(BaseRecorder):
        def record(self, record: Record) -> None:
            if record.index == 4:
                raise RuntimeError("mine")

        def finish(self, result: Any) -> None:
            finished.append(result["status"])

    finished: list[str] = []
    agent, folder = begin(tmp_path / "run")
    with pytest.raises(RuntimeError, match="mine"):
        train(agent, PLAN, folder, [Fails()])
    assert finished == ["failed"]
    assert load_agent(folder.checkpoint).num_timesteps == agent.num_timesteps > 0
    assert not folder.result.exists()
    assert not folder.agent.exists()
    assert resume(folder).held_out == train(fresh(), PLAN).held_out


def test_a_checkpoint_is_written_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, folder = begin(tmp_path / "run")
    seen: list[bool] = []

    class Recorder(BaseRecorder):
        def record(self, record: Record) -> None:
            if folder.checkpoint.exists():
                seen.append(load_agent(folder.checkpoint).num_timesteps < agent.num_timesteps)

    train(agent, PLAN, folder, [Recorder()], StopAfter(4))
    assert seen == []  # ten seconds are not over
    folder.checkpoint.unlink()
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    train(fresh(), PLAN, folder, [Recorder()], StopAfter(4))
    assert len(seen) == 3


def test_the_versions_are_kept(tmp_path: Path) -> None:
    _, folder = begin(tmp_path / "run")
    versions = read_json(folder.config)["versions"]
    assert versions["zorl"] == zorl.__version__
    assert versions["numpy"] == np.__version__
    assert {"python", "scipy", "gymnasium", "stable-baselines3", "torch"} <= {*versions}


def test_a_nan_ends_the_run_and_keeps_what_was_learned(tmp_path: Path) -> None:
    bad = Streams(4).episodes(3, 1)[0]  # the fourth generation meets it
    task = make_task(WALK, (), {"fault": "nan-reward", "fault_seed": bad}, -9.0)
    agent, folder = begin(tmp_path / "run", task=task)
    with pytest.raises(NonFiniteRewardError, match=f"with seed {bad} "):
        train(agent, PLAN, folder, recorders(folder))
    assert load_agent(folder.checkpoint).state.generation == 3  # type: ignore[attr-defined]
    assert len(folder.generations.read_text().splitlines()) == 3


def test_a_nan_may_count_as_the_worst(tmp_path: Path) -> None:
    bad = Streams(4).episodes(3, 1)[0]
    task = make_task(WALK, (), {"fault": "nan-reward", "fault_seed": bad}, -9.0)
    agent, folder = begin(tmp_path / "run", task=task, non_finite="worst")
    result = train(agent, PLAN, folder, recorders(folder))
    assert result.finished
    assert result.counters is not None
    assert result.counters.non_finite == 4
    lines = [json.loads(line) for line in folder.generations.read_text().splitlines()]
    assert lines[3]["search/return_mean"] is None
    assert lines[-1]["search/non_finite_returns"] == 4
    assert np.isfinite(agent.state.theta).all()


def test_a_nan_on_the_learning_curve_is_never_best_nor_first(tmp_path: Path) -> None:
    bad = Streams(4).validation(4)[0]
    task = make_task(WALK, (), {"fault": "nan-reward", "fault_seed": bad}, -9.0)
    plan = replace(PLAN, select="best")
    agent, folder = begin(tmp_path / "run", plan, task=task, non_finite="worst")
    result = train(agent, plan, folder, recorders(folder), StopAfter(4))
    assert all(np.isnan(row["native_return"]) for row in result.curve)
    assert result.reached_threshold is None
    result = resume(folder, recorders(folder))  # reads them back
    assert result.finished
    assert load_agent(folder.agent).num_timesteps == agent.num_timesteps or folder.best.exists()
