"""Options by name: read from text, and described by signature and docstring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import (
    Option,
    Options,
    check_options,
    describe_options,
    parse_call,
    parse_options,
    parse_sizes,
    parse_value,
    resolve_options,
    split_call,
    takes_options_of,
)


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


def test_a_call_is_split_as_it_was_written() -> None:
    assert split_call(" a(x=0.10,  y='q', z=(1,2))", "thing") == (
        "a",
        {"x": "0.10", "y": "'q'", "z": "(1,2)"},
    )


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


def test_options_are_python_literals_or_text() -> None:
    pairs = ["a=1", "b=0.5", "c=x-y", "d='7'", "e=True", "f=None", "g=[1, 2]", "h=", " i =a=b"]
    assert parse_options(pairs) == {
        "a": 1,
        "b": 0.5,
        "c": "x-y",
        "d": "7",
        "e": True,
        "f": None,
        "g": [1, 2],
        "h": "",
        "i": "a=b",
    }
    assert parse_options(["a={[]: 1}", "b=" + "(" * 500]) == {"a": "{[]: 1}", "b": "(" * 500}
    for text in ("a", "=1", ""):
        with pytest.raises(ConfigurationError, match="expected NAME=VALUE"):
            parse_options([text])


def test_hidden_sizes() -> None:
    assert parse_sizes("8") == (8,)
    assert parse_sizes("64,32") == parse_sizes("64x32") == (64, 32)
    assert parse_sizes("none") == parse_sizes("None") == parse_sizes("") == parse_sizes(None) == ()
    assert parse_sizes(8) == (8,)
    assert parse_sizes([8, 4]) == parse_sizes((8, 4)) == (8, 4)
    for other in ("8,x", "8x", 0.5, True, {8: 4}):
        with pytest.raises(ConfigurationError, match="must be like 8, 64,64 or none, got"):
            parse_sizes(other)


def test_options_are_completed_and_checked() -> None:
    def recipe(a: int = 1, b: float = 0.5, c: str = "x", d: bool = False, e: Any = None) -> None:
        pass

    assert resolve_options(recipe, {"b": 2}, "option") == {
        "a": 1,
        "b": 2,
        "c": "x",
        "d": False,
        "e": None,
    }
    assert resolve_options(recipe, {"e": [1]}, "option")["e"] == [1]
    with pytest.raises(UnknownNameError, match="unknown option 'ee'"):
        resolve_options(recipe, {"ee": 1}, "option")
    for bad in ({"a": 1.0}, {"a": True}, {"b": "1"}, {"c": 1}, {"d": 0}, {"b": None}):
        with pytest.raises(ConfigurationError, match=r"option . must be like"):
            resolve_options(recipe, bad, "option")


def test_options_are_values() -> None:
    first = Options({"a": [1, {"b": 2}], "c": np.float32(0.5)})
    second = Options({"c": 0.5, "a": (1, {"b": 2})})
    assert first == second
    assert hash(first) == hash(second)
    assert first.thaw() == {"a": [1, {"b": 2}], "c": 0.5}
    first.thaw()["a"].append(3)
    assert first == second


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), np.zeros(2), {"a": {1: 2}}])
def test_options_hold_only_what_json_can(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="option"):
        Options({"x": value})


@takes_options_of(described, "size")
def smaller(*, width: int = 3, **options: float) -> dict[str, float]:
    """Does less.

    Args:
        width: how wide.
        high: the greatest of all.
        options: those of `described`.
    """
    return {"width": width, **options}


@takes_options_of(smaller)
def smallest(**options: float) -> dict[str, float]:
    """Does least."""
    return smaller(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [smaller, smallest])
def test_options_that_are_handed_on_are_described_and_completed(function: Any) -> None:
    assert describe_options(function) == [
        Option("sigma", "float", 0.5, ""),
        Option("low", "float", 0, "the bounds."),
        Option("high", "float", 1, "the greatest of all."),
        Option("width", "int", 3, "how wide."),
    ]
    resolved = resolve_options(function, {"low": 2}, "option")
    assert resolved == {"sigma": 0.5, "low": 2, "high": 1, "width": 3} == function(**resolved)
    with pytest.raises(UnknownNameError, match="unknown option 'size'"):
        resolve_options(function, {"size": 2}, "option")


def test_an_option_without_a_default_must_be_given_and_others_may_be_taken_as_they_come() -> None:
    def needs(a: int, b: int = 1) -> None:
        pass

    def takes_any(a: int = 1, **others: Any) -> None:
        pass

    assert resolve_options(needs, {"a": "x"}, "option") == {"a": "x", "b": 1}
    with pytest.raises(ConfigurationError, match="option a must be given"):
        check_options(needs, {"b": 2}, "option")
    check_options(takes_any, {"a": 2, "c": "x"}, "option")
    with pytest.raises(ConfigurationError, match="option a must be like 1, got 'x'"):
        check_options(takes_any, {"a": "x"}, "option")


@dataclass
class Made:
    """Attributes: none that are described."""

    words: list[str] = field(default_factory=lambda: ["a"])


def test_a_default_that_a_factory_makes_is_shown() -> None:
    assert describe_options(Made) == [Option("words", "list[str]", ["a"], "")]


class Sphinx:
    """Options as stable-baselines3 and Gymnasium describe them."""

    def __init__(self, size: int, rate: float | str = 0.5, size2: int | object = 3) -> None:
        """Make one.

        Args:
            size (int): of it.

        :param rate: how fast,
            or a word
        """


def test_docstrings_of_other_styles_are_read_too() -> None:
    meanings = {option.name: option.meaning for option in describe_options(Sphinx)}
    assert meanings == {"size": "of it.", "rate": "how fast, or a word", "size2": ""}


@pytest.mark.parametrize(
    ("kind", "default", "plain", "short"),
    [
        ("int", 1, True, "int"),
        ("int | None", None, True, "int | None"),
        ("int | None", 3, True, "int | None"),
        ("float | collections.abc.Callable[[float], float]", 0.1, True, "float"),
        ("dict[str, typing.Any] | None", None, True, "dict | None"),
        ("Covariance", "full", True, "str"),
        ("", None, True, "NoneType"),
        ("gym.Env[Any, Any]", Option.REQUIRED, False, "gym.Env[Any, Any]"),
        ("IO[str] | None", None, False, "IO[str] | None"),
        ("Clock", len, False, "Clock"),
    ],
)
def test_what_text_can_give_is_plain(kind: str, default: Any, plain: bool, short: str) -> None:
    option = Option("x", kind, default, "")
    assert (option.is_plain, option.short_type) == (plain, short)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[left, right]", ["left", "right"]),
        ("(84, 84)", (84, 84)),
        ("(a, [b, 2.5])", ("a", ["b", 2.5])),
        ("{size: 3}", {"size": 3}),
        ("[True, None]", [True, None]),
        ("name", "name"),
        ("[a.b]", "[a.b]"),  # neither a name nor a literal: it stays text
        ("[f(1)]", "[f(1)]"),
    ],
)
def test_names_in_lists_need_no_quotes(text: str, value: Any) -> None:
    assert parse_value(text) == value
