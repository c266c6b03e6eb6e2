"""Write docs/api.md: every public name of every package, with the first line of its docstring.

    python scripts/update_api.py            # writes the page
    python scripts/update_api.py --check    # exit status 1 if the page is not up to date

The names are those of the `.pyi` file of each package. The introduction of the page is kept.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from zorl.common.registry import Registry

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
PACKAGES = (
    "zorl",
    "zorl.agents",
    "zorl.comparison",
    "zorl.search",
    "zorl.optimizers",
    "zorl.policies",
    "zorl.networks",
    "zorl.envs",
    "zorl.export",
    "zorl.rollout",
    "zorl.recorders",
    "zorl.runs",
    "zorl.testing",
    "zorl.studies",
    "zorl.common",
    "zorl.cli",
)
MARKER = "<!-- From here on written by scripts/update_api.py from docstrings and .pyi files. -->\n"


def summary_of(thing: Any) -> str:
    """Return the first line of a docstring; of a value, what it is."""
    owner = getattr(thing, "__self__", None)
    if isinstance(owner, Registry):
        text = f"Decorator that registers a {owner.kind} under a name."
    elif isinstance(thing, Registry):
        text = f"Registry: every {thing.kind} by its name."
    elif isinstance(thing, Mapping):
        text = f"Mapping with the keys {', '.join(thing)}."
    elif inspect.isclass(thing) or inspect.isroutine(thing) or isinstance(thing, ModuleType):
        text = re.split(r"\n\s*\n", inspect.getdoc(thing) or "")[0].replace("\n", " ")
    else:
        text = f"Type: `{re.sub('[a-z]+[.]', '', str(thing))}`."
    return text.replace("|", "\\|")


def section(package: str) -> str:
    """Return the table of one package."""
    module = importlib.import_module(package)
    lines = [f"\n## {package}\n", f"{summary_of(module)}\n", "| name | what it is |", "|---|---|"]
    for name in sorted(module.__all__, key=str.lower):
        if not name.startswith("__"):
            lines.append(f"| `{name}` | {summary_of(getattr(module, name))} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the whole page."""
    introduction, marker, _ = PAGE.read_text().partition(MARKER)
    return introduction + marker + "".join(map(section, PACKAGES))


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = page()
    if parser.parse_args().check:
        current = PAGE.read_text() == text
        if not current:
            print(f"{PAGE} is not up to date: run {Path(__file__).name}", file=sys.stderr)
        return 0 if current else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
