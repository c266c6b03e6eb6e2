"""Measure what a MuJoCo task's compiled twin costs at the start, and the memory of a lane.

A process makes a search agent and plays its first generation. It is started with an empty folder
for compiled code (a machine's first start), again with the same folder (later starts), and with
`--backend gymnasium`; later starts alternate with the latter. Times are CPU seconds of the whole
process, which other work on the machine changes little; all of it happens on one thread.

    python benchmarks/mujoco_start.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ENVS = ("InvertedPendulum-v5", "Hopper-v5", "HalfCheetah-v5", "Humanoid-v5")
_LANES = 64


def start(env_id: str, backend: str) -> None:
    """In a process of its own: begin to learn, and print the CPU seconds."""
    from zorl.agents.registry import make_agent

    agent = make_agent("openai-es", env_id, "default", m=1, episodes=1, backend=backend, workers=1)
    agent.learn(1)
    agent.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(used.ru_utime + used.ru_stime))


def lanes(env_id: str) -> None:
    """In a process of its own: make simulations, and print the bytes of memory that one takes."""
    from zorl.envs import find_twin, make_task
    from zorl.rollout.compiled.mujoco.library import Simulation

    twin = find_twin(make_task(env_id))
    assert twin is not None
    made = [Simulation(twin.env.model, ("qpos",))]
    before = resident()
    made += [Simulation(twin.env.model, ("qpos",)) for _ in range(_LANES)]
    for simulation in made:
        touch(twin.env.model, simulation)
    print(json.dumps((resident() - before) / _LANES))


def touch(model: object, simulation: object) -> None:
    """Step once, so that memory that is only reserved does not count."""
    import mujoco

    mujoco.mj_step(model, simulation.data)  # type: ignore[attr-defined]


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def asked(what: str, env_id: str, cache: str) -> float:
    """The answer of such a process."""
    done = subprocess.run(
        [sys.executable, __file__, "--process", what, "--envs", env_id],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ZORL_CACHE": cache, "OPENBLAS_NUM_THREADS": "1"},
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=list(ENVS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--process", help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true", help="seconds: one task, once")
    args = parser.parse_args()
    if args.process:
        for env_id in args.envs:
            lanes(env_id) if args.process == "lanes" else start(env_id, args.process)
        return
    if args.smoke:
        args.envs, args.repeats = ["InvertedPendulum-v5"], 1
    print("| CPU seconds | first start | later | gymnasium | later − gymnasium | a lane |")
    print("|---|---|---|---|---|---|")
    for env_id in args.envs:
        with tempfile.TemporaryDirectory() as cache:
            first = asked("auto", env_id, cache)
            pairs = [
                (asked("auto", env_id, cache), asked("gymnasium", env_id, cache))
                for _ in range(args.repeats)
            ]
            size = asked("lanes", env_id, cache)
        later, stepped = np.median(pairs, axis=0)
        more = np.median([mine - other for mine, other in pairs])
        print(
            f"| {env_id} | {first:.1f} | {later:.2f} | {stepped:.2f} | {more:.2f} "
            f"| {size / 2**20:.2f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
