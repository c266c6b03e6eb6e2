"""Measure env steps per second in vector environments, as a multiple of `GymnasiumRunner`'s.

Each side evaluates the same population on the same number of episodes in one process, with one
numerical thread. The sides alternate, and the median of the ratios within a round is reported,
because the speed of a core drifts. The measured time includes making EnvPool's environments,
because its episodes get their seeds in this way, in every generation.

    python benchmarks/vector.py --repeats 5
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # must be set before numpy is imported

import argparse
import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.storage import write_json
from zorl.common.streams import Streams
from zorl.envs import make_task
from zorl.envs.vector.envpool import PoolLanes
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.vector.runner import VectorRunner, check_vector

ENVS = ("CartPole-v1", "Pendulum-v1", "HalfCheetah-v5")
HIDDEN = ((8,), (32, 32))
EPISODES = 5


def runners(
    env_id: str, hidden: tuple[int, ...], threads: int
) -> tuple[MlpPolicy, dict[str, EnvRunner]]:
    """Return the runners that can play an environment, by name; the first is the yardstick."""
    task = make_task(env_id)
    env = task.make()
    encoder = ObservationEncoder.for_space(env.observation_space)
    policy = MlpPolicy(encoder.size, ActionDecoder.for_space(env.action_space), hidden)
    env.close()
    found: dict[str, EnvRunner] = {"GymnasiumRunner": GymnasiumRunner(task, policy, compiled=True)}
    for kind in ("vector", "envpool"):
        try:
            check_vector(task, kind)
        except ConfigurationError:  # EnvPool does not have this environment, or is not installed
            continue
        for lanes in (64, 256):
            found[f"{kind}, {lanes} lanes"] = VectorRunner(
                task, policy, kind, lanes, threads, compiled=True
            )
    return policy, found


def measure(
    env_id: str, hidden: tuple[int, ...], population: int, repeats: int, threads: int
) -> list[dict[str, Any]]:
    """Measure one row per runner: steps per second, and their ratio to the yardstick's."""
    policy, found = runners(env_id, hidden, threads)
    rng = np.random.default_rng(0)
    thetas = np.stack([policy.init(rng) for _ in range(population)])
    if env_id.startswith("CartPole"):  # some fall at once, others never
        outputs = policy.unpack(thetas)[-1][0]
        outputs[: population // 2] *= 3
    off = Normalizer.create("off", np.zeros(policy.inputs), np.zeros(policy.inputs))
    rates: dict[str, list[float]] = {name: [] for name in found}
    for repeat in range(repeats + 1):
        seeds = Streams(0).episodes(repeat, EPISODES)
        for name, runner in found.items():
            evaluator = RolloutEvaluator(SerialBackend(runner))
            began = time.perf_counter()
            steps = evaluator.evaluate(thetas, seeds, off).env_steps
            if repeat:  # the first round is the warm-up
                rates[name].append(steps / (time.perf_counter() - began))
    for runner in found.values():
        runner.close()
    base = np.array(rates["GymnasiumRunner"])
    return [
        {
            "env": env_id,
            "hidden": "-".join(map(str, hidden)),
            "runner": name,
            "rate": float(np.median(rate)),
            "ratio": float(np.median(np.array(rate) / base)),
            "spread": [float(v) for v in np.percentile(np.array(rate) / base, [25, 75])],
        }
        for name, rate in rates.items()
    ]


def making(env_id: str, count: int) -> tuple[float, float]:
    """Return the seconds and bytes of resident memory to make one EnvPool environment."""
    task, pages = make_task(env_id), Path("/proc/self/statm")
    PoolLanes(task, [0]).begin([0])  # imports, and what all environments share
    before = int(pages.read_text().split()[1])
    began = time.perf_counter()
    lanes = PoolLanes(task, range(count))
    lanes.begin([0] * count)
    seconds = time.perf_counter() - began
    taken = int(pages.read_text().split()[1]) - before
    return seconds / count, taken * os.sysconf("SC_PAGE_SIZE") / count


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--envs", nargs="+", default=ENVS, metavar="ID")
    parser.add_argument("--population", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="EnvPool's")
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    parser.add_argument("--smoke", action="store_true", help="small sizes that take seconds")
    arguments = parser.parse_args()
    envs: tuple[str, ...] = tuple(arguments.envs)
    hidden: tuple[tuple[int, ...], ...] = HIDDEN
    population, repeats = arguments.population, arguments.repeats
    if arguments.smoke:
        envs, hidden, population, repeats = ("CartPole-v1",), ((4,),), 4, 1
    if importlib.util.find_spec("envpool") is None:
        print("EnvPool is not installed: its rows are skipped\n")
    print("| environment | hidden | runner | env steps/s | × GymnasiumRunner | quartiles |")
    print("|---|---|---|---|---|---|")
    rows = []
    for env_id in envs:
        for sizes in hidden:
            # An episode of HalfCheetah always has 1,000 steps.
            n = population if "Cheetah" not in env_id else max(population // 8, 1)
            for row in measure(env_id, sizes, n, repeats, arguments.threads):
                low, high = row["spread"]
                print(
                    f"| {row['env']} | {row['hidden']} | {row['runner']} | {row['rate']:,.0f} | "
                    f"{row['ratio']:.2f} | {low:.2f}–{high:.2f} |",
                    flush=True,
                )
                rows.append(row)
    if importlib.util.find_spec("envpool") is not None:
        print("\n| environment of EnvPool's | ms to make one | MB each |\n|---|---|---|")
        for env_id in envs:
            seconds, size = making(env_id, 8 if arguments.smoke else 512)
            print(f"| {env_id} | {1e3 * seconds:.3f} | {size / 1e6:.3f} |")
    if arguments.out is not None:
        write_json(arguments.out, rows)


if __name__ == "__main__":
    main()
