"""Measure the seconds from the start of a process to a solved Mountain Car: zorl, ARS and PPO.

The task is MountainCar-v0 with its native reward. A run stops when the mean of its validation
episodes is good enough, or at the end of its budget. It has solved the task if its policy then
reaches a mean of -110 over 100 held-out episodes. The time is that of the whole process: imports,
training, validation, the held-out estimate and writing files.

- zorl: `zorl train` with its defaults.
- sb3-contrib ARS with RL Baselines3 Zoo's settings and budget, two processes (`--peer-python`).
- PPO with the Zoo's settings and budget: `zorl train --agent ppo`, which trains with
  stable-baselines3. A run takes minutes.

    python benchmarks/solve_mountain_car.py --peer-python PATH
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zorl.runs.result import RunResult

SOLVED = -110.0
STOP_AT = -108.0  # with a margin, because the best of many validations is biased
VALIDATION = 100
HELD_OUT = 100
CONTESTANTS = ("zorl", "ars", "ppo")
NAMES = {"zorl": "zorl train", "ars": "sb3-contrib ARS, Zoo", "ppo": "PPO, Zoo"}
BUDGETS = {"zorl": 500_000, "ars": 500_000, "ppo": 1_000_000}  # the peers' budgets, as published
VALIDATE_EVERY = {"zorl": 50_000, "ars": 10_000, "ppo": 50_000}


@dataclass(frozen=True)
class Run:
    """One run of a contestant."""

    contestant: str
    seed: int
    seconds: float
    env_steps: int
    held_out: float

    @property
    def solved(self) -> bool:
        """Whether the held-out mean reaches the target."""
        return self.held_out >= SOLVED


def zorl_run(contestant: str, seed: int, extra: list[str]) -> dict[str, Any]:
    """Run `zorl train` in a separate process."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        command = [
            *(str(Path(sys.executable).with_name("zorl")), "train", "--quiet"),
            *("--env", "MountainCar-v0", "--seed", str(seed), "--run", str(folder)),
            *("--timesteps", str(BUDGETS[contestant])),
            *("--validate-every", str(VALIDATE_EVERY[contestant])),
            *("--validate-episodes", str(VALIDATION), "--held-out", str(HELD_OUT)),
            *("--stop-at", str(STOP_AT), *extra),
        ]
        if contestant == "ppo":
            command += ["--agent", "ppo", "--settings", "tuned"]
        finish(command)
        result = RunResult.read(folder / "result.json")
    assert result.held_out is not None
    return {
        "env_steps": result.env_steps.training,
        "held_out": result.held_out.native_return.estimate,
    }


def ars_run(python: str, seed: int) -> dict[str, Any]:
    """Run sb3-contrib's ARS in a separate process."""
    script = Path(__file__).parent / "peers" / "sb3_solve.py"
    numbers = (seed, BUDGETS["ars"], STOP_AT, VALIDATE_EVERY["ars"], VALIDATION, HELD_OUT)
    answer: dict[str, Any] = json.loads(finish([python, str(script), *map(str, numbers)]))
    return answer


def finish(command: list[str]) -> str:
    """Run a command and return its output."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def measure(contestant: str, seed: int, peer_python: str | None, extra: list[str]) -> Run:
    """Time one run from outside its process."""
    began = time.perf_counter()
    if contestant == "ars":
        assert peer_python is not None
        result = ars_run(peer_python, seed)
    else:
        result = zorl_run(contestant, seed, extra if contestant == "zorl" else [])
    seconds = time.perf_counter() - began
    return Run(contestant, seed, seconds, int(result["env_steps"]), float(result["held_out"]))


def table(runs: list[Run]) -> str:
    """Format a Markdown table, one row per contestant; a failure counts with its whole budget."""
    lines = [
        "| contestant | solved | seconds, process start included: median (range) "
        "| env steps | held-out return |",
        "|---|---|---|---|---|",
    ]
    for contestant in dict.fromkeys(run.contestant for run in runs):
        some = [run for run in runs if run.contestant == contestant]
        seconds = [run.seconds for run in some]
        steps = np.median([run.env_steps for run in some])
        returns = [run.held_out for run in some]
        lines.append(
            f"| {NAMES[contestant]} | {sum(run.solved for run in some)} of {len(some)} "
            f"| {np.median(seconds):.1f} ({min(seconds):.1f}–{max(seconds):.1f}) | {steps:,.0f} "
            f"| {np.median(returns):.1f} ({min(returns):.1f}–{max(returns):.1f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all contestants, seed by seed, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="a Python that has sb3-contrib")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--seeds", type=int, default=5, help="runs of zorl")
    parser.add_argument("--peer-seeds", type=int, default=3, help="runs of each peer")
    parser.add_argument(
        "--json", type=Path, help="write every run to this file, and resume from it"
    )
    parser.add_argument("--extra", nargs="*", default=[], help="options of `zorl train`: --extra=…")
    args = parser.parse_args()
    chosen = [c for c in args.contestants if c != "ars" or args.peer_python]
    if len(chosen) < len(args.contestants):
        print("skipped: sb3-contrib ARS, because --peer-python is not given")
    runs: list[Run] = []
    if args.json and args.json.exists():
        runs = [Run(**run) for run in json.loads(args.json.read_text())]
    for seed in range(max(args.seeds, args.peer_seeds)):
        for contestant in chosen:
            known = any((run.contestant, run.seed) == (contestant, seed) for run in runs)
            if known or seed >= (args.seeds if contestant == "zorl" else args.peer_seeds):
                continue
            runs.append(measure(contestant, seed, args.peer_python, args.extra))
            run = runs[-1]
            print(
                f"{NAMES[contestant]}, seed {seed}: {run.seconds:.1f} s, {run.env_steps:,} steps, "
                f"held-out {run.held_out:.1f}{'' if run.solved else ', not solved'}",
                file=sys.stderr,
            )
            if args.json:
                args.json.write_text(json.dumps([vars(run) for run in runs], indent=1) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
