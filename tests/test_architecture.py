"""The layers of docs/design.md: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the lowest to the highest; a module may import its own layer and those before it.
LAYERS = [
    ["zorl.errors", "zorl.plot_style"],
    ["zorl.streams", "zorl.stats", "zorl.options", "zorl.storage", "zorl.optimizers"],
    ["zorl.gates", "zorl.envs"],
    ["zorl.normalization", "zorl.spaces", "zorl.activations", "zorl.kernels", "zorl.parameters"],
    ["zorl.data", "zorl.minibatch", "zorl.networks"],
    ["zorl.policies"],
    ["zorl.module_policy", "zorl.policy_source"],
    ["zorl.rollout"],
    ["zorl.search"],
    ["zorl.optimize"],
    ["zorl.runs", "zorl.curves", "zorl.recorders", "zorl.replay"],
    ["zorl.long_search"],
    ["zorl.agents"],
    ["zorl"],  # cli, comparison and the other faces
]
# Folders that stand elsewhere and are installed as packages of zorl.
LINKED = {"agents": "zorl.agents", "envs": "zorl.envs", "scripts/studies": "zorl.studies"}
ONLY_NUMERICS = {"numpy", "scipy", "zorl"}


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


def imports(path: Path, top_level: bool) -> set[str]:
    """Modules that a file imports; `top_level`: only those at import, not inside functions."""
    tree = ast.parse(path.read_text())
    body: list[ast.AST] = list(ast.walk(tree))
    if top_level:
        body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def layer(module: str) -> int:
    matches = [
        (len(prefix), index)
        for index, group in enumerate(LAYERS)
        for prefix in group
        if module == prefix or module.startswith(prefix + ".")
    ]
    return max(matches)[1]


@pytest.mark.parametrize("module", sorted(modules()))
def test_nothing_points_upwards(module: str) -> None:
    own = layer(module)
    if module == "zorl":
        return  # the public face loads its names lazily, from everywhere
    for name in imports(modules()[module], top_level=False):
        if name == "zorl" or not name.startswith("zorl."):
            continue
        assert layer(name) <= own, f"{module} imports {name} from a higher layer"


@pytest.mark.parametrize(
    "module", [name for name in sorted(modules()) if name.startswith("zorl.optimizers")]
)
def test_optimizers_are_pure_numerics(module: str) -> None:
    outside = {
        name.split(".")[0]
        for name in imports(modules()[module], top_level=False)
        if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert outside <= ONLY_NUMERICS
    for name in imports(modules()[module], top_level=False):
        if name.startswith("zorl"):
            assert name.startswith(("zorl.optimizers", "zorl.errors"))


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import zorl",
            {
                "scipy",
                "gymnasium",
                "torch",
                "stable_baselines3",
                "tensorboard",
                "rich",
                "ray",
                "numba",
            },
        ),
        ("import zorl.cli", {"numpy"}),  # main() sets the number of BLAS threads before
        ("import zorl.optimizers, zorl.search", {"gymnasium", "torch", "stable_baselines3"}),
        (
            "import zorl.cli, zorl.agents.registry, zorl.agents.training",
            {
                "torch",
                "stable_baselines3",
                "tensorboard",
                "matplotlib",
                "pygame",
                "PIL",
                "ray",
                "numba",
            },
        ),
        ("import zorl.rollout.ray_backend", {"ray"}),
        ("import zorl.study, zorl.data, zorl.minibatch, zorl.long_search", {"torch", "matplotlib"}),
        ("import zorl.networks.node_perturbation", {"torch"}),
        ("import zorl.rollout.vector", {"envpool", "torch", "numba"}),
    ],
)
def test_heavy_libraries_load_where_they_are_used(statement: str, absent: set[str]) -> None:
    assert not loaded_by(statement) & absent


@pytest.mark.parametrize(("folder", "package"), LINKED.items())
def test_the_links_are_relative_and_committed(folder: str, package: str) -> None:
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
