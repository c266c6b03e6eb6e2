"""A command line's parser: unknown options are answered by what was meant, files are read in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from zorl.cli.meanings import meant
from zorl.common.errors import ConfigurationError, UnknownNameError


class Parser(argparse.ArgumentParser):
    """Says which option was meant, as every other message of zorl does."""

    def error(self, message: str) -> NoReturn:
        """Complain in one line and exit with status 2."""
        self.exit(2, f"zorl: error: {message} (options: {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but first come the options of the file that `--config` names."""
        args = list(sys.argv[1:] if args is None else args)
        if "--config" in self._option_string_actions:
            args = [*self._from_file(args), *args]
        return super().parse_known_args(args, namespace)

    def _from_file(self, args: list[str]) -> list[str]:
        """The words of the file that is named among others."""
        reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for name in ("config", "agent", "gate", "env"):
            reader.add_argument(f"--{name}", nargs="?")
        typed = {
            name: text for name, text in vars(reader.parse_known_args(args)[0]).items() if text
        }
        if "config" not in typed:
            return []
        from zorl.cli.settings_file import words_of

        try:
            return words_of(Path(typed["config"]), self._option_string_actions, typed)
        except ConfigurationError as error:
            self.error(str(error))

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a subcommand complains of its own unknown options."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser: Parser = getattr(parsed, "parser", self)
            parser.error(parser._complaint(unknown, list(sys.argv[1:] if args is None else args)))
        return parsed

    def _complaint(self, unknown: list[str], arguments: list[str]) -> str:
        """What is wrong with arguments that nobody takes."""
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            return f"unrecognized arguments: {' '.join(unknown)}{self._form(unknown, arguments)}"
        known = self._option_string_actions
        meaning = meant(name, known)
        if meaning is not None:
            return f"unknown option {name!r}; {meaning}"
        return str(UnknownNameError("option", name, known))

    def _form(self, unknown: list[str], arguments: list[str]) -> str:
        """How several values are given to the option before those that are too many."""
        for index in range(2, len(arguments)):
            flag, first, second = arguments[index - 2 : index + 1]
            action = self._option_string_actions.get(flag)
            if second == unknown[0] and action is not None and action.nargs is None:
                values = [first, *(text for text in unknown if not text.startswith("-"))]
                return _several(flag, action, values)
        return ""


def _several(flag: str, action: argparse.Action, values: list[str]) -> str:
    if isinstance(action, argparse._AppendAction):
        return f"; give {flag} again for each: {' '.join(f'{flag} {text}' for text in values)}"
    if action.metavar == "SIZES":
        return f"; several are joined by commas: {flag} {','.join(values)}"
    return f"; {flag} takes one value"
