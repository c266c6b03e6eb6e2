"""`zorl list`: what there is by name, and the options of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from zorl.common.errors import UnknownNameError
from zorl.common.options import Option, describe_options
from zorl.common.registry import Registry, summary

Table = tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]  # title, header, rows


@dataclass(frozen=True)
class Section:
    """Things of one kind.

    Attributes:
        title: of the list.
        use: how one is named on the command line.
        lines: what each is, in one line, by name.
        tables: makes the tables of options of a name: title and options.
        rules: makes the tables of what a name chooses: title, header and rows.
    """

    title: str
    use: str
    lines: Mapping[str, str]
    tables: Callable[[str], list[tuple[str, list[Option]]]] = lambda name: []
    rules: Callable[[str], list[Table]] = lambda name: []


def list_names(name: str | None = None) -> None:
    """Print every name, those of one kind ("gates"), or what one name is with its options.

    Raises:
        UnknownNameError: nothing has this name; the nearest ones are named.
    """
    all_of_them = sections()
    if name is None:
        for section in all_of_them:
            _show_section(section)
            _say("")
        _say("zorl list NAME shows the options of a name.")
        return
    titles = {section.title: section for section in all_of_them}
    found = [section for section in all_of_them if name in section.lines]
    if name in titles:
        _show_section(titles[name])
    for section in found:
        _show_name(section, name)
    if not found and name not in titles:
        known = [*titles, *(key for section in all_of_them for key in section.lines)]
        raise UnknownNameError("name", name, known)


def sections() -> list[Section]:
    """All that has a name, kind by kind."""
    from zorl.agents.registry import list_agents
    from zorl.envs import WRAPPERS
    from zorl.envs.twins.base import TWINS
    from zorl.export import FORMATS
    from zorl.policies.activations import ACTIVATIONS
    from zorl.policies.normalization import MODES
    from zorl.recorders import RECORDERS
    from zorl.rollout.backend import BACKENDS
    from zorl.search.gates import GATES
    from zorl.studies.base import list_studies, study_options

    backends = {**BACKENDS.summaries(), "ray": "gymnasium on a Ray cluster"}
    activations = {key: summary(item.formula) for key, item in ACTIVATIONS.items()}
    studies = list_studies()
    return [
        Section("agents", "--agent NAME, options --set", list_agents(), _agent_tables, _rules),
        _registered("gates", "--gate NAME, options --gate-set", GATES),
        _registered("wrappers", '--wrapper "NAME(option=value)"', WRAPPERS),
        _registered("recorders", '--recorder "NAME(option=value)"', RECORDERS),
        Section("backends", "--backend NAME", backends),
        Section("activations", "--activation NAME", activations),
        Section("normalisations", "--normalize NAME", MODES),
        _registered("twins", "the backend compiled, options --env-set", TWINS),
        Section("formats", "zorl export RUN --to NAME", FORMATS.summaries()),
        Section("studies", "zorl study NAME, options --set", studies,
                lambda name: [("options", study_options(name))]),
    ]  # fmt: skip


def _registered(title: str, use: str, registry: Registry[Any]) -> Section:
    def tables(name: str) -> list[tuple[str, list[Option]]]:
        options = describe_options(registry[name])
        return [("options", _started(options, registry.defaults(name)))]

    return Section(title, use, registry.summaries(), tables)


def _agent_tables(name: str) -> list[tuple[str, list[Option]]]:
    """An agent's options with the defaults that zorl starts it with."""
    from zorl.agents.base import family_of
    from zorl.agents.registry import make_config
    from zorl.agents.search.auto import AUTO, CHOSEN
    from zorl.agents.search.config import CHOICES, SearchConfig
    from zorl.cli.arguments import NOT_FLAGS
    from zorl.cli.flags import meaning

    auto = name == AUTO
    # The same for any task, but for `auto`, which chooses among the agents.
    config: Any = make_config("cma-es" if auto else name, "CartPole-v1", settings="default")
    family = family_of(name)
    own = family.list_options(name)
    tables = [("options (--set)", _started(own, config.options))] if own else []
    search = isinstance(config, SearchConfig)
    shared = [
        replace(option, meaning=meaning(option, CHOICES.get(option.name, ()) if search else ()))
        for option in describe_options(type(config))
        if option.name not in NOT_FLAGS
    ]
    chosen = {item.name: getattr(config, item.name) for item in fields(config)}
    if auto:
        chosen |= dict.fromkeys(CHOSEN, "by task")
    title = f"options of every agent of the family {family.family}"
    return [*tables, (title, _started(shared, chosen))]


def _rules(name: str) -> list[Table]:
    """What the agent `auto` chooses; the first row that fits decides."""
    from zorl.agents.search.auto import AGENTS, AUTO, POLICIES

    if name != AUTO:
        return []
    policies = [(row.when, row.what) for row in POLICIES]
    agents = [(row.when, row.agent, row.what) for row in AGENTS]
    return [
        ("the policy, by the task", ("where", "policy"), policies),
        ("the agent, by the policy", ("where", "agent", "settings"), agents),
    ]


def _started(options: Iterable[Option], chosen: Mapping[str, Any]) -> list[Option]:
    """The options that text can set, with the defaults that zorl has chosen."""
    return [
        replace(option, default=chosen.get(option.name, option.default))
        for option in options
        if option.is_plain
    ]


def _show_section(section: Section) -> None:
    _say(f"{section.title} ({section.use})", "bold")
    _table([(f"  {name}", text) for name, text in section.lines.items()])


def _show_name(section: Section, name: str) -> None:
    _say(f"{name} ({section.title}: {section.use})", "bold")
    _say(f"  {section.lines[name]}")
    for title, header, rows in section.rules(name):
        _say(f"\n{title}", "bold")
        _table([(f"  {first}", *rest) for first, *rest in rows], (f"  {header[0]}", *header[1:]))
    for title, options in section.tables(name):
        rows = [
            (f"  {option.name}", option.short_type, default_text(option.default), option.meaning)
            for option in options
        ]
        if rows:
            _say(f"\n{title}", "bold")
            _table(rows, ("  name", "type", "default", "meaning"))


def default_text(value: Any) -> str:
    """A default as it is shown: "–" for none."""
    if value is Option.REQUIRED:
        return "required"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "–" if value is None or value == {} else str(value)


def _say(text: str, style: str = "") -> None:
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(Text(text, style))


def _table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ()) -> None:
    """Columns: folded to a terminal's width, or one line a row for a pipe."""
    if not sys.stdout.isatty():
        every = [header, *rows] if header else rows
        widths = [max(map(len, column)) for column in zip(*every, strict=True)]
        for row in every:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print("  ".join(cells).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=bool(header), header_style="dim", padding=(0, 2, 0, 0))
    for index in range(len(rows[0])):
        last = index == len(rows[0]) - 1
        style = "cyan" if index == 0 else None
        title = header[index] if header else ""
        table.add_column(title, style=style, no_wrap=index == 0, ratio=1 if last else None)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
