"""Plain values: numpy's scalars become Python's, and what JSON cannot hold is named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from zorl.common.plain import plain, whole, why_not_json


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(-3), -3),
        (np.uint8(255), 255),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.longdouble(0.25), 0.25),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        ((np.int64(1), [np.float32(2)]), (1, [2.0])),
        ({"a": {"b": np.int8(1)}}, {"a": {"b": 1}}),
        (None, None),
    ],
)
def test_numpys_scalars_become_pythons(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(expected))


def test_other_things_are_left_alone() -> None:
    array, thing = np.zeros(2), object()
    assert plain(array) is array
    assert plain([thing])[0] is thing


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": [1, (2, "x", None, True, 1.5)]}, None),
        ({"a": [1, float("nan")]}, r"x\.a\[1\] is nan, which JSON cannot hold"),
        ({"a": {1: 2}}, r"x\.a has the key 1, and keys must be text"),
        ([{"b": np.int64(1)}], r"x\[0\]\.b is .*1.* of type int64, which no file can hold"),
        (1j, "x is 1j of type complex"),
    ],
)
def test_what_json_cannot_hold_is_named(value: Any, reason: str | None) -> None:
    found = why_not_json(value, "x")
    if reason is None:
        assert found is None
    else:
        with pytest.raises(ValueError, match=reason):
            raise ValueError(found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e6, 1_000_000), (np.float32(8), 8), (3, 3), (2.5, 2.5), ("1e6", "1e6"), (True, True)],
)
def test_a_float_without_a_fraction_is_a_whole_number(value: Any, expected: Any) -> None:
    found = whole(value)
    assert found == expected and type(found) is type(expected)


def test_what_is_beyond_all_integers_stays() -> None:
    assert whole(float("inf")) == float("inf")
    assert np.isnan(whole(float("nan")))
