"""Write the tables of the documentation that list what is registered: methods, gates, options, …

    python scripts/update_docs.py            # writes the tables
    python scripts/update_docs.py --check    # exit status 1 if one is not up to date

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; names within a line stand between
`<!-- names: KIND -->` and `<!-- end -->`. What is around them is kept.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from zorl.agents.search.config import CHOICES, SearchConfig
from zorl.cli.arguments import NOT_FLAGS
from zorl.cli.flags import meaning
from zorl.cli.listing import Section, default_text, sections
from zorl.common.options import Option, describe_options
from zorl.optimizers.registry import METHODS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SECTIONS = {section.title: section for section in sections()}


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def cell(text: str) -> str:
    """Text that does not end its cell; Gymnasium's docstrings are in reStructuredText."""
    return text.replace("|", "\\|").replace("``", "`")


def options_of(section: Section, name: str) -> str:
    """The names of what can be set of a thing."""
    tables = section.tables(name)
    return ", ".join(f"`{option.name}`" for option in tables[0][1]) if tables else ""


def with_options(section: Section, names: Iterable[str]) -> str:
    """A table of names, what they are, and their options."""
    return table(
        ("name", "what it is", "options"),
        ((f"`{name}`", section.lines[name], options_of(section, name)) for name in names),
    )


def plain(section: Section) -> str:
    """A table of names and what they are."""
    return table(
        ("name", "what it is"), ((f"`{name}`", text) for name, text in section.lines.items())
    )


def search_options() -> str:
    """The options that every search agent has."""

    def row(option: Option) -> tuple[str, str, str]:
        default = default_text(option.default)
        shown = "by agent" if option.name in by_agent else "" if default == "–" else f"`{default}`"
        return f"`{option.name}`", shown, meaning(option, CHOICES.get(option.name, ()))

    by_agent = {option for agent in METHODS for option in METHODS.defaults(agent)}
    options = [item for item in describe_options(SearchConfig) if item.name not in NOT_FLAGS]
    return table(("option", "default", "meaning"), map(row, options))


def chosen(index: int) -> str:
    """One of the tables by which the agent `auto` chooses."""
    _, header, rows = SECTIONS["agents"].rules("auto")[index]
    return table(header, rows)


TABLES: dict[str, Callable[[], str]] = {
    "methods": lambda: with_options(SECTIONS["agents"], METHODS),
    "search options": search_options,
    "auto policies": lambda: chosen(0),
    "auto agents": lambda: chosen(1),
    "backends": lambda: plain(SECTIONS["backends"]),
    "normalisations": lambda: plain(SECTIONS["normalisations"]),
    "activations": lambda: plain(SECTIONS["activations"]),
    **{
        kind: lambda kind=kind: with_options(SECTIONS[kind], SECTIONS[kind].lines)  # type: ignore[misc]
        for kind in ("gates", "wrappers", "recorders")
    },
}


def updated(text: str) -> str:
    """A page with its tables and names as they are to be."""

    def new_table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]]()}<!-- end -->"

    def new_names(match: re.Match[str]) -> str:
        names = ", ".join(f"`{name}`" for name in SECTIONS[match[2]].lines)
        begin = len(match[1])  # the markers are in the middle of a list's lines
        lines = textwrap.wrap(
            names,
            118,
            initial_indent=" " * begin,
            subsequent_indent="  ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        return match[1] + "\n".join(lines).lstrip() + "<!-- end -->"

    text = re.sub(r"(<!-- table: ([^>]+) -->)\n.*?<!-- end -->", new_table, text, flags=re.S)
    return re.sub(r"([^\n]*<!-- names: ([^>]+) -->).*?<!-- end -->", new_names, text, flags=re.S)


def main() -> int:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = [page for page in PAGES if updated(page.read_text()) != page.read_text()]
    for page in stale:
        if check:
            print(f"{page} is not up to date: run make docs", file=sys.stderr)
        else:
            page.write_text(updated(page.read_text()))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
