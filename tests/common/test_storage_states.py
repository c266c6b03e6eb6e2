"""States as arrays and JSON, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from same_bits import assert_same_bits

from zorl.common.errors import FileFormatError
from zorl.common.storage import (
    flatten,
    load_archive,
    save_archive,
    unflatten,
)
from zorl.optimizers import CMAES, RandomSearch, openai_es, spsa
from zorl.policies.normalization import Moments, Normalizer


@dataclass(frozen=True)
class Inner:
    best: float
    history: np.ndarray


@dataclass(frozen=True)
class Outer:
    inner: Inner
    t: int
    name: str
    flag: bool


def outer(best: float = 1.0, t: int = 0, name: str = "", flag: bool = False) -> Any:
    return Outer(Inner(best, np.array([best, -best])), t, name, flag)


def through_a_file(tmp_path: Path, state: Any, template: Any) -> Any:
    scalars, arrays = flatten(state, "state")
    save_archive(tmp_path / "state.zip", "state", {"scalars": scalars}, arrays)
    _, metadata, arrays = load_archive(tmp_path / "state.zip", "state")
    return unflatten(template, "state", metadata["scalars"], arrays)


@settings(deadline=None, derandomize=True)
@given(st.floats(), st.integers(-(2**70), 2**70), st.text(), st.booleans())
def test_flatten_is_exact_for_every_float(best: Any, t: Any, name: Any, flag: Any) -> None:
    state = outer(best, t, name, flag)
    scalars, arrays = flatten(state, "x")
    assert set(scalars) == {"x.inner.best", "x.t", "x.name", "x.flag"}
    assert set(arrays) == {"x.inner.history"}
    back = unflatten(outer(), "x", json.loads(json.dumps(scalars, allow_nan=False)), arrays)
    assert (back.t, back.name, back.flag) == (t, name, flag)
    assert back.inner.best.hex() == best.hex()  # −0.0, infinities and NaN included
    assert_same_bits(back.inner.history, state.inner.history)
    with pytest.raises(ValueError, match="read-only"):
        back.inner.history[0] = 0.0


def test_numpy_scalars_in_a_state_can_be_saved(tmp_path: Path) -> None:
    state = outer(np.float64(0.1), np.int64(5), flag=np.bool_(True))  # type: ignore[arg-type]
    back = through_a_file(tmp_path, state, outer())
    assert (back.inner.best, back.t, back.flag) == (0.1, 5, True)
    assert [type(v) for v in (back.inner.best, back.t, back.flag)] == [float, int, bool]


@pytest.mark.parametrize(
    "optimizer",
    [openai_es(m=4), spsa(gains=True), RandomSearch(popsize=4), CMAES(), CMAES(sigma0=2)],
    ids=["openai-es", "spsa", "random-search", "cma-es", "cma-es with an integer"],
)
@pytest.mark.parametrize("updates", [0, 3])
def test_a_search_goes_on_from_a_file_to_the_same_bits(
    tmp_path: Path, optimizer: Any, updates: int
) -> None:
    def advance(state: Any, first: Any, count: Any) -> Any:
        for t in range(first, first + count):
            asked = optimizer.ask(state, np.random.default_rng(t))
            state = optimizer.tell(state, asked, -((asked.thetas - 1) ** 2).sum(axis=1))
        return state

    start = optimizer.init(np.zeros(3))
    state = advance(start, 0, updates)
    restored = through_a_file(tmp_path, state, optimizer.init(np.ones(3)))
    expected, got = advance(state, updates, 3), advance(restored, updates, 3)
    for (scalars, arrays), (others, copies) in [(flatten(expected, "s"), flatten(got, "s"))]:
        assert scalars == others
        for name, array in arrays.items():
            assert_same_bits(array, copies[name])
    assert not np.array_equal(got.theta, start.theta)


def test_a_normalizer_with_infinite_bounds_comes_back(tmp_path: Path) -> None:
    empty = Normalizer.create("running", [-np.inf, 0.0], [np.inf, 1.0])
    rows = np.array([[0.1, 0.2], [0.4, 0.8], [3.0, 1.0]])
    seen = Moments(3, rows.mean(axis=0), ((rows - rows.mean(axis=0)) ** 2).sum(axis=0))
    normalizer = empty.merge(seen)
    back = through_a_file(tmp_path, normalizer, empty)
    assert (back.mode, back.clip, back.moments.count) == ("running", 10.0, 3)
    np.testing.assert_array_equal(back(rows), normalizer(rows))
    np.testing.assert_array_equal(back.low, [-np.inf, 0.0])


def test_arrays_are_copies_of_what_was_loaded() -> None:
    scalars, arrays = flatten(outer(2.0), "x")
    back = unflatten(outer(), "x", scalars, arrays)
    arrays["x.inner.history"][:] = 77.0
    assert back.inner.history.tolist() == [2.0, -2.0]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x.t", None, "x.t is missing: saved by another configuration"),
        ("x.inner.best", None, "x.inner.best is missing"),
        ("x.t", "5", "x.t is '5', expected int"),
        ("x.t", True, "x.t is True, expected int"),
        ("x.t", 1.5, "x.t is 1.5, expected int"),
        ("x.flag", 1, "x.flag is 1, expected bool"),
        ("x.name", [1], r"x.name is \[1\], expected str"),
        ("x.inner.best", "fast", "x.inner.best is 'fast', expected a number"),
        ("x.inner.best", "0x1p99999", "expected a number"),
        ("x.inner.best", [1.0], r"x.inner.best is \[1.0\], expected float"),
    ],
)
def test_a_scalar_that_is_missing_or_of_another_type_is_refused(
    name: str, value: Any, message: str
) -> None:
    scalars, arrays = flatten(outer(), "x")
    if value is None:
        del scalars[name]
    else:
        scalars[name] = value
    with pytest.raises(FileFormatError, match=message):
        unflatten(outer(), "x", scalars, arrays)


@pytest.mark.parametrize("shape", [(3,), (1, 2), (), (0,)])
def test_an_array_of_another_shape_is_refused(shape: Any) -> None:
    scalars, arrays = flatten(outer(), "x")
    arrays["x.inner.history"] = np.zeros(shape)
    with pytest.raises(FileFormatError, match=r"x.inner.history has shape .*, expected \(2,\)"):
        unflatten(outer(), "x", scalars, arrays)
    del arrays["x.inner.history"]
    with pytest.raises(FileFormatError, match=r"x\.inner\.history is missing"):
        unflatten(outer(), "x", scalars, arrays)
