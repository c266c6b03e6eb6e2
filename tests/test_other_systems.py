"""What zorl does without the parts of Linux that Windows and macOS lack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHORT = ["--env", "CartPole-v1", "--timesteps", "600", "--validate-episodes", "1", "--held-out",
         "2"]  # fmt: skip


class System:
    """Runs `zorl` as on another system; also in the processes that it starts."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        code = f"import other_systems\nother_systems.hide({name!r})\n"
        (folder / "sitecustomize.py").write_text(code)
        path = [str(folder), str(ROOT), str(ROOT / "tests" / "helpers")]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        # A pipe of Windows has no sign for "≥"; files are not in UTF-8 unless they are told so.
        self.environment["PYTHONIOENCODING"] = "cp1252"
        self.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def zorl(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "zorl", *arguments], cwd=self.folder, env=self.environment,
            capture_output=True,
        )  # fmt: skip
        text = (done.stdout + done.stderr).decode("cp1252")
        assert done.returncode == code, text
        return text


@pytest.fixture(params=["windows", "macos"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    return System(request.param, tmp_path)


def test_all_but_supervised_processes_works(system: System) -> None:
    system.zorl("train", *SHORT, "--agent", "cma-es", "--out", "run")
    plain = ["--backend", "gymnasium", "--out", "plain", "--quiet"]
    system.zorl("train", *SHORT, "--agent", "ars", *plain)
    assert "held-out native return" in system.zorl("evaluate", "run", "--episodes", "2")
    system.zorl("watch", "run", "--out", "x.gif")
    assert (system.folder / "x.gif").read_bytes()[:3] == b"GIF"
    text = system.zorl("compare", *SHORT, "--agents", "cma-es", "--seeds", "1", "--jobs", "1")
    assert "[1/1] cma-es seed 0: held-out return" in text
    assert "is finished" in system.zorl("resume", "run", code=1)


def test_worker_processes_are_refused_or_work(system: System, tmp_path: Path) -> None:
    options = [*SHORT, "--agent", "ars", "--backend", "gymnasium", "--workers", "2", "--quiet"]
    if "windows" in (tmp_path / "sitecustomize.py").read_text():
        message = system.zorl("train", *options, "--out", "run", code=2)
        assert "worker processes need fcntl, which this system does not have" in message
        assert len(message.splitlines()) == 1
    else:
        assert ": finished" in system.zorl("train", *options, "--out", "run")
