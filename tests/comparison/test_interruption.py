"""Ctrl-C in the middle of a comparison, and processes that must not outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_jobs import describe, never_ends

from zorl.cli.main import main
from zorl.common.storage import read_json
from zorl.common.subprocesses import run_in_processes
from zorl.runs.curves import read_curve
from zorl.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def members(group: int) -> list[str]:
    """The command lines of a process group's living members."""
    found = subprocess.run(
        ["ps", "-wweo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(maxsplit=2) for line in found]
    return [row[-1] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


def test_an_interrupted_comparison_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = [
        *("--agents", "cma-es", "--env", "CartPole-v1", "--seeds", "2", "--timesteps", "60_000"),
        *("--validate-every", "3000", "--validate-episodes", "1", "--held-out", "3"),
        *("--out", str(out)),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "zorl.cli", "compare", *options, "--jobs", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    first = RunFolder(out / "runs" / "cma-es__0")
    try:
        wait_until(lambda: len(read_curve(first.validation)) > 1, "a run under way")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        printed, complaints = process.communicate(timeout=60)
        # Its helpers end when its pipes close, which on a busy machine is after it.
        wait_until(lambda: not members(process.pid), "the end of its processes")
    finally:
        if members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "Traceback" not in complaints
    assert f"--out {out} --resume" in complaints
    assert "0 (2 unfinished)" in printed
    assert [run["status"] for run in read_json(out / "table.json")["runs"]] == [
        "interrupted",
        "missing",
    ]
    rows = read_json(first.result)["curve"]

    assert main(["compare", *options, "--resume"]) == 0
    assert "kept" not in capsys.readouterr().err
    result = read_json(first.result)
    assert result["status"] == "finished"
    assert result["curve"][: len(rows)] == rows  # with their seconds: it did not start again
    assert len(result["curve"]) > len(rows)


def test_a_process_has_one_thread_and_does_not_hear_ctrl_c(tmp_path: Path) -> None:
    before = dict(os.environ)
    assert list(run_in_processes(describe, [(tmp_path / "it",)], 2, lambda: False)) == [(0, 3)]
    assert read_json(tmp_path / "it") == {"blocked": True, "threads": "1"}
    assert dict(os.environ) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_process_that_ignores_the_stop_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "begun"
    calls = [(path,), (path,)]
    began = time.monotonic()
    assert list(run_in_processes(never_ends, calls, 1, path.exists, grace=0.5)) == []
    assert path.exists()
    assert time.monotonic() - began < 30
    assert not multiprocessing.active_children()


def test_processes_end_with_their_parent() -> None:
    code = (
        "import time; from zorl.common.subprocesses import run_in_processes as run;"
        "list(run(time.sleep, [(90,), (90,)], 2, lambda: False))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def sleepers() -> list[str]:
        return [line for line in members(process.pid) if "spawn_main" in line]

    try:
        wait_until(lambda: len(sleepers()) == 2, "two processes")
        process.kill()
        process.wait()
        wait_until(lambda: not sleepers(), "their end")
    finally:
        if members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
