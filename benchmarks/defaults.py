"""What `zorl train --env X` reaches on twenty-odd tasks, with no other option than a budget.

Each cell is one run, a task and a seed, the same as

    zorl train --env ID --timesteps STEPS --seed SEED

Its result is a small file under --results; cells that have theirs are not run again, so the table
grows run by run. A run that is stopped (Ctrl-C, SIGTERM) goes on from its folder under --runs.

    python benchmarks/defaults.py --envs Swimmer-v5 Hopper-v5 --seeds 3
    python benchmarks/defaults.py --table      # runs nothing
    python benchmarks/defaults.py --page       # runs nothing; writes the table into the page

The table: mean of the runs' held-out returns (100 episodes each) with a 95 % interval over runs
(Student's t), the worst and the best run, the seconds of the search alone, and the figures that
others published for other algorithms, and sometimes for older versions of the task.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import make_agent
from zorl.agents.resuming import resume
from zorl.agents.training import run_config, train
from zorl.common.stats import mean_interval
from zorl.common.stop_signals import StopSignals
from zorl.common.storage import read_json, write_json
from zorl.runs.folder import RunFolder
from zorl.runs.result import RunResult

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "defaults"
PAGE = ROOT / "docs" / "benchmark.md"
MARK = re.compile(r"(<!-- results: defaults -->\n).*?(?=<!-- end -->)", re.S)


@dataclass(frozen=True)
class Row:
    """A task of the benchmark.

    Attributes:
        env_id: the task.
        steps: the budget of env steps.
        goal: the return that is aimed at; None where none was set.
        seeds: how many runs there are to be.
        published: figures of others: ARS · PPO · best other; "" where there are none.
    """

    env_id: str
    steps: int
    goal: float | None
    seeds: int = 5
    published: str = ""


ROWS = (
    Row("CartPole-v1", 50_000, 500, 5, "500 @50k · 500 @100k · DQN 500"),
    Row("Acrobot-v1", 200_000, -80, 5, "−82.9 @0.5M · −73.5 @1M · QR-DQN −69.1"),
    Row("Pendulum-v1", 3_000_000, -155, 5, "−212.5 @2M · −172.2 @0.1M · TQC −151.3"),
    Row("MountainCar-v0", 600_000, -99, 5, "−122 @0.5M · −110.4 @1M · DQN −100.9"),
    Row("MountainCarContinuous-v0", 2_000_000, 97, 5, "96.7 @0.5M · 88.3 @20k · SAC 94.7"),
    Row("InvertedPendulum-v5", 200_000, 1000),
    Row("InvertedDoublePendulum-v5", 500_000, 9300),
    Row("Reacher-v5", 1_000_000, -4.5),
    Row("Pusher-v5", 2_000_000, -30),
    Row("Swimmer-v5", 1_000_000, 360, 5, "355.3 @2M · 281.6 @1M · TRPO 365.7 (v3)"),
    Row("Hopper-v5", 2_000_000, 3400, 5, "3,344 @7M · 2,410 @1M · TQC 3,754 (v3)"),
    Row("HalfCheetah-v5", 4_000_000, 5000, 5, "4,815 @12M · 5,819 @1M · TQC 12,090 (v3)"),
    Row("Walker2d-v5", 10_000_000, 4400, 3, "2,994 @75M · 3,479 @1M · TRPO 4,933 (v3)"),
    Row("Ant-v5", 10_000_000, 4000, 3, "2,334 @75M · 1,327 @1M · TD3 5,813 (v3)"),
    Row("Humanoid-v5", 20_000_000, 6000, 3),
    Row("HumanoidStandup-v5", 20_000_000, None, 3),
    Row("LunarLander-v3", 1_000_000, 250, 5, "– · 242.1 @1M · – (v2)"),
    Row("LunarLanderContinuous-v3", 1_000_000, 270, 5, "168.0 @2M · 270.9 @1M · TQC 278.0 (v2)"),
    Row("BipedalWalker-v3", 10_000_000, 300, 3, "– · 287.9 @5M · TQC 329.8"),
    Row("BipedalWalkerHardcore-v3", 30_000_000, None, 3),
    Row("FrozenLake-v1", 200_000, None),
    Row("FrozenLake8x8-v1", 500_000, None),
    Row("Taxi-v4", 1_000_000, None),
    Row("CliffWalking-v1", 500_000, -13),
)


def run_cell(row: Row, seed: int, runs: Path, stop: Any) -> RunResult:
    """Train one run, or go on with it."""
    path = runs / f"{row.env_id}__{seed}"
    if (path / "config.json").exists():
        return resume(RunFolder.open(path), stop=stop)
    agent = make_agent("auto", row.env_id, seed=seed)
    try:
        plan = TrainingPlan(total_timesteps=row.steps)
        return train(agent, plan, RunFolder.create(path, run_config(agent, plan)), stop=stop)
    finally:
        agent.close()


def cell_of(row: Row, result: RunResult, folder: RunFolder) -> dict[str, Any]:
    """What is kept of a run; JSON types."""
    assert result.held_out is not None
    config = folder.read_config()
    kept = ("agent", "options", "hidden", "normalize", "episodes", "alive_bonus_offset", "source")
    return {
        "env_id": row.env_id,
        "seed": result.seed,
        "steps": row.steps,
        "held_out": result.held_out.native_return.estimate,
        "episodes": result.held_out.episodes,
        "trained": result.env_steps.training,
        "seconds": round(result.seconds, 1),
        "parameters": result.parameters,
        "curve": [
            [point["env_steps"], round(point["seconds"], 1), round(point["native_return"], 2)]
            for point in result.curve
        ],
        "config": {name: config["agent"][name] for name in kept},
        "versions": config["versions"],
    }


def cell_file(results: Path, row: Row, seed: int) -> Path:
    """Where a cell's result is."""
    return results / f"{row.env_id}__{row.steps}__{seed}.json"


