"""Flags from the fields of a dataclass: name, type, default and meaning are written once, there.

A field `max_episodes: int | None = None` with its line in the docstring is the flag
`--max-episodes N` with that line as help. What a type cannot say stands in `FORMS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from zorl.common.options import Option, describe_options, parse_options


@dataclass(frozen=True)
class Form:
    """How a field is written on the command line, where that does not follow from its type.

    Attributes:
        flag: its flag, where it is not the field's name.
        metavar: what stands for the value in the help.
        type: reads the value from text.
    """

    flag: str | None = None
    metavar: str | None = None
    type: Any = None


def count(text: str) -> int:
    """A whole number ≥ 1; 200_000 and 2e5 are fine."""
    try:
        value = float(text)
        whole = int(value)
    except (ValueError, OverflowError):  # not a number, infinity
        whole = 0
    if whole < 1 or value != whole:
        raise argparse.ArgumentTypeError(f"expected a whole number ≥ 1, got {text!r}")
    return whole


def duration(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text!r}")
    return value


FORMS: Mapping[str, Form] = {
    "gate_options": Form("--gate-set"),
    "hidden": Form(metavar="SIZES"),
    "policy": Form(metavar="MODULE:FUNCTION"),
    "ray": Form("--ray-address", "ADDRESS"),
    "seconds": Form(metavar="SECONDS", type=duration),
    "stop_at": Form(metavar="RETURN"),
    "timeout": Form(metavar="SECONDS", type=duration),
    "total_timesteps": Form("--timesteps", "STEPS"),
    "validate_every": Form(metavar="STEPS"),
}


def add_fields(
    parser: Any,
    source: Any,
    apart: Collection[str] = (),
    choices: Mapping[str, Collection[str]] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Add the flags of a dataclass's fields; `given` reads them.

    Args:
        parser: an argument parser, or a group of one.
        source: the dataclass.
        apart: fields that are no flags.
        choices: what a field may be, by its name; for the help alone, the dataclass checks values.
        defaults: what the help says of a field's default, in place of the default itself.
    """
    for option in describe_options(source):
        name = option.name
        if name not in apart:
            _add_field(parser, option, (choices or {}).get(name, ()), (defaults or {}).get(name))


def given(args: argparse.Namespace, source: Any, apart: Collection[str] = ()) -> dict[str, Any]:
    """The fields that were set on the command line, with their values; see `add_fields`."""
    names = [item.name for item in fields(source) if item.name not in apart]
    values = {name: getattr(args, name) for name in names}
    return {
        name: parse_options(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }


def named_values(parser: Any, flag: str, dest: str, text: str, default: Any = ()) -> None:
    """Add an option that takes NAME=VALUE and may be given again."""
    default = None if default is None else list(default)
    parser.add_argument(
        flag, dest=dest, action="append", default=default, metavar="NAME=VALUE", help=text
    )


def _add_field(parser: Any, option: Option, choices: Collection[str], default: str | None) -> None:
    form = FORMS.get(option.name, Form())
    flag = form.flag or "--" + option.name.replace("_", "-")
    text = _help(option, choices, default)
    kind = option.type.partition(" | ")[0]
    if kind.startswith("Mapping"):
        named_values(parser, flag, option.name, text, default=None)
    elif kind == "bool":
        yes_and_no = argparse.BooleanOptionalAction
        parser.add_argument(flag, dest=option.name, action=yes_and_no, default=None, help=text)
    else:
        reader = form.type or {"int": count, "float": float}.get(kind, str)
        metavar = form.metavar or {"int": "N", "float": "X"}.get(kind, "NAME")
        parser.add_argument(flag, dest=option.name, type=reader, metavar=metavar, help=text)


def _help(option: Option, choices: Collection[str], default: str | None) -> str:
    text = meaning(option, choices)
    if option.type.startswith("Mapping"):
        text += "; repeatable"
    if default is None and option.default not in (None, Option.REQUIRED):
        default = _shown(option.default)
    if not default and "default" not in text:
        default = "none"
    if default:
        text += f" (default: {default})"
    return text.replace("%", "%%")  # argparse fills in what follows a single one


def meaning(option: Option, choices: Collection[str] = ()) -> str:
    """What an option is, with what it may be."""
    text = option.meaning.rstrip(".")
    return f"{text}: {listed(choices)}" if choices else text


def listed(names: Collection[str]) -> str:
    """Names in a sentence: "a, b or c"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _shown(value: Any) -> str:
    """A default as it would be typed; nothing for a mapping, which a factory makes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float, str)):
        return str(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else ""
