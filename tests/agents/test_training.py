"""Training from end to end: exact accounts, interruption, resuming to the same bits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_envs
from run_outcomes import outcome
from toy_envs import WALK, CountReal

import zorl
from zorl.agents import training
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import load_agent, make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.agents.training import held_out_summary, resume, run_config, train
from zorl.common.errors import (
    ConfigurationError,
    FileFormatError,
    NonFiniteRewardError,
    RunFolderError,
    UnknownNameError,
)
from zorl.common.stats import mean_interval, proportion_interval
from zorl.common.storage import read_json, write_json
from zorl.common.streams import Streams, held_out_seeds
from zorl.envs import make_task
from zorl.recorders.base import BaseRecorder, Record, Run
from zorl.recorders.jsonl import JsonlRecorder
from zorl.runs.curves import first_reaching, read_curve
from zorl.runs.folder import RunFolder

PLAN = TrainingPlan(6000, validate_every=1100, validate_episodes=4, held_out=6, select="last")
OPTIONS: dict[str, Any] = {
    "settings": "default",
    "normalize": "running",
    "gate": "paired",
    "gate_options": {"episodes": 3},
    "stochastic": True,
    "hidden": (4,),
    "m": 2,
    "top": None,
    "episodes": 2,
    "max_episodes": 5,
    "seed": 4,
}
TASK = make_task(WALK, ["toy_envs:Doubled"], {"action": "multi-binary"}, threshold=-9.0)


def fresh(**changes: Any) -> SearchAgent:
    agent = make_agent("ars", changes.pop("task", TASK), **{**OPTIONS, **changes})
    assert isinstance(agent, SearchAgent)
    return agent


def begin(path: Path, plan: TrainingPlan = PLAN, **changes: Any) -> tuple[SearchAgent, RunFolder]:
    agent = fresh(**changes)
    return agent, RunFolder.create(path, run_config(agent, plan))


def recorders(folder: RunFolder) -> list[Any]:
    return [JsonlRecorder(folder.generations)]


class StopAfter:
    """Asks to stop once so many generations are over."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture(scope="module", params=["last", "best"])
def unbroken(
    request: pytest.FixtureRequest, tmp_path_factory: Any
) -> tuple[TrainingPlan, dict[str, Any]]:
    plan = replace(PLAN, select=request.param)
    agent, folder = begin(tmp_path_factory.mktemp("run") / "unbroken", plan)
    train(agent, plan, folder, recorders(folder))
    return plan, outcome(folder)


# An unbroken run


def test_the_accounts_are_exact(tmp_path: Path) -> None:
    task = make_task(WALK, ["toy_envs:CountReal"], {"action": "box"}, threshold=-5.0)
    agent, folder = begin(tmp_path / "run", task=task)
    CountReal.steps = CountReal.episodes = 0
    counts: list[tuple[int, int]] = []

    class Recorder(BaseRecorder):
        def validation(self, env_steps: int, figures: Any) -> None:
            counts.append((CountReal.steps, agent.num_timesteps))

    result = train(agent, PLAN, folder, [Recorder()])
    steps, episodes = result["env_steps"], result["episodes"]
    assert steps["total"] == CountReal.steps
    assert episodes["total"] == CountReal.episodes
    assert steps["total"] == steps["training"] + steps["validation"] + steps["held_out"]
    assert episodes["total"] == sum(episodes[k] for k in ("training", "validation", "held_out"))
    assert episodes["validation"] == 4 * len(result["curve"])
    assert episodes["held_out"] == 6 == result["held_out"]["episodes"]
    assert steps["held_out"] == sum(result["held_out"]["lengths"])
    counters = result["counters"]
    assert steps["training"] == counters["search_steps"] + counters["gate_steps"]
    assert episodes["training"] == counters["search_episodes"] + counters["gate_episodes"]
    assert counters["gate_steps"] > 0
    assert steps["training"] == agent.num_timesteps >= PLAN.total_timesteps
    # And at every point on the way: what was stepped is training and validation so far.
    measured = np.cumsum([row["validation_steps"] for row in result["curve"]])
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
    assert left["validation"][0] == [c for c in training.COLUMNS if c != "seconds"]
    assert len(left["validation"]) == len(expected) + 1
    assert [row["episodes"] for row in curve][-1] == left["result"]["episodes"]["training"]


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
    assert result["curve"][0] == first


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
    values = [row["native_return"] for row in result["curve"]]
    assert max(values) > values[-1]  # else this would test nothing
    row = max(result["curve"], key=lambda row: (row["native_return"], row["env_steps"]))
    best = load_agent(folder.agent)
    assert best.num_timesteps == row["env_steps"] < agent.num_timesteps
    assert folder.agent.read_bytes() == folder.best.read_bytes()
    assert best.evaluate(Streams(4).validation(4)).native_returns.mean() == row["native_return"]
    own = best.evaluate(held_out_seeds(6))
    assert result["held_out"]["native_returns"] == own.native_returns.ravel().tolist()
    # Without a folder the same.
    assert train(fresh(), plan)["held_out"] == result["held_out"]
    assert train(fresh(), replace(plan, select="last"))["held_out"] != result["held_out"]


