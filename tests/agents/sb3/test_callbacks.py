"""What SB3's callbacks need around them: counts that jump, what they log, files that both read."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback
from stable_baselines3.common.monitor import Monitor
from toy_baselines import Collector, Maker, of_kind, same, weights

from zorl.agents.registry import load_agent
from zorl.agents.sb3.agent import BaselineAgent
from zorl.agents.sb3.callbacks import Count


def test_a_count_is_an_int_but_for_the_multiples_that_it_passed() -> None:
    count = Count(1200, before=900)
    assert (count % 1000, count % 500, count % 1e3, count % 7) == (0, 0, 0, 0)
    assert Count(1200, 1200 - 100) % 500 == 200
    assert Count(1000, 999) % 1000 == 0
    assert Count(1001, 1000) % 1000 == 1  # it was counted then
    assert Count(5) % 5 == 0  # as an int that grew by one
    assert Count(6) % 5 == 1
    later = count + 1
    assert (later, later.before) == (1201, 901)
    with pytest.raises(ZeroDivisionError):
        _ = count % 0
    assert count % -7 == 1200 % -7
    assert (count - 200, count // 7, f"{count}_steps", json.dumps(count)) == (
        1000,
        171,
        "1200_steps",
        "1200",
    )
    assert np.array([count]).dtype == np.int64
    for again in (copy.deepcopy(count), pickle.loads(pickle.dumps(count))):
        assert type(again) is int
        assert again == 1200


def test_what_a_callback_saves_loads_with_sb3_and_with_zorl(make: Maker, tmp_path: Path) -> None:
    agent = of_kind(make, "ppo")
    evaluation = EvalCallback(
        Monitor(agent.task.make()),
        eval_freq=64,
        n_eval_episodes=1,
        best_model_save_path=str(tmp_path),
        verbose=0,
    )
    steps = CheckpointCallback(64, str(tmp_path), "mine")
    agent.learn(128, callback=[evaluation, steps])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best_model.zip", "mine_128_steps.zip"]
    for name in names:
        loaded = load_agent(tmp_path / name)
        assert isinstance(loaded, BaselineAgent)
        assert loaded.num_timesteps == 128
        assert loaded.config == agent.config
        model = SB3PPO.load(tmp_path / name)
        observation = np.full(4, 0.1, np.float32)
        assert model.predict(observation, deterministic=True)[0] == loaded.predict(observation)[0]
        other = {key: value.numpy() for key, value in model.policy.state_dict().items()}
        assert same(weights(loaded), other)
        loaded.close()
    assert "save" not in vars(agent.model)
    agent.model.save(tmp_path / "plain.zip")  # outside of learn it is SB3's


def test_what_callbacks_record_is_in_the_run_s_records(make: Maker) -> None:
    class Own(BaseCallback):
        def _on_step(self) -> bool:
            self.logger.record("my/calls", self.n_calls)
            self.logger.record("my/words", "none")
            return True

    agent, collector = of_kind(make, "ppo"), Collector()
    evaluation = EvalCallback(Monitor(agent.task.make()), eval_freq=64, verbose=0)
    agent.learn(1100, callback=[Own(), evaluation], recorders=[collector])
    for record in collector.records:
        assert record.scalars["my/calls"] * 2 == record.env_steps  # two environments
        assert "my/words" not in record.scalars
        assert "eval/mean_reward" in record.scalars
        assert not any(name.startswith("time/total") for name in record.scalars)
    assert "train/loss" in collector.records[-1].scalars


def test_a_function_of_locals_and_globals_is_told(make: Maker) -> None:
    seen: list[Any] = []

    def callback(local: dict[str, Any], _: dict[str, Any]) -> bool:
        seen.append(local["self"])
        return True

    of_kind(make, "ppo").learn(128, callback=callback)
    assert len(seen) == 64
