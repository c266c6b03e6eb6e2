"""Measure where the time of one generation goes: ask, rollouts, tell, gate, loop and records.

The table shows medians over generations of OpenAI-ES with a paired gate, normalised observations,
JSONL and TensorBoard, in one process.

    python benchmarks/generation.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from zorl.agents.registry import make_config
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.recorders.base import Recorders, Run
from zorl.recorders.event_log import EventLog
from zorl.recorders.jsonl import JsonlRecorder
from zorl.recorders.tensorboard import TensorBoardRecorder

PARTS = ("ask", "rollout", "tell", "gate")


def measure(env_id: str, backend: str, pairs: int, generations: int) -> dict[str, float]:
    """Return median milliseconds of each part of a generation, and env steps."""
    options = {"m": pairs, "episodes": 5, "gate": "paired", "backend": backend}
    config = make_config("openai-es", env_id, "default", **options)
    assert isinstance(config, SearchConfig)
    agent = SearchAgent(config)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        log = EventLog(folder)
        writers = [JsonlRecorder(folder / "generations.jsonl"), TensorBoardRecorder(log)]
        run = Run("run", agent, agent.task, agent.config, 10**9, folder, 0, 0)
        with Recorders(writers) as recorders:
            recorders.start(run)
            state = agent.state
            for index in range(generations + 3):
                began = time.perf_counter()
                generation = agent.search.step(state)
                stepped = time.perf_counter()
                recorders.record(generation)
                recorded = time.perf_counter()
                state = generation.state
                if index < 3:  # warm-up: compiles, opens environments
                    continue
                row = {part: getattr(generation.timing, part) for part in PARTS}
                row["loop"] = stepped - began - sum(row.values())
                row["records"] = recorded - stepped
                rows.append({name: 1e3 * seconds for name, seconds in row.items()})
                rows[-1]["env steps"] = generation.evaluation.env_steps
    agent.close()
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=["MountainCar-v0", "CartPole-v1"])
    parser.add_argument("--pairs", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--generations", type=int, default=100)
    args = parser.parse_args()
    names = (*PARTS, "loop", "records")
    print(f"| environment | backend | candidates × 5 | env steps | {' | '.join(names)} |")
    print(f"|{'---|' * (len(names) + 4)}")
    for env_id in args.envs:
        for pairs in args.pairs:
            for backend in ("compiled-fast", "compiled", "gymnasium"):
                slow = backend == "gymnasium"
                count = max(2, args.generations // 20) if slow else args.generations
                row = measure(env_id, backend, pairs, count)
                cells = " | ".join(f"{row[name]:.2f}" for name in names)
                print(
                    f"| {env_id} | {backend} | {2 * pairs} | {row['env steps']:,.0f} | {cells} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
