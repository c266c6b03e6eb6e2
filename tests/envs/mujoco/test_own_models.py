"""A task made of a model of one's own: one class is the environment and its compiled twin."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from registries import forget_afterwards

import zorl
from zorl.common.errors import ConfigurationError, EnvironmentFailure, UnknownNameError
from zorl.envs import find_twin, make_task, register_mujoco
from zorl.envs.mujoco.start import start_of
from zorl.envs.twins.base import TWINS
from zorl.testing import check_compiled_twin

pytest.importorskip("mujoco")
from toy_mujoco import MODEL, Spring

SPRING = "toy_mujoco:Spring-v0"


def test_the_twin_gives_the_environments_bits() -> None:
    report = check_compiled_twin(SPRING, steps=2000)
    assert report.exact_differences == 0
    assert report.episodes > 2000 / 50  # some episodes end early


def test_so_does_the_example_with_contacts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "docs" / "examples")
    report = check_compiled_twin("crawler:Crawler-v0", steps=800)
    assert report.exact_differences == 0


def test_a_search_learns_the_same_in_compiled_code_and_in_the_environment() -> None:
    agents: list[Any] = []
    for backend in ("auto", "gymnasium"):
        agent = zorl.make_agent("cma-es", SPRING, hidden=(), seed=1, backend=backend)
        agents.append(agent.learn(4000))
        agent.close()
    assert agents[0].config["backend"] == "compiled"
    assert agents[0].state.theta.tobytes() == agents[1].state.theta.tobytes()
    assert agents[0].evaluate((7, 8)).native_returns.tolist() == (
        agents[1].evaluate((7, 8)).native_returns.tolist()
    )


def test_the_environment_is_one_of_gymnasiums() -> None:
    env = gym.make(SPRING, far=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unbounded observations
        check_env(env.unwrapped, skip_render_check=True)
    assert isinstance(env.action_space, gym.spaces.Box)
    assert env.action_space.high.tolist() == [1.0, 2.0]
    assert env.unwrapped.task == Spring(far=2.0)  # type: ignore[attr-defined]
    assert env.spec is not None
    assert (env.spec.max_episode_steps, env.spec.reward_threshold) == (50, 30.0)
    assert env.metadata["render_fps"] == 50
    with pytest.raises(ConfigurationError, match=r"action has shape \(2,\), got \(3,\)"):
        env.unwrapped.step(np.zeros(3))
    with pytest.raises(UnknownNameError, match=r"option of .*'farr'; did you mean 'far'"):
        make_task(SPRING, env_kwargs={"farr": 1.0}).make()
    env.close()


def test_an_episode_starts_from_what_reset_names() -> None:
    start = start_of(Spring(), np.random.default_rng(3))
    assert list(start) == ["qpos", "qvel", "mocap_pos", "userdata"]
    env: Any = gym.make(SPRING).unwrapped
    env.reset(seed=3)
    rng = gym.utils.seeding.np_random(3)[0]
    for name, numbers in start_of(Spring(), rng).items():
        assert getattr(env.data, name).tolist() == numbers.tolist()


@dataclass(frozen=True)
class Faulty(Spring):
    """Some methods return what they should not."""

    fault: str = ""

    def reset(self, rng: np.random.Generator) -> Any:
        start = super().reset(rng)
        return {
            "name": {**start, "qposs": start["qpos"]},
            "shape": {**start, "qpos": np.zeros(3)},
            "words": {**start, "qvel": ["fast", "slow"]},
            "number": 3.0,
        }.get(self.fault, start)

    def observe(self, data: Any) -> Any:
        return 1.0 if self.fault == "observe" else super().observe(data)

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return data.qpos if self.fault == "reward" else 1.0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("name", r"unknown array that Faulty.reset returns: 'qposs'; did you mean 'qpos'"),
        ("shape", r"Faulty.reset returns qpos of shape \(3,\); that of the model is \(2,\)"),
        ("words", r"Faulty.reset returns \['fast', 'slow'\] as qvel, which are no numbers"),
        ("number", r"Faulty.reset must return 2 positions and 2 velocities, .* got 3.0"),
        ("observe", r"Faulty.observe must return an array of float64 .* got 1.0"),
        ("reward", r"Faulty.reward must return a number, got array"),
    ],
)
def test_what_methods_return_is_looked_at(
    fault: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_afterwards(TWINS, monkeypatch)
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    register_mujoco("Faulty-v0", Faulty)
    with pytest.raises(EnvironmentFailure, match=words):
        make_task("Faulty-v0", env_kwargs={"fault": fault}).make()


def test_models_and_classes_that_cannot_be_used_are_told() -> None:
    class Plain(Spring):
        frame_skip = 4

    with pytest.raises(ConfigurationError, match=r"Plain.frame_skip is no field; .*dataclass"):
        Plain()
    with pytest.raises(ConfigurationError, match=r"Spring names the model 'no\.xml', .* no such"):
        _ = Spring(xml_file="no.xml").model
    with pytest.raises(
        ConfigurationError, match=r"cannot read the model of Spring: (?s:.*)unbroken"
    ):
        _ = Spring(xml_file=MODEL.replace("<size", "<unbroken/><size")).model
    with pytest.raises(ConfigurationError, match="class derived from CompiledMujoco, got 3"):
        register_mujoco("Three-v0", 3)  # type: ignore[call-overload]


def test_what_cannot_be_translated_is_stepped(caplog: pytest.LogCaptureFixture) -> None:
    task = make_task("toy_mujoco:Unwritten-v0")
    assert find_twin(task) is not None
    with caplog.at_level(logging.WARNING, "zorl"):
        agent: Any = zorl.make_agent("cma-es", task, hidden=(), seed=1)
    assert agent.config["backend"] == "gymnasium"
    assert "Unwritten.reward, line 2 of it: a compiled MuJoCo task cannot use ListComp" in (
        caplog.text
    )
    agent.learn(100)
    with pytest.raises(ConfigurationError, match="ListComp"):
        zorl.make_agent("cma-es", task, hidden=(), backend="compiled")
