"""Measure whole searches of MuJoCo tasks against `env.step`, a loop of `mj_step`, and EnvPool.

A search agent learns with the compiled twin: ask, rollouts, tell, a paired gate, running
observation statistics, records as JSON lines and in TensorBoard. The same section is repeated from
the same state, that of a search which has learned for a while, against

- `env.step`: a plain loop that replays the recorded actions of the very same episodes in
  Gymnasium, resets included; with two threads, two such loops in two processes;
- `mj_step`: a compiled loop that does nothing but set the recorded controls and call `mj_step`;
  with two threads, on two simulations;
- EnvPool, where it has the task: stepping with random actions, with as many threads.

All sides alternate in one call; figures are medians of ratios, and the least and the most.

    python benchmarks/mujoco_tasks.py --clock cpu
    python benchmarks/mujoco_tasks.py --threads 2 --peer-python PYTHON_WITH_ENVPOOL
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from contest import Contestant
from gymnasium.utils.seeding import np_random
from mj_loop import play as mj_loop
from rollouts import CLOCKS, Clock, Trace, Yardstick, learn, record, shares

from zorl.agents.registry import make_config
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.common.storage import write_json
from zorl.envs import find_twin
from zorl.recorders.base import Recorders, Run
from zorl.recorders.event_log import EventLog
from zorl.recorders.jsonl import JsonlRecorder
from zorl.recorders.tensorboard import TensorBoardRecorder
from zorl.rollout.backend import Resources
from zorl.rollout.compiled.mujoco.library import Simulation, addresses

ENVS = (
    *("HalfCheetah-v5", "Swimmer-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5"),
    *("Reacher-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5"),
)
SLOW = ("Ant-v5", "Humanoid-v5")
SIDES = ("env.step", "mj_step", "EnvPool")


class Raw:
    """`mj_step` alone on the controls of recorded episodes."""

    def __init__(self, agent: SearchAgent, traces: list[Trace], threads: int) -> None:
        twin = find_twin(agent.task)
        assert twin is not None
        task = twin.env
        low, high = task.model.actuator_ctrlrange.T
        self._pool = ThreadPoolExecutor(threads)
        self._simulations = []  # kept: a loop knows their memory alone
        self._work: list[tuple[Any, ...]] = []
        for share in shares(traces, threads):
            starts = [np.concatenate(task.reset(np_random(seed)[0])) for seed, _ in share]
            controls = np.concatenate([np.array(actions, float) for _, actions in share])
            ends = np.cumsum([len(actions) for _, actions in share])
            simulation = Simulation(task.model, ("qpos", "qvel", "ctrl"))
            self._simulations.append(simulation)
            rest = (np.array(starts), np.clip(controls, low, high), ends, task.frame_skip)
            self._work.append((addresses(), *simulation.memory, *rest))

    def play(self) -> None:
        """All episodes once."""
        list(self._pool.map(lambda work: mj_loop(*work), self._work))


def pool_speed(env_id: str, threads: int, python: Path, scratch: Path) -> Callable[[], float]:
    """A function that measures the env steps per second of EnvPool."""
    program = Path(__file__).parent / "peers" / "envpool_es.py"
    command = [str(python), str(program), "raw", "--env", env_id]
    contestant = Contestant("EnvPool", [*command, "--threads", str(threads)], scratch)

    def speed() -> float:
        contestant.measure(1.0)
        return float(contestant.answers[-1]["env_steps"] / contestant.answers[-1]["seconds"])

    return speed


def measure(env_id: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The ratios of a search's speed to the others', one for each repeat."""
    clock: Clock = CLOCKS[args.clock]
    options = {
        "hidden": (),
        "m": args.m,
        "episodes": 1,
        "gate": "paired",
        "backend": args.backend,
        "seed": 1,
    }
    config = make_config("openai-es", env_id, "default", **options)
    assert isinstance(config, SearchConfig)
    agent = SearchAgent(config, Resources(workers=args.threads))
    share = 4 if env_id in SLOW else 1
    learn(agent, agent.state, args.learned // share, [])
    start, before = agent.state, agent.num_timesteps
    traces = record(agent, start, args.steps // share)
    played = sum(len(actions) for _, actions in traces)
    assert args.backend != "compiled" or played == agent.num_timesteps - before, "other episodes"
    played = agent.num_timesteps - before
    recorded = sum(len(actions) for _, actions in traces)
    raw = Raw(agent, traces, args.threads)
    yardstick = Yardstick(agent.task, traces, args.threads, clock)
    log = EventLog(folder)
    recorders = Recorders([JsonlRecorder(folder / "generations.jsonl"), TensorBoardRecorder(log)])
    recorders.start(Run(env_id, agent, agent.task, agent.config, played, folder))

    def zorl() -> float:
        return played / learn(agent, start, args.steps // share, [recorders], clock)

    def stepped() -> float:
        return recorded / yardstick.seconds()

    def bare() -> float:
        began = clock()
        raw.play()
        return recorded / (clock() - began)

    sides: dict[str, Callable[[], float]] = {"env.step": stepped, "mj_step": bare}
    if args.peer_python:
        try:
            sides["EnvPool"] = pool_speed(env_id, args.threads, args.peer_python, folder)
        except RuntimeError as error:
            print(f"{env_id}: no EnvPool ({error})")
    zorl()  # warm-up: imports, caches, compiled code
    for side in sides.values():
        side()
    speeds: dict[str, list[float]] = {"zorl": [], **{name: [] for name in sides}}
    for repeat in range(args.repeats):
        order = {"zorl": zorl, **sides}
        for name in list(order) if repeat % 2 else reversed(order):
            speeds[name].append(order[name]())
    recorders.finish({})
    yardstick.close()
    agent.close()
    ratios = {name: np.divide(speeds["zorl"], speeds[name]).tolist() for name in sides}
    return {"env": env_id, "steps": played, "episodes": len(traces), "speeds": speeds} | ratios


def cell(ratios: list[float]) -> str:
    """A median with its range."""
    if not ratios:
        return "–"
    return f"{np.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=list(ENVS))
    parser.add_argument("--backend", choices=("compiled", "compiled-fast"), default="compiled")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--m", type=int, default=4, help="pairs of candidates a generation")
    parser.add_argument("--learned", type=int, default=20_000, help="env steps before")
    parser.add_argument("--steps", type=int, default=6_000, help="env steps of the section")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu works for one thread, without EnvPool"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-python", type=Path, help="a Python with EnvPool")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--smoke", action="store_true", help="seconds, one task")
    args = parser.parse_args()
    if args.smoke:
        args.envs, args.m, args.learned, args.steps = ["InvertedPendulum-v5"], 2, 10, 200
        args.repeats = 1
    if args.clock == "cpu" and (args.threads > 1 or args.peer_python):
        parser.error("--clock cpu needs --threads 1, and no EnvPool")
    print(f"| {args.backend} | steps | episodes | zorl steps/s | ÷ {' | ÷ '.join(SIDES)} |")
    print(f"|{'---|' * 7}")
    rows = []
    for env_id in args.envs:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(env_id, args, Path(folder))
        rows.append(row)
        print(
            f"| {env_id} | {row['steps']:,} | {row['episodes']} "
            f"| {np.median(row['speeds']['zorl']):,.0f} "
            f"| {' | '.join(cell(row.get(side, [])) for side in SIDES)} |",
            flush=True,
        )
    if args.json:
        write_json(args.json, {"rows": rows})


if __name__ == "__main__":
    main()
