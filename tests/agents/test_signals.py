"""Signals stop real runs, with everything saved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_envs
from run_outcomes import outcome
from toy_envs import ENDLESS, WALK
from toy_runs import recorders

from zorl.agents.registry import load_agent
from zorl.agents.resuming import resume
from zorl.common.storage import read_json
from zorl.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 2)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_stops_a_real_run_and_resume_finishes_it(
    number: signal.Signals, workers: int, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    options = [
        *("--agent", "ars", "--env", WALK, "--env-set", "action=box", "--timesteps", "60_000"),
        *("--validate-every", "5_000", "--validate-episodes", "3", "--held-out", "4"),
        *("--set", "m=2", "--set", "top=2", "--episodes", "2", "--seed", "4", "--hidden", "4"),
        "--no-tensorboard",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(toy_envs.__file__).parent)}
    command = [sys.executable, "-m", "zorl.cli", "train", *options, f"--workers={workers}"]
    process = subprocess.Popen(
        [*command, "--run", path],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    folder = RunFolder(path)
    deadline = time.monotonic() + 60
    while not (folder.generations.exists() and folder.generations.stat().st_size):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)  # a terminal or a service manager signals the workers too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "interrupted" in out
    assert f"next: zorl resume {path}" in out
    agent = load_agent(folder.checkpoint)
    assert 0 < agent.num_timesteps < 60_000
    assert read_json(folder.result)["status"] == "interrupted"
    resume(folder, recorders(folder))
    left = outcome(folder)

    from zorl.cli.main import main

    again = tmp_path / "again"
    assert main(["train", *options, "--run", str(again), "--quiet"]) == 0
    expected = outcome(RunFolder(again))
    assert left == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_stops_an_episode_that_never_ends(workers: int, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    environment = {**os.environ, "PYTHONPATH": str(Path(toy_envs.__file__).parent)}
    command = [sys.executable, "-m", "zorl", "train", "--agent", "spsa", "--env", ENDLESS]
    options = ["--max-episode-steps=-1", "--timesteps=1e12", "--no-tensorboard"]
    process = subprocess.Popen(
        [*command, *options, f"--workers={workers}", "--run", folder.path],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not folder.generations.exists():  # recorders have started
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in err
    assert "interrupted" in out
    assert "no update moved" not in out
    assert load_agent(folder.checkpoint).num_timesteps == 0
