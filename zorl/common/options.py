"""Options by name: read from text, described, checked, and completed with their defaults."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, ClassVar, TypeVar

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.plain import plain

F = TypeVar("F", bound=Callable[..., Any])


def resolve_options(
    recipe: Callable[..., Any], options: Mapping[str, Any], kind: str
) -> dict[str, Any]:
    """Return `options` completed with the recipe's defaults.

    Args:
        recipe: a function or class with keyword arguments.
        options: the user's settings.
        kind: used in messages, for example "option of ars".

    Raises:
        UnknownNameError: an option that the recipe does not have, with the nearest names.
        ConfigurationError: a value of the wrong type, or an option that must be given and is not.
    """
    check_options(recipe, options, kind)
    parameters = inspect.signature(recipe).parameters
    return {
        name: plain(options.get(name, item.default))
        for name, item in parameters.items()
        if name in options or not _is_factory(item.default)
    }


def check_options(recipe: Callable[..., Any], options: Mapping[str, Any], kind: str) -> None:
    """Refuse options that a recipe does not take; see `resolve_options`."""
    parameters = inspect.signature(recipe).parameters
    known = {
        name: item
        for name, item in parameters.items()
        if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)
    }
    takes_any = any(item.kind == item.VAR_KEYWORD for item in parameters.values())
    for name, value in options.items():
        if name in known:
            _check_type(known[name].default, value, f"{kind} {name}")
        elif not takes_any:
            raise UnknownNameError(kind, name, known)
    for name, item in known.items():
        if item.default is item.empty and name not in options:
            raise ConfigurationError(f"{kind} {name} must be given")


def _is_factory(default: Any) -> bool:
    """Whether a dataclass makes a new default for each object."""
    return type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"


def _check_type(default: Any, value: Any, what: str) -> None:
    """A value must be like the default; an int passes for a float, nothing else does."""
    objects = callable(value) or is_dataclass(value)
    if default is None or default is inspect.Parameter.empty or objects or _is_factory(default):
        return  # the recipe itself checks
    value = plain(value)
    numeric = isinstance(default, (int, float)) and not isinstance(default, bool)
    wrong = not isinstance(value, (int, float) if numeric else type(default))
    fraction = type(default) is int and isinstance(value, float)
    if wrong or fraction or (numeric and isinstance(value, bool)):
        raise ConfigurationError(f"{what} must be like {default!r}, got {value!r}")


def takes_options_of(source: Callable[..., Any], *without: str) -> Callable[[F], F]:
    """A decorator: the `**options` of a function are, one by one, the options of another thing.

    Signature, defaults and meanings are found as if they were written out: by
    `inspect.signature`, `resolve_options` and `describe_options`.

    Args:
        source: the class or function to which the decorated function hands its `**options`.
        without: options of it that the function does not take.

    Example:
        >>> def search(size: int = 3, depth: int = 2): ...
        >>> @takes_options_of(search, "depth")
        ... def shallow(*, width: int = 1, **options): ...
        >>> str(inspect.signature(shallow))
        '(*, size: int = 3, width: int = 1)'
    """

    def decorate(function: F) -> F:
        own = inspect.signature(function)
        shared = [
            item.replace(kind=item.KEYWORD_ONLY)
            for item in _named(source)
            if item.name not in without
        ]
        kept = _named(function)
        # `inspect` takes the first, `describe_options` the second.
        function.__dict__.update(
            __signature__=own.replace(parameters=[*shared, *kept]), __options_of__=source
        )
        return function

    return decorate


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """A dictionary from texts like "learning_rate=0.02": Python literals, or else plain text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ConfigurationError(f"expected NAME=VALUE, got {pair!r}")
        options[name.strip()] = parse_value(text)
    return options


