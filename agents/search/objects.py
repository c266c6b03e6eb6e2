"""Optimizers and gates given as objects: the names and options that rebuild them from a file.

An object is rebuilt from its class, by name or as "module:Class", and its fields, if it is a
dataclass of JSON values, of functions and classes that can be imported, and of such dataclasses.
Another object cannot be written to a file; the file then names its class as "<Class>".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from zorl.common.errors import ConfigurationError
from zorl.common.plain import plain
from zorl.common.registry import Registry
from zorl.policies.source import find_source, reference


def described(thing: Any, registry: Registry[Any]) -> tuple[str, dict[str, Any]] | None:
    """The name and the options, JSON values, that rebuild an object; None if none do.

    Args:
        thing: an instance of a dataclass.
        registry: where its class may have a name.
    """
    names = [name for name, known in registry.items() if known is type(thing)]
    name = names[0] if names else reference(type(thing))
    try:
        options = _fields(thing)
        again = registry.resolve(name)(**rebuilt(options))
        same = bool(again == thing)  # arrays do not say so in one word: ValueError
    except (ConfigurationError, TypeError, ValueError):
        return None
    return (name, options) if same else None


def rebuilt(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the objects that their JSON values describe."""
    return {name: _object(value) for name, value in options.items()}


def encoded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON values; the inverse of `rebuilt`.

    Raises:
        ConfigurationError: naming an option that has none, so that no file could hold it.
    """
    found = {}
    for name, value in options.items():
        try:
            found[name] = _json(value)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the option {name} cannot be written to a file: {error}; give a number, text, or "
                "a class, function or dataclass at the top of a module"
            ) from error
    return found


def label(thing: Any) -> str:
    """How files and tables name what was given: a name as it is, an object as "<Class>"."""
    return thing if isinstance(thing, str) else f"<{type(thing).__name__}>"


def is_label(thing: Any) -> bool:
    """Whether this is the label of an object that a file does not hold."""
    return isinstance(thing, str) and thing.startswith("<")


def missing(kind: str, text: str) -> ConfigurationError:
    """The error about an object that a file does not hold."""
    return ConfigurationError(
        f"the agent's {kind} {text} was given as an object that no file can hold: pass it again, "
        f"as zorl.load_agent(path, {kind}=…), or make it a dataclass of JSON values at the top of "
        "a module"
    )


def _fields(thing: Any) -> dict[str, Any]:
    if not is_dataclass(thing) or isinstance(thing, type):
        raise ConfigurationError(f"{thing!r} is not an instance of a dataclass")
    return {item.name: _json(getattr(thing, item.name)) for item in fields(thing) if item.init}


def _json(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"JSON has no {value}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_json(item) for item in value]
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise ConfigurationError(f"keys must be text, got {name!r}")
        return {name: _json(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {"class": _importable(type(value)), "options": _fields(value)}
    return {"reference": _importable(value)}


def _object(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_object(item) for item in value)
    if isinstance(value, Mapping) and {*value} == {"class", "options"}:
        return find_source(value["class"])(**rebuilt(value["options"]))
    if isinstance(value, Mapping) and {*value} == {"reference"}:
        return find_source(value["reference"])
    return value


def _importable(thing: Any) -> str:
    text = reference(thing)
    if is_label(text):
        raise ConfigurationError(f"{thing!r} has no name to import")
    return text