def table(results: Path, rows: tuple[Row, ...]) -> str:
    """The table of the cells that there are."""
    lines = [
        "| task | env steps | goal | zorl | worst to best | runs | agent | parameters | search, s "
        "| published: ARS · PPO · best |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            read_json(path) for path in sorted(results.glob(f"{row.env_id}__{row.steps}__*.json"))
        ]
        if not cells:
            continue
        returns = [cell["held_out"] for cell in cells]
        spread = f"{_figure(min(returns))} to {_figure(max(returns))}"
        seconds = sum(cell["seconds"] for cell in cells) / len(cells)
        agents = sorted({cell["config"]["agent"] for cell in cells})
        goal = "–" if row.goal is None else _figure(row.goal)
        lines.append(
            f"| {row.env_id} | {row.steps:,} | {goal} | {_mean(returns)} | {spread} | {len(cells)} "
            f"| {', '.join(agents)} | {cells[0]['parameters']:,} | {seconds:.0f} "
            f"| {row.published or '–'} |"
        )
    return "\n".join(lines) + "\n"


def _mean(returns: list[float]) -> str:
    interval = mean_interval(returns)
    if len(returns) < 3:
        return _figure(interval.estimate)
    return f"{_figure(interval.estimate)} [{_figure(interval.low)}, {_figure(interval.high)}]"


def _figure(value: float) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".replace("-", "−")


def run_missing(rows: tuple[Row, ...], seeds: int | None, results: Path, runs: Path) -> bool:
    """Run the cells without a result; False if a signal stopped it."""
    results.mkdir(parents=True, exist_ok=True)
    with StopSignals() as stop:
        for row in rows:
            for seed in range(seeds or row.seeds):
                file = cell_file(results, row, seed)
                if file.exists():
                    continue
                result = run_cell(row, seed, runs, stop)
                if not result.finished:
                    return False
                cell = cell_of(row, result, RunFolder.open(runs / f"{row.env_id}__{seed}"))
                write_json(file, cell)
                print(f"{row.env_id} {seed}: {_figure(cell['held_out'])}", file=sys.stderr)
    return True


def main() -> int:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=[row.env_id for row in ROWS], metavar="ID")
    parser.add_argument("--seeds", type=int, metavar="N", help="runs of a task (default: 3 or 5)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=Path("runs/defaults"), metavar="FOLDER")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table")
    parser.add_argument("--page", action="store_true", help="run nothing, write it into the page")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it works")
    args = parser.parse_args()
    if args.smoke:
        rows: tuple[Row, ...] = (
            Row("CartPole-v1", 3000, 500, 1),
            Row("FrozenLake-v1", 2000, None, 1),
        )
        with TemporaryDirectory() as name:
            run_missing(rows, None, Path(name), Path(name))
            print(table(Path(name), rows), end="")
        return 0
    if args.page:
        new = MARK.sub(lambda found: found[1] + table(args.results, ROWS), PAGE.read_text())
        PAGE.write_text(new)
        return 0
    rows = tuple(row for row in ROWS if row.env_id in args.envs)
    if not args.table and not run_missing(rows, args.seeds, args.results, args.runs):
        return 1
    print(table(args.results, rows), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
