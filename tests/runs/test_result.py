"""The result of a run, and its file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import PLAN, StopAfter, begin, fresh

from zorl.agents.registry import make_agent
from zorl.agents.training import train
from zorl.common.errors import FileFormatError, NonFiniteRewardError
from zorl.common.storage import read_json, write_json
from zorl.runs.result import HeldOut, RunResult

OLD = Path(__file__).parents[1] / "data" / "v0.1" / "run" / "result.json"


def test_a_result_comes_back_from_its_file(tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run", replace(PLAN, total_timesteps=1500), workers=2)
    result = train(agent, replace(PLAN, total_timesteps=1500), folder)
    agent.close()
    assert result.finished
    assert result.workers is not None
    assert result.workers.count == 2
    assert RunResult.read(folder.result) == result
    values = read_json(folder.result)
    assert values == json.loads(json.dumps(result.to_json()))
    assert values["budget"] == result.total_timesteps == 1500
    assert values["env_steps"]["total"] == result.env_steps.total
    assert values["reached_threshold"] == result.reached_threshold


def test_an_interrupted_run_has_no_estimate(tmp_path: Path) -> None:
    agent, folder = begin(tmp_path / "run")
    result = train(agent, PLAN, folder, stop=StopAfter(1))
    again = RunResult.read(folder.result)
    assert again == result
    assert not again.finished
    assert again.held_out is None
    assert "held_out" not in read_json(folder.result)
    assert again.env_steps.total == again.env_steps.training + again.env_steps.validation


def test_a_result_of_zorl_0_1_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    old = RunResult.read(OLD)
    assert (old.agent, old.seed, old.total_timesteps, old.status) == (
        "cma-es",
        5,
        4000,
        "interrupted",
    )
    assert old.counters is not None
    assert old.counters.search_steps == old.env_steps.training == 202
    assert old.claimed_return is not None  # the search has a gate, which holds no score
    assert math.isnan(old.claimed_return)
    write_json(tmp_path / "result.json", old.to_json())
    assert (tmp_path / "result.json").read_bytes() == OLD.read_bytes()


def test_what_a_family_adds_is_kept() -> None:
    values = {**read_json(OLD), "temperature": 0.5}
    result = RunResult.from_json(values)
    assert result.more == {"temperature": 0.5}
    assert result.to_json()["temperature"] == 0.5


def test_a_baseline_s_result_has_nothing_of_a_search(tmp_path: Path) -> None:
    agent = make_agent("ppo", "CartPole-v1", settings="default", n_steps=16, batch_size=16)
    plan = replace(PLAN, total_timesteps=32, validate_episodes=1, held_out=2)
    result = train(agent, plan)
    agent.close()
    assert (result.counters, result.claimed_return, result.workers) == (None, None, None)
    assert not result.resumable
    assert not {"counters", "claimed_return", "workers", "compile_seconds"} & {*result.to_json()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.pop("budget"), "not the result of a training run: 'budget'"),
        (lambda v: v.pop("status"), "status"),
        (lambda v: v.update(curve=3), "not the result"),
        (lambda v: v.update(env_steps={"trained": 3}), "trained"),
        (lambda v: v["counters"].update(colour=1), "colour"),
    ],
)
def test_what_is_no_result_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    values = read_json(OLD)
    change(values)
    write_json(tmp_path / "result.json", values)
    with pytest.raises(FileFormatError, match=rf"result\.json: .*{words}"):
        RunResult.read(tmp_path / "result.json")


def test_unknown_bounds_and_returns_come_back_from_null() -> None:
    agent = make_agent("spsa", "CartPole-v1")
    one = HeldOut.from_evaluation(agent.evaluate((1,)))
    agent.close()
    assert one.native_return.high == math.inf
    values = one.to_json()
    values["native_return"].update(low=None, high=None)
    assert HeldOut.from_json(values).native_return == one.native_return
    row = {**read_json(OLD)["curve"][0], "native_return": None}
    result = RunResult.from_json({**read_json(OLD), "curve": [row]})
    assert math.isnan(result.curve[0]["native_return"])
    assert result.reached_threshold is None


def test_a_nan_among_the_held_out_episodes_is_told() -> None:
    evaluation = fresh().evaluate((1, 2, 3))
    evaluation.native_returns[0, 1] = np.nan
    with pytest.raises(NonFiniteRewardError, match="1 of 3 held-out episodes"):
        HeldOut.from_evaluation(evaluation)
