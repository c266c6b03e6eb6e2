"""`--config FILE`: the options of a command from a file, as if they had been typed.

The file is YAML, TOML or JSON: a mapping of the command's own options, without the dashes. It may
be the config.json of a run, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import Options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Actions = Mapping[str, argparse.Action]


# Options of something that is named itself: of another one they are not taken from the file.
_BELONGS = {"set": "agent", "gate-set": "gate", "env-set": "env"}


def words_of(path: Path, actions: Actions, typed: Collection[str] = ()) -> list[str]:
    """The words on the command line that say what the file says.

    Args:
        path: of the file.
        actions: the options of the command, by flag.
        typed: names of options that are on the command line as well. Where another agent, gate or
            environment is typed, the file's options of it are left out.

    Raises:
        ConfigurationError: the file cannot be read, or is no mapping of options.
        UnknownNameError: an option that the command does not have.
    """
    values = read_mapping(path)
    if {"agent", "plan", "versions"} <= values.keys() and isinstance(values["agent"], Mapping):
        values = settings_of_run(values)
    words: list[str] = []
    for name, value in values.items():
        flag = "--" + str(name).replace("_", "-")
        if flag not in actions or flag in ("--config", "--help"):
            known = [known[2:] for known in actions if known.startswith("--")]
            raise UnknownNameError(f"option in {path}", str(name), known)
        if _BELONGS.get(flag[2:]) in typed:
            continue
        words += _words(flag, value, actions[flag], path)
    return words


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a file of YAML, TOML or JSON, told apart by the ending of its name.

    Raises:
        ConfigurationError: it is no such file, or not readable.
    """
    readers = {".json": json.loads, ".toml": tomllib.loads, ".yaml": _yaml, ".yml": _yaml}
    reader: Any = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"{path}: expected a file named {', '.join(readers)}")
    try:
        values = reader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # what the three readers raise
        raise ConfigurationError(f"{path} is no {path.suffix[1:]}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"{path}: expected options with values, as `agent: ars`, got {str(values)[:60]!r}"
        )
    return values


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def settings_of_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `zorl train` that make the run whose config.json this is.

    Raises:
        ConfigurationError: a part of it is missing.
    """
    try:
        agent, plan = dict(config["agent"]), dict(config["plan"])
        task, family = agent.pop("task"), agent.pop("family")
        if agent.pop("source").startswith(("zorl defaults", "auto: ")):
            agent["settings"] = "default"
        plan["timesteps"] = plan.pop("total_timesteps")
        options = agent.pop("options")
        if family == "search":
            agent["gate-set"] = agent.pop("gate_options")
        else:  # whose flags are of search agents alone
            fields = {"agent", "seed", "settings"}
            options = {**options, **{name: agent.pop(name) for name in agent.keys() - fields}}
            if options.get("policy") == "MlpPolicy":  # the default
                del options["policy"]
        wrappers = [_call(name, values) for name, values in task["wrappers"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"not the config.json of a run: {error!r}") from error
    return {
        **agent,
        **plan,
        "set": options,
        "env": task["env_id"],
        "env-set": task["env_kwargs"],
        "wrapper": wrappers,
        "threshold": task["threshold"],
        "success": task["success"],
        "recorder": config.get("recorders", []),
    }


def _call(name: str, options: Mapping[str, Any]) -> str:
    """A wrapper as it is typed."""
    written = ", ".join(f"{key}={value!r}" for key, value in Options(options).thaw().items())
    return f"{name}({written})" if written else name


def _words(flag: str, value: Any, action: argparse.Action, path: Path) -> Iterator[str]:
    """An option as it is typed; nothing for one that has no value."""
    if value is None:
        return
    if isinstance(action, argparse.BooleanOptionalAction) or action.nargs == 0:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{path}: {flag[2:]} is true or false, got {value!r}")
        if value:
            yield flag
        elif isinstance(action, argparse.BooleanOptionalAction):
            yield f"--no-{flag[2:]}"
    elif isinstance(value, Mapping):
        if not isinstance(action, argparse._AppendAction):
            raise ConfigurationError(f"{path}: {flag[2:]} is one value, got {dict(value)!r}")
        for name, item in value.items():
            yield f"{flag}={name}={item if isinstance(item, str) else repr(item)}"
    elif isinstance(action, argparse._AppendAction):
        for item in value if isinstance(value, list) else [value]:
            yield f"{flag}={_text(item)}"
    elif action.nargs == "+":
        yield flag
        yield from map(_text, value if isinstance(value, list) else [value])
    elif isinstance(value, list):
        yield f"{flag}={','.join(map(_text, value))}"
    else:
        yield f"{flag}={_text(value)}"


def _text(value: Any) -> str:
    """A value as it is typed; YAML takes the names on and off for truth values."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
