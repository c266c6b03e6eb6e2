"""What the families of agents share, and a family from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import StopAfter

import zorl
from zorl.agents.base import FAMILIES, BaseAgent, family_of, read_agent, register_family
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import make_agent
from zorl.agents.resuming import resume
from zorl.agents.training import run_config, train
from zorl.cli.listing import list_names
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.storage import Arrays, save_archive
from zorl.common.streams import Seeds
from zorl.common.types import Stop
from zorl.envs import Task
from zorl.recorders import JsonlRecorder
from zorl.recorders.base import BaseRecorder, PlainRecord, Record, Recorder, Recorders, Run
from zorl.rollout.backend import Resources
from zorl.rollout.evaluation import Evaluation
from zorl.runs.folder import RunFolder

CART = "CartPole-v1"
PPO: dict[str, Any] = {"settings": "default", "n_steps": 64, "batch_size": 64}


class Log(BaseRecorder):
    """Keeps what it is told, and how it was started and finished."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.records: list[Record] = []
        self.results: list[Mapping[str, Any]] = []

    def start(self, run: Run) -> None:
        super().start(run)
        self.runs.append(run)

    def record(self, record: Record) -> None:
        self.records.append(record)

    def finish(self, result: Mapping[str, Any]) -> None:
        super().finish(result)
        self.results.append(result)


# Recorders of `learn`


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [("spsa", {}), ("ppo", PPO)])
def test_a_recorder_given_to_learn_records(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    agent = make_agent(name, CART, seed=3, **options)
    path, log = tmp_path / "out.jsonl", Log()
    agent.learn(1500, recorders=[JsonlRecorder(path), log])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["index"] for line in lines] == [*range(agent.num_records)]
    assert lines[-1]["env_steps"] == agent.num_timesteps
    assert len(log.records) == len(lines) > 0
    (run,) = log.runs
    assert (run.total_timesteps, run.start_index, run.start_steps) == (1500, 0, 0)
    assert run.config == agent.config
    assert log.results == [{"status": "finished"}]
    # A second call goes on in the same file.
    before = agent.num_timesteps
    agent.learn(1500, recorders=[JsonlRecorder(path), log])
    assert log.runs[1].start_index == len(lines)
    assert log.runs[1].start_steps == before
    assert len(path.read_text().splitlines()) == agent.num_records > len(lines)
    agent.close()


def test_a_recorder_that_the_caller_started_is_left_to_the_caller(tmp_path: Path) -> None:
    agent = make_agent("spsa", CART)
    recorder, other = JsonlRecorder(tmp_path / "out.jsonl"), Log()
    recorder.start(Run("mine", agent, agent.task, agent.config, 1000))
    agent.learn(400, recorders=[recorder, other])
    agent.learn(400, recorders=[recorder])
    assert recorder.started
    assert len(other.runs) == len(other.results) == 1
    assert not other.started
    recorder.finish({})
    assert not recorder.started
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == agent.num_records


def test_training_starts_and_finishes_a_recorder_once() -> None:
    log = Log()
    agent = make_agent("spsa", CART)
    train(agent, TrainingPlan(1000, validate_episodes=1, held_out=2), recorders=[log])
    assert len(log.runs) == len(log.results) == 1
    assert log.results[0]["status"] == "finished"
    assert len(log.records) == agent.num_records


def test_a_recorder_is_told_the_seed_of_the_run() -> None:
    seeds = []

    class Seed(BaseRecorder):
        def start(self, run: Run) -> None:
            super().start(run)
            seeds.append(run.seed)

    agent = zorl.make_agent("ars", "CartPole-v1", seed=7)
    agent.learn(10, recorders=[Seed()])
    train(agent, TrainingPlan(20, validate_episodes=1, held_out=2), recorders=[Seed()])
    agent.close()
    assert seeds == [7, 7]


def test_what_is_no_recorder_is_refused_before_training() -> None:
    class Half:
        def record(self, record: Record) -> None: ...

    agent = zorl.make_agent("ars", "CartPole-v1")
    with pytest.raises(ConfigurationError, match="the recorder 'Half' has no 'started'; derive it"):
        agent.learn(10, recorders=[Half()])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="an object, got the class JsonlRecorder"):
        agent.learn(10, recorders=[JsonlRecorder])  # type: ignore[list-item]
    agent.close()
    assert agent.num_timesteps == 0


def test_what_happened_is_told_to_the_recorders_of_learn() -> None:
    stopped, failed = Log(), Log()
    agent = make_agent("spsa", CART)
    agent.learn(10_000, recorders=[stopped], stop=StopAfter(1))
    assert stopped.results == [{"status": "interrupted"}]
    with pytest.raises(ZeroDivisionError):
        agent.learn(10_000, lambda generation: 1 / 0, recorders=[failed])
    assert failed.results == [{"status": "failed"}]


def test_a_group_leaves_out_what_is_started(tmp_path: Path) -> None:
    mine, fresh = Log(), Log()
    agent = make_agent("spsa", CART)
    run = Run("mine", agent, agent.task, agent.config, 10)
    mine.start(run)
    with Recorders([mine, fresh]) as group:
        group.start(run)
        assert group.started
        group.record(PlainRecord(0, 1, {}))
    assert (len(mine.runs), len(fresh.runs)) == (1, 1)
    assert (len(mine.records), len(fresh.records)) == (1, 1)
    assert (len(mine.results), len(fresh.results)) == (0, 1)


@pytest.mark.parametrize(("name", "options"), [("spsa", {}), ("ppo", PPO)])
def test_what_training_asks_of_an_agent(name: str, options: dict[str, Any]) -> None:
    agent = make_agent(name, CART, seed=11, **options)
    assert agent.seed == 11
    assert agent.num_records == 0
    wrong: tuple[Any, ...] = (0, "1e4", None)
    for steps in wrong:
        with pytest.raises(ConfigurationError, match=f"total_timesteps must be ≥ 1, got {steps!r}"):
            agent.learn(steps)
    agent.close()


