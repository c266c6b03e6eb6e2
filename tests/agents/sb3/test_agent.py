"""The SB3 baselines behind the agents' verbs: they act and are evaluated as search agents are."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from toy_baselines import KINDS, PPO, REPLAY, SMALL, Maker, of_kind, play

import zorl
from zorl.agents.registry import load_agent, make_agent
from zorl.common.errors import ConfigurationError
from zorl.envs import make_task


def test_a_budget_below_one_is_refused(make: Maker) -> None:
    with pytest.raises(ConfigurationError, match="total_timesteps must be ≥ 1, got 0"):
        of_kind(make, "ppo").learn(0)


def test_a_progress_bar_reaches_the_end(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    of_kind(make, "ppo").learn(128, progress_bar=True)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_equals_a_loop_by_hand(make: Maker, kind: str) -> None:
    agent = of_kind(make, kind).learn(130)
    seeds = (11, 5, 2**31 - 1)
    evaluation = agent.evaluate(seeds)
    assert evaluation.returns.shape == (1, 3)
    env = agent.task.make()
    for column, seed in enumerate(seeds):
        shaped, native, length, _ = play(agent, env, seed)
        assert evaluation.returns[0, column] == shaped
        assert evaluation.native_returns[0, column] == native
        assert evaluation.lengths[0, column] == length
    env.close()
    # An episode depends on its seed alone.
    assert np.array_equal(agent.evaluate(seeds[::-1]).returns, evaluation.returns[:, ::-1])


def test_evaluation_knows_both_returns_and_success(make: Maker) -> None:
    task = make_task("MountainCar-v0", ["momentum"])
    agent = make("dqn", task, REPLAY)

    def push(
        observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Always the way the car goes: it reaches the goal."""
        return np.where(observation[..., 1] >= 0, 2, 0), state

    agent.model.predict = push
    evaluation = agent.evaluate((1, 2, 3, 4))
    env = task.make()
    for column, seed in enumerate((1, 2, 3, 4)):
        shaped, native, length, terminated = play(agent, env, seed)
        assert terminated
        assert evaluation.native_returns[0, column] == native == -length
        assert evaluation.returns[0, column] == shaped != native
    env.close()
    assert evaluation.successes.all()


@pytest.mark.parametrize("kind", ["ppo", "ppo-normalised"])
def test_evaluate_policy_of_sb3_takes_an_agent_and_agrees(make: Maker, kind: str) -> None:
    agent = of_kind(make, kind).learn(128)
    seeds = (3, 4, 5)
    returns: list[float] = []
    lengths: list[int] = []
    for seed in seeds:
        env = agent.task.make()
        env.reset(seed=seed)

        class Seeded(gym.Wrapper[Any, Any, Any, Any]):
            def reset(
                self, *, seed: int | None = None, options: Any = None, _seed: int = seed
            ) -> tuple[Any, dict[str, Any]]:
                return self.env.reset(seed=_seed, options=options)

        rewards, steps = evaluate_policy(
            agent, Seeded(env), n_eval_episodes=1, return_episode_rewards=True, warn=False
        )
        assert isinstance(rewards, list)
        assert isinstance(steps, list)
        returns += rewards
        lengths += steps
        env.close()
    evaluation = agent.evaluate(seeds)
    assert evaluation.lengths[0].tolist() == lengths
    # SB3's vector environment holds rewards in float32.
    assert evaluation.returns[0] == pytest.approx(returns, rel=1e-5)


def test_observations_are_normalised_by_the_statistics_of_the_training(make: Maker) -> None:
    agent = of_kind(make, "ppo-normalised").learn(256)
    statistics = agent.model.get_vec_normalize_env()
    mean, var = statistics.obs_rms.mean, statistics.obs_rms.var
    assert statistics.obs_rms.count > 256
    assert not np.allclose(mean, 0, atol=1e-3)
    observations = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    observations[0] = 1e4  # is clipped
    features = np.clip((observations - mean) / np.sqrt(var + 1e-8), -10, 10).astype(np.float32)
    block = np.resize(features, (32, 3))  # see zorl.agents.sb3.blocks
    expected = agent.model.policy.predict(block, deterministic=True)[0][:6]
    actions, state = agent.predict(observations, state="kept")
    assert np.array_equal(actions, expected)
    assert state == "kept"
    raw, _ = agent.model.policy.predict(observations, deterministic=True)
    assert not np.array_equal(actions, raw)
    one, _ = agent.predict(observations[1])
    assert one.shape == (1,)
    assert one == actions[1]
    # Looking does not change them.
    assert np.array_equal(statistics.obs_rms.mean, mean)


def test_rewards_are_normalised_with_the_discount_of_the_algorithm(make: Maker) -> None:
    agent = make("a2c", "Pendulum-v1", {**SMALL, "gamma": 0.9}, normalize=True)
    statistics = agent.model.get_vec_normalize_env()
    assert (statistics.gamma, statistics.norm_reward, statistics.norm_obs) == (0.9, True, True)
    assert of_kind(make, "ppo").model.get_vec_normalize_env() is None


def test_actions_stay_within_the_bounds(make: Maker) -> None:
    agent = make("ppo", "Pendulum-v1", PPO)
    with torch.no_grad():
        agent.model.policy.action_net.bias.fill_(50.0)
    assert agent.predict(np.zeros(3, np.float32))[0].tolist() == [2.0]
    # At full torque one way the angle never settles: the loop by hand with the bound agrees.
    env = gym.make("Pendulum-v1")
    env.reset(seed=1)
    by_hand = sum(float(env.step(np.array([2.0], np.float32))[1]) for _ in range(200))
    env.close()
    assert agent.evaluate((1,)).returns[0, 0] == by_hand


def test_predictions_are_deterministic_unless_told_otherwise(make: Maker) -> None:
    agent = make("ppo", "Pendulum-v1", PPO)
    observation = np.array([1.0, 0.0, 0.5], np.float32)
    assert len({float(agent.predict(observation)[0][0]) for _ in range(8)}) == 1
    drawn = {float(agent.predict(observation, deterministic=False)[0][0]) for _ in range(8)}
    assert len(drawn) > 1


def test_importing_does_not_import_torch() -> None:
    code = (
        "import sys, zorl.agents.sb3.agent, zorl.agents.published;"
        "print([m for m in ('torch', 'stable_baselines3') if m in sys.modules])"
    )
    root = Path(zorl.__file__).parents[1]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert out.stdout.strip() == "[]", out.stderr


def test_resources_without_effect_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_agent("ppo", "CartPole-v1", workers=1).close()
    assert not caplog.records
    agent = make_agent("ppo", "CartPole-v1", workers=4)
    assert "which trains in this process: workers = 4 has no effect" in caplog.text
    agent.save(tmp_path / "ppo.zip")
    load_agent(tmp_path / "ppo.zip", workers=2, lanes=3).close()
    assert "workers = 2 has no effect" in caplog.text
    assert "lanes" not in caplog.text
    agent.close()


def test_nothing_is_left_in_the_temporary_folder(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    agent = of_kind(make, "ppo").learn(128)
    agent.save(tmp_path / "ppo.zip")
    load_agent(tmp_path / "ppo.zip").learn(128).close()
    assert not list(tmp_path.glob("SB3-*"))
