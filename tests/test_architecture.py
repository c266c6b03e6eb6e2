"""The rooms of docs/design.md: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the lowest to the highest: a package may import those before it. Every module of zorl lies
# in one of them; what is new gets a line here and in docs/design.md.
LAYERS = (
    "zorl.common",
    "zorl.optimizers",
    "zorl.networks",
    "zorl.policies",
    "zorl.export",
    "zorl.envs",
    "zorl.recorders",
    "zorl.rollout",
    "zorl.search",
    "zorl.testing",
    "zorl.runs",
    "zorl.agents",
    "zorl.comparison",
    "zorl.studies",
    "zorl.cli",
)
# Inside of zorl.rollout: what the kinds share lies beside them, and no kind knows a later one.
KINDS = ("local", "vector", "compiled", "processes", "ray")
# Modules that lie in zorl/ itself, and why.
LOOSE = {
    "zorl": "the public names, loaded when they are used",
    "zorl.__main__": "python -m zorl",
}
# Folders that stand at the top level and are installed as packages of zorl.
LINKED = {"agents": "zorl.agents", "envs": "zorl.envs"}
PURE = {"numpy", "scipy", "typing_extensions", "zorl"}  # all that zorl.optimizers imports


def modules() -> dict[str, Path]:
    found = {}
    for folder, package in (("zorl", "zorl"), *LINKED.items()):
        for path in (ROOT / folder).rglob("*.py"):
            inside = path.relative_to(ROOT / folder)
            if folder == "zorl" and f"zorl.{inside.parts[0]}" in LINKED.values():
                continue  # the links
            parts = inside.with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


MODULES = modules()


def room(module: str) -> str:
    """The package of zorl that a module lies in."""
    return ".".join(module.split(".")[:2])


@cache
def imported(path: Path) -> set[tuple[str, str]]:
    """(module, name) of all imports of a file, also inside functions; the name may be empty."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add((whole, "") if whole in MODULES else (node.module, alias.name))
    return found


@cache
def uses() -> dict[str, set[str]]:
    """The other packages that each package of zorl imports."""
    found: dict[str, set[str]] = {name: set() for name in LAYERS}
    for module, path in MODULES.items():
        others = {room(name) for name, _ in imported(path) if name.startswith("zorl.")}
        found.setdefault(room(module), set()).update(others - {room(module)})
    return found


def test_every_module_lies_in_a_known_room() -> None:
    loose = {name for name in MODULES if room(name) not in LAYERS}
    assert loose == set(LOOSE), "a new package needs a line in LAYERS and in docs/design.md"


def test_no_room_points_upwards() -> None:
    for package, others in uses().items():
        if package in LAYERS:
            own = LAYERS.index(package)
            higher = {name for name in others if LAYERS.index(name) > own}
            assert not higher, f"{package} imports {higher}, which stand above it"


def test_the_kinds_of_rollout_stand_side_by_side() -> None:
    prefix = "zorl.rollout."
    for module, path in MODULES.items():
        kind = module.removeprefix(prefix).partition(".")[0]
        if not module.startswith(prefix) or kind not in KINDS:
            continue
        for name, _ in imported(path):
            other = name.removeprefix(prefix).partition(".")[0]
            if name.startswith(prefix) and other in KINDS:
                assert KINDS.index(other) <= KINDS.index(kind), f"{module} imports {name}"


def test_no_room_reaches_for_another_s_private_names() -> None:
    for module, path in MODULES.items():
        for name, attribute in imported(path):
            if name.startswith("zorl") and room(name) != room(module):
                private = [part for part in (*name.split("."), attribute) if part[:1] == "_"]
                assert not [part for part in private if part[:2] != "__"], f"{module}: {name}"


def drawing() -> dict[str, set[str]]:
    """Package and what it uses, of every line of the drawing in docs/design.md."""
    text = (ROOT / "docs" / "design.md").read_text()
    block = re.search(r"<!-- rooms -->\n```\n(.*?)```", text, re.S)
    assert block is not None
    lines = re.findall(r"^(\w+) .*→ ?(.*)$", block[1], re.M)
    return {f"zorl.{name}": {f"zorl.{other}" for other in row.split()} for name, row in lines}


def test_the_drawing_of_the_rooms_is_true() -> None:
    drawn = drawing()
    assert drawn == {package: uses()[package] for package in LAYERS}
    assert list(drawn) == list(reversed(LAYERS))  # drawn from the roof down


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("zorl.optimizers")])
def test_optimizers_are_pure_numerics(module: str) -> None:
    names = {name for name, _ in imported(MODULES[module])}
    outside = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    assert outside <= {*PURE, "lazy_loader"}
    assert {room(name) for name in names if name.startswith("zorl")} <= {
        "zorl.optimizers",
        "zorl.common",
    }


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    return set(done.stdout.split())


HEAVY = {"torch", "stable_baselines3", "tensorboard", "matplotlib", "pygame", "PIL", "ray", "numba"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import zorl", {"numpy", "scipy", "gymnasium", "rich", *HEAVY}),
        # main() sets the number of BLAS threads before numpy is loaded.
        ("from zorl.cli.main import command_parser; command_parser('')", {"numpy", "gymnasium"}),
        ("from zorl import optimizers, search; optimizers.CMAES; search.Search", {"gymnasium"}),
        ("import zorl.agents.registry, zorl.agents.training", HEAVY),
        ("import zorl.rollout.ray.backend", {"ray"}),
        (
            "import zorl.studies.base, zorl.studies.data, zorl.search.checkpointed",
            {"torch", "matplotlib"},
        ),
        ("from zorl.recorders import RECORDERS; RECORDERS.summaries()", HEAVY),
        ("import zorl.networks.node_perturbation", {"torch"}),
        ("import zorl.rollout.vector.runner", {"envpool", "torch", "numba"}),
    ],
)
def test_heavy_libraries_load_where_they_are_used(statement: str, absent: set[str]) -> None:
    assert not loaded_by(statement) & absent


# Imports each package in a process of its own, so that the order of imports hides nothing. They
# are forks of one that has the heavy libraries, because to load those takes seconds.
LOAD_EACH = """
import importlib, os, sys, traceback
for name in ("numpy", "scipy.stats", "gymnasium", "rich", "torch", "matplotlib"):
    importlib.import_module(name)
for name in sys.argv[1:]:
    assert not any(module.partition(".")[0] == "zorl" for module in sys.modules)
    if os.fork() == 0:
        try:
            package = importlib.import_module(name)
            assert package.__all__ and all(getattr(package, n) is not None for n in package.__all__)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.wait()[1] == 0, name
"""


@pytest.mark.slow
def test_every_public_name_of_a_room_loads() -> None:
    command = [sys.executable, "-c", LOAD_EACH, *LAYERS]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("folder", "package"), LINKED.items())
def test_the_links_are_relative_and_committed(folder: str, package: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("a source distribution has no links")
    link = ROOT / package.replace(".", "/")
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{folder}"


@pytest.mark.parametrize(("folder", "package"), LINKED.items())
def test_the_folders_refuse_another_name(folder: str, package: str) -> None:
    path = ROOT / folder
    done = subprocess.run(
        [sys.executable, "-c", f"import {path.name}"],
        capture_output=True, text=True, cwd=path.parent,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"this folder is the package {package}" in done.stderr


def test_the_build_knows_every_package() -> None:
    """A folder that pyproject.toml does not list would be missing from a wheel."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^packages = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert listed is not None
    packages = [name for name, path in MODULES.items() if path.name == "__init__.py"]
    assert sorted(re.findall(r'"([\w.]+)"', listed[1])) == sorted(packages)
