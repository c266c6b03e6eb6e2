"""What users of SB3 and of pickle try with an agent: it works, or says what to do instead."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_searches import CART, small

from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.common.errors import ConfigurationError

PPO: dict[str, Any] = {"settings": "default", "n_steps": 16, "batch_size": 16}


@pytest.mark.parametrize("kind", ["search", "ppo"])
def test_load_on_an_agent_says_that_it_makes_another(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = small() if kind == "search" else make_agent("ppo", CART, **PPO)
    agent.learn(100).save(tmp_path / "a.zip")
    fresh = small() if kind == "search" else make_agent("ppo", CART, **PPO)
    assert not caplog.records
    loaded = fresh.load(tmp_path / "a.zip")  # type: ignore[attr-defined]
    assert (fresh.num_timesteps, loaded.num_timesteps) == (0, agent.num_timesteps)
    assert "load returns a new agent and leaves this one as it was" in caplog.text
    caplog.clear()
    again = type(fresh).load(tmp_path / "a.zip")  # type: ignore[attr-defined]
    saved = agent.as_saved(tmp_path / "a.zip")
    assert again.num_timesteps == saved.num_timesteps == agent.num_timesteps
    assert not caplog.records
    for each in (agent, fresh, loaded, again):
        each.close()


@pytest.mark.parametrize("agent", [small(), make_agent("ppo", CART, **PPO)], ids=["ars", "ppo"])
def test_evaluate_says_that_it_takes_seeds(agent: Any) -> None:
    for seeds, got in (((), "nothing"), ((10,), "10"), ((2.5,), "2.5")):
        with pytest.raises(ConfigurationError, match=rf"agent.evaluate\(range\(10\)\) .*{got}$"):
            agent.evaluate(*seeds)
    with pytest.raises(ConfigurationError, match=r"a seed must be an integer, got 0.5"):
        agent.evaluate([0.5])
    with pytest.raises(ConfigurationError, match="a seed must be ≥ 0, got -1"):
        agent.evaluate([-1])
    returns = agent.evaluate((0, 1, 2)).returns.tolist()
    for same in (range(3), [0, 1, 2], np.arange(3), iter((0, 1, 2))):
        assert agent.evaluate(same).returns.tolist() == returns


BACKENDS: dict[str, dict[str, Any]] = {
    "compiled": {"backend": "compiled", "workers": 2},
    "gymnasium": {"backend": "gymnasium"},
    "processes": {"backend": "gymnasium", "workers": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_agent_is_pickled_and_copied(backend: str) -> None:
    agent = small("ars", m=64, **BACKENDS[backend]).learn(300)
    for again in (pickle.loads(pickle.dumps(agent)), copy.deepcopy(agent)):
        assert isinstance(again, SearchAgent)
        assert again.evaluate((1, 2)).returns.tolist() == agent.evaluate((1, 2)).returns.tolist()
        again.learn(300)
        expected = copy.deepcopy(agent).learn(300)
        assert again.state.theta.tobytes() == expected.state.theta.tobytes()
        for each in (again, expected):
            each.close()
    agent.close()