def parse_value(text: str) -> Any:
    """Return a Python literal, or else the text itself. Nothing is evaluated.

    Names in lists, tuples and mappings need no quotes: [left, right] are two texts.
    """
    try:
        return ast.literal_eval(_quoted(text) if text.lstrip()[:1] in ("[", "(", "{") else text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def _quoted(text: str) -> ast.expr:
    """The expression, with a text in place of every name."""

    class Quote(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Constant:
            return ast.Constant(node.id)

    quoted: ast.expr = Quote().visit(ast.parse(text.strip(), mode="eval")).body
    return quoted


def parse_call(text: str, kind: str) -> tuple[str, dict[str, Any]]:
    """Read "name" or "name(option=value, …)", the form of every name with options.

    Values are Python literals, or else plain text: `gate=paired` and `gate="paired"` are the same.
    Nothing is evaluated. The caller checks whether the names exist.

    Args:
        text: the text to read.
        kind: the kind of thing that is named, used in messages, for example "wrapper".

    Raises:
        ConfigurationError: the text does not have this form.

    Example:
        >>> parse_call("ars(m=4, gate=paired, hidden=(8, 8))", "agent")
        ('ars', {'m': 4, 'gate': 'paired', 'hidden': (8, 8)})
    """
    name, options = split_call(text, kind)
    return name, {key: parse_value(value) for key, value in options.items()}


def split_call(text: str, kind: str) -> tuple[str, dict[str, str]]:
    """Return the name and the options of `parse_call`, with each value as it was written."""
    form = (
        f"expected {kind} or {kind}(option=value, …), got {text!r}; a value with / or : is put "
        "in quotes"
    )
    match = re.fullmatch(r"\s*([^\s()=,]+)\s*(?:\((.*)\))?\s*", text, flags=re.DOTALL)
    if match is None:
        raise ConfigurationError(form)
    source = f"f({match[2] or ''})"
    try:
        call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ConfigurationError(form) from error
    # The second test refuses text that closes the bracket early, such as "ars(m=1)(top=1)".
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ConfigurationError(form)
    options: dict[str, str] = {}
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in options:
            raise ConfigurationError(f"each option once, by name; {form}")
        options[keyword.arg] = ast.get_source_segment(source, keyword.value) or ""
    return match[1], options


def parse_sizes(value: Any) -> tuple[int, ...]:
    """Sizes of hidden layers.

    Args:
        value: a sequence of sizes; one size; or a text: "8", "64,64", "64x64" or "none".

    Raises:
        ConfigurationError: what is no sizes.
    """
    if value is None:
        return ()
    value = plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, (tuple, list)):
        return tuple(value)
    if hasattr(value, "tolist"):  # an array
        return parse_sizes(value.tolist())
    try:
        text = value.strip().lower()
        return () if text in ("none", "") else tuple(map(int, text.replace("x", ",").split(",")))
    except (AttributeError, ValueError):
        raise ConfigurationError(
            f"hidden sizes must be like 8, 64,64 or none, got {value!r}"
        ) from None


_PLAIN = frozenset(
    {
        "bool",
        "int",
        "float",
        "str",
        "tuple",
        "list",
        "dict",
        "Mapping",
        "Sequence",
        "Literal",
        "Any",
    }
)


@dataclass(frozen=True)
class Option:
    """One option of a class or function, from its signature and docstring.

    Attributes:
        name: the keyword.
        type: its annotation, as written.
        default: the default value, or `Option.REQUIRED` if there is none.
        meaning: the docstring's text in Args or Attributes, on one line.
    """

    REQUIRED: ClassVar[object] = inspect.Parameter.empty

    name: str
    type: str
    default: Any
    meaning: str

    @property
    def is_plain(self) -> bool:
        """Whether text can give its value: a number, a text, a list, a mapping."""
        simple = isinstance(self.default, (bool, int, float, str, tuple))
        return simple or not self.type or bool(self._plain_parts())

    @property
    def short_type(self) -> str:
        """Its type without what text cannot give and without what stands in brackets."""
        parts = self._plain_parts()
        if not parts:
            return type(self.default).__name__ if self.is_plain else self.type
        return " | ".join([*parts, "None"] if re.search(r"\bNone$", self.type) else parts)

    def _plain_parts(self) -> list[str]:
        outer = self.type
        while outer != (outer := re.sub(r"\[[^\[\]]*\]", "", outer)):
            pass  # the innermost brackets first
        return [part for part in map(str.strip, outer.split("|")) if part in _PLAIN]


def describe_options(thing: Callable[..., Any]) -> list[Option]:
    """The options that a class or function takes, in the order of its signature."""
    meanings = _meanings(thing)
    made = {
        item.name: item.default_factory()
        for item in (fields(thing) if is_dataclass(thing) else ())
        if item.default_factory is not MISSING
    }
    found = []
    for item in _named(thing):
        annotation = "" if item.annotation is item.empty else item.annotation
        kind = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        default = made.get(item.name, item.default)
        found.append(Option(item.name, kind, default, meanings.get(item.name, "")))
    return found


def _named(thing: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a signature, without *args and **options."""
    found = inspect.signature(thing).parameters.values()
    return [item for item in found if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]


def _meanings(thing: Callable[..., Any]) -> dict[str, str]:
    """What a docstring says of each argument: in sections Args and Attributes, or as :param."""
    source = getattr(thing, "__options_of__", None)
    found = {} if source is None else _meanings(source)
    if isinstance(thing, type):
        found |= _meanings(thing.__init__)  # type: ignore[misc]
    text = inspect.getdoc(thing) or ""
    entry = r"^    (\w+(?:, \w+)*)(?: \([^)\n]*\))?: (.*(?:\n {5,}.*)*)"
    for section in re.findall(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", text, re.M):
        for names, meaning in re.findall(entry, section, re.M):
            for name in names.split(", "):
                found[name] = " ".join(meaning.split())
    for name, meaning in re.findall(r"^:param (\w+): (.*(?:\n +.*)*)", text, re.M):
        found[name] = " ".join(meaning.split())
    return found


class FrozenList(tuple[Any, ...]):
    """A list that cannot be changed; equal to a tuple of the same values."""

    __slots__ = ()


class Options(Mapping[str, Any]):
    """A read-only mapping of JSON values, equal and hashed by content.

    Lists are stored as `FrozenList`, nested mappings as `Options`. `thaw` returns the plain JSON
    types, which constructors also receive, so a task read from a file builds the same environment
    as the original task.

    Args:
        values: names to JSON values (None, bool, int, float, str, list, mapping); numpy scalars
            are turned into Python ones.

    Raises:
        ConfigurationError: for a value that JSON cannot hold, NaN and infinities included.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"options must be a mapping of names to values: {values!r}")
        self._values = {_name(key): _freeze(value, key) for key, value in values.items()}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.thaw()!r})"

    def thaw(self) -> dict[str, Any]:
        """Return a new plain dict of JSON types, safe to change."""
        return {key: _thaw(value) for key, value in self._values.items()}


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise ConfigurationError(f"option names must be text, got {key!r}")
    return key


def _freeze(value: Any, name: str) -> Any:
    value = plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"option {name!r} must be finite, got {value!r}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return FrozenList(_freeze(item, name) for item in value)
    if isinstance(value, Mapping):
        return Options(value)
    raise ConfigurationError(
        f"option {name!r} must be a JSON value (null, bool, number, text, list or mapping), "
        f"got {value!r} of type {type(value).__name__}"
    )


def _thaw(value: Any) -> Any:
    if isinstance(value, Options):
        return value.thaw()
    if isinstance(value, tuple):
        return [_thaw(item) for item in value]
    return value
