"""An environment whose close() raises: everything else works, and it is told once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_envs import BadClose

from zorl.agents.registry import load_agent, make_agent
from zorl.cli import main
from zorl.envs import make_task
from zorl.envs.ids import _tell_once
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner

BAD = "toy_envs:toy/BadClose-v0"
PPO = {"n_steps": 16, "batch_size": 16}


@pytest.fixture(autouse=True)
def anew() -> None:
    BadClose.calls = 0
    _tell_once.cache_clear()


@pytest.mark.parametrize("good", [0, 1])
@pytest.mark.parametrize(("agent", "options"), [("ars", {"episodes": 1}), ("ppo", PPO)])
def test_an_agent_is_made_learns_is_saved_and_closed(
    agent: str, options: dict[str, int], good: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(BAD, env_kwargs={"good": good})
    made = make_agent(agent, task, "default", **options).learn(50)  # type: ignore[arg-type]
    made.save(tmp_path / "a.zip")
    loaded = load_agent(tmp_path / "a.zip")
    assert loaded.evaluate((1, 2)).returns.tolist() == made.evaluate((1, 2)).returns.tolist()
    for each in (made, loaded):
        each.close()
    told = [record.message for record in caplog.records if "close()" in record.message]
    assert told == [
        "toy/BadClose-v0 raised AttributeError in close(): 'NoneType' object has no attribute "
        "'viewer'; what it should free may stay until the process ends"
    ]


def test_all_lanes_are_closed() -> None:
    agent = make_agent("ars", BAD, "default", episodes=1, m=4).learn(50)
    before = BadClose.calls
    evaluator = agent._evaluator._backend._runner  # type: ignore[attr-defined]
    assert isinstance(evaluator, GymnasiumRunner)
    lanes = len(evaluator.envs)
    assert lanes > 3
    agent.close()
    assert BadClose.calls >= before + lanes
    assert not evaluator.envs


def test_sb3s_environments_are_closed_too() -> None:
    agent = make_agent("ppo", BAD, "default", n_envs=3, **PPO)  # type: ignore[arg-type]
    before = BadClose.calls
    agent.close()
    assert BadClose.calls == before + 3


@pytest.mark.parametrize("agent", ["ars", "ppo"])
def test_a_run_by_command_ends_well(agent: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["train", "--agent", agent, "--env", BAD, "--timesteps", "60", "--quiet"]
    options += ["--validate-episodes", "1", "--held-out", "2", "--no-tensorboard"]
    options += ["--set", "n_steps=16", "--set", "batch_size=16"] if agent == "ppo" else []
    assert main([*options, "--run", str(run), "--video-budget", "0"]) == 0
    assert (run / "agent.zip").exists()
    assert np.isfinite(load_agent(run / "agent.zip").evaluate((1,)).returns).all()
