"""Agents of environments that no other process can import: workers, files, runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import Walk

from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import load_agent, make_agent
from zorl.agents.resuming import resume
from zorl.agents.training import run_config, train
from zorl.common.errors import ConfigurationError
from zorl.envs.own import tell_if_unnamed
from zorl.runs.folder import RunFolder

OPTIONS: dict[str, dict[str, Any]] = {
    "openai-es": {"settings": "default", "episodes": 1, "hidden": (3,)},
    "ppo": {"settings": "default", "n_steps": 32, "batch_size": 16, "n_epochs": 1},
}


def local_class() -> Any:
    class Mine(Walk):
        """As if it were written in a notebook."""

        def __init__(self) -> None:
            super().__init__(action="multi-binary")

    return Mine


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_worker_processes_get_the_class() -> None:
    alone, helped = (
        make_agent("openai-es", local_class(), workers=workers, **OPTIONS["openai-es"]).learn(60)
        for workers in (None, 2)
    )
    assert alone.num_timesteps == helped.num_timesteps
    assert alone.state.theta.tobytes() == helped.state.theta.tobytes()  # type: ignore[attr-defined]
    alone.close()
    helped.close()


@pytest.mark.parametrize("name", OPTIONS)
def test_files_name_it_and_ask_for_it(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = local_class()
    tell_if_unnamed.cache_clear()
    agent = make_agent(name, lambda: mine(), seed=2, **OPTIONS[name])
    plan = TrainingPlan(total_timesteps=60, held_out=3, select="last")
    folder = RunFolder.create(tmp_path / "run", run_config(agent, plan))
    result = train(agent, plan, folder)
    assert result.status == "finished" and result.env_id == "<lambda>"
    assert folder.read_config()["agent"]["task"]["env_id"] == "<lambda>"
    assert "environment <lambda> was given in Python" in caplog.text
    with pytest.raises(ConfigurationError, match=r"pass it again, as zorl.load_agent\(path, env="):
        load_agent(folder.agent)
    loaded = load_agent(folder.agent, env=lambda: mine())
    for observation in np.random.default_rng(0).normal(size=(5, 3)):
        np.testing.assert_array_equal(loaded.predict(observation)[0], agent.predict(observation)[0])
    if name != "ppo":
        loaded.close()
        longer = resume(folder, env=lambda: mine(), total_timesteps=120)
        assert longer.env_steps.training >= 120
    agent.close()
    loaded.close()
