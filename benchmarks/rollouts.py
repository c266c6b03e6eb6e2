"""Env steps per second of the evaluator, as a fraction of raw `env.step`.

The yardstick does the same work without zorl: a plain loop replays the recorded actions of the
very same episodes, from the same seeds, resets included, in an environment from `gymnasium.make`.
Both sides alternate within one process (or two), and the median of their ratios is reported,
because the speed of a core drifts.

    python benchmarks/rollouts.py --repeats 9
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from zorl.envs import make_task
from zorl.normalization import Normalizer
from zorl.policies import MlpPolicy
from zorl.rollout.backends import Processes, Serial
from zorl.rollout.episodes import EpisodeRunner
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.spaces import ActionDecoder, ObservationEncoder
from zorl.storage import write_json
from zorl.streams import Streams

ENVS = ("MountainCar-v0", "CartPole-v1", "Pendulum-v1", "HalfCheetah-v5")
Trace = tuple[int, list[Any]]  # seed and actions of one episode


def record(
    env_id: str, policy: MlpPolicy, thetas: Any, seeds: tuple[int, ...], n: Normalizer
) -> list[Trace]:
    """The actions of every episode that the evaluator plays, by a loop of its own."""
    env = gym.make(env_id)
    traces = []
    for theta in thetas:
        for seed in seeds:
            observation, _ = env.reset(seed=seed)
            actions: list[Any] = []
            over = False
            while not over:
                action = policy.act(theta[None], n(np.asarray(observation)[None]))[0]
                actions.append(action)
                observation, _, terminated, truncated, _ = env.step(action)
                over = terminated or truncated
            traces.append((seed, actions))
    env.close()
    return traces


def replay(env: gym.Env[Any, Any], traces: list[Trace]) -> float:
    """Seconds to replay episodes by raw `env.step`."""
    began = time.perf_counter()
    for seed, actions in traces:
        env.reset(seed=seed)
        step = env.step
        for action in actions:
            step(action)
    return time.perf_counter() - began


def raw_worker(connection: Connection, env_id: str, traces: list[Trace]) -> None:
    """Replays when told to, and answers how long that took."""
    env = gym.make(env_id)
    while connection.recv():
        connection.send(replay(env, traces))


def measure(env_id: str, hidden: tuple[int, ...], processes: int, repeats: int) -> dict[str, Any]:
    """Ratios of the evaluator's speed to the raw loop's, one per repeat."""
    task = make_task(env_id)
    env = gym.make(env_id)
    encoder = ObservationEncoder.for_space(env.observation_space)
    policy = MlpPolicy(encoder.size, ActionDecoder.for_space(env.action_space), hidden)
    normalizer = Normalizer.create("running", encoder.low, encoder.high)
    streams = Streams(0)
    rng = streams.init()
    candidates = 16 * processes
    thetas = np.stack([policy.init(rng) for _ in range(candidates)]).astype(np.float32)
    # Long enough to time: about 15,000 steps of the slow environment, 30,000 of the others.
    episodes = {"HalfCheetah-v5": 1, "CartPole-v1": 40}.get(env_id, 10)
    seeds = streams.episodes(0, episodes)
    traces = record(env_id, policy, thetas, seeds, normalizer)
    steps = sum(len(actions) for _, actions in traces)
    runner = EpisodeRunner(task, policy, lanes=16)
    backend = Serial(runner) if processes == 1 else Processes(runner, processes)
    evaluator = RolloutEvaluator(backend)

    def ours() -> float:
        began = time.perf_counter()
        result = evaluator.evaluate(thetas, seeds, normalizer)
        seconds = time.perf_counter() - began
        assert result.env_steps == steps, "the yardstick plays other episodes"
        return seconds

    raw_processes, pipes = [], []
    context = multiprocessing.get_context("spawn")
    if processes > 1:
        half = len(traces) // processes
        for i in range(processes):
            pipe, theirs = context.Pipe()
            piece = traces[i * half : (i + 1) * half]
            process = context.Process(target=raw_worker, args=(theirs, env_id, piece), daemon=True)
            process.start()
            raw_processes.append(process)
            pipes.append(pipe)

    def raw() -> float:
        if processes == 1:
            return replay(env, traces)
        for pipe in pipes:
            pipe.send(True)
        return float(max(pipe.recv() for pipe in pipes))

    ours()  # warm up: imports, caches, worker start
    raw()
    pairs = []
    for repeat in range(repeats):
        sides = (ours, raw) if repeat % 2 else (raw, ours)
        seconds = {side.__name__: side() for side in sides}
        pairs.append((steps / seconds["ours"], steps / seconds["raw"]))
    for pipe in pipes:
        pipe.send(False)
    for process in raw_processes:
        process.join()
    evaluator.close()
    env.close()
    ours_speed, raw_speed = np.array(pairs).T
    ratios = ours_speed / raw_speed
    return {
        "env": env_id,
        "hidden": list(hidden),
        "processes": processes,
        "raw_steps_per_second": float(np.median(raw_speed)),
        "zorl_steps_per_second": float(np.median(ours_speed)),
        "ratio": float(np.median(ratios)),
        "ratio_min": float(ratios.min()),
        "ratio_max": float(ratios.max()),
        "repeats": repeats,
    }


def main() -> None:
    """Measure everything and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=list(ENVS))
    parser.add_argument("--hidden", type=int, nargs="*", default=[32, 32])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    print(
        f"Python {platform.python_version()}, gymnasium {gym.__version__}, numpy {np.__version__}"
    )
    print("| environment | policy | processes | raw steps/s | zorl steps/s | ratio | min–max |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for env_id in args.envs:
        for processes in args.processes:
            row = measure(env_id, tuple(args.hidden), processes, args.repeats)
            rows.append(row)
            net = "-".join(map(str, row["hidden"])) or "linear"
            print(
                f"| {env_id} | {net} | {processes} | {row['raw_steps_per_second']:,.0f} "
                f"| {row['zorl_steps_per_second']:,.0f} | {row['ratio']:.2f} "
                f"| {row['ratio_min']:.2f}–{row['ratio_max']:.2f} |",
                flush=True,
            )
    if args.json:
        write_json(args.json, {"rows": rows})


if __name__ == "__main__":
    main()
