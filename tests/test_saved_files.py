"""Files that an earlier version saved load, act and go on as they did (tests/data/README.md)."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import zorl
from zorl.agents.resuming import resume
from zorl.common.moved import MOVED
from zorl.common.storage import load_archive, read_json
from zorl.runs.failed_episodes import replay
from zorl.runs.folder import RunFolder

SAVED = Path(__file__).parent / "data" / "v0.1"
EXPECTED: dict[str, Any] = read_json(SAVED / "expected.json")
AGENTS = [name for name, facts in EXPECTED.items() if "actions" in facts]


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_acts_as_it_did(name: str) -> None:
    expected = EXPECTED[name]
    agent = zorl.load_agent(SAVED / f"{name}.zip")
    shape = agent.task.make().observation_space.shape or ()
    observations = np.random.default_rng(0).uniform(-0.5, 0.5, (4, *shape)).astype(np.float32)
    actions, _ = agent.predict(observations)
    assert np.asarray(actions).tolist() == expected["actions"]
    assert agent.evaluate((11, 12, 13)).returns.ravel().tolist() == expected["returns"]
    assert (agent.num_timesteps, agent.num_episodes) == (
        expected["timesteps"],
        expected["episodes"],
    )
    agent.close()


@pytest.mark.parametrize("name", [name for name in AGENTS if name != "ppo"])
def test_an_agent_goes_on_as_it_did(name: str, tmp_path: Path) -> None:
    agent = zorl.load_agent(SAVED / f"{name}.zip")
    agent.learn(2000)
    agent.save(tmp_path / "later.zip")
    agent.close()
    _, _, arrays = load_archive(tmp_path / "later.zip", "agent")
    (theta,) = [value for name, value in arrays.items() if name.endswith("optimizer.theta")][:1]
    # Not to the bit: another processor's BLAS may add in another order.
    np.testing.assert_allclose(theta.ravel(), EXPECTED[name]["theta_2000_steps_later"], rtol=1e-9)


def test_an_interrupted_run_goes_on_to_its_end(tmp_path: Path) -> None:
    """Not to the bits of then: see above, and an episode then ends a step earlier or later."""
    folder = RunFolder(shutil.copytree(SAVED / "run", tmp_path / "run"))
    saved = folder.validation.read_text()
    result = resume(folder, [])
    assert result.finished
    assert result.held_out is not None
    assert result.held_out.episodes == EXPECTED["run"]["held_out"]["episodes"]
    plan = folder.read_config()["plan"]
    assert plan["total_timesteps"] <= result.env_steps.training < plan["total_timesteps"] + 4 * 500
    assert folder.validation.read_text().startswith(saved)


def test_a_failed_episode_is_played_again() -> None:
    expected = EXPECTED["failed-episode"]["return"]
    assert replay(SAVED / "failed-episode.zip").episode_return == expected


@pytest.mark.filterwarnings("ignore:zorl.envs.mountain_car is:DeprecationWarning")
def test_a_spec_that_names_a_module_of_then_makes_the_same_task() -> None:
    env = gym.make(EnvSpec.from_json((SAVED / "env_spec.json").read_text()))
    task = zorl.make_task("MountainCar-v0", ["momentum(speed_weight=7.0)"])
    made = zorl.task_of(env)
    assert made.wrappers[0][0] == "momentum"
    assert {**made.wrappers[0][1]}["speed_weight"] == {**task.wrappers[0][1]}["speed_weight"]


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_module_is_found_by_its_old_name(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is {new} now"):
        found = zorl.common.moved._Moved().create_module(  # what an import runs, once
            importlib.machinery.ModuleSpec(old, None)
        )
    assert found is importlib.import_module(new)
