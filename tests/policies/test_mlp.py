"""zorl.policies against torch, and the promise that no row's bits depend on its neighbours."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from policy_toys import discrete, raw_outputs
from torch import nn

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.policies.activations import ACTIVATIONS
from zorl.policies.mlp import LinearPolicy, MlpPolicy
from zorl.policies.spaces import ActionDecoder

TORCH = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}
# (hidden, activation, bias): every activation, both biases, and all depths.
SETTINGS: list[tuple[tuple[int, ...], str, bool]] = [
    ((), "tanh", True),
    ((), "tanh", False),
    ((8,), "tanh", True),
    ((5, 7), "relu", False),
    ((16, 4, 3), "elu", True),
    ((32, 32), "silu", False),
    ((64, 64), "sigmoid", True),
]


def torch_network(policy: Any) -> Any:
    layers = []
    for fan_out, fan_in in policy.layers:
        layers += [nn.Linear(fan_in, fan_out, bias=policy.bias), TORCH[policy.activation]()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize(("hidden", "activation", "bias"), SETTINGS)
def test_forward_is_torchs_network_with_torchs_layout(
    hidden: tuple[int, ...], activation: str, bias: bool
) -> None:
    policy = MlpPolicy(3, raw_outputs(2), hidden, activation, bias)
    torch.manual_seed(0)
    networks = [torch_network(policy) for _ in range(4)]
    thetas = np.stack(
        [nn.utils.parameters_to_vector(net.parameters()).detach().numpy() for net in networks]
    )
    assert thetas.shape == (4, policy.dim)
    x = np.random.default_rng(0).normal(0, 2, (4, 3)).astype(np.float32)
    with torch.no_grad():
        rows = zip(networks, torch.from_numpy(x), strict=True)
        expected = np.stack([network(row) for network, row in rows])
    outputs = policy.forward(thetas, x)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(policy.act(thetas, x), outputs)


def test_every_activation_is_tested() -> None:
    assert set(ACTIVATIONS) == set(TORCH) == {activation for _, activation, _ in SETTINGS}


@pytest.mark.parametrize(("hidden", "activation", "bias"), SETTINGS)
def test_the_bits_of_a_row_depend_on_nothing_but_the_row(
    hidden: tuple[int, ...], activation: str, bias: bool
) -> None:
    rng = np.random.default_rng(1)
    policy = MlpPolicy(4, raw_outputs(3), hidden, activation, bias)
    thetas = rng.normal(size=(17, policy.dim)).astype(np.float32)
    x = rng.normal(size=(17, 4))
    alone = np.concatenate([policy.bind(thetas[[i]])(1, x[[i]], None) for i in range(17)])
    bound = policy.bind(thetas)
    for n in (1, 2, 3, 5, 8, 17):
        few = policy.bind(thetas[:n].copy())(n, x[:n], None)
        np.testing.assert_array_equal(few, alone[:n])
        np.testing.assert_array_equal(bound(n, x[:n], None), alone[:n])  # of a larger buffer
        np.testing.assert_array_equal(policy.act(thetas[:n], x[:n]), alone[:n])
    order = rng.permutation(17)
    shuffled = policy.bind(thetas[order])(17, x[order], None)
    np.testing.assert_array_equal(shuffled, alone[order])
    np.testing.assert_array_equal(
        policy.act(thetas[3], x), [policy.act(thetas[3], row[None])[0] for row in x]
    )


def test_bind_reads_rows_that_were_replaced_between_calls() -> None:
    rng = np.random.default_rng(2)
    policy = MlpPolicy(2, raw_outputs(1), (8,))
    lanes = rng.normal(size=(3, policy.dim)).astype(np.float32)
    actor = policy.bind(lanes)
    x = rng.normal(size=(3, 2))
    before: Any = actor(3, x, None)
    kept = before.copy()
    lanes[1] = rng.normal(size=policy.dim)
    after: Any = actor(3, x, None)
    np.testing.assert_array_equal(before, kept)  # actions survive the next call
    np.testing.assert_array_equal(after, policy.act(lanes, x))
    assert (after != before).ravel().tolist() == [False, True, False]
    np.testing.assert_array_equal(actor(2, x[:2], None), after[:2])
    np.testing.assert_array_equal(actor(3, x, None), after)


def test_bind_passes_uniforms_on_to_the_decoder() -> None:
    policy = MlpPolicy(2, ActionDecoder.for_space(spaces.Discrete(3), stochastic=True))
    thetas = np.zeros((2, policy.dim), np.float32)
    uniforms = np.array([[0.1, 0.9, 0.1], [0.1, 0.2, 0.9]])
    actor = policy.bind(thetas)
    assert actor(2, np.ones((2, 2)), uniforms) == [1, 2]
    assert actor(2, np.ones((2, 2)), None) == [0, 0]


def test_the_inputs_of_a_forward_pass_are_left_alone() -> None:
    rng = np.random.default_rng(3)
    policy = MlpPolicy(2, raw_outputs(1), (4,))
    thetas, x = rng.normal(size=(2, policy.dim)).astype(np.float32), rng.normal(size=(2, 2))
    copies = thetas.copy(), x.copy()
    thetas.setflags(write=False)
    x.setflags(write=False)
    first = policy.forward(thetas, x)
    second = policy.forward(thetas, x * 2)
    assert not np.array_equal(first, second) and not np.shares_memory(first, second)
    np.testing.assert_array_equal(thetas, copies[0])
    np.testing.assert_array_equal(x, copies[1])


@pytest.mark.parametrize(
    ("inputs", "hidden", "outputs", "bias", "dim"),
    [
        (2, (8,), 3, True, 51),  # MountainCar
        (2, (8,), 3, False, 40),
        (4, (16,), 2, True, 114),
        (4, (), 2, True, 10),
        (4, (), 2, False, 8),
        (3, (64, 64), 1, True, 64 * 4 + 64 * 65 + 65),
        (1, (1, 1, 1), 1, True, 8),
    ],
)
def test_dim_is_the_number_of_weights_and_biases(
    inputs: int, hidden: Any, outputs: int, bias: bool, dim: Any
) -> None:
    policy = MlpPolicy(inputs, discrete(outputs), hidden, bias=bias)
    assert policy.dim == dim and type(policy.dim) is int
    assert policy.init(np.random.default_rng(0)).shape == (dim,)
    count = sum(p.numel() for p in torch_network(policy).parameters())
    assert policy.dim == count


def test_init_is_uniform_within_one_over_root_fan_in_layer_by_layer() -> None:
    policy = MlpPolicy(25, discrete(9), (100, 4))
    draws = np.stack([policy.init(np.random.default_rng(seed)) for seed in range(20)])
    at = 0
    for fan_out, fan_in in policy.layers:
        size = fan_out * (fan_in + 1)
        part, bound = draws[:, at : at + size], 1 / np.sqrt(fan_in)
        assert 0.97 * bound < np.abs(part).max() <= bound
        assert part.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
        assert abs(part.mean()) < 4.5 * bound / np.sqrt(3 * part.size)
        at += size
    assert at == policy.dim


def test_init_is_a_function_of_the_generator() -> None:
    policy = MlpPolicy(2, discrete(3))
    one, same, other = (policy.init(np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert one.dtype == np.float64
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_a_linear_policy_starts_at_zero_and_is_a_matrix() -> None:
    policy = LinearPolicy(3, raw_outputs(2), bias=False)
    assert (policy.hidden, policy.dim) == ((), 6)
    np.testing.assert_array_equal(policy.init(np.random.default_rng(0)), np.zeros(6))
    matrix = np.arange(6.0).reshape(2, 3)
    x = np.array([[1.0, -2.0, 0.5], [4.0, 0.0, 1.0]])
    np.testing.assert_array_equal(policy.act(matrix.ravel(), x), x @ matrix.T)
    affine = LinearPolicy(3, raw_outputs(2))
    theta = np.append(matrix.ravel(), [10.0, 20.0])
    np.testing.assert_array_equal(affine.act(theta, x), x @ matrix.T + [10, 20])


def test_a_linear_policy_cannot_be_given_a_hidden_layer() -> None:
    with pytest.raises(TypeError, match="hidden"):
        LinearPolicy(3, raw_outputs(2), hidden=(8,))  # type: ignore[call-arg]


def test_no_observations_give_no_actions() -> None:
    policy = MlpPolicy(2, discrete(3))
    assert policy.act(np.zeros(policy.dim), np.zeros((0, 2))) == []
    assert policy.act(np.zeros((0, policy.dim)), np.zeros((0, 2))) == []


def test_one_theta_serves_all_observations() -> None:
    policy = MlpPolicy(2, discrete(3))
    rng = np.random.default_rng(6)
    theta, x = rng.normal(size=policy.dim), rng.normal(size=(9, 2))
    same = policy.act(np.tile(theta, (9, 1)), x)
    assert policy.act(theta, x) == same == policy.act(theta[None], x)


@pytest.mark.parametrize("hidden", [(0,), (-3,), (8, 0), (2.0,), (True,), ("8",), "88", (None,)])
def test_hidden_sizes_must_be_positive_integers(hidden: Any) -> None:
    with pytest.raises(ConfigurationError, match="each hidden size must be an integer ≥ 1"):
        MlpPolicy(2, discrete(3), hidden)


@pytest.mark.parametrize("hidden", [8, None])
def test_hidden_must_be_a_sequence(hidden: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"sequence of layer sizes, as \(8,\)"):
        MlpPolicy(2, discrete(3), hidden)


def test_hidden_may_be_any_sequence_of_integers() -> None:
    sequences: Any = ([8, 4], np.array([8, 4]), (n for n in (8, 4)), (np.int64(8), 4))
    for hidden in sequences:
        policy = MlpPolicy(2, discrete(3), hidden)
        assert policy.hidden == (8, 4) and all(type(n) is int for n in policy.hidden)
    assert policy == MlpPolicy(2, discrete(3), (8, 4))


@pytest.mark.parametrize("inputs", [0, -1, 2.0, True])
def test_inputs_must_be_a_positive_integer(inputs: Any) -> None:
    with pytest.raises(ConfigurationError, match="inputs must be an integer ≥ 1"):
        MlpPolicy(inputs, discrete(3))


def test_an_unknown_activation_is_named_with_its_neighbour() -> None:
    with pytest.raises(UnknownNameError, match="unknown activation 'tahn'; did you mean 'tanh'"):
        MlpPolicy(2, discrete(3), activation="tahn")


@pytest.mark.parametrize("shape", [(50,), (52,), (2, 51), (4, 51), (1, 50), (3, 51, 1), ()])
def test_thetas_of_another_shape_are_refused(shape: Any) -> None:
    policy = MlpPolicy(2, discrete(3))
    with pytest.raises(ConfigurationError, match=r"thetas must be \(n, 51\) with n = 3 or 1"):
        policy.act(np.zeros(shape), np.zeros((3, 2)))


@pytest.mark.parametrize("shape", [(2,), (3, 1), (3, 3), (3, 2, 1), ()])
def test_observations_of_another_shape_are_refused(shape: Any) -> None:
    policy = MlpPolicy(2, discrete(3))
    with pytest.raises(ConfigurationError, match=r"observations must have shape \(n, 2\)"):
        policy.act(np.zeros(51), np.zeros(shape))


@pytest.mark.parametrize(
    "thetas", [np.zeros((3, 51)), np.zeros((3, 52), np.float32), np.zeros(51, np.float32)]
)
def test_bind_refuses_what_it_would_misread(thetas: Any) -> None:
    policy = MlpPolicy(2, discrete(3))
    with pytest.raises(ConfigurationError, match=r"thetas must be float32 of shape \(n, 51\)"):
        policy.bind(thetas)


def test_a_policy_is_a_value_that_travels_to_workers() -> None:
    policy = MlpPolicy(2, discrete(3), (8,), "relu")
    copy = pickle.loads(pickle.dumps(policy))
    assert copy == policy and hash(copy) == hash(policy)
    x = np.random.default_rng(7).normal(size=(5, 2))
    theta = policy.init(np.random.default_rng(8))
    assert copy.act(theta, x) == policy.act(theta, x)


def in_order(policy: Any, theta: Any, x: Any) -> Any:
    """The forward pass of one row, one rounded operation after another."""
    x = [np.float32(value) for value in x]
    weights = policy.unpack(theta[None])
    for index, (weight, bias) in enumerate(weights):
        sums = []
        for out in range(weight.shape[1]):
            total = np.float32(0) if bias is None else bias[0, out]
            for i, value in enumerate(x):
                total = np.float32(total + np.float32(value * weight[0, out, i]))
            sums.append(total)
        x = np.array(sums, np.float32)
        if index < len(weights) - 1:
            ACTIVATIONS[policy.activation](x, x)
    return x


@pytest.mark.parametrize(
    ("inputs", "hidden", "outputs", "bias"),
    [
        (1, (1,), 1, True),
        (1, (1,), 2, False),
        (20, (), 1, False),
        (20, (), 3, True),
        (5, (7,), 2, True),
        (9, (16, 1), 1, True),
        (9, (16, 1), 3, False),
        (4, (3, 32), 2, False),
    ],
)
def test_outputs_are_summed_input_by_input(
    inputs: int, hidden: tuple[int, ...], outputs: int, bias: bool
) -> None:
    policy = MlpPolicy(inputs, raw_outputs(outputs), hidden, "silu", bias)
    rng = np.random.default_rng(9)
    thetas, x = rng.normal(size=(5, policy.dim)).astype(np.float32), rng.normal(size=(5, inputs))
    expected = np.stack(
        [in_order(policy, theta, row) for theta, row in zip(thetas, x, strict=True)]
    )
    for n in (1, 2, 5):
        np.testing.assert_array_equal(policy.forward(thetas[:n], x[:n]), expected[:n])


def test_packed_parameters_are_the_same_numbers_with_weights_by_input() -> None:
    policy = MlpPolicy(2, discrete(3), (4,))
    packed = policy.packing()
    assert packed[:8].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert packed[8:12].tolist() == [8, 9, 10, 11]
    assert packed[12:24].tolist() == [12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23]
    assert packed[24:].tolist() == [24, 25, 26]
