"""Callbacks of a search: functions of the generation, and those of stable-baselines3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_outcomes import bits
from toy_searches import CART, small

from zorl.agents.registry import load_agent
from zorl.common.errors import ConfigurationError
from zorl.envs import make_task
from zorl.search.records import Generation


@pytest.mark.parametrize("answer", [False, np.False_])
def test_a_function_that_answers_false_stops(answer: Any) -> None:
    seen: list[int] = []

    def callback(generation: Generation) -> Any:
        seen.append(generation.index)
        return answer if generation.index == 2 else None

    agent = small().learn(10**6, callback=callback)
    assert seen == [0, 1, 2]
    assert agent.state.generation == 3


@pytest.mark.parametrize("answer", [None, True, 0, 0.0, "", []])
def test_any_other_answer_goes_on(answer: Any) -> None:
    seen: list[int] = []

    def callback(generation: Generation) -> Any:
        seen.append(generation.index)
        return answer

    small().learn(300, callback=callback)
    assert len(seen) > 2


def test_every_callback_of_a_list_is_told_and_one_false_is_enough() -> None:
    seen: list[str] = []

    def first(generation: Generation) -> bool:
        seen.append("a")
        return generation.index < 1

    small().learn(10**6, callback=[first, None, lambda generation: seen.append("b")])
    assert seen == ["a", "b", "a", "b"]


def test_a_failing_callback_leaves_the_state_of_the_last_whole_generation() -> None:
    agent = small()

    def fails(generation: Generation) -> None:
        if generation.index == 1:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        agent.learn(10**6, callback=fails)
    assert agent.state.generation == 2
    assert bits(agent) == bits(small().learn(10**6, callback=lambda g: g.index < 1))


def test_a_callback_must_be_one() -> None:
    agent = small()
    with pytest.raises(ConfigurationError, match=r"a callback must be a function .*, got 3"):
        agent.learn(100, callback=3)
    assert agent.num_timesteps == 0


def test_stop_training_on_max_episodes() -> None:
    from stable_baselines3.common.callbacks import StopTrainingOnMaxEpisodes

    agent = small("ars", m=2).learn(10**6, callback=StopTrainingOnMaxEpisodes(max_episodes=10))
    assert agent.num_episodes == 12  # four a generation


def test_eval_callback_with_a_reward_threshold(tmp_path: Path) -> None:
    from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
    from stable_baselines3.common.monitor import Monitor

    enough = StopTrainingOnRewardThreshold(reward_threshold=100, verbose=0)
    callback = EvalCallback(
        Monitor(make_task(CART).make()),
        callback_on_new_best=enough,
        n_eval_episodes=3,
        eval_freq=2,
        log_path=str(tmp_path),
        best_model_save_path=str(tmp_path / "best"),
        verbose=0,
    )
    agent = small("cma-es", hidden=()).learn(10**6, callback=callback)
    assert callback.best_mean_reward >= 100
    with np.load(tmp_path / "evaluations.npz") as log:
        assert log["timesteps"][-1] == agent.num_timesteps
        assert len(log["timesteps"]) == agent.state.generation // 2
    best = load_agent(tmp_path / "best" / "best_model")
    assert best.num_timesteps == agent.num_timesteps
    assert callback.num_timesteps == agent.num_timesteps


def test_checkpoint_callback_writes_files_that_load(tmp_path: Path) -> None:
    from stable_baselines3.common.callbacks import CheckpointCallback

    steps: list[int] = []
    agent = small()
    callbacks = [
        CheckpointCallback(save_freq=2, save_path=str(tmp_path), name_prefix="zorl"),
        lambda generation: steps.append(generation.env_steps),
    ]
    agent.learn(300, callback=callbacks)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"zorl_{count}_steps.zip" for count in steps[1::2]}
    for count in steps[1::2]:
        assert load_agent(tmp_path / f"zorl_{count}_steps.zip").num_timesteps == count


def test_a_callback_of_one_s_own_sees_a_training_and_may_end_it() -> None:
    from stable_baselines3.common.callbacks import BaseCallback

    class Own(BaseCallback):
        def _on_training_start(self) -> None:
            log.append(("start", self.locals["total_timesteps"]))
            assert self.training_env.num_envs == 1
            assert self.model.get_vec_normalize_env() is None

        def _on_rollout_start(self) -> None:
            log.append("rollout")

        def _on_step(self) -> bool:
            dones, infos = self.locals["dones"], self.locals["infos"]
            assert len(dones) == len(infos) == len(self.locals["rewards"]) == 4
            assert all(dones)
            assert sum(info["episode"]["l"] for info in infos) == (
                self.locals["generation"].evaluation.env_steps
            )
            assert infos[0]["episode"]["r"] == self.locals["rewards"][0]
            log.append(("step", self.n_calls, self.num_timesteps))
            return self.n_calls < 3

        def _on_rollout_end(self) -> None:
            log.append("rolled out")

        def _on_training_end(self) -> None:
            log.append("end")

    log: list[Any] = []
    steps: list[int] = []
    agent = small("ars", m=2).learn(50)
    begun = agent.num_timesteps
    agent.learn(10**6, callback=[Own(), lambda generation: steps.append(generation.env_steps)])
    assert log == [
        ("start", begun + 10**6),
        "rollout",
        *(("step", call + 1, count) for call, count in enumerate(steps)),
        "rolled out",
        "end",
    ]
    assert len(steps) == 3
