"""zorl.policies.observations: every kind of space to features and back, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray
from rollout_cases import encode
from toy_envs import OBSERVATIONS

from zorl.common.errors import EnvironmentFailure, UnsupportedSpaceError
from zorl.policies.observations import ObservationEncoder

INF = np.inf

SPACES = [
    *(space for name, space in OBSERVATIONS.items() if name not in ("text", "sequence")),
    spaces.Box(-1.0, 1.0, ()),
    spaces.Box(-1.0, 1.0, (2, 3), np.float16),
    spaces.Box(0, 255, (2, 1, 2), np.uint8),
    spaces.Box(0, 254, (2,), np.uint8),
    spaces.Box(-(2**40), 2**40, (2,), np.int64),
    spaces.Box(0, 1, (3,), np.bool_),
    spaces.Discrete(4, start=-3),
    spaces.Dict([("z", spaces.Discrete(2)), ("a", spaces.MultiBinary(2))]),
]


def f32(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_features_lie_as_gymnasium_flattens_them_but_for_pixels(space: Any) -> None:
    space.seed(0)
    encoder = ObservationEncoder.for_space(space)
    assert pickle.loads(pickle.dumps(encoder)) == encoder
    flat: Any = spaces.flatten_space(space)
    pixels = (
        (flat.low == 0) & (flat.high == 255) & (flat.dtype == np.uint8 or "pixels" in str(space))
    )
    assert encoder.low == tuple(flat.low.ravel().astype(float))
    assert encoder.high == tuple(np.where(pixels, 1, flat.high).ravel().astype(float))
    observations = [space.sample() for _ in range(6)]
    expected = np.array([encode(observation, space) for observation in observations])
    assert encoder.size == expected.shape[1]
    for row, observation in zip(expected, observations, strict=True):
        found = encoder.encode(observation)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, row)
        single, is_batch = encoder.batch(observation)
        assert is_batch is False
        np.testing.assert_array_equal(single, row[None])
        buffer = np.full((3, encoder.size), 77.0)
        encoder.write(buffer, 1, observation)
        np.testing.assert_array_equal(buffer, [row * 0 + 77, row, row * 0 + 77])
    memory: Any = create_empty_array(space, 6)
    together = concatenate(space, observations, memory)
    rows, batch = encoder.batch(together)
    assert batch is True
    np.testing.assert_array_equal(rows, expected)
    back = encoder.observations(rows)
    assert batch_space(space, 6).contains(back)
    np.testing.assert_array_equal(encoder.rows(back, 6), expected)
    empty, batch = encoder.batch(create_empty_array(space, 0))
    assert batch and empty.shape == (0, encoder.size)


def test_the_layout_of_a_nested_space() -> None:
    """Written out by hand: saved agents depend on it."""
    space = spaces.Dict(
        {
            "pixels": spaces.Box(0, 255, (1, 2), np.uint8),
            "goal": spaces.Tuple([spaces.Discrete(3, start=5), spaces.MultiBinary(2)]),
            "state": spaces.Box(-INF, INF, (2, 2)),
            "mode": spaces.MultiDiscrete([2, 3], start=[0, 1]),
        }
    )
    observation = {
        "pixels": np.array([[51, 255]], np.uint8),
        "goal": (np.int64(6), np.array([0, 1], np.int8)),
        "state": f32([[1.5, 2], [3, 4]]),
        "mode": np.array([1, 1]),
    }
    features = ObservationEncoder.for_space(space).encode(observation)
    goal, mode, pixels, state = [0, 1, 0, 0, 1], [0, 1, 1, 0, 0], [0.2, 1], [1.5, 2, 3, 4]
    assert features.tolist() == [*goal, *mode, *pixels, *state]


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (spaces.Text(4), "not Text$"),
        (spaces.Dict({"a": spaces.Text(4)}), r"not Text \(\['a'\]\)$"),
        (spaces.Tuple([spaces.Discrete(2), spaces.Text(4)]), r"not Text \(\[1\]\)$"),
        (
            spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Dict({"c": spaces.Text(4)})}),
            r"not Text \(\['b'\]\['c'\]\); .*FilterObservation\(filter_keys=\['a'\]\)",
        ),
        (spaces.Sequence(spaces.Discrete(2)), "not Sequence$"),
        (spaces.Graph(spaces.Discrete(2), None), "not Graph$"),
        (spaces.OneOf([spaces.Discrete(2)]), "not OneOf$"),
        (spaces.Dict({}), "has no numbers to act on"),
        (spaces.Tuple([spaces.Box(0, 1, (0,))]), "has no numbers to act on"),
    ],
    ids=str,
)
def test_what_has_no_features_is_named(space: Any, named: str) -> None:
    with pytest.raises(UnsupportedSpaceError, match=named):
        ObservationEncoder.for_space(space)


def test_parts_that_are_wrong_are_named() -> None:
    encoder = ObservationEncoder.for_space(OBSERVATIONS["nested"])
    good: Any = OBSERVATIONS["nested"].sample()
    with pytest.raises(EnvironmentFailure, match="lacks the part 'pixels'"):
        encoder.encode({name: part for name, part in good.items() if name != "pixels"})
    with pytest.raises(EnvironmentFailure, match="lacks the part 1: "):
        encoder.encode({**good, "z": good["z"][:1]})
    bad = {**good, "state": {**good["state"], "discrete": 1}}
    with pytest.raises(
        EnvironmentFailure, match=r"in the part 'state', .* observation 1 is not in {2, …, 6}"
    ):
        encoder.encode(bad)
    with pytest.raises(
        UnsupportedSpaceError, match=r"parts \['pixels', 'state', 'z'\], got ndarray"
    ):
        encoder.batch(np.zeros(3))
    mixed = {**good, "z": [np.zeros((2, 1, 3)), np.zeros(2)]}
    with pytest.raises(EnvironmentFailure, match=r"part 'z', .*shape \(2, 1, 3\).*says \(1, 3\)"):
        encoder.batch(mixed)


def test_multi_discrete_observations_outside_are_refused() -> None:
    encoder = ObservationEncoder.for_space(spaces.MultiDiscrete([2, 3], start=[0, 1]))
    for observation in ([0, 0], [2, 1], [0, 4], [-1, 1]):
        with pytest.raises(EnvironmentFailure, match=r"is not in {0, …, 1} × {1, …, 3}"):
            encoder.encode(np.array(observation))


def test_an_encoder_knows_its_size_and_bounds() -> None:
    box = ObservationEncoder.for_space(spaces.Box(f32([-1.2, -INF]), f32([0.6, INF])))
    assert (box.size, box.shape, box.dtype) == (2, (2,), "float32")
    assert box.low == (float(np.float32(-1.2)), -INF) and box.high == (float(np.float32(0.6)), INF)
    one_hot = ObservationEncoder.for_space(spaces.Discrete(3, start=1))
    assert (one_hot.size, one_hot.low, one_hot.high) == (3, (0, 0, 0), (1, 1, 1))


def test_lists_are_observations_too() -> None:
    encoder = ObservationEncoder.for_space(spaces.Box(-1.0, 1.0, (2,)))
    assert encoder.batch([0.5, -0.5])[0].tolist() == [[0.5, -0.5]]
    assert ObservationEncoder.for_space(spaces.Discrete(3)).batch([2, 0])[0].tolist() == [
        [0, 0, 1],
        [1, 0, 0],
    ]


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 2, 2), ()])
def test_a_batch_of_another_shape_is_refused(shape: Any) -> None:
    encoder = ObservationEncoder.for_space(spaces.Box(-1.0, 1.0, (2,)))
    with pytest.raises(UnsupportedSpaceError, match=r"shape \(2,\)"):
        encoder.batch(np.zeros(shape))


@pytest.mark.parametrize("observation", [np.float32(0.5), [0.5], np.zeros(3), np.zeros((2, 1))])
def test_an_observation_of_another_shape_is_not_stretched_over_the_row(observation: Any) -> None:
    encoder = ObservationEncoder.for_space(spaces.Box(-1.0, 1.0, (2,)))
    with pytest.raises(EnvironmentFailure, match=r"the space says \(2,\)"):
        encoder.write(np.zeros((1, 2)), 0, observation)
    deep = ObservationEncoder.for_space(spaces.Box(-1.0, 1.0, (1, 2)))
    with pytest.raises(EnvironmentFailure, match=r"the space says \(1, 2\)"):
        deep.write(np.zeros((1, 2)), 0, observation)


@pytest.mark.parametrize("observation", [0, -1, 4, 10])
def test_a_discrete_observation_outside_of_its_space_is_refused(observation: int) -> None:
    encoder = ObservationEncoder.for_space(spaces.Discrete(3, start=1))
    with pytest.raises(
        EnvironmentFailure, match=f"observation {observation} is not in {{1, …, 3}}"
    ):
        encoder.write(np.zeros((1, 3)), 0, observation)
