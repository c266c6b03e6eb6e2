"""Torch modules that remember, and those that would forget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toy_networks
from policy_toys import raw_outputs
from torch import nn

import zorl
from zorl.common.errors import ConfigurationError
from zorl.envs import make_task
from zorl.policies.module import ModulePolicy

FEATURES = 3


class WithState(nn.Module):
    """A cell and an output layer, with the state as an argument."""

    def __init__(self, cell: Any = nn.GRUCell, start: float = 0.0) -> None:
        super().__init__()
        self.cell: Any = cell(FEATURES, 4)
        self.last = nn.Linear(4, 2)
        self.start = start

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        if state is None and self.start:
            state = torch.full((1, 4), self.start)
        state = self.cell(x, state)
        return self.last(state[0] if isinstance(state, tuple) else state), state


class Forgetful(WithState):
    def forward(self, x: torch.Tensor) -> Any:  # type: ignore[override]
        return super().forward(x)[0]


class Kept(Forgetful):
    state: Any = None

    def forward(self, x: torch.Tensor) -> Any:  # type: ignore[override]
        outputs, self.state = WithState.forward(self, x, self.state)
        return outputs


def played(policy: Any, theta: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(t, outputs) by a loop as anyone would write it."""
    policy.layout.load(policy.module, theta)
    state, found = None, []
    with torch.no_grad():
        for x in steps:
            outputs, state = policy.module(torch.from_numpy(x[None]).float(), state)
            found.append(outputs[0].numpy())
    return np.array(found)


@pytest.mark.parametrize(
    "module",
    [WithState(), WithState(nn.LSTMCell), nn.GRU(FEATURES, 2), nn.LSTM(FEATURES, 2, num_layers=2)],
    ids=["gru-cell", "lstm-cell", "gru", "lstm"],
)
def test_a_module_with_state_remembers_row_for_row(module: Any) -> None:
    torch.manual_seed(1)
    policy = ModulePolicy(module, FEATURES, raw_outputs(2))
    assert policy.state_size == {nn.GRU: 2, nn.LSTM: 8}.get(
        type(module), 8 if isinstance(getattr(module, "cell", 0), nn.LSTMCell) else 4
    )
    rng = np.random.default_rng(0)
    thetas = rng.normal(size=(35, policy.dim)).astype(np.float32)
    steps = rng.normal(size=(4, 35, FEATURES))
    states = np.zeros((35, policy.state_size), np.float32)
    actor: Any = policy.bind(thetas, states)
    found = np.array([actor(35, x, None) for x in steps])
    for row in (0, 33):
        np.testing.assert_allclose(
            found[:, row], played(policy, thetas[row], steps[:, row]), rtol=2e-5, atol=2e-6
        )
    alone: Any = policy.bind(thetas[[33]], np.zeros((1, policy.state_size), np.float32))
    assert all(
        np.array_equal(alone(1, x[[33]], None)[0], y[33]) for x, y in zip(steps, found, strict=True)
    )


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Forgetful(), "the GRUCell 'cell' of Forgetful begins anew at every step"),
        (Kept(), "gives other outputs"),
        (WithState(start=1.0), "begins otherwise with the state None than with zeros"),
    ],
)
def test_a_module_that_would_forget_is_refused_with_the_cure(module: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        ModulePolicy(module, FEATURES, raw_outputs(2))
    assert "state" in str(caught.value)


def test_a_recurrent_layer_over_the_numbers_of_one_observation_is_no_memory() -> None:
    policy = ModulePolicy(toy_networks.recurrent, FEATURES, raw_outputs(2))
    assert policy.state_size == 0
    with pytest.raises(ConfigurationError, match="begins anew"):  # of a single number
        ModulePolicy(toy_networks.recurrent, 1, raw_outputs(2))


def test_an_agent_plays_and_saves_a_module_with_state(tmp_path: Any) -> None:
    task = make_task("Pendulum-v1", env_kwargs={"max_episode_steps": 4})
    agents = [
        zorl.make_agent(
            "cma-es", task, policy=toy_networks.remembering, lanes=lanes, episodes=1, seed=1
        ).learn(1)
        for lanes in (1, None)
    ]
    thetas = [agent.state.theta.tobytes() for agent in agents]  # type: ignore[attr-defined]
    assert thetas[0] == thetas[1]
    agents[0].save(tmp_path / "agent.zip")
    loaded = zorl.load_agent(tmp_path / "agent.zip")
    observation = np.zeros((2, 3), np.float32)
    _, state = agents[0].predict(observation)
    expected, after = agents[0].predict(observation, state, [True, False])
    found, (again,) = loaded.predict(observation, state, [True, False])
    assert state[0].shape == (1, 2, 6)
    assert np.array_equal(found, expected)
    assert np.array_equal(again, after[0])
    assert np.array_equal(again[0, 0], state[0][0, 0])  # it has begun anew
    assert not np.array_equal(again[0, 1], state[0][0, 1])
