"""What a MuJoCo task does when physics, numbers or libraries are not as they should be."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import Any

import numpy as np
import pytest
from compiled_cases import setting

import zorl
from zorl.common.errors import NonFiniteRewardError
from zorl.envs import find_twin, make_task
from zorl.envs.twins.base import Twin
from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.compiled.mujoco import bits
from zorl.rollout.compiled.mujoco.backend import MujocoBackend
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.testing import check_compiled_twin

pytest.importorskip("mujoco")
from toy_mujoco import MODEL

SPRING = "toy_mujoco:Spring-v0"
STIFF = MODEL.replace('stiffness="2"', 'stiffness="1e13"')


def twin_of(task: Any) -> Twin:
    twin = find_twin(task)
    assert twin is not None
    return twin


def test_a_state_that_blows_up_is_reset_alike() -> None:
    env: Any = make_task(SPRING, env_kwargs={"xml_file": STIFF}).make()
    env.reset(seed=0)
    assert np.abs(env.unwrapped.data.qpos).min() > 0
    env.step(env.action_space.sample())
    assert env.unwrapped.data.warning.number.sum() > 0
    env.close()
    report = check_compiled_twin(SPRING, steps=500, env_kwargs={"xml_file": STIFF})
    assert report.exact_differences == 0


@pytest.mark.filterwarnings("ignore:.*The reward is an inf value")
def test_returns_that_are_not_finite_are_so_in_both() -> None:
    task = make_task(SPRING, env_kwargs={"bonus": 1e308})
    here = setting(task, (), mode="running", mean=(0.1,) * 12, std=(1.0,) * 12)
    batch = EpisodeBatch(here.thetas(3), (0, 1), here.normalizer())
    results: list[Any] = []
    for worst in (True, False):
        mine: Any = MujocoBackend(
            task, twin_of(task), here.policy, here.encoder, threads=1, allow_non_finite=worst
        )
        truth = SerialBackend(
            GymnasiumRunner(task, here.policy, compiled=False, allow_non_finite=worst)
        )
        for backend in (mine, truth):
            if worst:
                results.append(backend.run(batch))
            else:
                with pytest.raises(NonFiniteRewardError, match="NaN or infinite"):
                    backend.run(batch)
            backend.close()
    for name in ("returns", "native_returns", "lengths", "successes", "sums", "squares"):
        found, expected = (getattr(result, name) for result in results)
        assert found.tobytes() == expected.tobytes(), name
    assert np.isnan(results[0].returns).all()


def test_other_bits_are_found_told_and_remembered(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path))
    monkeypatch.setattr(bits, "_known", {})
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "zorl"):
            agent: Any = zorl.make_agent("cma-es", "toy_mujoco:Louder-v0", hidden=(), seed=1)
        assert agent.config["backend"] == "gymnasium"
        assert "Louder-v0 is played by the environment itself: its twin's returns are not" in (
            caplog.text
        )
        bits._known.clear()
        monkeypatch.setattr(bits, "difference", None)  # the answer is in the cache


def test_the_answer_is_for_this_model_these_options_and_these_libraries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(**kwargs: Any) -> str:
        task = make_task(SPRING, env_kwargs=kwargs)
        return bits.key(task, twin_of(task))

    assert key() == key()
    found = [key(), key(xml_file=STIFF), key(far=1.0)]
    version = importlib.metadata.version
    for library in ("mujoco", "numpy", "gymnasium", "numba"):
        monkeypatch.setattr(
            importlib.metadata,
            "version",
            lambda name, library=library: version(name) + "x" * (name == library),
        )
        found.append(key())
    assert len(set(found)) == len(found)


def test_a_kernel_that_raises_is_not_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise ValueError("np.linalg.norm is compiled for up to 15 numbers")

    monkeypatch.setattr(MujocoBackend, "_play", fail)
    monkeypatch.setattr(bits, "_kept", lambda digest, task, twin: bits.difference(task, twin))
    monkeypatch.setattr(bits, "_known", {})
    with caplog.at_level(logging.WARNING, "zorl"):
        agent: Any = zorl.make_agent("cma-es", SPRING, hidden=(), seed=1)
    assert agent.config["backend"] == "gymnasium"
    assert "its compiled twin raises ValueError: np.linalg.norm is compiled for" in caplog.text
