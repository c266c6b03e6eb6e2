"""Registries of named classes and functions, each registered once, beside its definition."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.references import import_for

T = TypeVar("T")
S = TypeVar("S")


class Registry(Mapping[str, T]):
    """All named things of one kind; help texts, `zorl list`, checks and tests read this list.

    Args:
        kind: used in messages, for example "gate".
        places: modules that register things when they are imported, packages of such modules, and
            "package.*.module", the module of that name in each package inside of a package. They
            are imported when the registry is first used, by whichever thread uses it.

    Example:
        >>> PETS = Registry[type]("pet")
        >>> @PETS.register("cat", lives=9)
        ... class Cat:
        ...     '''Sleeps.'''
        >>> PETS["cat"] is Cat, dict(PETS.defaults("cat")), PETS.summaries()
        (True, {'lives': 9}, {'cat': 'Sleeps.'})
    """

    def __init__(self, kind: str, *places: str) -> None:
        self.kind = kind
        self._places = places
        self._looking: set[int] = set()  # threads that import the places at this moment
        self._lock = threading.Lock()  # never held during an import
        self._things: dict[str, T] = {}
        self._defaults: dict[str, Mapping[str, Any]] = {}

    def register(self, name: str, **defaults: Any) -> Callable[[S], S]:
        """A decorator that registers a class or function under a name.

        Args:
            name: the name, in lower case with dashes.
            defaults: zorl's settings, where they differ from the thing's own defaults.

        Raises:
            ConfigurationError: the name is already taken.
        """

        def add(thing: S) -> S:
            self.add(name, thing, **defaults)
            return thing

        return add

    def add(self, name: str, thing: Any, **defaults: Any) -> None:
        """Register a thing without decorating it; see `register`."""
        if not callable(thing):
            raise ConfigurationError(
                f"the {self.kind} {name!r} must be a class or function, got {thing!r}"
            )
        with self._lock:
            known = self._things.get(name)
            if known is not None and _identity(known) != _identity(thing):
                raise ConfigurationError(
                    f"the {self.kind} {name!r} is registered already: {known!r}"
                )
            self._things[name] = thing
            self._defaults[name] = MappingProxyType(defaults)

    def resolve(self, name: str) -> T:
        """Return the thing under a name, or the attribute that "module:name" refers to.

        Raises:
            UnknownNameError: nothing has the name; the message lists the nearest names.
            ConfigurationError: the module cannot be imported.
        """
        if not isinstance(name, str):
            raise ConfigurationError(f"a {self.kind} is named by text, got {name!r}")
        module, colon, attribute = name.partition(":")
        if not colon:
            if name not in self:
                hint = f"(a {self.kind} of your own is named 'module:name')"
                raise UnknownNameError(self.kind, name, self, hint)
            return self[name]
        place = import_for(module, f"{self.kind} {name!r}")
        found = getattr(place, attribute, None)
        if not callable(found):
            known = [key for key, value in vars(place).items() if callable(value)]
            raise UnknownNameError(f"class or function of {module!r}:", attribute, known)
        thing: T = found
        return thing

    def defaults(self, name: str) -> Mapping[str, Any]:
        """Return the settings that a thing was registered with."""
        self._look()
        return self._defaults.get(name, MappingProxyType({}))

    def summaries(self) -> dict[str, str]:
        """Return the first line of each thing's docstring, by name."""
        return {name: summary(thing) for name, thing in self.items()}

    def _look(self) -> None:
        thread = threading.get_ident()
        # A module that is imported may look here itself. It finds what is registered so far.
        if not self._places or thread in self._looking:
            return
        self._looking.add(thread)
        try:
            # Several threads may do this at once: each waits for the modules that others import.
            modules = [name for place in self._places for name in _import_place(place)]
        finally:
            self._looking.discard(thread)
        with self._lock:
            self._sort(modules)
            self._places = ()

    def _sort(self, modules: list[str]) -> None:
        """In the order of the places' modules, whichever was imported before; others come last."""
        ranks = {name: rank for rank, name in enumerate(dict.fromkeys(modules))}

        def rank(item: tuple[str, T]) -> int:
            return ranks.get(getattr(item[1], "__module__", ""), len(ranks))

        self._things = dict(sorted(self._things.items(), key=rank))

    def __getitem__(self, name: str) -> T:
        self._look()
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        self._look()
        return isinstance(name, str) and name in self._things

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter(self._things)

    def __len__(self) -> int:
        self._look()
        return len(self._things)


def _import_place(place: str) -> list[str]:
    """Import what a place stands for; returns the modules' names."""
    package, star, inside = place.partition(".*")
    module = importlib.import_module(package)
    inner = list(pkgutil.iter_modules(getattr(module, "__path__", ())))
    names = [f"{package}.{item.name}{inside}" for item in inner if item.ispkg or not star]
    for name in names:
        importlib.import_module(name)
    return names if star else [package, *names]


def summary(thing: object) -> str:
    """Return the first line of a docstring, or where the thing is defined if it has none."""
    lines = (thing.__doc__ or "").strip().splitlines()
    if lines:
        return lines[0]
    return f"{getattr(thing, '__module__', '?')}:{getattr(thing, '__qualname__', '?')}"


def _identity(thing: Any) -> Any:
    """Return a key that stays equal when the module of a class or function is loaded again."""
    where = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    # Lambdas, and what functions define, share their names.
    return thing if None in where or "<" in str(where[1]) else where
