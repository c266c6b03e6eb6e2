"""zorl.common.streams: random numbers are functions of (seed, purpose, generation, index) alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from zorl.common.errors import ConfigurationError
from zorl.common.streams import Purpose, Streams, action_rng, held_out_seeds

RUN_SEEDS = st.integers(0, 2**64)
GENERATIONS = st.integers(0, 10**9)
HELD_OUT_SEEDS = (1387390572, 1378602770, 1476865473)
GATE_SEEDS = (815182822, 838056326)
SEARCH_DRAW = 0.4530936025482247
ACTION_DRAW = 0.05174517910861676
EXAMPLES = settings(deadline=None, derandomize=True, max_examples=50)


@EXAMPLES
@given(RUN_SEEDS, st.sampled_from(Purpose), GENERATIONS, st.integers(1, 40))
def test_episode_seeds_are_python_ints_below_2_31_that_carry_their_purpose(
    seed: int, purpose: Any, g: Any, n: Any
) -> None:
    drawn = Streams(seed).seeds(purpose, g, n)
    assert len(drawn) == n
    assert all(type(s) is int and 0 <= s < 2**31 for s in drawn)  # gymnasium refuses np.int64
    assert {s >> 28 for s in drawn} == {int(purpose)}


def test_every_purpose_fits_the_three_bits_that_keep_seeds_apart() -> None:
    assert len(set(Purpose)) == len(Purpose.__members__)
    assert all(0 <= purpose < 8 for purpose in Purpose)
    drawn = [set(Streams(0).seeds(purpose, 0, 1000)) for purpose in Purpose]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(drawn, 2))


def test_named_lists_take_different_purposes() -> None:
    streams = Streams(0)  # the seed that held_out_seeds uses inside
    lists = [
        streams.episodes(0, 50),
        streams.gate(0, 50),
        streams.validation(50),
        held_out_seeds(50),
    ]
    assert [s[0] >> 28 for s in lists] == [
        Purpose.EPISODES,
        Purpose.GATE,
        Purpose.VALIDATION,
        Purpose.HELD_OUT,
    ]


def test_seeds_use_all_28_bits_uniformly() -> None:
    low = np.array(Streams(3).episodes(0, 40_000)) & (2**28 - 1)
    ones = (low[:, None] >> np.arange(28) & 1).mean(axis=0)
    assert np.abs(ones - 0.5).max() < 4.5 * 0.5 / np.sqrt(len(low))
    assert len(set(held_out_seeds(2000))) == 2000


@EXAMPLES
@given(RUN_SEEDS, GENERATIONS, st.integers(0, 60), st.integers(0, 60))
def test_a_longer_list_of_gate_seeds_begins_with_the_shorter(
    seed: int, g: Any, short: Any, more: Any
) -> None:
    streams = Streams(seed)
    assert streams.gate(g, short + more)[:short] == streams.gate(g, short)


@EXAMPLES
@given(RUN_SEEDS, GENERATIONS, st.integers(0, 100))
def test_equal_arguments_give_equal_bits_whatever_was_drawn_before(
    seed: int, g: Any, index: Any
) -> None:
    streams = Streams(seed)
    first = streams.rng(Purpose.SEARCH, g, index)
    bits = first.bytes(32)
    streams.search(g).random(17)
    streams.episodes(g + 1, 5)
    assert streams.rng(Purpose.SEARCH, g, index).bytes(32) == bits
    assert Streams(seed).rng(Purpose.SEARCH, g, index).bytes(32) == bits


def test_every_argument_matters() -> None:
    streams = [
        Streams(seed).rng(purpose, g, index).bytes(16)
        for seed in (0, 1, 2**32, 2**40)
        for purpose in Purpose
        for g in (0, 1, 2, 7)
        for index in (0, 1, 2, 7)
    ]
    assert len(set(streams)) == len(streams)


def test_init_and_search_are_their_purposes_streams() -> None:
    streams = Streams(11)
    assert streams.init().bytes(8) == streams.rng(Purpose.INIT, 0, 0).bytes(8)
    assert streams.search(5).bytes(8) == streams.rng(Purpose.SEARCH, 5, 0).bytes(8)
    assert streams.episodes(4, 3) == streams.seeds(Purpose.EPISODES, 4, 3)
    assert streams.episodes(4, 3) != streams.episodes(5, 3)
    assert streams.validation(3) == streams.seeds(Purpose.VALIDATION, 0, 3)
    assert streams.gate(4, 3) == streams.seeds(Purpose.GATE, 4, 3) != streams.gate(5, 3)


def test_numbers_are_pinned_so_that_old_runs_and_published_estimates_stay_comparable() -> None:
    assert held_out_seeds(3) == HELD_OUT_SEEDS
    assert Streams(7).gate(3, 2) == GATE_SEEDS
    assert Streams(0).search(0).random() == SEARCH_DRAW
    assert action_rng(5).random() == ACTION_DRAW


def test_action_rng_is_fresh_each_time_and_depends_on_the_episode() -> None:
    assert action_rng(9).bytes(16) == action_rng(9).bytes(16)
    assert action_rng(9).bytes(16) != action_rng(10).bytes(16)
    others = {Streams(9).rng(purpose).bytes(16) for purpose in Purpose if purpose != 7}
    assert action_rng(9).bytes(16) not in others


@pytest.mark.parametrize("seed", [1.0, "1", None, True, np.True_, float("nan"), (1,)])
def test_a_seed_that_is_no_integer_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be an integer"):
        Streams(seed)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="≥ 0, got -1"):
        Streams(-1)


def test_numpy_integers_are_seeds_too() -> None:
    streams = Streams(np.int64(3))  # type: ignore[arg-type]
    assert streams == Streams(3)
    assert type(streams.seed) is int
    assert streams.episodes(0, 3) == Streams(3).episodes(0, 3)
