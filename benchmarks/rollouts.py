"""Measure env steps per second while training, as a fraction of raw `env.step`.

A search agent learns: ask, rollouts, tell, a paired gate, running observation statistics, records
as JSON lines and in TensorBoard. The yardstick plays the same episodes without zorl: a plain loop
replays their recorded actions, from the same seeds, resets included, in an unchanged environment
from `gymnasium.make`. The training section is repeated from the same state. Both sides alternate,
and the median of their ratios is reported, because the speed of a core drifts. Two processes are
compared with two raw loops side by side.

    python benchmarks/rollouts.py --repeats 9

With `--wrapper` the yardstick is the environment with these wrappers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from zorl.agents.registry import make_config
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.common.storage import write_json
from zorl.envs import Task, make_task
from zorl.envs.arguments import Arguments
from zorl.envs.wrappers.registry import apply_wrapper
from zorl.recorders.base import Recorder, Recorders, Run
from zorl.recorders.event_log import EventLog
from zorl.recorders.jsonl import JsonlRecorder
from zorl.recorders.tensorboard import TensorBoardRecorder
from zorl.rollout.backend import Resources

ENVS = ("MountainCar-v0", "CartPole-v1", "Pendulum-v1", "HalfCheetah-v5")
# Env steps of the training section: a second or more for every environment.
STEPS = {"HalfCheetah-v5": 25_000}
# CPU time ignores other load on the machine, but covers this process only.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Clock = Callable[[], float]
Trace = tuple[int, list[Any]]  # seed and actions of one episode


class Yardstick:
    """Raw `env.step` on recorded episodes, in this process or in several side by side."""

    def __init__(self, task: Task, traces: list[Trace], processes: int, clock: Clock) -> None:
        self._traces, self._clock = traces, clock
        self._env = raw(task)
        self._pipes: list[Connection] = []
        self._processes = []
        if processes == 1:
            return
        context = multiprocessing.get_context("spawn")
        for share in shares(traces, processes):
            pipe, theirs = context.Pipe()
            process = context.Process(target=raw_worker, args=(theirs, task, share), daemon=True)
            process.start()
            self._pipes.append(pipe)
            self._processes.append(process)

    def seconds(self) -> float:
        """Return the seconds to play all episodes once."""
        if not self._pipes:
            return replay(self._env, self._traces, self._clock)
        for pipe in self._pipes:
            pipe.send(True)
        return float(max(pipe.recv() for pipe in self._pipes))

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(False)
        for process in self._processes:
            process.join()
        self._env.close()


def shares(traces: list[Trace], count: int) -> list[list[Trace]]:
    """Split the episodes into `count` shares with about the same number of steps."""
    parts: list[list[Trace]] = [[] for _ in range(count)]
    loads = [0] * count
    for trace in sorted(traces, key=lambda trace: -len(trace[1])):
        lightest = loads.index(min(loads))
        parts[lightest].append(trace)
        loads[lightest] += len(trace[1])
    return parts


def replay(env: gym.Env[Any, Any], traces: list[Trace], clock: Clock = time.perf_counter) -> float:
    """Replay episodes by raw `env.step` and return the seconds."""
    began = clock()
    for seed, actions in traces:
        env.reset(seed=seed)
        step = env.step
        for action in actions:
            step(action)
    return clock() - began


def raw(task: Task) -> gym.Env[Any, Any]:
    """The environment and its wrappers, without what zorl puts between them."""
    env: gym.Env[Any, Any] = gym.make(task.env_id)
    for name, options in task.wrappers:
        env = apply_wrapper(env, name, Arguments(options))
    return env


def raw_worker(connection: Connection, task: Task, traces: list[Trace]) -> None:
    """Replay on request, and answer with the seconds that it took."""
    env = raw(task)
    replay(env, traces)
    while connection.recv():
        connection.send(replay(env, traces))


def learn(
    agent: SearchAgent,
    start: Any,
    steps: int,
    recorders: list[Recorder],
    clock: Clock = time.perf_counter,
) -> float:
    """Learn for a number of steps from a state and return the seconds.

    The budget is larger: the last part of one has the task's own physics in any case.
    """
    agent.state = start
    end = agent.num_timesteps + steps
    began = clock()
    agent.learn(1000 * end, recorders=recorders, stop=lambda: agent.num_timesteps >= end)
    return clock() - began


def record(agent: SearchAgent, start: Any, steps: int) -> list[Trace]:
    """Record the actions of every episode that the agent plays, with a separate loop."""
    evaluator = agent.search.evaluator
    evaluate = evaluator.evaluate
    calls = []

    def overheard(thetas: Any, seeds: Any, normalizer: Any, *more: Any, **named: Any) -> Any:
        calls.append((thetas.astype(np.float32), seeds, normalizer))
        return evaluate(thetas, seeds, normalizer, *more, **named)

    evaluator.evaluate = overheard  # type: ignore[method-assign]
    learn(agent, start, steps, [])
    evaluator.evaluate = evaluate  # type: ignore[method-assign]
    env = agent.task.make()
    traces = []
    for thetas, seeds, normalizer in calls:
        for theta in thetas:
            states = np.zeros((1, agent.policy.state_size), np.float32)
            actor = agent.policy.bind(theta[None], states)
            for seed in seeds:
                states[:] = 0
                observation, _ = env.reset(seed=seed)
                actions: list[Any] = []
                over = False
                while not over:
                    action = actor(1, normalizer(np.asarray(observation)[None]), None)[0]
                    actions.append(action)
                    observation, _, terminated, truncated, _ = env.step(action)
                    over = terminated or truncated
                traces.append((seed, actions))
    env.close()
    return traces


def measure(env_id: str, args: argparse.Namespace, processes: int, folder: Path) -> dict[str, Any]:
    """Return the ratios of the search's speed to the raw loop's, one per repeat."""
    config = make_config(
        args.agent,
        make_task(env_id, args.wrapper),
        "default",
        hidden=() if args.memory else tuple(args.hidden),
        memory=args.memory,
        m=args.m,
        gate=args.gate,
        backend="gymnasium",
        seed=1,
    )
    assert isinstance(config, SearchConfig)
    agent = SearchAgent(config, Resources(workers=processes))
    steps = args.steps or STEPS.get(env_id, 150_000)
    start = agent.state
    traces = record(agent, start, steps)
    played = sum(len(actions) for _, actions in traces)
    assert played == agent.num_timesteps, "the yardstick plays other episodes"
    clock = CLOCKS[args.clock]
    yardstick = Yardstick(agent.task, traces, processes, clock)
    log = EventLog(folder)
    recorders = Recorders([JsonlRecorder(folder / "generations.jsonl"), TensorBoardRecorder(log)])
    recorders.start(Run(env_id, agent, agent.task, agent.config, played, folder))

    def ours() -> float:
        return learn(agent, start, steps, [recorders], clock)

    ours()  # warm-up: imports, caches, compiled code, start of workers
    yardstick.seconds()
    pairs = []
    for repeat in range(args.repeats):
        sides = (ours, yardstick.seconds) if repeat % 2 else (yardstick.seconds, ours)
        seconds = {side.__name__: side() for side in sides}
        pairs.append((played / seconds["ours"], played / seconds["seconds"]))
    recorders.finish({})
    yardstick.close()
    agent.close()
    ours_speed, raw_speed = np.array(pairs).T
    ratios = ours_speed / raw_speed
    return {
        "env": env_id,
        "agent": args.agent,
        "m": args.m,
        "gate": args.gate,
        "clock": args.clock,
        "hidden": [] if args.memory else list(args.hidden),
        "memory": args.memory,
        "wrappers": args.wrapper,
        "processes": processes,
        "steps": played,
        "episodes": len(traces),
        "generations": agent.state.generation - start.generation,
        "raw_steps_per_second": float(np.median(raw_speed)),
        "zorl_steps_per_second": float(np.median(ours_speed)),
        "ratio": float(np.median(ratios)),
        "ratio_min": float(ratios.min()),
        "ratio_max": float(ratios.max()),
        "repeats": args.repeats,
    }


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=list(ENVS))
    parser.add_argument("--agent", default="openai-es", help="with its default settings")
    parser.add_argument("--m", type=int, default=32, help="pairs of candidates a generation")
    parser.add_argument("--gate", default="paired")
    parser.add_argument("--steps", type=int, help="env steps of the training section")
    parser.add_argument("--hidden", type=int, nargs="*", default=[32, 32])
    parser.add_argument("--memory", help="as gru:8, instead of hidden layers")
    parser.add_argument("--wrapper", action="append", default=[])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu works for one process only"
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    if args.clock == "cpu" and args.processes != [1]:
        parser.error("--clock cpu needs --processes 1")
    print(
        f"Python {platform.python_version()}, gymnasium {gym.__version__}, numpy {np.__version__}"
    )
    print(
        "| environment | policy | processes | steps | generations | raw steps/s | zorl steps/s "
        "| ratio | min–max |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for env_id in args.envs:
        for processes in args.processes:
            with tempfile.TemporaryDirectory() as folder:
                row = measure(env_id, args, processes, Path(folder))
            rows.append(row)
            net = args.memory or "-".join(map(str, row["hidden"])) or "linear"
            print(
                f"| {env_id} | {net} | {processes} | {row['steps']:,} | {row['generations']} "
                f"| {row['raw_steps_per_second']:,.0f} "
                f"| {row['zorl_steps_per_second']:,.0f} | {row['ratio']:.2f} "
                f"| {row['ratio_min']:.2f}–{row['ratio_max']:.2f} |",
                flush=True,
            )
    if args.json:
        write_json(args.json, {"rows": rows})


if __name__ == "__main__":
    main()
