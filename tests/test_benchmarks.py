"""The benchmark programs run, on sizes of seconds; what they measure is no test's business."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("program", "arguments", "row"),
    [
        ("bbob.py", ["--smoke", "--methods", "cma-es", "spsa", "pycma"], "| cma-es |"),
        ("bbob.py", ["--smoke", "--methods", "random-search"], "| random-search |"),
        ("bbob_restarts.py", ["--smoke"], "| f5 linear slope | 2 |"),
        ("estimators.py", ["--draws", "300", "--dims", "2"], "| MPGE, m = d | ∇f | 2 | 1, exact"),
        (
            "cma_es.py",
            ["--dims", "3", "--functions", "sphere", "--runs", "2"],
            "| sphere, rotated | 3 | default | zorl | 2/2 |",
        ),
        (
            "optimizer_speed.py",
            ["--sizes", "51", "--repeats", "2", "--seconds", "0.01"],
            "| 51 | full | zorl | 15 |",
        ),
        (
            "rollouts.py",
            [
                *("--envs", "CartPole-v1", "--memory", "gru:4", "--processes", "1"),
                *("--wrapper", "mask-observation(keep=[0, 2])"),
                *("--repeats", "1", "--steps", "3000", "--m", "4"),
            ],
            "| CartPole-v1 |",
        ),
        ("memory.py", ["--smoke"], "| CartPole-v1 | a part, memory gru:8 | cma-es | 2,000 |"),
        ("module_policy.py", ["--lanes", "4", "--repeats", "1"], "| 8 |"),
        ("solve_mountain_car.py", ["--contestants", "zorl", "--seeds", "1"], "| zorl train |"),
        (
            "generation.py",
            ["--envs", "CartPole-v1", "--pairs", "2", "--generations", "2"],
            "| CartPole-v1 | compiled-fast | 4 |",
        ),
        ("vector.py", ["--smoke"], "| CartPole-v1 | 4 | vector, 64 lanes |"),
        ("rollout_peers.py", ["--smoke"], "| CartPole-v1, 4 × 1 | zorl, gymnasium |"),
        ("mujoco_tasks.py", ["--smoke"], "| InvertedPendulum-v5 |"),
        ("mujoco_fast.py", ["--smoke"], "| InvertedPendulum-v5 | Euler"),
        ("mujoco_learning.py", ["--smoke"], "| InvertedDoublePendulum-v5 |"),
        ("mujoco_start.py", ["--smoke"], "| InvertedPendulum-v5 |"),
        ("populations.py", ["--members", "20", "--ranks", "1", "--repeats", "1"], "| 1 | 20 |"),
        (
            "mujoco_twins.py",
            ["--envs", "InvertedPendulum-v4", "--steps", "100", "--train", "100"],
            "| InvertedPendulum-v4 | 1 | 5",
        ),
        ("defaults.py", ["--smoke"], "| FrozenLake-v1 | 2,000 |"),
        ("scaling.py", ["--smoke"], "| HalfCheetah-v5 | 10,000 | 10,000 |"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)
def test_a_benchmark_prints_its_table(program: str, arguments: list[str], row: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert row in done.stdout, done.stdout