def test_of_equal_points_the_later_one_is_best(tmp_path: Path) -> None:
    plan = TrainingPlan(2000, validate_every=500, validate_episodes=2, held_out=2, select="best")
    agent = make_agent("spsa", "MountainCar-v0", hidden=(2,), m=1, episodes=1, settings="default")
    folder = RunFolder.create(tmp_path / "run", run_config(agent, plan))
    result = train(agent, plan, folder)
    assert {row["native_return"] for row in result["curve"]} == {-200.0}
    assert load_agent(folder.agent).num_timesteps == agent.num_timesteps


def test_training_stops_at_its_goal(tmp_path: Path) -> None:
    whole = train(fresh(), replace(PLAN, validate_every=300))["curve"]
    goal = max(row["native_return"] for row in whole[1:-1])
    plan = replace(PLAN, validate_every=300, stop_at=goal)
    agent, folder = begin(tmp_path / "run", plan)
    result = train(agent, plan, folder)
    assert result["status"] == "finished"
    values = [row["native_return"] for row in result["curve"]]
    assert values[-1] == goal
    assert all(value < goal for value in values[:-1])
    assert len(values) < len(whole)
    assert "held_out" in result
    assert folder.agent.exists()


def test_the_first_point_that_reaches_the_threshold_is_named() -> None:
    rows = [{"x": 1.0}, {"x": 3.0}, {"x": 4.0}]
    assert first_reaching(rows, "x", 3.0) is rows[1]
    assert first_reaching(rows, "x", 5.0) is None


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
        row["native_return"] for row in result["curve"]
    ]
    assert log.count("record") == agent.state.generation
    assert isinstance(log[1], float)  # before anything was trained


# Interrupted and resumed


@pytest.mark.parametrize("stops", [(1,), (3, 2, 1), (9,)], ids=str)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    stops: tuple[int, ...], unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path
) -> None:
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    result = train(agent, plan, folder, recorders(folder), StopAfter(stops[0]))
    for count in (*stops[1:], None):
        assert result["status"] == "interrupted"
        assert "held_out" not in result
        assert read_json(folder.result)["status"] == "interrupted"
        assert not folder.agent.exists()
        stop = None if count is None else StopAfter(count)
        result = resume(folder, recorders(folder), stop)
    assert outcome(folder) == expected


@pytest.mark.parametrize("at", ["start", "early", "late"])
def test_a_run_that_was_killed_between_checkpoints_goes_on_to_the_same_bits(
    at: str, unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path
) -> None:
    """The checkpoint is older than the lines, the curve and the best policy beside it."""
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    old = tmp_path / "old.zip"
    if at != "start":
        train(agent, plan, folder, recorders(folder), StopAfter(2 if at == "early" else 6))
        shutil.copy(folder.checkpoint, old)
        agent = load_agent(folder.checkpoint)  # type: ignore[assignment]
    train(agent, plan, folder, recorders(folder), StopAfter(7))
    folder.result.unlink()
    later = len(folder.generations.read_text().splitlines())
    if at == "start":
        folder.checkpoint.unlink()
    else:
        shutil.copy(old, folder.checkpoint)
    with folder.generations.open("a") as file:
        file.write('{"index": 1, "env_st')  # torn by the kill
    seen: list[int] = []

    class Recorder(BaseRecorder):
        def start(self, run: Run) -> None:
            seen.append(run.start_index)

    result = resume(folder, [*recorders(folder), Recorder()], StopAfter(1))
    assert result["curve"][-1]["env_steps"] <= result["env_steps"]["training"]
    resume(folder, recorders(folder))
    assert seen == [{"start": 0, "early": 2, "late": 6}[at]] < [later]
    assert outcome(folder) == expected


