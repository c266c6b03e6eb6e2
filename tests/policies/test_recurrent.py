"""Recurrent policies against torch's cells, and what they remember."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from policy_toys import raw_outputs

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.policies.memory import act_with_memory
from zorl.policies.recurrent import RecurrentPolicy, is_own

torch = pytest.importorskip("torch")
SETTINGS: list[tuple[str, tuple[int, ...], bool]] = [
    ("gru:5", (), True),
    ("gru:1", (4,), False),
    ("elman:6", (3,), True),
    ("elman:1", (), False),
]


def torch_outputs(policy: RecurrentPolicy, theta: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(t, outputs) of torch's cell and linear layers, with the same numbers in their places."""
    kind = torch.nn.GRUCell if policy.memory.startswith("gru") else torch.nn.RNNCell
    cell = kind(policy.inputs, policy.state_size, bias=policy.bias)
    layers = [torch.nn.Linear(i, o, bias=policy.bias) for o, i in policy.head.layers]
    own = [p for name, p in cell.named_parameters() if name != "bias_hh"]
    tensors = [*own, *(p for layer in layers for p in layer.parameters())]
    torch.nn.utils.vector_to_parameters(torch.from_numpy(theta.copy()), tensors)
    with torch.no_grad():
        if policy.bias:
            cell.bias_hh.zero_()
        state, found = torch.zeros((1, policy.state_size)), []
        for x in steps:
            y = state = cell(torch.from_numpy(x.astype(np.float32))[None], state)
            for index, layer in enumerate(layers):
                y = layer(torch.tanh(y) if index else y)
            found.append(y[0].numpy())
    return np.array(found)


@pytest.mark.parametrize(("memory", "hidden", "bias"), SETTINGS)
def test_a_policy_computes_what_torch_s_cell_does_whatever_is_beside_it(
    memory: str, hidden: tuple[int, ...], bias: bool
) -> None:
    policy = RecurrentPolicy(3, raw_outputs(2), memory, hidden, bias=bias)
    rng = np.random.default_rng(1)
    thetas = rng.normal(size=(5, policy.dim)).astype(np.float32)
    steps = rng.normal(size=(7, 5, 3))
    states = np.zeros((5, policy.state_size), np.float32)
    actor: Any = policy.bind(thetas, states)
    found = np.array([actor(5, x, None) for x in steps])
    for row in range(5):
        expected = torch_outputs(policy, thetas[row], steps[:, row])
        np.testing.assert_allclose(found[:, row], expected, rtol=2e-5, atol=2e-6)
        alone = np.zeros((1, policy.state_size), np.float32)
        one: Any = policy.bind(thetas[[row]], alone)
        assert np.array([one(1, x[[row]], None)[0] for x in steps]).tobytes() == (
            np.ascontiguousarray(found[:, row]).tobytes()
        )
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_a_start_is_within_torch_s_bounds() -> None:
    policy = RecurrentPolicy(3, raw_outputs(2), "gru:16")
    theta = policy.init(np.random.default_rng(0))
    assert theta.shape == (policy.dim,) == (3 * 16 * (3 + 16 + 1) + 2 * 17,)
    assert 0.24 < np.abs(theta).max() <= 0.25


@pytest.mark.parametrize(
    ("memory", "words"),
    [("gru", "as gru:8"), ("gru:0", "as gru:8"), ("gru:-1", "as gru"), (8, "as gru"), ("", "gru:")],
)
def test_no_memory_is_refused_with_an_example(memory: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RecurrentPolicy(3, raw_outputs(2), memory)
    with pytest.raises(UnknownNameError, match="gru"):
        RecurrentPolicy(3, raw_outputs(2), "grue:8")


def test_memory_needs_a_place() -> None:
    policy = RecurrentPolicy(3, raw_outputs(2))
    thetas = np.zeros((4, policy.dim), np.float32)
    with pytest.raises(ConfigurationError, match=r"\(4, 8\)"):
        policy.bind(thetas)
    with pytest.raises(ConfigurationError, match=r"\(4, 8\)"):
        policy.bind(thetas, np.zeros((3, 8), np.float32))
    assert is_own(policy)
    assert not is_own(type("Derived", (RecurrentPolicy,), {})(3, raw_outputs(2)))


def test_a_state_counts_for_nothing_where_an_episode_begins() -> None:
    policy = RecurrentPolicy(3, raw_outputs(2))
    rng = np.random.default_rng(2)
    theta, features = rng.normal(size=policy.dim), rng.normal(size=(2, 3))
    first, state = act_with_memory(policy, theta, features, None, np.ones(2, bool))
    assert state[0].shape == (1, 2, 8)
    kept = state[0].copy()
    second, _ = act_with_memory(policy, theta, features, state, [False, True])
    assert np.array_equal(state[0], kept)  # the caller's stays as it was
    assert np.array_equal(second[1], first[1])
    assert not np.array_equal(second[0], first[0])
    unsaid, _ = act_with_memory(policy, theta, features, state, None)
    assert np.array_equal(unsaid[0], second[0])
    for bad in (state[0][:, :1], (state[0], state[0]), "state", [1.0]):
        with pytest.raises(ConfigurationError, match="state must be"):
            act_with_memory(policy, theta, features, bad, None)
    with pytest.raises(ConfigurationError, match="episode_start must"):
        act_with_memory(policy, theta, features, state, [True])
