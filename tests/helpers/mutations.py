"""Seeded mutations of JSON values, as damage and hostile hands make them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**70, -(2**63), 1.5, 1e308, -0.0, 10**400),
    *("", "x", "<X>", "a:b", "0x1p+2", "inf", "nan", "1", "\x00", "é" * 50, "math:sqrt"),
    *([], {}, [1], [[]], {"a": 1}, [None, "x"], {"class": "x:y", "options": {}}),
    {"reference": "math:sqrt"},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a JSON value, the whole not among them."""
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def mutated(value: Any, rng: random.Random) -> tuple[Any, str]:
    """A copy with one place changed, and what was changed."""
    made = copy.deepcopy(value)
    path = rng.choice(list(places(made)))
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    kind = rng.choice(("replace", "replace", "replace", "remove", "other"))
    if kind == "remove":
        del inside[path[-1]]
        return made, f"{path} removed"
    if kind == "other":  # the value of another place
        there = rng.choice(list(places(value)))
        odd = value
        for key in there:
            odd = odd[key]
    else:
        odd = rng.choice(ODD)
    inside[path[-1]] = copy.deepcopy(odd)
    return made, f"{path} = {odd!r}"
