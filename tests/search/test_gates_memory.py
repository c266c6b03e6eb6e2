"""A gate with a memory of its own: an agent that learns with it is saved, and goes on the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gate_toys import Memory, Patient

import zorl
from zorl.common.errors import FileFormatError
from zorl.common.storage import flatten
from zorl.search import Paired, make_gate, register_gate
from zorl.search.gates import GATES


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name that the gate is registered under, for one test."""
    monkeypatch.setattr(GATES, "_things", dict(GATES))
    register_gate("patient")(Patient)
    return "patient"


def state_of(agent: Any) -> tuple[Any, ...]:
    scalars, arrays = flatten(agent.state, "state")
    return scalars, {name: array.tobytes() for name, array in arrays.items()}


def make(gate: str, **options: Any) -> Any:
    return zorl.make_agent("spsa", "CartPole-v1", seed=4, gate=gate, workers=1, **options)


def test_an_interrupted_agent_goes_on_to_the_same_bits(patient: str, tmp_path: Path) -> None:
    whole = make(patient)
    whole.learn(3000)
    middle = whole.num_timesteps
    assert whole.state.gate != make_gate(patient).init()  # there is something to remember
    whole.save(tmp_path / "middle.zip")
    whole.learn(6000)
    whole.close()

    resumed: Any = zorl.load_agent(tmp_path / "middle.zip")
    assert resumed.num_timesteps == middle
    assert isinstance(resumed.state.gate, Memory)
    assert not resumed.state.gate.last.flags.writeable
    resumed.learn(6000)
    assert state_of(resumed) == state_of(whole)
    counters = resumed.counters
    assert 0 < counters.accepted < counters.updates  # it kept some and refused some
    assert counters.gate_episodes == 2 * counters.updates  # counted by the search
    resumed.close()


def test_a_memory_does_not_fit_another_gate(patient: str, tmp_path: Path) -> None:
    agent = make("paired", gate_options={"episodes": 1})
    agent.learn(200)
    assert agent.state.gate == Paired().init()
    agent.save(tmp_path / "paired.zip")
    other = make(patient)
    with pytest.raises(FileFormatError, match=r"state\.gate\.refusals is missing"):
        other.as_saved(tmp_path / "paired.zip")
    for each in (agent, other):
        each.close()
