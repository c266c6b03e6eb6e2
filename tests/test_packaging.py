"""The wheel: built, installed elsewhere, and run from another directory."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this checkout's source distribution, and of the wheel made from that.

    They are built without network: the build's needs are installed.
    """
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "zorl"
    # A copy, because setuptools leaves build/ and *.egg-info in the folder that it builds.
    source.mkdir()
    subprocess.run(["cp", "-a", "--parents", *tracked(), str(source)], cwd=ROOT, check=True)
    for link in ("agents", "envs"):  # Windows has text files in their place
        target = (source / "zorl" / link).readlink()
        (source / "zorl" / link).unlink()
        (source / "zorl" / link).write_text(str(target))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def tracked() -> list[str]:
    """The files of this checkout."""
    if not (ROOT / ".git").exists():  # an unpacked source distribution
        pytest.skip("the files of a checkout are known to git alone")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if os.path.lexists(ROOT / name)]


def test_the_source_distribution_has_all_that_its_tests_need(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    names = {member.name.partition("/")[2] for member in members}
    links = {"zorl/agents", "zorl/envs"}
    assert set(tracked()) - names - links == {".gitignore"}


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


def test_a_checkout_without_links_is_imported(tmp_path: Path) -> None:
    for name in ("zorl", "agents", "envs"):
        subprocess.run(["cp", "-a", str(ROOT / name), str(tmp_path / name)], check=True)
    for link in ("agents", "envs"):
        (tmp_path / "zorl" / link).unlink()
        (tmp_path / "zorl" / link).write_text(f"../{link}")
    code = "import zorl.agents.registry as r, zorl.envs as e; print(r.__file__, e.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.split() == [
        str(tmp_path / "agents" / "registry.py"), str(tmp_path / "envs" / "__init__.py")
    ], done.stderr  # fmt: skip
