"""What the README and the documentation tell a newcomer to run, runs."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from registries import forget_afterwards

from zorl.cli.main import command_parser
from zorl.envs.twins.base import TWINS
from zorl.optimizers import METHODS
from zorl.recorders import RECORDERS
from zorl.search.gates import GATES

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block in a language."""
    return [
        (page.name, text)
        for page in PAGES
        for text in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_programs_run(
    page: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for registry in (METHODS, GATES, RECORDERS, TWINS):
        forget_afterwards(registry, monkeypatch)
    script = tmp_path / f"{page}.py"
    script.write_text(code)
    runpy.run_path(str(script), run_name="__main__")


def commands() -> list[tuple[str, str]]:
    """(page, command line after `zorl`) of every zorl command in a shell block."""
    found = []
    for page, text in blocks("bash"):
        joined = text.replace("\\\n", " ")
        for line in re.split(r"\n|&&", joined):
            match = re.match(r"\s*(?:\.venv/bin/)?zorl (.*)", line)
            if match and "…" not in line:
                found.append((page, match[1].split("  #")[0].strip()))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_are_understood(page: str, line: str) -> None:
    command_parser().parse_args(shlex.split(line))


def test_there_are_commands_and_programs() -> None:
    assert len(commands()) >= 8
    assert len(blocks("python")) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            slugs = [re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings]
            assert anchor in slugs, f"{page.name} links to {target}"


def test_the_marked_commands_are_there_for_ci() -> None:
    readme = (ROOT / "README.md").read_text()
    for marker in ("main job", "tests"):
        assert re.search(rf"^<!-- {marker} -->\n```bash\n.+\n```$", readme, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    assert not re.search(r"^[A-Z]{4,}$|TODO|FIXME|XXX", page.read_text(), re.M)


def test_the_list_of_public_names_is_current() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "update_api.py"))["page"]
    assert page() == (ROOT / "docs" / "api.md").read_text(), "run scripts/update_api.py"


def test_the_tables_of_what_is_registered_are_current() -> None:
    script = ROOT / "scripts" / "update_docs.py"
    # In a process of its own: the pages' programs have registered things in this one.
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    updated = runpy.run_path(str(script))["updated"]
    assert sum(len(re.findall("<!-- (?:table|names): ", page.read_text())) for page in PAGES) >= 8
    text = PAGES[0].read_text()
    stale = text.replace("`paired`", "`gone`")
    assert stale != text
    assert updated(stale) == updated(text)
