"""Options by name: read from text, and described by signature and docstring."""

from __future__ import annotations

from typing import Any

import pytest

from zorl.common.errors import ConfigurationError
from zorl.common.options import Option, describe_options, parse_call


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("momentum", "momentum", {}),
        (" ars ( m = 4 , gate=paired ) ", "ars", {"m": 4, "gate": "paired"}),
        ("a(hidden=(8, 8), x=-1.5, y=None, z='a b')", "a",
         {"hidden": (8, 8), "x": -1.5, "y": None, "z": "a b"}),
        ("module:Class(options={'k': [1, 2]})", "module:Class", {"options": {"k": [1, 2]}}),
        ("a(x=__import__('os'))", "a", {"x": "__import__('os')"}),  # text, not evaluated
    ],
)  # fmt: skip
def test_a_call_is_read(text: str, name: str, options: dict[str, Any]) -> None:
    assert parse_call(text, "thing") == (name, options)


@pytest.mark.parametrize(
    "text", ["", "a(", "a(1)", "a(x=1, x=2)", "a(**x)", "a(x=1)(y=2)", "a b", "=a", "a(x=1))"]
)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected thing or thing\(option=value"):
        parse_call(text, "thing")


def described(size: int, sigma: float = 0.5, *rest: int, low: float = 0, high: float = 1) -> None:
    """Does something.

    Args:
        size: how large; a meaning
            of two lines.
        low, high: the bounds.

    Raises:
        ValueError: never.
    """


def test_options_are_described_by_signature_and_docstring() -> None:
    assert describe_options(described) == [
        Option("size", "int", Option.REQUIRED, "how large; a meaning of two lines."),
        Option("sigma", "float", 0.5, ""),
        Option("low", "float", 0, "the bounds."),
        Option("high", "float", 1, "the bounds."),
    ]
