"""What the checks share: rules that report a breach, snapshots of values, and global randomness."""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from zorl.common.errors import UnknownNameError
from zorl.common.storage import flatten, unflatten

T = TypeVar("T")
Snapshot = dict[str, Any]


class Breach(Exception):
    """A rule does not hold; `run_rules` turns it into an AssertionError."""


def require(holds: bool, found: str, expected: str) -> None:
    """Report a breach unless `holds`."""
    if not holds:
        raise Breach(f"found: {found}; expected: {expected}")


def run_rules(
    subject: str, rules: Mapping[str, Callable[[T], None]], case: T, skip: Collection[str]
) -> None:
    """Apply each rule to `case`.

    Raises:
        AssertionError: a rule is broken, or what is checked raised an error; the message has the
            rule's name and its docstring's first line.
        UnknownNameError: `skip` names no rule.
    """
    for name in skip:
        if name not in rules:
            raise UnknownNameError("rule to skip", name, rules)
    for name, rule in rules.items():
        if name in skip:
            continue
        says = (rule.__doc__ or "").splitlines()[0].rstrip(".")
        head = f"{subject} breaks the rule {name!r} ({says})"
        try:
            rule(case)
        except Breach as breach:
            raise AssertionError(f"{head}: {breach}") from None
        except Exception as error:
            raise AssertionError(f"{head}: it raised {type(error).__name__}: {error}") from error


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything in a nested dataclass."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name), f"{name}.{field.name}")
    else:
        yield name, value


def snapshot(value: Any, name: str) -> Snapshot:
    """Copies of everything in a nested dataclass or an array."""
    return {
        path: leaf.copy() if isinstance(leaf, np.ndarray) else leaf
        for path, leaf in leaves(value, name)
    }


def same(one: Any, other: Any) -> bool:
    """Whether two leaves have the same bits."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        arrays = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
        alike = arrays and one.shape == other.shape and one.dtype == other.dtype
        return alike and one.tobytes() == other.tobytes()
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return one is other or bool(one == other)


def require_same(before: Snapshot, after: Snapshot, because: str, expected: str) -> None:
    """Report the first leaf in which two snapshots differ."""
    for name in before | after:
        one, other = before.get(name), after.get(name)
        require(
            same(one, other), f"{because}: {name} is {_short(other)}", f"{_short(one)}, {expected}"
        )


def restored(value: T, template: T, name: str) -> T:
    """`value` written by `storage` and read again over a template; scalars by way of JSON."""
    scalars, arrays = flatten(value, name)
    scalars = json.loads(json.dumps(scalars, allow_nan=False))
    return unflatten(
        template, name, scalars, {key: np.copy(array) for key, array in arrays.items()}
    )


@contextmanager
def global_randomness(who: str) -> Iterator[None]:
    """Report a breach if the block changed numpy's or Python's global random state; restore it."""
    python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    before = pickle.dumps(numpy)
    expected = "random numbers from the rng argument alone"
    try:
        yield
        after = pickle.dumps(np.random.get_state(legacy=False))  # noqa: NPY002
        require(after == before, f"{who} used numpy's global random state (np.random.*)", expected)
        require(random.getstate() == python, f"{who} used Python's global random state", expected)
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _short(value: Any) -> str:
    return (
        np.array2string(value, threshold=6, precision=6)
        if isinstance(value, np.ndarray)
        else repr(value)
    )
