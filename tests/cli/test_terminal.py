"""What happens when the terminal is closed."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_runs import ROOT, Capture

from zorl.cli.main import main
from zorl.common.storage import read_json
from zorl.runs.curves import read_curve
from zorl.runs.folder import RunFolder

pytestmark = pytest.mark.slow


def on_a_terminal(*arguments: str, ignoring: bool = False) -> tuple[int, int]:
    """Start `zorl` on a terminal of its own: its process, and the other end of the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        if ignoring:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'tests' / 'helpers'}"
        os.execv(sys.executable, [sys.executable, "-m", "zorl", *arguments])
    return pid, terminal


def wait_for_validation(path: Path, points: int = 2) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or len(read_curve(path)) < points:
        assert time.monotonic() < deadline, "no run under way"
        time.sleep(0.02)


def status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


LONG = ["--env", "CartPole-v1", "--validate-every", "3000", "--validate-episodes", "1",
        "--held-out", "3"]  # fmt: skip


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run_whose_terminal_is_closed_is_saved_and_goes_on(
    workers: str, tmp_path: Path, capsys: Capture
) -> None:
    folder = RunFolder(tmp_path / "run")
    options = [*LONG, "--agent", "random-search", "--timesteps", "60_000"]
    backend = ["--backend", "gymnasium", "--workers", workers]
    pid, terminal = on_a_terminal("train", *options, *backend, "--out", str(folder.path))
    wait_for_validation(folder.validation)
    os.close(terminal)
    assert status(pid) == 128 + signal.SIGHUP
    result = read_json(folder.result)
    assert result["status"] == "interrupted"
    assert result.get("workers", {"replaced": 0})["replaced"] == 0  # no worker was hung up
    assert not (folder.path / ".lock").exists()
    assert main(["resume", str(folder.path), "--quiet", "--no-tensorboard"]) == 0
    assert read_json(folder.result)["curve"][:2] == result["curve"][:2]


def test_a_run_that_ignores_it_goes_on_unseen(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    options = [*LONG, "--agent", "random-search", "--timesteps", "20_000"]
    options += ["--backend", "gymnasium", "--no-tensorboard"]
    pid, terminal = on_a_terminal("train", *options, "--out", str(folder.path), ignoring=True)
    wait_for_validation(folder.validation)
    os.close(terminal)
    assert status(pid) == 0
    assert read_json(folder.result)["status"] == "finished"


def test_a_run_needs_no_standard_streams(tmp_path: Path) -> None:
    options = [*LONG[:2], "--agent", "random-search", "--timesteps", "300", "--held-out", "2"]
    words = [sys.executable, "-m", "zorl", "train", *options, "--backend", "gymnasium"]
    command = f"{shlex.join([*words, '--out', str(tmp_path / 'run')])} <&- >&- 2>&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", command], env=environment).returncode == 0
    assert read_json(tmp_path / "run" / "result.json")["status"] == "finished"
    for path in (tmp_path / "run").glob("*.*"):  # none of them took the number of a closed stream
        assert b"held-out native return" not in path.read_bytes()


def test_a_comparison_whose_terminal_is_closed_keeps_its_runs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [*LONG, "--agents", "cma-es(backend=gymnasium)", "--seeds", "2", "--jobs", "2"]
    pid, terminal = on_a_terminal("compare", *options, "--timesteps", "200_000", "--out", str(out))
    for seed in (0, 1):
        wait_for_validation(out / "runs" / f"cma-es(backend=gymnasium)__{seed}" / "validation.csv")
    os.close(terminal)
    assert status(pid) == 128 + signal.SIGHUP
    runs = read_json(out / "table.json")["runs"]
    assert [run["status"] for run in runs] == ["interrupted", "interrupted"]
