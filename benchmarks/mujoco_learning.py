"""Compare searches on `compiled-fast`, which end on the exact task, with exact ones of equal time.

Every seed is searched twice: exactly, and with cheaper physics, with as many more env steps as take
about the same time. Both last policies are judged on the exact task. CPU seconds are those of the
search alone, which runs on one thread, validation and estimates excluded.

    python benchmarks/mujoco_learning.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from zorl.agents.registry import make_agent
from zorl.common.streams import held_out_seeds
from zorl.rollout.compiled.mujoco import backend as mujoco_backend

# Env steps of an exact search.
STEPS = {"Swimmer-v5": 40_000, "Hopper-v5": 30_000, "InvertedDoublePendulum-v5": 30_000}
SPEED = 3.5  # of cheaper physics, times the exact twin's
OPTIONS = {"m": 8, "top": 4, "radius": 0.03, "learning_rate": 0.02, "hidden": (), "episodes": 1}


def searched(env_id: str, backend: str, steps: int, seed: int, episodes: int) -> list[float]:
    """CPU seconds of a search, and the mean held-out return of its last policy."""
    options = {**OPTIONS, "backend": backend, "seed": seed, "zero_policy": True}
    agent = make_agent("ars", env_id, "default", workers=1, **options)  # type: ignore[arg-type]
    agent.learn(1)  # what is loaded once
    began = time.process_time()
    agent.learn(steps)
    seconds = time.process_time() - began
    returns = agent.evaluate(held_out_seeds(episodes)).native_returns
    agent.close()
    return [seconds, float(returns.mean())]


def main() -> None:
    """Compare everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--held-out", type=int, default=10, help="episodes for each policy")
    parser.add_argument("--share", type=float, default=mujoco_backend.EXACT_SHARE)
    parser.add_argument("--scale", type=float, default=1.0, help="of the env steps")
    parser.add_argument("--smoke", action="store_true", help="seconds, one task")
    args = parser.parse_args()
    if args.smoke:
        args.envs, args.seeds, args.held_out = ["InvertedDoublePendulum-v5"], 1, 2
        args.scale = 0.01
    mujoco_backend.EXACT_SHARE = args.share
    more = 1 / (args.share + (1 - args.share) / SPEED)
    print("| task | env steps: exact, fast | CPU s: exact, fast | exact | fast | fast − exact |")
    print("|---|---|---|---|---|---|")
    for env_id in args.envs:
        steps = int(args.scale * STEPS[env_id])
        budgets = {"compiled": steps, "compiled-fast": int(more * steps)}
        found = np.array(
            [
                [searched(env_id, *budget, seed, args.held_out) for budget in budgets.items()]
                for seed in range(args.seeds)
            ]
        )  # (seeds, 2, 2)
        seconds, returns = found.mean(axis=0).T
        gains = found[:, 1, 1] - found[:, 0, 1]
        each = ", ".join(f"{gain:.0f}" for gain in gains)
        print(
            f"| {env_id} | {', '.join(f'{n:,}' for n in budgets.values())} "
            f"| {seconds[0]:.1f}, {seconds[1]:.1f} | {returns[0]:.1f} | {returns[1]:.1f} "
            f"| {gains.mean():.1f} ({each}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
