"""Completion of commands, options and names in a shell, by argcomplete.

`zorl completion bash` prints what a shell runs once. From then on it calls zorl whenever Tab is
pressed, with the line so far in the environment.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator

SHELLS = ("bash", "zsh", "fish")

# Options whose values are names of a section of `zorl list`.
_SECTIONS = {
    "agent": "agents",
    "agents": "agents",
    "wrappers": "wrappers",
    "recorders": "recorders",
    "gate": "gates",
    "backend": "backends",
}


def is_asked() -> bool:
    """Whether a shell asks what may come next."""
    return "_ARGCOMPLETE" in os.environ


def complete(parser_of: Callable[[str], argparse.ArgumentParser]) -> None:
    """Answer the shell, and end the process.

    Args:
        parser_of: the parser of the command line, with the options of one command.
    """
    import argcomplete

    command = os.environ.get("COMP_LINE", "").split()[1:2]
    parser = parser_of(*command or [""])
    for action in _actions(parser):
        action.completer = lambda prefix, action, **_: [  # type: ignore[attr-defined]
            name for name in names_for(action.dest) if name.startswith(prefix)
        ]
    argcomplete.autocomplete(parser, always_complete_options="long")


def shell_code(shell: str) -> str:
    """What a shell runs once."""
    from argcomplete.shell_integration import shellcode

    return shellcode(["zorl"], shell=shell)


def names_for(dest: str) -> Iterable[str]:
    """The names that an option may have; none where it is no name."""
    if dest == "env":
        import gymnasium

        return gymnasium.registry
    if dest in _SECTIONS or dest == "name":
        from zorl.cli.listing import sections

        found = {section.title: section.lines for section in sections()}
        if dest in _SECTIONS:
            return found[_SECTIONS[dest]]
        return [*found, *(name for lines in found.values() for name in lines)]
    from zorl.agents.search.config import CHOICES

    return CHOICES.get(dest, ())


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options of a parser and of its commands whose values are names."""
    from zorl.agents.search.config import CHOICES

    named = {"env", "name", *_SECTIONS, *CHOICES}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        elif action.nargs != 0 and action.dest in named:
            yield action
