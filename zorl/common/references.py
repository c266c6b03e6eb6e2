"""Import objects named as "module:name", with errors that say what is missing."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from pathlib import Path
from typing import Any

from zorl.common.errors import ConfigurationError

log = logging.getLogger("zorl")

_KNOWN = ("zorl", "gymnasium", "stable_baselines3")  # packages that a file may name unasked
_FILE: ContextVar[tuple[str, bool | None] | None] = ContextVar("_FILE", default=None)


@contextmanager
def named_by(path: str | Path, trust: bool | None) -> Iterator[None]:
    """In this context it is a file that names what is imported.

    Args:
        path: of the file.
        trust: True imports what it names, False nothing but zorl's own and its libraries', None
            says first what.
    """
    token = _FILE.set((str(path), trust))
    try:
        yield
    finally:
        _FILE.reset(token)


def import_for(module: str, what: str) -> Any:
    """Import the module that `what` names, or say why that failed.

    Raises:
        ConfigurationError: if the module is missing or raises, or a file that is not trusted names
            it.
    """
    _ask(module, what)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{what}: no module named {error.name!r}; is it installed, or on PYTHONPATH?"
        ) from error
    # A module runs its author's code, which may raise anything.
    except Exception as error:
        raise ConfigurationError(
            f"{what}: importing {module!r} failed with {type(error).__name__}: {error}"
        ) from error


def name_of(thing: Any) -> str:
    """ "module:name" under which a class or function can be imported; "<name>" where it cannot."""
    module, name = (getattr(thing, key, None) for key in ("__module__", "__qualname__"))
    if isinstance(module, str) and isinstance(name, str) and module != "__main__":
        try:
            if reduce(getattr, name.split("."), import_for(module, name)) is thing:
                return f"{module}:{name}"
        except (AttributeError, ConfigurationError):
            pass
    return f"<{(name or type(thing).__name__).rpartition('.')[2].strip('<>')}>"


def is_unnamed(text: str) -> bool:
    """Whether a `name_of` is none that can be imported."""
    return text.startswith("<")


def _ask(module: str, what: str) -> None:
    """Whether a file may have a module imported, which may run any code."""
    package = module.partition(".")[0]
    file = _FILE.get()
    if file is None or package in _KNOWN:
        return
    path, trust = file
    if trust is False:
        raise ConfigurationError(
            f"{what}: {path} names the module {module!r}, which could run any code; if you know "
            "where the file comes from, load it with trust=True, or --trust"
        )
    # What the program has imported is its own; of Python's library nothing belongs into a file.
    if trust is None and (module not in sys.modules or package in sys.stdlib_module_names):
        log.warning(
            "%s names the module %r, which is imported now and could run any code (%s); "
            "trust=True, or --trust, says that this is meant",
            path,
            module,
            what,
        )