def test_workers_may_change_at_a_resume(
    unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path
) -> None:
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    train(agent, plan, folder, recorders(folder), StopAfter(3))
    resume(folder, recorders(folder), workers=2)
    assert outcome(folder) == expected


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
            results.append(train(agent, plan)["held_out"])
            assert agent.state.theta.tobytes() != before
            assert agent.num_timesteps >= plan.total_timesteps  # it is where it was
            assert agent.processes is None or agent.processes.replaced == 1
        finally:
            agent.close()
        assert ledger.exists()
    assert results[0] == results[1]


def test_a_run_killed_while_its_result_was_measured_is_finished_by_resume(
    unbroken: tuple[TrainingPlan, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, expected = unbroken
    agent, folder = begin(tmp_path / "unbroken", plan)
    with monkeypatch.context() as patch:
        patch.setattr(training, "held_out_summary", lambda _: _raise(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(agent, plan, folder, recorders(folder))
    assert not folder.agent.exists()
    resume(folder, recorders(folder))
    assert outcome(folder) == expected
    # And one that was killed between its last two files.
    folder.agent.unlink()
    resume(folder, recorders(folder))
    assert outcome(folder) == expected


def _raise(kind: type[BaseException]) -> Any:
    raise kind


def test_seconds_go_on_from_where_they_were(tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run")
    before = train(agent, PLAN, folder, stop=StopAfter(3))["seconds"]
    saved = read_json(folder.result)
    write_json(folder.result, {**saved, "seconds": before + 1000})
    after = resume(folder)
    assert 1000 < after["seconds"] < 1060
    assert after["curve"][-1]["seconds"] > 1000
    assert [row["seconds"] for row in after["curve"]] == sorted(
        row["seconds"] for row in after["curve"]
    )


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
    assert resume(folder)["held_out"] == train(fresh(), PLAN)["held_out"]


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


# What cannot be resumed


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    plan = replace(PLAN, total_timesteps=300)
    agent, folder = begin(tmp_path / "run", plan)
    train(agent, plan, folder)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(RunFolderError, match="is finished: nothing is left to resume"):
        resume(folder)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_a_baseline_is_not_resumed(tmp_path: Path) -> None:
    plan = TrainingPlan(64, validate_episodes=1, held_out=2, select="last")
    agent = make_agent("ppo", "CartPole-v1", settings="default", n_steps=16, batch_size=16)
    folder = RunFolder.create(tmp_path / "run", run_config(agent, plan))
    result = train(agent, plan, folder, stop=StopAfter(20))
    agent.close()
    assert result["status"] == "interrupted"
    assert result["env_steps"]["training"] == 20
    assert folder.checkpoint.exists()
    with pytest.raises(RunFolderError, match="baselines cannot be resumed"):
        resume(folder)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            lambda c: c["agent"].update(seed=5),
            RunFolderError,
            r"checkpoint\.zip was written by another configuration than .*config\.json",
        ),
        (lambda c: c["agent"]["options"].update(m=3), RunFolderError, "another configuration"),
        (lambda c: c["agent"].update(family="x"), FileFormatError, "unknown family of agents 'x'"),
        (lambda c: c["agent"].pop("task"), FileFormatError, "search agent: 'task'"),
        (lambda c: c["agent"].update(colour=1), FileFormatError, "colour"),
        (lambda c: c["agent"].update(episodes="x"), ConfigurationError, "episodes must be"),
        (lambda c: c["agent"].update(agent="sps"), UnknownNameError, "did you mean 'spsa'"),
        (lambda c: c.update(agent=[1]), FileFormatError, "not the configuration of an agent"),
        (lambda c: c.pop("agent"), FileFormatError, "config.json: 'agent' is missing"),
        (lambda c: c.pop("plan"), FileFormatError, "config.json: 'plan' is missing"),
        (lambda c: c["plan"].update(colour=1), FileFormatError, "not the plan .*colour"),
        (lambda c: c["plan"].update(held_out=-1), ConfigurationError, "held_out must be .*got -1"),
        (lambda c: c["plan"].update(select="worst"), UnknownNameError, "selection 'worst'"),
        (lambda c: c["plan"].update(stop_at="x"), ConfigurationError, "stop_at must be a return"),
    ],
)
def test_a_tampered_configuration_is_refused(
    change: Callable[[Any], Any], kind: type[Exception], words: str, tmp_path: Path
) -> None:
    agent, folder = begin(tmp_path / "run")
    train(agent, PLAN, folder, stop=StopAfter(1))
    config = read_json(folder.config)
    change(config)
    write_json(folder.config, config)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(kind, match=words) as caught:
        resume(folder)
    assert type(caught.value) is kind
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("env_steps,x\n1,2\n", "validation.csv: expected the columns env_steps, episodes"),
        ("a,b\n1\n", "not a learning curve"),
        ("a\nx\n", "not a learning curve"),
    ],
)
def test_a_broken_learning_curve_is_refused(text: str, words: str, tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run")
    train(agent, PLAN, folder, stop=StopAfter(1))
    folder.validation.write_text(text)
    with pytest.raises(FileFormatError, match=words):
        resume(folder)
    assert folder.validation.read_text() == text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"total_timesteps": 0}, "total_timesteps must be an integer ≥ 1, got 0"),
        ({"total_timesteps": 1e5}, "total_timesteps must be an integer ≥ 1"),
        ({"validate_every": -1}, "validate_every must be"),
        ({"select": "bst"}, "unknown selection 'bst'; did you mean 'best'"),
    ],
)
def test_a_plan_is_checked(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TrainingPlan(**{"total_timesteps": 10, **values})


def test_a_plan_s_interval_is_a_twentieth() -> None:
    assert TrainingPlan(1000).interval == 50
    assert TrainingPlan(7).interval == 1
    assert TrainingPlan(1000, 300).interval == 300
    assert TrainingPlan.from_json(asdict(PLAN)) == PLAN


def test_the_versions_are_kept(tmp_path: Path) -> None:
    _, folder = begin(tmp_path / "run")
    versions = read_json(folder.config)["versions"]
    assert versions["zorl"] == zorl.__version__
    assert versions["numpy"] == np.__version__
    assert {"python", "scipy", "gymnasium", "stable-baselines3", "torch"} <= {*versions}


# Rewards that are no numbers


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
    assert result["status"] == "finished"
    assert result["counters"]["non_finite"] == 4
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
    assert all(np.isnan(row["native_return"]) for row in result["curve"])
    assert result["reached_threshold"] is None
    result = resume(folder, recorders(folder))  # reads them back
    assert result["status"] == "finished"
    assert load_agent(folder.agent).num_timesteps == agent.num_timesteps or folder.best.exists()


def test_a_nan_among_the_held_out_episodes_is_told() -> None:
    evaluation = fresh().evaluate((1, 2, 3))
    evaluation.native_returns[0, 1] = np.nan
    with pytest.raises(NonFiniteRewardError, match="1 of 3 held-out episodes"):
        held_out_summary(evaluation)


# Signals


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 2)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_stops_a_real_run_and_resume_finishes_it(
    number: signal.Signals, workers: int, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    options = [
        *("--agent", "ars", "--env", WALK, "--env-set", "action=box", "--timesteps", "60_000"),
        *("--validate-every", "5_000", "--validate-episodes", "3", "--held-out", "4"),
        *("--set", "m=2", "--set", "top=2", "--episodes", "2", "--seed", "4", "--hidden", "4"),
        "--no-tensorboard",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(toy_envs.__file__).parent)}
    command = [sys.executable, "-m", "zorl.cli", "train", *options, f"--workers={workers}"]
    process = subprocess.Popen(
        [*command, "--run", path],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    folder = RunFolder(path)
    deadline = time.monotonic() + 60
    while not (folder.generations.exists() and folder.generations.stat().st_size):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)  # a terminal or a service manager signals the workers too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "interrupted" in out
    assert f"next: zorl resume {path}" in out
    agent = load_agent(folder.checkpoint)
    assert 0 < agent.num_timesteps < 60_000
    assert read_json(folder.result)["status"] == "interrupted"
    resume(folder, recorders(folder))
    left = outcome(folder)

    from zorl.cli.main import main

    again = tmp_path / "again"
    assert main(["train", *options, "--run", str(again), "--quiet"]) == 0
    expected = outcome(RunFolder(again))
    assert left == expected
