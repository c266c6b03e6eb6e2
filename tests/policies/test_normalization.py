"""zorl.policies.normalization against numpy on the whole data, and the rules for odd inputs."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.policies.normalization import Moments, Normalizer

MODES = ("off", "bounds", "running")
CAR_LOW, CAR_HIGH = np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32)


def moments_of(rows: Any, shift: Any = None) -> Any:
    """The moments as the hot loop takes them: shifted sums, one observation after the other."""
    shift = np.zeros(rows.shape[1]) if shift is None else shift
    total, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for row in rows:
        total += row - shift
        squares += (row - shift) ** 2
    return Moments.of_shifted_sums(len(rows), shift, total, squares)


def running(rows: Any, **bounds: Any) -> Any:
    low = bounds.get("low", np.full(rows.shape[1], -np.inf))
    high = bounds.get("high", np.full(rows.shape[1], np.inf))
    return Normalizer.create("running", low, high).merge(moments_of(rows))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_merged_moments_are_those_of_the_concatenation_however_it_is_split(
    seed: Any, sizes: Any
) -> None:
    rng = np.random.default_rng(seed)
    scale, offset = 10.0 ** rng.uniform(-3, 3, 3), rng.normal(0, 100, 3)
    parts = [rng.normal(size=(n, 3)) * scale + offset for n in sizes]
    merged = reduce(Moments.merge, [moments_of(p, offset) for p in parts], Moments.empty(3))
    whole = np.concatenate(parts)
    assert merged.count == len(whole)
    if len(whole):
        np.testing.assert_allclose(merged.mean, whole.mean(axis=0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(merged.m2 / len(whole), whole.var(axis=0), rtol=1e-8)
        np.testing.assert_allclose(merged.std, whole.std(axis=0), rtol=1e-8)
        assert running(whole).moments.count == len(whole)
    else:
        np.testing.assert_array_equal(merged.std, 0)


def test_merging_by_hand() -> None:
    a, b = moments_of(np.array([[1.0], [3.0]])), moments_of(np.array([[8.0]]))
    both = a.merge(b)
    assert (both.count, both.mean[0]) == (3, 4.0)
    assert both.m2[0] == pytest.approx(9 + 1 + 16, abs=1e-12)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**32))
def test_merge_is_associative_and_commutative_up_to_rounding(seed: Any) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = (moments_of(rng.normal(5, 3, (n, 2)) * [1, 1e4]) for n in rng.integers(1, 50, 3))
    for x, y in ((a.merge(b).merge(c), a.merge(b.merge(c))), (a.merge(b), b.merge(a))):
        assert x.count == y.count
        np.testing.assert_allclose(x.mean, y.mean, rtol=1e-12)
        np.testing.assert_allclose(x.m2, y.m2, rtol=1e-10)


def test_nothing_is_the_neutral_element() -> None:
    some = moments_of(np.array([[1.0, 2.0], [3.0, 5.0]]))
    for merged in (some.merge(Moments.empty(2)), Moments.empty(2).merge(some)):
        assert merged.count == 2
        np.testing.assert_array_equal(merged.mean, some.mean)
        np.testing.assert_array_equal(merged.m2, some.m2)
    none = Moments.of_shifted_sums(0, np.full(2, 7.0), np.zeros(2), np.zeros(2))
    assert none.count == 0 and none.std.tolist() == [0, 0]


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9, 2.0**40])
def test_a_shift_near_the_mean_keeps_the_digits_of_a_small_spread(offset: Any) -> None:
    integers = np.random.default_rng(0).integers(-50, 50, (1000, 2)).astype(float)
    seen = moments_of(integers + offset, np.full(2, offset))
    # Integers below 2⁵³ are exact: a large offset may change nothing at all in the spread.
    np.testing.assert_array_equal(seen.m2, moments_of(integers).m2)
    np.testing.assert_allclose(seen.m2 / 1000, integers.var(axis=0), rtol=1e-13)
    np.testing.assert_allclose(seen.mean - offset, integers.mean(axis=0), atol=1e-3)


def test_moments_never_go_negative_by_rounding() -> None:
    for value, n in ((0.7, 6), (0.3, 8), (1e8 / 3, 7)):
        rows = np.full((n, 1), value)
        assert (rows**2).cumsum()[-1] - n * (rows.cumsum()[-1] / n) ** 2 < 0  # what rounding does
        seen = moments_of(rows)
        assert (seen.m2[0], seen.std[0]) == (0, 0)


def test_arrays_are_frozen_and_the_callers_are_copied() -> None:
    low, high = np.array([-1.0, -2.0]), np.array([1.0, 2.0])
    normalizer = Normalizer.create("running", low, high)
    low[0] = 55.0
    assert normalizer.low[0] == -1.0
    total, shift = np.array([1.0, 2.0]), np.array([0.5, 0.5])
    after = normalizer.merge(Moments.of_shifted_sums(2, shift, total, total**2)).merge(
        Moments.of_shifted_sums(3, shift, total, total**2)
    )
    total[:] = shift[:] = 99.0  # sums that the hot loop goes on using
    np.testing.assert_allclose(after.moments.mean, [0.9, 1.3])
    frozen = [after.low, after.high, after.moments.mean, after.moments.m2]
    fresh = moments_of(np.ones((3, 2)))
    frozen += [fresh.mean, fresh.m2, normalizer.moments.mean, normalizer.moments.m2]
    for array in frozen:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_merging_leaves_the_normalizer_in_use_as_it_was() -> None:
    before = replace(running(np.array([[1.0], [2.0], [4.0]])), clip=3.0)
    x = np.linspace(-5, 5, 11)[:, None]
    values = before(x)
    after = before.merge(moments_of(np.array([[100.0], [300.0]])))
    np.testing.assert_array_equal(before(x), values)
    assert before.moments.count == 3 and after.moments.count == 5
    assert not np.allclose(after(x), values)
    assert (after.mode, after.clip) == ("running", 3.0)


def test_running_mode_standardises_what_it_saw() -> None:
    rows = np.random.default_rng(1).normal([3, -40], [0.01, 7], (500, 2))
    normalizer = running(rows)
    out = normalizer(rows)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(out.std(axis=0), 1, rtol=1e-9)
    center, factor = normalizer.affine()
    np.testing.assert_array_equal(out, np.clip((rows - center) * factor, -10, 10))


@pytest.mark.parametrize("seen", [0, 1])
def test_running_mode_begins_as_bounds(seen: int) -> None:
    start = Normalizer.create("running", CAR_LOW, CAR_HIGH)
    if seen:
        start = start.merge(moments_of(np.array([[0.3, 0.01]])))
    same = Normalizer.create("bounds", CAR_LOW, CAR_HIGH)
    x = np.random.default_rng(0).uniform(CAR_LOW, CAR_HIGH, (20, 2))
    np.testing.assert_array_equal(start(x), same(x))


def test_bounds_mode_maps_mountain_car_onto_the_square() -> None:
    normalizer = Normalizer.create("bounds", CAR_LOW, CAR_HIGH)
    np.testing.assert_allclose(normalizer(CAR_LOW), [-1, -1], atol=1e-12)
    np.testing.assert_allclose(normalizer(CAR_HIGH), [1, 1], atol=1e-12)
    np.testing.assert_allclose(normalizer([-0.3, 0.035]), [0, 0.5], atol=1e-6)
    learned = normalizer.merge(moments_of(np.ones((5, 2))))
    np.testing.assert_array_equal(learned([0.1, 0.01]), normalizer([0.1, 0.01]))


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-np.inf, np.inf),
        (-3.4028235e38, 3.4028235e38),  # CartPole says so of its velocities
        (-np.inf, 0.0),
        (-1.0, np.inf),
        (2.0, 2.0),  # no width: nothing to scale by
    ],
)
def test_a_feature_without_useful_bounds_passes_unchanged(low: Any, high: Any) -> None:
    normalizer = Normalizer.create("bounds", [low, -4.0], [high, 4.0])
    out = normalizer([[0.3, 2.0], [-7.7, -4.0]])
    np.testing.assert_array_equal(out, [[0.3, 0.5], [-7.7, -1.0]])


def test_off_is_the_identity_without_a_clip() -> None:
    normalizer = Normalizer.create("off", CAR_LOW, CAR_HIGH)
    x = np.array([[1e6, -1e9], [0.1, 0.07]])
    np.testing.assert_array_equal(normalizer(x), x)
    center, factor = normalizer.affine()
    np.testing.assert_array_equal((x - center) * factor, x)
    assert (normalizer.active, normalizer.learns) == (False, False)


def test_modes_say_what_they_need() -> None:
    assert [(n.active, n.learns) for n in (Normalizer.create(m, [0], [1]) for m in MODES)] == [
        (False, False),
        (True, False),
        (True, True),
    ]


@pytest.mark.parametrize("constant", [0.0, 3.0, -0.1])
def test_a_dead_input_stays_silent_even_when_it_wakes_up(constant: float) -> None:
    rows = np.random.default_rng(2).normal(size=(100, 2))
    rows[:, 1] = constant
    normalizer = running(rows)
    out = normalizer(np.array([[0.0, constant], [0.0, constant + 1e6]]))
    np.testing.assert_array_equal(out[:, 1], 0)
    assert (out[:, 0] != 0).all()


def test_the_least_spread_that_counts_is_that_of_ars() -> None:
    rows = np.array([[1.01e-4, 0.99e-4], [-1.01e-4, -0.99e-4]])
    np.testing.assert_allclose(running(rows)(rows), [[1, 0], [-1, 0]], atol=1e-12)


def test_extremes_are_clipped_at_ten() -> None:
    normalizer = running(np.array([[-1.0], [1.0]]))
    np.testing.assert_array_equal(normalizer([[9.0], [11.0], [-1e9]]), [[9], [10], [-10]])
    bounded = Normalizer.create("bounds", [-1.0], [1.0])
    np.testing.assert_array_equal(bounded([[12.0], [-10.5], [4.0]]), [[10], [-10], [4]])


def test_any_leading_shape_is_normalised_alike_in_float64() -> None:
    normalizer = running(np.random.default_rng(3).normal(size=(50, 2)))
    x = np.random.default_rng(4).normal(size=(3, 5, 2)).astype(np.float32)
    out = normalizer(x)
    assert out.dtype == np.float64 and out.shape == x.shape
    np.testing.assert_array_equal(out[1, 2], normalizer(x[1, 2]))


def test_an_unknown_mode_is_named_with_its_neighbour() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'running'"):
        Normalizer.create("runing", [0.0], [1.0])


@pytest.mark.parametrize(("low", "high"), [([0.0], [1.0, 2.0]), ([[0.0]], [[1.0]]), (0.0, 1.0)])
def test_bounds_must_be_two_vectors_of_one_length(low: Any, high: Any) -> None:
    with pytest.raises(ConfigurationError, match="two vectors of one length"):
        Normalizer.create("bounds", low, high)