def test_a_saved_agent_is_evaluated_beside_the_one_that_goes_on(tmp_path: Path) -> None:
    agent = make_agent("ppo", CART, **PPO)
    agent.save(tmp_path / "before.zip")
    agent.learn(640)
    before, now = agent.as_saved(tmp_path / "before.zip"), agent.evaluate((1, 2))
    assert before.num_timesteps == 0
    assert agent.num_timesteps == 640
    assert before.evaluate((1, 2)).returns.tolist() != now.returns.tolist()
    agent.close()  # both


# A family from elsewhere


@dataclass(frozen=True)
class ConstantConfig:
    agent: str
    task: Task
    action: int = 0
    seed: int = 0

    @classmethod
    def create(
        cls, agent: str, task: Task, tuned: bool, options: Mapping[str, Any]
    ) -> ConstantConfig:
        return cls(agent, task, **options)

    def with_objects(self, objects: Mapping[str, Any]) -> ConstantConfig:
        return self

    def resolved(self) -> ConstantConfig:
        return self

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "task": self.task.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ConstantConfig:
        return cls(**{**values, "task": Task.from_json(values["task"])})


class Constant(BaseAgent):
    """Always takes the same action."""

    config_class = ConstantConfig
    not_resumable = "it learns nothing"

    def __init__(self, config: ConstantConfig) -> None:
        self._config = config
        self.name, self.task = config.agent, config.task
        self._steps = 0

    @classmethod
    def list_agents(cls) -> dict[str, str]:
        return {"constant": "Always takes the same action."}

    @classmethod
    def from_config(cls, config: Any, resources: Resources = Resources()) -> Constant:  # noqa: B008
        return cls(config)

    @classmethod
    def from_archive(
        cls,
        metadata: Mapping[str, Any],
        arrays: Arrays,
        resources: Resources = Resources(),  # noqa: B008
        objects: Mapping[str, Any] = {},
    ) -> Constant:
        agent = cls(ConstantConfig.from_json(metadata["config"]))
        agent._steps = metadata["steps"]
        return agent

    @property
    def num_timesteps(self) -> int:
        return self._steps

    @property
    def num_episodes(self) -> int:
        return 0

    @property
    def num_records(self) -> int:
        return self._steps // 100

    @property
    def parameters(self) -> int:
        return 0

    @property
    def result_fields(self) -> Mapping[str, Any]:
        return {"more": {"patience": 3}}

    def _learn(self, target: int, callback: Any, recorder: Recorder, stop: Stop | None) -> None:
        while self._steps < target:
            self._steps += 100
            recorder.record(PlainRecord(self.num_records - 1, self._steps, {}))
            if stop is not None and stop():
                return

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        return self._config.action if isinstance(self._config, ConstantConfig) else 0, state

    def evaluate(self, seeds: Seeds) -> Evaluation:
        ones = np.ones((1, len(seeds)))
        return Evaluation(ones, ones, ones.astype(np.int64), ones > 0)

    def save(self, path: str | Path) -> None:
        config = self._config.to_json()
        metadata = {"family": self.family, "config": config, "steps": self._steps}
        save_archive(path, "agent", metadata, {"nothing": np.zeros(1)})

    def _return_to(self, path: Path) -> None:
        self._steps = self.load(path)._steps

    def as_saved(self, path: str | Path) -> Constant:
        return self.load(path)

    def close(self) -> None:
        pass


@pytest.fixture
def family() -> Iterator[None]:
    register_family("toys")(Constant)
    yield
    FAMILIES._things.pop("toys")


@pytest.mark.usefixtures("family")
def test_a_family_from_elsewhere_is_listed_trains_and_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zorl.list_agents()["constant"] == "Always takes the same action."
    list_names("constant")
    assert re.search(r"family toys\n.*\n  action  int   0", capsys.readouterr().out)
    agent = zorl.make_agent("constant", CART, action=1, seed=5)
    plan = TrainingPlan(1000, validate_episodes=2, held_out=3)
    folder = RunFolder.create(tmp_path / "run", run_config(agent, plan))
    result = train(agent, plan, folder, [JsonlRecorder(folder.generations)])
    assert result.finished
    assert (result.agent, result.seed, result.env_steps.training) == ("constant", 5, 1000)
    assert result.more == {"patience": 3}
    assert not result.resumable
    assert len(folder.generations.read_text().splitlines()) == 10
    loaded = zorl.load_agent(folder.agent)
    assert type(loaded) is Constant
    assert loaded.predict(0) == (1, None)
    assert loaded.config == agent.config
    folder.agent.unlink()
    with pytest.raises(zorl.RunFolderError, match="cannot be resumed: it learns nothing"):
        resume(folder)


def test_a_family_s_name_is_its_own() -> None:
    with pytest.raises(ConfigurationError, match="'search' is registered already"):
        register_family("search")(Constant)


def test_what_no_family_has_is_unknown() -> None:
    assert family_of("ppo") is not family_of("spsa")
    with pytest.raises(UnknownNameError, match="unknown agent 'constnt'"):
        family_of("constnt")


@pytest.mark.usefixtures("family")
def test_a_file_of_another_family_is_refused(tmp_path: Path) -> None:
    make_agent("constant", CART).save(tmp_path / "agent.zip")
    assert read_agent(tmp_path / "agent.zip", "toys")[0]["family"] == "toys"
    with pytest.raises(FileFormatError, match="of the family 'toys', expected 'search'"):
        read_agent(tmp_path / "agent.zip", "search")
