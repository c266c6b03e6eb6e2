"""Options by name: the keyword arguments of a recipe, checked and completed with its defaults."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zorl.errors import ConfigurationError, UnknownNameError


def resolve_options(
    recipe: Callable[..., Any], options: Mapping[str, Any], kind: str
) -> dict[str, Any]:
    """`options` completed with the recipe's defaults.

    Args:
        recipe: a function or class with keyword arguments that all have defaults.
        options: what the user set.
        kind: for messages, as "option of ars".

    Raises:
        UnknownNameError: an option that the recipe does not have, with the nearest names.
        ConfigurationError: a value of the wrong type.
    """
    parameters = inspect.signature(recipe).parameters
    for name, value in options.items():
        if name not in parameters:
            raise UnknownNameError(kind, name, parameters)
        default = parameters[name].default
        # An int passes for a float, nothing else; None marks "chosen by the method".
        numeric = isinstance(default, (int, float)) and not isinstance(default, bool)
        expected: Any = (int, float) if numeric else type(default)
        wrong = default is not None and not isinstance(value, expected)
        fraction = type(default) is int and isinstance(value, float)
        if wrong or fraction or (numeric and isinstance(value, bool)):
            raise ConfigurationError(f"{kind} {name} must be like {default!r}, got {value!r}")
    return {name: options.get(name, item.default) for name, item in parameters.items()}


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """A dictionary from texts like "learning_rate=0.02": Python literals, or else plain text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ConfigurationError(f"expected NAME=VALUE, got {pair!r}")
        try:
            options[name.strip()] = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            options[name.strip()] = text
    return options
