"""With `lanes=1` a baseline never has a second environment, and learns the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_baselines import ALONE, KINDS, PPO, REPLAY, Alone, Collector, same, weights

import zorl
from zorl.agents.registry import load_agent, make_agent
from zorl.cli.main import main
from zorl.envs import make_task


def trained(env: Any, lanes: int | None, kind: str = "ppo", **options: Any) -> Any:
    """A baseline that was validated often, and its result."""
    agent = make_agent(kind, env, lanes=lanes, seed=3, **options)
    plan = zorl.TrainingPlan(260, validate_every=60, validate_episodes=2, held_out=2)
    return agent, zorl.train(agent, plan)


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_training_goes_on_where_it_was(kind: str) -> None:
    """Also in the middle of an episode: DQN may stop for a validation at any step."""
    options = {"ppo": {**PPO, "n_envs": 1, "normalize": True}, "dqn": REPLAY}[kind]
    task = make_task("CartPole-v1", max_episode_steps=100)
    one, result = trained(task, 1, kind, **options)
    usual, expected = trained(task, None, kind, **options)
    assert same(weights(one), weights(usual))
    assert one.num_episodes == usual.num_episodes > 3
    left, right = (
        [{name: value for name, value in row.items() if name != "seconds"} for row in found.curve]
        for found in (result, expected)
    )
    assert left == right
    assert result.held_out.native_returns == expected.held_out.native_returns
    one.close()
    usual.close()


def test_there_is_never_a_second_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`Alone` refuses a second one: in training, validation, the best policy, loading, watching."""
    run = tmp_path / "run"
    words = ["--set", "n_steps=64", "--set", "batch_size=64", "--validate-every", "60"]
    words += ["--held-out", "2", "--validate-episodes", "2", "--quiet"]
    base = ["train", "--agent", "ppo", "--env", ALONE, "--timesteps", "130", "--lanes", "1"]
    assert main([*base, *words, "--out", str(run)]) == 0
    assert main(["evaluate", str(run), "--lanes", "1", "--episodes", "2", "--trust"]) == 0
    agent = load_agent(run / "agent.zip", lanes=1)
    assert Alone.open_now == 0  # a loaded agent has none until it needs one
    assert agent.learn(64).num_timesteps > 130
    agent.close()
    assert Alone.open_now == 0
    capsys.readouterr()


def test_an_environment_that_is_another_each_time_cuts_the_episode_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Collector()
    task = make_task(ALONE, env_kwargs={"drift": True})
    agent = make_agent("dqn", task, lanes=1, **REPLAY)
    agent.learn(100)
    before = agent.num_episodes
    agent.evaluate((1,))
    agent.learn(1, recorders=[collector])
    assert "the episode of the training that was under way is cut off" in caplog.text
    assert agent.num_episodes == before + 1
    agent.close()


def test_more_environments_than_one_are_told(caplog: pytest.LogCaptureFixture) -> None:
    name, env, options, fields = KINDS["ppo"]
    make_agent(name, env, lanes=1, **options, **fields).close()
    assert "ppo trains in 2 environments: where only one may exist" in caplog.text
