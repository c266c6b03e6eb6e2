"""Agents whose policy has a memory, by SB3's rules for recurrent policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from toy_envs import WALK

import zorl
from zorl.common.errors import ConfigurationError
from zorl.envs import MaskObservation, make_task
from zorl.policies.recurrent import RecurrentPolicy
from zorl.rollout.failures import FailedEpisode
from zorl.runs.failed_episodes import replay, save_episode

PENDULUM = make_task("Pendulum-v1", ["mask-observation(keep=[0, 1])"], {"max_episode_steps": 30})


def masked() -> Any:
    return MaskObservation(gym.make("Pendulum-v1", max_episode_steps=30), (0, 1))


def trained(memory: str = "gru:4", **options: Any) -> Any:
    agent = zorl.make_agent(
        "cma-es", PENDULUM, memory=memory, episodes=1, backend="gymnasium", seed=3, **options
    )
    return agent.learn(2_000)


@pytest.fixture(scope="module")
def agent() -> Any:
    return trained()


def test_sb3s_evaluation_plays_the_episodes_that_zorl_plays(agent: Any) -> None:
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    env = vec_env.DummyVecEnv([masked, masked])
    env.seed(5)  # 5 and 6
    returns, _ = evaluation.evaluate_policy(
        agent, env, n_eval_episodes=2, return_episode_rewards=True, warn=False
    )
    assert sorted(returns) == pytest.approx(sorted(agent.evaluate((5, 6)).returns.ravel()))


def test_the_loop_of_recurrent_ppo_forgets_where_episodes_begin(agent: Any) -> None:
    env, totals = masked(), []
    state, episode_starts = None, np.ones((1,), dtype=bool)
    for seed in (7, 8, 7):
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            batch = observation[None]
            action, state = agent.predict(
                batch, state=state, episode_start=episode_starts, deterministic=True
            )
            observation, reward, terminated, truncated, _ = env.step(action[0])
            total += float(reward)
            over = terminated or truncated
            episode_starts = np.array([over])
        totals.append(total)
    assert totals[0] == totals[2] != totals[1]
    assert totals[:2] == pytest.approx(agent.evaluate((7, 8)).returns.ravel().tolist())
    assert isinstance(state, tuple)
    assert state[0].shape == (1, 1, 4)  # layers, environments, units


def test_one_observation_is_played_as_a_batch_of_one(agent: Any) -> None:
    observation, _ = masked().reset(seed=1)
    action, state = agent.predict(observation)
    again, later = agent.predict(observation, state, False)
    batch, same = agent.predict(observation[None], state, [False])
    assert action.shape == (1,)
    assert not np.array_equal(state[0], later[0])  # it remembers that it has seen this
    assert np.array_equal(batch[0], again)
    assert np.array_equal(same[0], later[0])


def test_a_saved_agent_remembers_alike_and_learns_on_to_the_same_bits(
    agent: Any, tmp_path: Path
) -> None:
    agent.save(tmp_path / "agent.zip")
    loaded: Any = zorl.load_agent(tmp_path / "agent.zip")
    assert loaded.policy == agent.policy
    assert isinstance(loaded.policy, RecurrentPolicy)
    assert loaded.config["memory"] == "gru:4"
    assert loaded.evaluate((1, 2)).returns.tolist() == agent.evaluate((1, 2)).returns.tolist()
    with pytest.raises(ConfigurationError, match="memory is for zorl's own network"):
        zorl.make_agent("cma-es", PENDULUM, memory="gru:4", policy="toy_networks:small")


def test_any_number_of_lanes_gives_the_same_bits() -> None:
    one, many = trained("elman:3", lanes=1), trained("elman:3")
    assert one.state.theta.tobytes() == many.state.theta.tobytes()


def test_the_agents_own_layers_are_those_of_another_network() -> None:
    options: dict[str, Any] = {"env": PENDULUM, "memory": "elman:4"}
    for name in ("ars", "cma-es", "auto"):
        policy: Any = zorl.make_agent(name, **options).policy  # type: ignore[attr-defined]
        assert (policy.hidden, policy.bias) == ((), True)
    layers: Any = zorl.make_agent("ars", hidden=(5,), **options).policy  # type: ignore[attr-defined]
    assert layers.layers == [(4, 2), (5, 4), (1, 5)]


def test_a_failed_episode_is_played_again_with_its_memory(tmp_path: Path) -> None:
    agent: Any = zorl.make_agent("cma-es", make_task(WALK), memory="gru:2", hidden=(3,))
    episode = FailedEpisode(4, agent.state.theta, agent.state.normalizer, "", "", False)
    path = save_episode(tmp_path, agent.task, agent.policy, episode)
    played = replay(path)
    assert played.error is None
    assert played.episode_return == agent.evaluate((4,)).returns.item()
    assert [*tmp_path.iterdir()] == [path]
