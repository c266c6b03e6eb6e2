"""The SB3 baselines: counted, evaluated, saved and reported as search agents are."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy

import zorl
from zorl.agents.sb3.agent import BaselineAgent, BaselineConfig
from zorl.agents.sb3.options import LinearSchedule
from zorl.agents.sb3.policy import BaselinePolicy
from zorl.agents.sb3.training import REPORT_STEPS
from zorl.common.errors import (
    ConfigurationError,
    EnvironmentFailure,
    FileFormatError,
    NonFiniteRewardError,
    UnknownNameError,
    UnsupportedSpaceError,
)
from zorl.common.storage import load_archive, save_archive
from zorl.envs import NativeReturn, Task, make_task
from zorl.policies.spaces import ObservationEncoder
from zorl.recorders.base import BaseRecorder

SMALL = {"policy_kwargs": {"net_arch": [8]}}
PPO = {**SMALL, "n_steps": 64, "batch_size": 64, "n_epochs": 2}
REPLAY = {**SMALL, "buffer_size": 500, "learning_starts": 50, "batch_size": 8}
NOISE = {"action_noise": {"type": "normal", "std": 0.1}}

# One of each algorithm, with and without normalisation and gSDE; short to train.
KINDS = {
    "ppo": ("ppo", "CartPole-v1", PPO, {"n_envs": 2}),
    "ppo-normalised": (
        "ppo",
        "Pendulum-v1",
        # So wide that torch rounds a row of a batch differently from the row alone.
        {**PPO, "policy_kwargs": {"net_arch": [64, 64]}},
        {"normalize": True, "n_envs": 2},
    ),
    "a2c-gsde": (
        "a2c",
        "MountainCarContinuous-v0",
        {**SMALL, "use_sde": True},
        {"normalize": True},
    ),
    "dqn": ("dqn", "CartPole-v1", REPLAY, {}),
    "sac-normalised": ("sac", "Pendulum-v1", REPLAY, {"normalize": True}),
    "td3": ("td3", "Pendulum-v1", {**REPLAY, **NOISE}, {}),
}


class Collector(BaseRecorder):
    def __init__(self):
        self.records = []

    def record(self, record):
        self.records.append(record)


class Broken(gym.Env):
    """Fails, or returns NaN, at a chosen step; spaces are chosen as well."""

    def __init__(self, fault="none", actions="discrete", start=0):
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (2, 3), np.float32)
        self.action_space = {
            "discrete": gym.spaces.Discrete(2, start=start),
            "unbounded": gym.spaces.Box(-np.inf, np.inf, (1,)),
            "binary": gym.spaces.MultiBinary(3),
            "many": gym.spaces.MultiDiscrete([2, 3]),
        }[actions]
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action):
        assert action in self.action_space
        self.steps += 1
        if self.fault == "raise" and self.steps == 5:
            raise RuntimeError("the simulator is lost")
        bad = self.fault == "nan" and self.steps == 5
        reward = float("nan") if bad else float(np.sum(action))
        return self._observation(), reward, False, self.steps == 20, {}

    def _observation(self):
        return self.np_random.uniform(-1, 1, (2, 3)).astype(np.float32)


gym.register("zorltest/Broken-v0", Broken)


@pytest.fixture
def make():
    made = []

    def _make(agent, env, options=(), seed=0, **more):
        task = env if isinstance(env, Task) else make_task(env)
        made.append(BaselineAgent(BaselineConfig(agent, task, dict(options), seed=seed, **more)))
        return made[-1]

    yield _make
    for agent in made:
        agent.close()


def of_kind(make, kind, **more):
    agent, env, options, fields = KINDS[kind]
    return make(agent, env, options, **fields, **more)


def weights(agent):
    return {name: value.numpy().copy() for name, value in agent.model.policy.state_dict().items()}


def same(left, right):
    assert left.keys() == right.keys()
    return all(np.array_equal(left[name], right[name]) for name in left)


def play(agent, env, seed):
    """One episode by hand: shaped return, native return, length, terminated."""
    recorder = env
    while not isinstance(recorder, NativeReturn) and hasattr(recorder, "env"):
        recorder = recorder.env
    observation, _ = env.reset(seed=seed)
    shaped, length, over = 0.0, 0, False
    while not over:
        action = agent.predict(observation)[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        shaped, length, over = shaped + float(reward), length + 1, terminated or truncated
    native = recorder.episode_return if isinstance(recorder, NativeReturn) else shaped
    return shaped, native, length, terminated


# Counting


class StepCounter(BaseCallback):
    """Counts for itself, and stops after `limit` vector steps."""

    def __init__(self, limit=10**9):
        super().__init__()
        self.env_steps = self.episodes = self.calls = 0
        self.shaped, self.lengths = [], []
        self.limit = limit

    def _on_step(self):
        self.calls += 1
        self.env_steps += len(self.locals["dones"])
        self.episodes += int(np.sum(self.locals["dones"]))
        ends = [info["episode"] for info in self.locals["infos"] if "episode" in info]
        self.shaped += [end["r"] for end in ends]
        self.lengths += [end["l"] for end in ends]
        return self.calls < self.limit


def test_whole_rollouts_are_counted_and_a_second_learn_goes_on(make):
    agent, counter = of_kind(make, "ppo"), StepCounter()
    assert (agent.num_timesteps, agent.num_episodes) == (0, 0)
    assert agent.learn(100, callback=counter) is agent
    assert agent.num_timesteps == 128 == counter.env_steps  # 2 environments × 64
    agent.learn(129, callback=counter)
    assert agent.num_timesteps == 384 == counter.env_steps
    assert agent.num_episodes == counter.episodes > 0


def test_off_policy_steps_are_exact(make):
    agent, counter = of_kind(make, "dqn"), StepCounter()
    agent.learn(120, callback=counter).learn(8, callback=[counter])
    assert agent.num_timesteps == 128 == counter.env_steps
    assert agent.num_episodes == counter.episodes > 0


def test_training_stops_where_it_is_told_to(make):
    agent, seen = of_kind(make, "ppo"), []

    def stop():
        seen.append(agent.num_timesteps)
        return len(seen) == 10

    collector = Collector()
    agent.learn(10_000, stop=stop, recorders=[collector])
    assert seen == list(range(2, 21, 2))
    assert agent.num_timesteps == 20
    assert [record.env_steps for record in collector.records] == [20]
    agent.learn(10_000, callback=StepCounter(limit=7))
    assert agent.num_timesteps == 34
    agent.learn(10_000, callback=[lambda local, _: local["self"].num_timesteps < 40])
    assert agent.num_timesteps == 40


def test_a_budget_below_one_is_refused(make):
    with pytest.raises(ConfigurationError, match="total_timesteps must be ≥ 1, got 0"):
        of_kind(make, "ppo").learn(0)


# Records


def test_records_have_both_returns_of_the_episodes_since_the_last_one(make):
    task = make_task("MountainCar-v0", ["momentum"])
    agent = make("ppo", task, {**PPO, "n_steps": 200, "batch_size": 100}, n_envs=2)
    collector, counter = Collector(), StepCounter()
    agent.learn(1200, callback=counter, recorders=[collector])
    # Rollouts of 400 steps: a record is due after the second one, and at the end.
    assert [record.env_steps for record in collector.records] == [800, 1200]
    assert [record.index for record in collector.records] == [0, 1]
    first, last = (record.scalars for record in collector.records)
    assert (first["task/episodes"], last["task/episodes"]) == (4, 2)
    assert first["task/native_return_mean"] == -np.mean(counter.lengths[:4])
    assert first["task/episode_length"] == np.mean(counter.lengths[:4])
    assert first["task/return_mean"] == pytest.approx(np.mean(counter.shaped[:4]), abs=1e-5)
    assert last["task/return_mean"] == pytest.approx(np.mean(counter.shaped[4:]), abs=1e-5)
    assert last["task/return_mean"] != pytest.approx(last["task/native_return_mean"], abs=1)
    assert first["task/success_rate"] == 0
    assert first["time/env_steps_per_second"] > 0
    # Two updates of two epochs; the third one's figures are in the last record.
    assert (first["train/n_updates"], last["train/n_updates"]) == (4, 6)
    agent.learn(400, recorders=[collector])
    assert [record.index for record in collector.records] == [0, 1, 2]
    assert collector.records[-1].env_steps == agent.num_timesteps == 1600
    assert agent.num_episodes == 8  # two end at the same step


def test_success_is_counted_as_the_task_judges_it(make):
    task = replace(make_task("CartPole-v1"), success="threshold", threshold=20.0)
    agent, collector, counter = make("ppo", task, PPO), Collector(), StepCounter()
    agent.learn(512, recorders=[collector], callback=counter)
    expected = np.mean(np.array(counter.lengths) >= 20)
    assert 0 < expected < 1
    assert collector.records[0].scalars["task/success_rate"] == expected


def test_figures_stand_where_no_episode_ended(make):
    agent, collector = (
        make("a2c", "MountainCarContinuous-v0", {**SMALL, "n_steps": 250}),
        Collector(),
    )
    agent.learn(1500, recorders=[collector])
    first, second, third = (record.scalars for record in collector.records)
    assert [r.env_steps for r in collector.records] == [500, 1000, 1500]
    assert [s["task/episodes"] for s in (first, second, third)] == [0, 1, 0]
    assert "task/return_mean" not in first
    assert second["task/episode_length"] == third["task/episode_length"] == 999
    assert third["task/native_return_mean"] == second["task/native_return_mean"]


def test_records_are_not_made_more_often_than_stated(make):
    agent, collector = of_kind(make, "dqn"), Collector()
    agent.learn(1300, recorders=[collector])
    assert [record.env_steps for record in collector.records] == [500, 1000, 1300]
    assert REPORT_STEPS == 500


def test_figures_of_sb3_are_those_of_the_updates_since_the_last_record(make):
    agent, collector = of_kind(make, "ppo"), Collector()
    agent.learn(10_000, stop=lambda: agent.num_timesteps == 520, recorders=[collector])
    first, second = collector.records
    assert (first.env_steps, second.env_steps) == (512, 520)
    assert first.scalars["train/n_updates"] == 8
    assert not [name for name in second.scalars if name.startswith("train/")]


def test_a_linear_schedule_ends_at_zero_where_the_training_ends(make):
    options = {
        **PPO,
        "n_steps": 512,
        "learning_rate": {"schedule": "linear", "initial": 0.002},
        "clip_range": {"schedule": "linear", "initial": 0.4},
    }
    agent, collector = make("ppo", "CartPole-v1", options), Collector()
    agent.learn(1024, recorders=[collector])
    rates = [record.scalars["train/learning_rate"] for record in collector.records]
    assert rates == pytest.approx([0.001, 0.0])
    assert [r.scalars["train/clip_range"] for r in collector.records] == pytest.approx([0.2, 0.0])
    assert LinearSchedule(0.5)(-0.1) == 0.0  # a rollout may end beyond the end


def test_a_progress_bar_reaches_the_end(make, capsys):
    of_kind(make, "ppo").learn(128, progress_bar=True)
    assert "100%" in capsys.readouterr().err


# Determinism


@pytest.mark.parametrize("kind", ["ppo-normalised", "dqn", "td3"])
def test_what_is_learned_depends_on_the_seed_and_on_nothing_around_it(make, kind):
    agent = of_kind(make, kind, seed=3).learn(100).learn(100)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    twin = of_kind(make, kind, seed=3)
    of_kind(make, kind, seed=4).learn(60)  # another agent draws in between
    random.random()
    twin.learn(100)
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002
    twin.learn(100)
    assert same(weights(agent), weights(twin))
    assert not same(weights(agent), weights(of_kind(make, kind, seed=4).learn(100).learn(100)))


def test_training_leaves_the_process_as_it_was(make):
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.rand(2)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    torch.manual_seed(1)
    python, torchs, threads = random.getstate(), torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        during = []
        agent = of_kind(make, "ppo")
        agent.learn(64, stop=lambda: during.append(torch.get_num_threads()))
        agent.evaluate((1,))
        assert set(during) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert random.getstate() == python
    assert torch.equal(torch.get_rng_state(), torchs)
    assert np.array_equal(np.random.rand(2), expected)  # noqa: NPY002


def test_watching_in_the_middle_changes_nothing(make):
    plain, watched = of_kind(make, "sac-normalised"), of_kind(make, "sac-normalised")
    plain.learn(120)
    watched.learn(
        120, stop=lambda: watched.num_timesteps == 60 and bool(watched.evaluate((1,)).returns > 0)
    )
    assert same(weights(plain), weights(watched))


# Acting


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_equals_a_loop_by_hand(make, kind):
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


def test_evaluation_knows_both_returns_and_success(make):
    task = make_task("MountainCar-v0", ["momentum"])
    agent = make("dqn", task, REPLAY)

    def push(observation, state=None, episode_start=None, deterministic=True):
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
def test_evaluate_policy_of_sb3_takes_an_agent_and_agrees(make, kind):
    agent = of_kind(make, kind).learn(128)
    seeds = (3, 4, 5)
    returns, lengths = [], []
    for seed in seeds:
        env = agent.task.make()
        env.reset(seed=seed)

        class Seeded(gym.Wrapper):
            def reset(self, *, seed=None, options=None, _seed=seed):
                return self.env.reset(seed=_seed, options=options)

        rewards, steps = evaluate_policy(
            agent, Seeded(env), n_eval_episodes=1, return_episode_rewards=True, warn=False
        )
        returns += rewards
        lengths += steps
        env.close()
    evaluation = agent.evaluate(seeds)
    assert evaluation.lengths[0].tolist() == lengths
    # SB3's vector environment holds rewards in float32.
    assert evaluation.returns[0] == pytest.approx(returns, rel=1e-5)


def test_observations_are_normalised_by_the_statistics_of_the_training(make):
    agent = of_kind(make, "ppo-normalised").learn(256)
    statistics = agent.model.get_vec_normalize_env()
    mean, var = statistics.obs_rms.mean, statistics.obs_rms.var
    assert statistics.obs_rms.count > 256
    assert not np.allclose(mean, 0, atol=1e-3)
    observations = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    observations[0] = 1e4  # is clipped
    features = np.clip((observations - mean) / np.sqrt(var + 1e-8), -10, 10).astype(np.float32)
    expected, _ = agent.model.policy.predict(features, deterministic=True)
    actions, state = agent.predict(observations, state="kept")
    assert np.array_equal(actions, expected)
    assert state == "kept"
    raw, _ = agent.model.policy.predict(observations, deterministic=True)
    assert not np.array_equal(actions, raw)
    one, _ = agent.predict(observations[1])
    assert one.shape == (1,)
    assert one == pytest.approx(actions[1], abs=1e-5)
    # Looking does not change them.
    assert np.array_equal(statistics.obs_rms.mean, mean)


def test_rewards_are_normalised_with_the_discount_of_the_algorithm(make):
    agent = make("a2c", "Pendulum-v1", {**SMALL, "gamma": 0.9}, normalize=True)
    statistics = agent.model.get_vec_normalize_env()
    assert (statistics.gamma, statistics.norm_reward, statistics.norm_obs) == (0.9, True, True)
    assert of_kind(make, "ppo").model.get_vec_normalize_env() is None


def test_actions_stay_within_the_bounds(make):
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


def test_predictions_are_deterministic_unless_told_otherwise(make):
    agent = make("ppo", "Pendulum-v1", PPO)
    observation = np.array([1.0, 0.0, 0.5], np.float32)
    assert len({float(agent.predict(observation)[0][0]) for _ in range(8)}) == 1
    drawn = {float(agent.predict(observation, deterministic=False)[0][0]) for _ in range(8)}
    assert len(drawn) > 1


@pytest.mark.parametrize("actions", ["binary", "many"])
def test_spaces_of_several_choices(make, actions):
    agent = make("ppo", Task("zorltest/Broken-v0", {"actions": actions}), PPO).learn(64)
    env = agent.task.make()
    assert agent.evaluate((9,)).returns[0, 0] == play(agent, env, 9)[0]
    env.close()


@pytest.mark.parametrize(
    ("space", "values"),
    [
        (gym.spaces.Box(0, 255, (2, 2), np.uint8), np.array([[[0, 1], [254, 255]]], np.uint8)),
        (gym.spaces.Box(-1.0, 1.0, (3,), np.float32), np.array([[0.1, -0.7, 1.0]], np.float32)),
        (gym.spaces.Discrete(4, start=3), np.array([5])),
    ],
)
def test_the_policy_sees_what_the_environment_gave(space, values):
    seen = []

    def predict(observations):
        seen.append(observations)
        return np.array([1], np.int64), None

    encoder = ObservationEncoder.for_space(space)
    features = encoder.batch(values)[0]
    actions = BaselinePolicy(predict, encoder).bind(np.zeros((1, 0), np.float32))(1, features, None)
    assert np.array_equal(seen[0], values)
    assert seen[0].dtype.kind == values.dtype.kind
    assert seen[0].dtype == values.dtype
    assert actions == [1]
    assert type(actions[0]) is int


@pytest.mark.parametrize(
    ("agent", "env", "options", "count"),
    [
        ("ppo", "CartPole-v1", {}, 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2),
        ("ppo", "Pendulum-v1", SMALL, 3 * 8 + 8 + 8 + 1),  # without the log standard deviation
        ("a2c", "CartPole-v1", SMALL, 4 * 8 + 8 + 8 * 2 + 2),
        ("dqn", "CartPole-v1", REPLAY, 4 * 8 + 8 + 8 * 2 + 2),  # one of its two networks
        ("sac", "Pendulum-v1", REPLAY, 3 * 8 + 8 + 8 + 1),
        ("sac", "Pendulum-v1", {**REPLAY, "use_sde": True}, 3 * 8 + 8 + 8 + 1),
        ("td3", "Pendulum-v1", REPLAY, 3 * 8 + 8 + 8 + 1),
    ],
)
def test_only_parameters_that_act_are_counted(make, agent, env, options, count):
    assert make(agent, env, options).parameters == count


# Files


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_agent_acts_to_the_same_bits(make, kind, tmp_path):
    agent = of_kind(make, kind, seed=7).learn(130)
    path = tmp_path / "agent.zorl"
    agent.save(path)
    _, metadata, arrays = load_archive(path, "agent")
    assert metadata["family"] == "sb3"
    loaded = BaselineAgent.from_archive(metadata, arrays)
    try:
        assert loaded.config == agent.config
        assert loaded.num_timesteps == agent.num_timesteps > 0
        assert loaded.num_episodes == agent.num_episodes
        space = agent.model.get_env().observation_space
        rng = np.random.default_rng(0)
        observations = rng.normal(size=(64, *space.shape)).astype(space.dtype)
        assert np.array_equal(loaded.predict(observations)[0], agent.predict(observations)[0])
        assert np.array_equal(loaded.evaluate((1, 2)).returns, agent.evaluate((1, 2)).returns)
        loaded.save(tmp_path / "again.zorl")
        assert (tmp_path / "again.zorl").read_bytes() == path.read_bytes()
        # It is no new agent: it goes on counting, and does not play its first episodes again.
        before = weights(loaded)
        first = loaded.model.get_env().reset()
        loaded.learn(60)
        assert loaded.num_timesteps >= agent.num_timesteps + 60
        assert kind == "dqn" or not same(before, weights(loaded))
        assert not np.array_equal(first, of_kind(make, kind, seed=7).model.get_env().reset())
    finally:
        loaded.close()


def test_files_hold_statistics_and_no_pickle(make, tmp_path):
    agent = of_kind(make, "ppo-normalised").learn(128)
    path = tmp_path / "agent.zorl"
    agent.save(path)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["arrays.safetensors", "zorl.json"]
    _, _, arrays = load_archive(path)
    statistics = agent.model.get_vec_normalize_env()
    assert np.array_equal(arrays["observations.mean"], statistics.obs_rms.mean)
    assert np.array_equal(arrays["observations.var"], statistics.obs_rms.var)
    assert arrays["returns.var"].item() == float(statistics.ret_rms.var) != 1.0
    assert arrays["observations.count"].item() == statistics.obs_rms.count


@pytest.mark.parametrize(
    "harm",
    [
        lambda arrays: arrays.pop("policy.action_net.bias"),
        lambda arrays: arrays.pop("observations.mean"),
        lambda arrays: arrays.update({"policy.action_net.bias": np.zeros(2, np.float32)}),
        lambda arrays: arrays.update({"observations.mean": np.zeros(2)}),
        lambda arrays: arrays.update({"policy.more": np.zeros(2)}),
    ],
)
def test_a_file_that_does_not_fit_is_refused(make, tmp_path, harm):
    agent = of_kind(make, "ppo-normalised")
    agent.save(tmp_path / "agent.zorl")
    _, metadata, arrays = load_archive(tmp_path / "agent.zorl")
    harm(arrays)
    save_archive(tmp_path / "harmed.zorl", "agent", metadata, arrays)
    with pytest.raises(FileFormatError, match="does not fit its configuration"):
        BaselineAgent.from_archive(*load_archive(tmp_path / "harmed.zorl")[1:])


def test_metadata_that_is_incomplete_is_refused(make, tmp_path):
    agent = of_kind(make, "dqn")
    agent.save(tmp_path / "agent.zorl")
    _, metadata, arrays = load_archive(tmp_path / "agent.zorl")
    for name in ("config", "num_timesteps"):
        with pytest.raises(FileFormatError, match=name):
            BaselineAgent.from_archive({k: v for k, v in metadata.items() if k != name}, arrays)


# Configuration


def test_a_configuration_comes_back_from_json(make):
    task = make_task("MountainCar-v0", ["momentum"])
    config = BaselineConfig("ppo", task, PPO, 3, True, 11, "a paper")
    assert BaselineConfig.from_json(config.to_json()) == config
    values = config.to_json()
    for harmed in ({**values, "more": 1}, {k: v for k, v in values.items() if k != "task"}):
        with pytest.raises(FileFormatError, match="not the configuration of a baseline"):
            BaselineConfig.from_json(harmed)


def test_the_configuration_of_an_agent_is_complete(make):
    agent = make("ppo", "CartPole-v1", {"n_steps": 64})
    spelled = make("ppo", "CartPole-v1", {"n_steps": 64, "gamma": 0.99, "batch_size": 64})
    assert agent.config["options"]["gae_lambda"] == agent.model.gae_lambda == 0.95
    assert agent.config["options"]["n_steps"] == agent.model.n_steps == 64
    assert agent.config == spelled.config
    values = dict(agent.config)
    assert values.pop("family") == "sb3"
    rebuilt = BaselineConfig.from_json(values)
    assert make("ppo", "CartPole-v1", rebuilt.options).config == agent.config


@pytest.mark.parametrize(
    ("agent", "env", "fitting"),
    [("dqn", "Pendulum-v1", "ppo, a2c, sac, td3"), ("sac", "CartPole-v1", "ppo, a2c, dqn")],
)
def test_a_wrong_action_space_names_the_agents_that_fit(make, agent, env, fitting):
    with pytest.raises(ConfigurationError, match=f"{agent} needs .* that fit: {fitting}$"):
        make(agent, env)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gama": 0.9}, "unknown option of ppo 'gama'; did you mean 'gamma'"),
        ({"seed": 1}, "unknown option of ppo 'seed'"),
        ({"policy": "MlpPolic"}, "did you mean 'MlpPolicy'"),
        ({"policy_kwargs": {"net_arc": [8]}}, "did you mean 'net_arch'"),
        ({"policy_kwargs": {"activation_fn": "rellu"}}, "did you mean .*'relu'"),
        ({"learning_rate": {"schedule": "linaer", "initial": 1.0}}, "did you mean 'linear'"),
    ],
)
def test_unknown_names_get_the_nearest(make, options, message):
    with pytest.raises(UnknownNameError, match=message):
        make("ppo", "CartPole-v1", options)


@pytest.mark.parametrize(
    ("agent", "options", "more", "message"),
    [
        ("ppo", {"batch_size": 1}, {}, "ppo cannot be made: .*batch_size"),
        ("ppo", {"learning_rate": "fast"}, {}, "ppo cannot be made"),
        ("ppo", {"learning_rate": {"schedule": "linear"}}, {}, "entries schedule and initial"),
        ("ppo", {"learning_rate": {"schedule": "linear", "initial": "1"}}, {}, "must be a number"),
        ("ppo", {"policy_kwargs": [8]}, {}, "policy_kwargs must be a mapping"),
        ("ppo", {"gamma": float("nan")}, {}, "must be finite"),
        ("td3", {"action_noise": {"type": "pink", "std": 1}}, {}, "unknown action noise 'pink'"),
        ("td3", {"train_freq": [1, "episode"]}, {"n_envs": 2}, "train_freq in episodes"),
        ("ppo", {}, {"n_envs": 0}, "n_envs must be"),
        ("ppo", {}, {"normalize": 1}, "normalize must be"),
        ("ppo", {}, {"seed": -1}, "seed must be"),
        ("pppo", {}, {}, "did you mean 'ppo'"),
    ],
)
def test_values_that_cannot_work_are_refused(make, agent, options, more, message):
    with pytest.raises(ConfigurationError, match=message):
        make(agent, "Pendulum-v1", options, **more)


def test_spaces_that_cannot_work_are_refused(make):
    for kwargs, message in (
        ({"actions": "unbounded"}, "need finite action bounds"),
        ({"start": 1}, "number actions from 0"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            make("ppo", Task("zorltest/Broken-v0", kwargs))
    with pytest.raises(ConfigurationError, match="normalize needs Box observations"):
        make("ppo", "FrozenLake-v1", normalize=True)
    with pytest.raises(UnsupportedSpaceError):
        make("ppo", "Blackjack-v1")


def test_training_by_the_episode(make):
    agent = make("td3", "Pendulum-v1", {**REPLAY, "train_freq": [1, "episode"]}).learn(150)
    assert agent.num_timesteps == 200


def test_discrete_observations(make):
    agent = make("ppo", "FrozenLake-v1", PPO).learn(64)
    env = agent.task.make()
    assert agent.evaluate((1,)).lengths[0, 0] == play(agent, env, 1)[2]
    env.close()


def test_failures_of_the_environment_have_a_name(make):
    with pytest.raises(EnvironmentFailure, match=r"raised RuntimeError in step\(\).* is lost"):
        make("ppo", Task("zorltest/Broken-v0", {"fault": "raise"}), PPO).learn(64)
    with pytest.raises(NonFiniteRewardError, match="at step 5"):
        make("ppo", Task("zorltest/Broken-v0", {"fault": "nan"}), PPO).learn(64)


def test_importing_does_not_import_torch():
    code = (
        "import sys, zorl.agents.sb3.agent, zorl.agents.published;"
        "print([m for m in ('torch', 'stable_baselines3') if m in sys.modules])"
    )
    root = Path(zorl.__file__).parents[1]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert out.stdout.strip() == "[]", out.stderr
