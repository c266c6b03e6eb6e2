"""A generation far beyond the budget, and evaluations without end, are given up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from run_outcomes import bits
from toy_envs import ENDLESS, WALK

import zorl
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import make_agent
from zorl.agents.resuming import resume
from zorl.agents.training import run_config, train
from zorl.common.errors import ConfigurationError, TooManySteps
from zorl.common.storage import read_json
from zorl.envs import Task, make_task
from zorl.runs.folder import RunFolder

GRACE = "zorl.search.budget.GRACE"
NO_END = make_task(ENDLESS, max_episode_steps=-1)
SMALL: dict[str, Any] = {"hidden": (2,), "gate": "paired", "episodes": 2}


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (WALK, {"workers": 1}),
        pytest.param(WALK, {"workers": 2}, marks=pytest.mark.slow),
        pytest.param(WALK, {"workers": 2, "timeout": 60.0}, marks=pytest.mark.slow),
        pytest.param("CartPole-v1", {"backend": "vector", "lanes": 3}, marks=pytest.mark.slow),
        pytest.param("CartPole-v1", {"backend": "compiled"}, marks=pytest.mark.slow),
    ],
)
def test_whether_a_generation_is_given_up_depends_on_its_steps_alone(
    task: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one step."""

    def learned(grace: int) -> Any:
        monkeypatch.setattr(GRACE, grace)
        agent = make_agent("ars", task, seed=2, m=2, **SMALL, **options)
        try:
            before = bits(agent)
            agent.learn(1)
            if agent.given_up:
                assert bits(agent) == before
            return agent
        finally:
            agent.close()

    monkeypatch.setattr("zorl.search.budget.GRACE_PER_EPISODE", 1)
    whole = learned(10**6)
    steps = whole.num_timesteps
    assert steps > 40  # of episodes, candidates and gate, each of which is longer than a step
    assert bits(learned(steps - 1)) == bits(whole)
    assert learned(steps - 2).given_up == (
        f"generation 0 took the search more than {steps - 2} env steps beyond its budget of 1 and "
        "was given up"
    )


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_episodes_without_end_are_given_up(
    workers: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(GRACE, 2000)
    monkeypatch.setattr("zorl.search.budget.GRACE_PER_EPISODE", 1)
    monkeypatch.setattr("zorl.agents.base.DEFAULT_LIMIT", 100)
    agent = make_agent("cma-es", NO_END, seed=1, workers=workers)
    start = bits(agent)
    result = train(agent, TrainingPlan(500, validate_episodes=2, held_out=3))
    agent.close()
    assert result.finished
    assert result.held_out is None
    assert bits(agent) == start
    assert result.given_up == agent.given_up
    assert [row["validation_steps"] for row in result.curve] == [200]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 3
    assert said[0].startswith("a validation, which has no figures now: 2 episodes took more than ")
    assert said[1].startswith(f"{ENDLESS}: generation 0 took the search more than 2,000 env steps ")
    assert "--max-episode-steps" in said[1]
    assert said[2].startswith("the held-out estimate, which is missing now: 3 episodes took more ")
    with pytest.raises(TooManySteps, match="more than 500 env steps in all and were given up"):
        agent.evaluate((0, 1, 2, 3, 4))
    agent.close()


@pytest.mark.slow
def test_a_validation_of_a_baseline_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zorl.agents.base.DEFAULT_LIMIT", 100)
    agent = make_agent("ppo", NO_END, n_steps=64, seed=1)
    result = train(agent, TrainingPlan(200, validate_episodes=2, held_out=2))
    agent.close()
    assert result.finished
    assert result.env_steps.training == 256
    assert result.given_up is None
    assert result.held_out is None


def test_a_limit_of_steps_is_none_of_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zorl.agents.base.DEFAULT_LIMIT", 5)
    wrapped = ["gymnasium.wrappers:TimeLimit(max_episode_steps=9)"]
    for task in (
        make_task(ENDLESS, max_episode_steps=9),
        make_task(ENDLESS, wrapped, max_episode_steps=-1),
    ):
        agent = make_agent("cma-es", task)
        assert agent.evaluate((0, 1, 2)).env_steps == 27
        agent.close()


@pytest.mark.slow
def test_cliff_walking_ends_a_hundred_thousand_steps_beyond_its_budget() -> None:
    agent = make_agent("cma-es", "CliffWalking-v1", seed=0).learn(2000)
    assert agent.num_timesteps == 0
    assert agent.given_up.startswith(
        "generation 0 took the search more than 100,000 env steps beyond its budget of 2,000 and "
    )
    agent.learn(340_000)  # 440,000 steps are not more than 100,000 beyond, so it is played
    assert (agent.num_timesteps, agent.given_up) == (440_000, "")
    agent.close()


def started(path: Path, task: Task | str, budget: int) -> tuple[Any, RunFolder]:
    agent = make_agent("ars", task, seed=2, m=2, hidden=(2,), episodes=1)
    plan = TrainingPlan(budget, validate_every=30, validate_episodes=1, held_out=2, select="last")
    folder = RunFolder.create(path, run_config(agent, plan))
    train(agent, plan, folder)
    agent.close()
    return agent, folder


def test_a_larger_budget_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that was given up at its second generation, and of one that came to its end."""
    whole, _ = started(tmp_path / "whole", WALK, 400)
    ended, _ = started(tmp_path / "ended", WALK, 100)
    once = make_agent("ars", WALK, seed=2, m=2, hidden=(2,), episodes=1).learn(1).num_timesteps
    with monkeypatch.context() as patch:
        patch.setattr("zorl.search.Budget.grace", lambda self, episodes: 0)
        given_up, folder = started(tmp_path / "given-up", WALK, once + 1)
    assert given_up.given_up.startswith("generation 1 took ")
    assert given_up.num_timesteps == once
    assert read_json(folder.result)["given_up"] == given_up.given_up
    with pytest.raises(ConfigurationError, match=f"the budget is {once + 1} env steps already"):
        resume(folder, total_timesteps=once + 1)
    assert folder.agent.exists()
    assert ended.num_timesteps < whole.num_timesteps
    for name in ("given-up", "ended"):
        path = tmp_path / name
        result = zorl.resume(RunFolder.open(path), total_timesteps=400)
        assert result.finished
        assert (result.given_up, result.total_timesteps) == (None, 400)
        assert bits(zorl.load_agent(path / "agent.zip")) == bits(whole), name
        assert read_json(path / "config.json")["plan"]["total_timesteps"] == 400
