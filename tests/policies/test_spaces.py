"""zorl.policies.spaces: from outputs to actions of every kind, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.special import expit, ndtr, softmax

from zorl.common.errors import UnsupportedSpaceError
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ActionDecoder


def f32(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def decoder_for(space: Any, stochastic: bool = False) -> Any:
    """Untyped, because actions are lists or arrays."""
    return ActionDecoder.for_space(space, stochastic)


N = 40_000  # draws of a stochastic choice; frequencies are compared within 4.5 standard errors
INF = np.inf

ACTION_SPACES = [
    spaces.Discrete(4),
    spaces.Discrete(3, start=-1),
    spaces.Discrete(1),
    spaces.MultiDiscrete([2, 3, 4]),
    spaces.MultiDiscrete([2, 3], start=[5, -2]),
    spaces.MultiDiscrete(np.array([[2, 3], [4, 2]])),
    spaces.MultiDiscrete([3, 3], dtype=np.int32),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
    spaces.Box(-2.0, 2.0, (1,)),
    spaces.Box(f32([-0.4, 0.1]), f32([0.9, 0.7])),
    spaces.Box(-1.0, 3.0, (2, 3), np.float64),
    spaces.Box(-1.0, 1.0, (2,), np.float16),
    spaces.Box(f32([-INF, -INF, 0]), f32([INF, 1, INF])),
]


def chances(n: Any, k: Any, seed: Any = 0) -> Any:
    return np.random.default_rng(seed).random((n, k))


def same_frequencies(drawn: Any, expected: Any) -> Any:
    """Whether observed shares lie within 4.5 standard errors of probabilities."""
    expected = np.asarray(expected)
    return np.abs(drawn - expected).max() < 4.5 * np.sqrt(0.25 / N)


@pytest.mark.parametrize("space", ACTION_SPACES, ids=str)
@pytest.mark.parametrize("stochastic", [False, True])
def test_every_action_lies_in_its_space(space: Any, stochastic: bool) -> None:
    decoder = decoder_for(space, stochastic)
    assert decoder.stochastic is stochastic
    rng = np.random.default_rng(0)
    outputs = (rng.normal(size=(200, decoder.outputs)) * 3).astype(np.float32)
    uniforms = rng.random(outputs.shape) if stochastic else None
    if uniforms is not None:
        uniforms[0], uniforms[1] = 0.0, np.nextafter(1, 0)  # the ends of [0, 1)
    before = outputs.copy()
    actions = decoder.decode(outputs, uniforms)
    assert len(actions) == 200
    assert all(space.contains(action) for action in actions)
    np.testing.assert_array_equal(outputs, before)
    if isinstance(space, spaces.Discrete):
        assert all(type(action) is int for action in actions)
    else:
        assert actions.dtype == space.dtype
        assert not np.shares_memory(actions, outputs)


def test_discrete_takes_the_largest_output_and_the_first_of_equals() -> None:
    outputs = f32([[0, 1, 5, 2], [3, 3, -1, 0], [-9, -9, -9, -8]])
    assert decoder_for(spaces.Discrete(4)).decode(outputs) == [2, 0, 3]
    assert decoder_for(spaces.Discrete(4, start=-7)).decode(outputs) == [-5, -7, -4]


def test_multi_discrete_chooses_in_each_group() -> None:
    outputs = f32([[0, 1, 5, 2, 3], [9, 8, 0, 0, 1]])
    decoder = decoder_for(spaces.MultiDiscrete([2, 3]))
    assert decoder.outputs == 5
    assert decoder.decode(outputs).tolist() == [[1, 0], [0, 2]]
    started = decoder_for(spaces.MultiDiscrete([2, 3], start=[5, -2]))
    assert started.decode(outputs).tolist() == [[6, -2], [5, 0]]
    square = decoder_for(spaces.MultiDiscrete(np.array([[2, 1], [2, 2]])))
    assert square.decode(f32([[0, 1, 9, 3, 2, 0, 1]])).tolist() == [[[1, 0], [0, 1]]]


def test_multi_binary_is_the_sign_of_each_output() -> None:
    outputs = f32([[-1, 0, 1e-9, 4]])
    assert decoder_for(spaces.MultiBinary(4)).decode(outputs).tolist() == [[0, 0, 1, 1]]
    square = decoder_for(spaces.MultiBinary([2, 2])).decode(outputs)
    assert square.tolist() == [[[0, 0], [1, 1]]]


def test_box_maps_the_unit_interval_to_the_bounds_and_clips() -> None:
    space = spaces.Box(f32([-2, 10]), f32([2, 14]))
    decoder = decoder_for(space)
    outputs = f32([[0, 0], [-1, 1], [0.5, -0.5], [-7, 99]])
    assert decoder.decode(outputs).tolist() == [[0, 12], [-2, 14], [1, 11], [-2, 14]]


def test_box_passes_what_lacks_a_bound_and_keeps_the_one_it_has() -> None:
    space = spaces.Box(f32([-INF, -INF, 0]), f32([INF, 1, INF]))
    decoder = decoder_for(space)
    outputs = f32([[123, 0.25, 7], [-123, 5, -3]])
    assert decoder.decode(outputs).tolist() == [[123, 0.25, 7], [-123, 1, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_bounds_count_as_none(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    decoder = decoder_for(spaces.Box(-largest, largest, (3,), dtype))
    assert decoder.decode(np.array([[0, 0.5, -70]])).tolist() == [[0, 0.5, -70]]
    assert "not scaled to the bound -" in decoder.unscaled


def test_the_largest_bound_that_counts_is_that_of_observations() -> None:
    """Scaled just below 1e6, as it is from there on; each dimension by itself."""
    low, high = [-999_999.0, -1e6, -1, 0], [999_999.0, 1e6, 1, 2e6]
    decoder = decoder_for(spaces.Box(np.array(low), np.array(high), dtype=np.float64))
    assert decoder.decode(np.full((1, 4), 0.5)).tolist() == [[499_999.5, 0.5, 0.5, 0.5]]
    assert decoder.decode(np.full((1, 4), -9e9)).tolist() == [low]  # they still clip
    center, factor = Normalizer.create("bounds", low, high).affine()
    np.testing.assert_allclose(1 / factor, decoder.range[0])
    assert center.tolist() == decoder.range[1].tolist()
    assert "bound -1e+06 of their space" in decoder.unscaled
    infinite = spaces.Box(f32([-INF, 0]), f32([INF, 1]))
    assert decoder_for(infinite).unscaled == decoder_for(spaces.Discrete(2)).unscaled == ""


def test_box_rows_are_shaped_like_the_space_in_row_major_order() -> None:
    decoder = decoder_for(spaces.Box(-1.0, 1.0, (2, 3)))
    outputs = np.linspace(-1, 1, 12).reshape(2, 6)
    actions = decoder.decode(outputs)
    np.testing.assert_allclose(actions, outputs.reshape(2, 2, 3), atol=1e-7)


def test_stochastic_discrete_is_a_softmax_draw() -> None:
    logits = np.array([0.3, -1.2, 2.0, 0.3])
    decoder = decoder_for(spaces.Discrete(4, start=2), stochastic=True)
    drawn = decoder.decode(np.tile(logits, (N, 1)), chances(N, 4))
    shares = np.bincount(np.array(drawn) - 2, minlength=4) / N
    assert same_frequencies(shares, softmax(logits))


def test_stochastic_multi_discrete_draws_each_group_by_itself() -> None:
    logits = np.array([1.0, 0.0, -0.5, 0.5, 0.7])
    decoder = decoder_for(spaces.MultiDiscrete([2, 3]), stochastic=True)
    drawn = decoder.decode(np.tile(logits, (N, 1)), chances(N, 5))
    joint = np.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=6) / N
    assert same_frequencies(joint, np.outer(softmax(logits[:2]), softmax(logits[2:])).ravel())


def test_stochastic_multi_binary_is_a_logistic_draw() -> None:
    logits = np.array([-2.0, 0.0, 0.4])
    decoder = decoder_for(spaces.MultiBinary(3), stochastic=True)
    drawn = decoder.decode(np.tile(logits, (N, 1)), chances(N, 3))
    assert same_frequencies(drawn.mean(axis=0), expit(logits))
    correlations = np.corrcoef(drawn.T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(N)


def test_stochastic_box_adds_normal_noise_in_units_of_half_the_range() -> None:
    space = spaces.Box(np.array([-4, -INF]), np.array([12, INF]), dtype=np.float64)
    decoder = decoder_for(space, stochastic=True)
    drawn = decoder.decode(np.tile([0.25, 3.0], (N, 1)), chances(N, 2))
    noise = (drawn - [6.0, 3.0]) / [0.1 * 8, 0.1]  # middle 4, half range 8; the other passes
    for quantile in (-1.5, -0.5, 0.0, 0.5, 1.5):
        assert same_frequencies((noise < quantile).mean(axis=0), np.full(2, ndtr(quantile)))
    at_bound = decoder.decode(np.tile([1.0, 0.0], (N, 1)), chances(N, 2))[:, 0]
    assert at_bound.max() == 12.0
    assert same_frequencies((at_bound == 12.0).mean(), 0.5)


def test_a_stochastic_choice_is_a_function_of_its_row_and_its_uniforms() -> None:
    decoder = decoder_for(spaces.MultiDiscrete([3, 3]), stochastic=True)
    outputs, uniforms = np.random.default_rng(5).normal(size=(9, 6)), chances(9, 6)
    together = decoder.decode(outputs, uniforms)
    for row in range(9):
        alone = decoder.decode(outputs[row : row + 1], uniforms[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


def test_without_uniforms_even_a_stochastic_decoder_takes_the_best() -> None:
    outputs = f32([[0.1, 0.2, 0.15]])
    decoder = decoder_for(spaces.Discrete(3), stochastic=True)
    assert [decoder.decode(outputs) for _ in range(20)] == [[1]] * 20


@pytest.mark.parametrize(
    ("space", "name"),
    [
        (spaces.Box(0, 255, (2,), np.uint8), "Box\\(0, 255"),
        (spaces.Dict({"a": spaces.Discrete(2)}), "Dict"),
        (spaces.Tuple([spaces.Discrete(2)]), "Tuple"),
        (spaces.Text(4), "Text"),
    ],
    ids=["integer box", "dict", "tuple", "text"],
)
def test_an_unsupported_action_space_is_named_with_what_would_do(space: Any, name: str) -> None:
    with pytest.raises(UnsupportedSpaceError, match=f"{name}.*Discrete, MultiDiscrete"):
        decoder_for(space)


def test_decoders_are_values() -> None:
    for space in ACTION_SPACES:
        decoder = decoder_for(space)
        decoder.decode(np.zeros((1, decoder.outputs)))
        copy = pickle.loads(pickle.dumps(decoder))
        assert copy == decoder == decoder_for(space)
        assert hash(copy) == hash(decoder)
