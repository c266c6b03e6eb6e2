"""Files whose JSON was changed: they load, or a `ZorlError` says what is wrong."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import mutated

from zorl.agents.registry import load_agent, make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.common.errors import ConfigurationError, ZorlError
from zorl.common.storage import load_archive, save_archive
from zorl.common.validation import at_least, is_finite
from zorl.envs import make_task
from zorl.runs.failed_episodes import KIND, load_episode

SAVED = Path(__file__).parents[1] / "data" / "v0.1"
FILES = ("ars-paired", "bipop", "cma-es", "momentum", "spsa-stale-best", "ppo", "failed-episode")


def refused(path: Path, metadata: Any, kind: str, arrays: Any) -> str | None:
    """What is wrong with a file of this metadata; None where it loads, acts and is saved again."""
    save_archive(path, kind, metadata, arrays)
    try:
        if kind == KIND:
            load_episode(path)
            return None
        agent = load_agent(path)
    except ZorlError as error:
        return str(error)
    if isinstance(agent, SearchAgent):
        agent.predict(np.zeros(agent.task.make().observation_space.shape or ()))
        agent.save(path)
    agent.close()
    return None


@pytest.mark.parametrize("name", FILES)
def test_a_mutated_file_loads_or_is_refused(name: str, tmp_path: Path) -> None:
    kind, metadata, arrays = load_archive(SAVED / f"{name}.zip")
    assert refused(tmp_path / "m.zip", metadata, kind, arrays) is None
    outcomes = []
    for seed in range(15 if name == "ppo" else 40):
        changed, what = mutated(metadata, random.Random(f"{name} {seed}"))
        try:
            outcomes.append(refused(tmp_path / "m.zip", changed, kind, arrays))
        except Exception as error:
            raise AssertionError(f"{name}, mutation {seed}: {what}") from error
    assert any(outcomes)
    assert not all(outcomes)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("ars-paired", ("config", "activation"), {"a": 1}),
        ("ars-paired", ("config", "task", "threshold"), 10**400),
        ("ars-paired", ("config", "episodes"), 10**400),
        ("ars-paired", ("family",), [1]),
        ("ars-paired", ("scalars", "state.normalizer.moments.count"), 10**400),
        ("cma-es", ("config", "options", "max_memory_gb"), 10**400),
        ("failed-episode", ("policy",), "x"),
        ("failed-episode", ("policy",), {"inputs": 1}),
        ("failed-episode", ("policy",), {"own": 1}),
        ("failed-episode", ("uniforms",), "x"),
    ],
)
def test_mutations_that_once_ended_in_a_traceback(
    name: str, place: tuple[str, ...], value: Any, tmp_path: Path
) -> None:
    kind, metadata, arrays = load_archive(SAVED / f"{name}.zip")
    changed = copy.deepcopy(metadata)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    assert refused(tmp_path / "m.zip", changed, kind, arrays)


def test_the_same_values_are_refused_in_python() -> None:
    for option in ("normalize", "activation", "gate", "backend", "on_failure"):
        with pytest.raises(ConfigurationError):
            make_agent("ars", "CartPole-v1", **{option: [1]})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a threshold must be a number"):
        make_task("CartPole-v1", threshold=10**400)
    assert not is_finite(10**400)
    assert is_finite(10**300)
    at_least("n", 2**63 - 1, 1)
    with pytest.raises(ConfigurationError, match="n must be an integer ≥ 1"):
        at_least("n", 2**63, 1)
