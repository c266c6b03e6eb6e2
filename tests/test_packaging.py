"""The wheel: built, installed elsewhere, and run from another directory."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built without network: the build's needs are installed."""
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "zorl"
    # A copy, because setuptools leaves build/ and *.egg-info in the folder that it builds.
    names = ["pyproject.toml", "README.md", "LICENSE", "zorl", "agents", "envs"]
    source.mkdir()
    for name in names:
        subprocess.run(["cp", "-a", str(ROOT / name), str(source / name)], check=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_zorl_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"zorl"}
    expected = {
        f"{inside}/{path.relative_to(ROOT / folder)}"
        for folder, inside in (("zorl", "zorl"), ("agents", "zorl/agents"), ("envs", "zorl/envs"))
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".pyi", ".typed")
    }
    assert {name for name in names if name.startswith("zorl/")} == expected


def test_the_installed_wheel_runs_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # PYTHONPATH comes before the editable install of this checkout.
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=elsewhere, env=environment, text=True,
            capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import zorl.agents.registry as r, zorl.envs as e; print(r.__file__, e.__file__)"
    where = run("-c", code)
    assert all(Path(path).is_relative_to(site) for path in where.split())
    options = ("--env", "CartPole-v1", "--timesteps", "300", "--quiet", "--no-tensorboard")
    run("-m", "zorl.cli", "train", *options, "--run", "run", "--held-out", "5")
    assert (elsewhere / "run" / "agent.zip").is_file()
    assert "mnist " in run("-m", "zorl.cli", "study")
    assert "held-out native return" in run("-m", "zorl.cli", "evaluate", "run", "--episodes", "3")
