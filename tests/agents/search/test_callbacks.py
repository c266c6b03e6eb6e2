"""Callbacks of a search: functions of the generation, and those of stable-baselines3."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from run_outcomes import bits
from toy_searches import CART, small

from zorl.agents.registry import load_agent
from zorl.common.errors import ConfigurationError
from zorl.envs import make_task
from zorl.recorders.base import BaseRecorder
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


class Bar:
    """Stands for tqdm's."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, total: int) -> None:
        self.total, self.n = total, 0
        self.made.append(self)

    def update(self, n: int) -> None:
        self.n += n

    def refresh(self) -> None:
        pass

    close = refresh


@pytest.mark.parametrize("listed", [False, True])
def test_sb3_s_progress_bar_counts_steps(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from stable_baselines3.common import callbacks

    monkeypatch.setattr(callbacks, "tqdm", Bar)
    monkeypatch.setattr(Bar, "made", [])
    bar: Any = callbacks.ProgressBarCallback()
    agent = small("ars", m=2).learn(300)
    before = agent.num_timesteps
    agent.learn(300, callback=callbacks.CallbackList([bar]) if listed else bar)
    (shown,) = Bar.made
    assert (shown.n, shown.total) == (agent.num_timesteps - before, 300)


def test_eval_callback_with_a_reward_threshold(tmp_path: Path) -> None:
    from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
    from stable_baselines3.common.monitor import Monitor

    enough = StopTrainingOnRewardThreshold(reward_threshold=100, verbose=0)
    callback = EvalCallback(
        Monitor(make_task(CART).make()),
        callback_on_new_best=enough,
        n_eval_episodes=3,
        eval_freq=400,
        log_path=str(tmp_path),
        best_model_save_path=str(tmp_path / "best"),
        verbose=0,
    )
    steps: list[int] = []
    watch = [lambda generation: steps.append(generation.env_steps), callback]
    agent = small("cma-es", hidden=()).learn(10**6, callback=watch)
    assert callback.best_mean_reward >= 100
    with np.load(tmp_path / "evaluations.npz") as log:
        assert log["timesteps"][-1] == agent.num_timesteps
        times = np.arange(1, agent.num_timesteps // 400 + 1) * 400
        reached = {min(step for step in steps if step >= time) for time in times}
        assert log["timesteps"].tolist() == sorted(reached)
    best = load_agent(tmp_path / "best" / "best_model.zip")
    assert load_agent(tmp_path / "best" / "best_model").config == best.config
    best.save(tmp_path / "bare")  # SB3's save would have added .zip
    assert load_agent(tmp_path / "bare.zip").config == best.config
    assert best.num_timesteps == agent.num_timesteps
    assert callback.num_timesteps == agent.num_timesteps


def test_checkpoint_callback_writes_files_that_load(tmp_path: Path) -> None:
    from stable_baselines3.common.callbacks import CheckpointCallback

    steps: list[int] = []
    agent = small()
    callbacks = [
        CheckpointCallback(save_freq=100, save_path=str(tmp_path), name_prefix="zorl"),
        lambda generation: steps.append(generation.env_steps),
    ]
    agent.learn(300, callback=callbacks)
    names = {path.name for path in tmp_path.iterdir()}
    passed = [b for a, b in pairwise([0, *steps]) if b // 100 > a // 100]
    assert len(passed) < len(steps)
    assert names == {f"zorl_{count}_steps.zip" for count in passed}
    for count in passed:
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
            return len(log) < 5

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
        *(("step", count - begun, count) for count in steps),
        "rolled out",
        "end",
    ]
    assert len(steps) == 3


def test_a_count_of_calls_says_which_multiples_were_passed() -> None:
    """The sum over a training of `n_calls % N == 0` is what one call a step would give."""
    from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EveryNTimesteps

    class Own(BaseCallback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[int, bool, bool, int]] = []

        def _on_step(self) -> bool:
            each = self.n_calls % 150 == 0, self.num_timesteps % 150.0 == 0
            self.seen.append((self.n_calls, *each, self.n_calls % 7))
            return True

    direct, listed, event = Own(), Own(), Own()
    agent = small("ars", m=2).learn(130)
    begun = agent.num_timesteps
    agent.learn(300, callback=[direct, CallbackList([listed, EveryNTimesteps(1, event)])])
    agent.learn(300, callback=direct)
    counts = [0, *(calls for calls, *_ in direct.seen)]
    assert counts[-1] == agent.num_timesteps - begun  # its own calls alone, over both
    for (calls, own, steps, rest), (before, after) in zip(
        direct.seen, pairwise(counts), strict=True
    ):
        assert calls == after
        assert own == (after // 150 > before // 150)
        assert steps == ((begun + after) // 150 > (begun + before) // 150)
        assert rest == (0 if after // 7 > before // 7 else after % 7)
    assert listed.seen == direct.seen[: len(listed.seen)]
    assert [calls for calls, *_ in event.seen] == [*range(1, len(event.seen) + 1)]  # events


def test_what_callbacks_record_is_in_the_run_s_records() -> None:
    from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.monitor import Monitor

    class Own(BaseCallback):
        def _on_step(self) -> bool:
            self.logger.record("my/calls", self.n_calls)
            self.logger.record("my/words", "not a number")
            buffer = self.model.ep_info_buffer
            assert buffer is not None
            assert buffer[-1]["r"] == self.locals["infos"][-1]["episode"]["r"]
            assert len(buffer) <= 100
            with pytest.raises(AttributeError, match="search agent has no 'replay_buffer': callb"):
                _ = self.model.replay_buffer  # type: ignore[attr-defined]
            return True

    class Keeper(BaseRecorder):
        def __init__(self) -> None:
            self.scalars: list[Any] = []

        def record(self, record: Any) -> None:
            self.scalars.append(record.scalars)

    keeper, plain = Keeper(), Keeper()
    evaluation = EvalCallback(Monitor(make_task(CART).make()), eval_freq=100, verbose=0)
    agent = small().learn(300, callback=[Own(), evaluation], recorders=[keeper])
    assert [row["my/calls"] for row in keeper.scalars] == [
        row["search/env_steps"] for row in keeper.scalars
    ]
    evaluated = ["eval/mean_reward" in row for row in keeper.scalars]
    assert any(evaluated)
    assert not all(evaluated)
    assert "my/words" not in keeper.scalars[0]
    again = small().learn(300, recorders=[plain])
    assert bits(again) == bits(agent)
    assert set(keeper.scalars[0]) - set(plain.scalars[0]) == {"my/calls"}

    class Mine(BaseCallback):
        def _init_callback(self) -> None:
            self.model.set_logger(logger)

        def _on_step(self) -> bool:
            self.logger.record("a", 1)
            return True

    dumped: list[int] = []
    logger = Logger(None, [])
    logger.dump = lambda step=0: dumped.append(step)  # type: ignore[method-assign]
    small().learn(200, callback=Mine())
    assert dumped
    assert logger.name_to_value["a"] == 1


@pytest.mark.parametrize("answer", [None, True, False])
def test_a_function_of_locals_and_globals(answer: Any) -> None:
    seen: list[Any] = []

    def callback(local: dict[str, Any], everything: dict[str, Any]) -> Any:
        seen.append((local["self"].num_timesteps, local["generation"].index, everything))
        return answer

    agent = small().learn(300, callback=callback)
    assert len(seen) == agent.state.generation
    assert (len(seen) == 1) == (answer is False)
    assert seen[-1] == (agent.num_timesteps, agent.state.generation - 1, {})
