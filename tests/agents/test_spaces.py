"""The tables of docs/spaces.md: every cell is tried, and every example is in a row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import OBSERVATIONS, WALK

from zorl.agents.registry import load_agent, make_agent
from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.storage import load_archive, save_archive
from zorl.envs import make_task

PAGE = Path(__file__).parents[2] / "docs" / "spaces.md"
SEARCH: dict[str, Any] = {"settings": "default", "episodes": 1, "hidden": (3,)}
PPO: dict[str, Any] = {"settings": "default", "n_steps": 32, "batch_size": 16, "n_epochs": 1}

# The names of a row's spaces in `toy_envs.OBSERVATIONS`.
OBSERVED = {
    "Box of floats, any shape": ["box"],
    "Box of integers or booleans": ["whole"],
    "Box of a single number, shape ()": ["number"],
    "Box of pixels": ["image"],
    "Discrete from 0": ["from-0"],
    "Discrete from another start": ["discrete"],
    "MultiDiscrete of one row, from 0": ["choices"],
    "MultiBinary of one row": ["bits"],
    "MultiDiscrete, any shape and start": ["multi-discrete"],
    "MultiBinary, any shape": ["multi-binary"],
    "Dict": ["dict"],
    "Tuple": ["tuple"],
    "Dict of Dict and Tuple": ["nested"],
    "Text, or a Dict with one": ["text"],
    "Sequence, Graph, OneOf": ["sequence"],
}


def table(first: str) -> dict[str, dict[str, str]]:
    """The table whose first column has this heading: its rows by their first cell."""
    lines = iter(PAGE.read_text().splitlines())
    heading = next(line for line in lines if line.startswith(f"| {first} |"))
    columns = cells(heading)[1:]
    next(lines)
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        name, *values = cells(line)
        rows[name] = dict(zip(columns, values, strict=True))
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_examples_are_those_of_the_tables() -> None:
    assert set(table("observation space")) == set(OBSERVED)
    assert {name for names in OBSERVED.values() for name in names} == set(OBSERVATIONS)


def trained(agent: str, options: dict[str, Any], **kwargs: Any) -> Any:
    return make_agent(agent, make_task(WALK, env_kwargs=kwargs), seed=1, **options).learn(60)


@pytest.mark.parametrize(("row", "values"), table("observation space").items())
def test_observations(row: str, values: dict[str, str], tmp_path: Path) -> None:
    for name in OBSERVED[row]:
        if values["search agents"] == "yes":
            plays_and_is_saved(trained("cma-es", SEARCH, observation=name), tmp_path)
        else:
            with pytest.raises(ConfigurationError, match=f"not {named(name)}"):
                trained("cma-es", SEARCH, observation=name)
        if values["baselines"] == "yes":
            plays_and_is_saved(
                trained("ppo", PPO, observation=name, action="multi-binary"), tmp_path
            )
        else:
            with pytest.raises(ConfigurationError, match=re.escape(str(OBSERVATIONS[name]))):
                trained("ppo", PPO, observation=name, action="multi-binary")


def named(name: str) -> str:
    return "Text" if name == "text" else type(OBSERVATIONS[name]).__name__


def plays_and_is_saved(agent: Any, folder: Path) -> None:
    """A loaded agent does the same, and so does one that sees a batch."""
    env = agent.task.make()
    agent.save(folder / "agent.zip")
    loaded = load_agent(folder / "agent.zip")
    observation, _ = env.reset(seed=3)
    for _ in range(3):
        action, _ = agent.predict(observation)
        np.testing.assert_array_equal(loaded.predict(observation)[0], action)
        observation, *_ = env.step(action)
    assert agent.evaluate((4, 5)).returns.tobytes() == loaded.evaluate((4, 5)).returns.tobytes()
    for made in (agent, loaded, env):
        made.close()


@pytest.mark.slow
def test_workers_and_lanes_change_no_bit() -> None:
    alone, other = (
        trained("openai-es", {**SEARCH, **where}, observation="nested", action="multi-discrete")
        for where in ({"lanes": 1}, {"lanes": 3, "workers": 2})
    )
    assert alone.state.theta.tobytes() == other.state.theta.tobytes()
    alone.close()
    other.close()


def test_a_file_from_before_pixels_were_scaled_is_refused(tmp_path: Path) -> None:
    agent = trained("cma-es", SEARCH, observation="image")
    path = tmp_path / "agent.zip"
    agent.save(path)
    _, metadata, arrays = load_archive(path, "agent")
    name = "state.normalizer.high"
    assert arrays[name].tolist() == [1.0] * 6
    save_archive(path, "agent", metadata, {**arrays, name: arrays[name] * 255})
    with pytest.raises(FileFormatError, match="pixels from 0 to 255"):
        load_agent(path)
