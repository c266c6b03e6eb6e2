"""Whole runs whose workers, or which themselves, are killed at random: the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import run_outcomes
from toy_envs import WALK

from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.agents.training import run_config, train
from zorl.common.storage import read_json
from zorl.envs import make_task
from zorl.recorders.jsonl import JsonlRecorder
from zorl.runs.folder import RunFolder

ROOT = Path(__file__).parents[3]


def outcome(folder: RunFolder) -> dict[str, Any]:
    """All that a run left, the best policy too."""
    return {**run_outcomes.outcome(folder), "best": folder.best.read_bytes()}


@pytest.mark.parametrize("agent_name", ["ars", "cma-es"])
def test_a_search_whose_workers_are_killed_at_random(agent_name: str, tmp_path: Path) -> None:
    """By SIGKILL from a thread, also while they start; nothing but times may differ."""
    plan = TrainingPlan(9_000, validate_every=3_000, validate_episodes=3, held_out=5)
    task = make_task(WALK, env_kwargs={"nap": 0.002})
    outcomes, killed, replaced = [], set[int](), 0
    for workers in (1, 2):
        agent = make_agent(
            agent_name, task, "default", workers, hidden=(3,), gate="paired", episodes=4, seed=3
        )
        assert isinstance(agent, SearchAgent)
        processes = agent.processes
        folder = RunFolder.create(tmp_path / f"run-{workers}", run_config(agent, plan))
        if processes is not None:  # the assassin may well meet one innocent episode three times
            processes.retries = 100
        over = threading.Event()

        def assassin(pool: list[Any], over: threading.Event = over) -> None:
            """Eight deaths, of workers at work and, one in four, of workers that start."""
            chance = random.Random(5)
            while len(killed) < 8 and not over.wait(0.02 * chance.random()):
                ready = len(killed) % 4 != 3
                alive = [w for w in list(pool) if w.ready == ready and (w.busy or not ready)]
                with contextlib.suppress(ValueError, ProcessLookupError):  # replaced at this moment
                    pid = chance.choice(alive).process.pid if alive else None
                    if pid is not None and pid not in killed:
                        os.kill(pid, signal.SIGKILL)
                        killed.add(pid)

        thread = threading.Thread(
            target=assassin, args=(processes.pool.workers if processes is not None else [],)
        )
        thread.start()
        try:
            train(agent, plan, folder, [JsonlRecorder(folder.generations)])
            if processes is not None:
                replaced = processes.replaced
        finally:
            over.set()
            thread.join()
            agent.close()
        outcomes.append(outcome(folder))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]["generations"]) >= 5
    assert len(killed) - 1 <= replaced <= len(killed)
    assert len(killed) >= 4


def test_a_run_that_is_killed_again_and_again_and_resumed(tmp_path: Path) -> None:
    """At random moments, and once at each of its file operations from the first to the last."""
    options = ["--agent", "ars", "--env", WALK, "--set", "m=2", "--set", "top=1", "--hidden", "3"]
    options += [
        "--gate",
        "paired",
        "--validate-every",
        "300",
        "--seed",
        "4",
    ]
    options += ["--validate-episodes", "1", "--held-out", "2", "--no-tensorboard"]
    options += ["--video-budget", "0", "--quiet"]
    code = "import sys, json, toy_jobs; from pathlib import Path; "
    code += "toy_jobs.kill_and_resume(Path(sys.argv[1]), json.loads(sys.argv[2]), 60)"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, json.dumps(options)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/helpers'}"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()[-2000:]
    report = read_json(tmp_path / "report.json")
    assert report["killed"] >= 50
    assert outcome(RunFolder(tmp_path / "torn")) == outcome(RunFolder(tmp_path / "long"))
    expected = outcome(RunFolder(tmp_path / "short"))
    assert len(expected["validation"]) == 4
    assert report["points"] > 20
    for point in range(report["points"]):
        assert outcome(RunFolder(tmp_path / f"point-{point}")) == expected, point
