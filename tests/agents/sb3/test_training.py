"""What surrounds SB3's training: counts, records, failures, private randomness."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_baselines import PPO, SMALL, Collector, Maker, StepCounter, of_kind, same, weights

from zorl.agents.sb3.training import REPORT_STEPS
from zorl.common.errors import EnvironmentFailure, NonFiniteRewardError
from zorl.envs import Task, make_task


def test_whole_rollouts_are_counted_and_a_second_learn_goes_on(make: Maker) -> None:
    agent, counter = of_kind(make, "ppo"), StepCounter()
    assert (agent.num_timesteps, agent.num_episodes) == (0, 0)
    assert agent.learn(100, callback=counter) is agent
    assert agent.num_timesteps == 128 == counter.env_steps  # 2 environments × 64
    agent.learn(129, callback=counter)
    assert agent.num_timesteps == 384 == counter.env_steps
    assert agent.num_episodes == counter.episodes > 0


def test_off_policy_steps_are_exact(make: Maker) -> None:
    agent, counter = of_kind(make, "dqn"), StepCounter()
    agent.learn(120, callback=counter).learn(8, callback=[counter])
    assert agent.num_timesteps == 128 == counter.env_steps
    assert agent.num_episodes == counter.episodes > 0


def test_an_info_that_the_environment_uses_again_counts_an_episode_once(make: Maker) -> None:
    agent, collector = (
        make(
            "ppo",
            Task("zorltest/Broken-v0", {"fault": "one info", "disable_env_checker": True}),
            PPO,
        ),
        Collector(),
    )
    agent.learn(640, recorders=[collector])
    assert agent.num_episodes == 640 // 20
    assert sum(record.scalars["task/episodes"] for record in collector.records) == 640 // 20


def test_training_stops_where_it_is_told_to(make: Maker) -> None:
    agent = of_kind(make, "ppo")
    seen: list[int] = []

    def stop() -> bool:
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


def test_records_have_both_returns_of_the_episodes_since_the_last_one(make: Maker) -> None:
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


def test_success_is_counted_as_the_task_judges_it(make: Maker) -> None:
    task = replace(make_task("CartPole-v1"), success="threshold", threshold=20.0)
    agent, collector, counter = make("ppo", task, PPO), Collector(), StepCounter()
    agent.learn(512, recorders=[collector], callback=counter)
    expected = np.mean(np.array(counter.lengths) >= 20)
    assert 0 < expected < 1
    assert collector.records[0].scalars["task/success_rate"] == expected


def test_figures_stand_where_no_episode_ended(make: Maker) -> None:
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


def test_records_are_not_made_more_often_than_stated(make: Maker) -> None:
    agent, collector = of_kind(make, "dqn"), Collector()
    agent.learn(1300, recorders=[collector])
    assert [record.env_steps for record in collector.records] == [500, 1000, 1300]
    assert REPORT_STEPS == 500


def test_figures_of_sb3_are_those_of_the_updates_since_the_last_record(make: Maker) -> None:
    agent, collector = of_kind(make, "ppo"), Collector()
    agent.learn(10_000, stop=lambda: agent.num_timesteps == 520, recorders=[collector])
    first, second = collector.records
    assert (first.env_steps, second.env_steps) == (512, 520)
    assert first.scalars["train/n_updates"] == 8
    assert not [name for name in second.scalars if name.startswith("train/")]


@pytest.mark.parametrize("kind", ["ppo-normalised", "dqn", "td3"])
def test_what_is_learned_depends_on_the_seed_and_on_nothing_around_it(
    make: Maker, kind: str
) -> None:
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


def test_training_leaves_the_process_as_it_was(make: Maker) -> None:
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.rand(2)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    torch.manual_seed(1)
    python, torchs, threads = random.getstate(), torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        during: list[int] = []

        def stop() -> bool:
            during.append(torch.get_num_threads())
            return False

        agent = of_kind(make, "ppo")
        agent.learn(64, stop=stop)
        agent.evaluate((1,))
        assert set(during) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert random.getstate() == python
    assert torch.equal(torch.get_rng_state(), torchs)
    assert np.array_equal(np.random.rand(2), expected)  # noqa: NPY002


def test_watching_in_the_middle_changes_nothing(make: Maker) -> None:
    plain, watched = of_kind(make, "sac-normalised"), of_kind(make, "sac-normalised")
    plain.learn(120)
    watched.learn(
        120, stop=lambda: watched.num_timesteps == 60 and bool(watched.evaluate((1,)).returns > 0)
    )
    assert same(weights(plain), weights(watched))


@pytest.mark.parametrize("fault", ["int alone", "objects"])
def test_environments_that_take_plain_actions_or_give_plain_lists_train(
    make: Maker, fault: str
) -> None:
    task = Task("zorltest/Broken-v0", {"fault": fault, "disable_env_checker": True})
    assert make("ppo", task, PPO).learn(64).num_episodes == 3


def test_failures_of_the_environment_have_a_name(make: Maker) -> None:
    task = Task("zorltest/Broken-v0", {"fault": "shape", "disable_env_checker": True})
    with pytest.raises(
        EnvironmentFailure, match=r"has shape \(3, 2\), but the space says \(2, 3\)"
    ):
        make("ppo", task, PPO).learn(64)
    with pytest.raises(EnvironmentFailure, match=r"raised RuntimeError in step\(\).* is lost"):
        make("ppo", Task("zorltest/Broken-v0", {"fault": "raise"}), PPO).learn(64)
    with pytest.raises(NonFiniteRewardError, match="at step 5"):
        make("ppo", Task("zorltest/Broken-v0", {"fault": "nan"}), PPO).learn(64)
