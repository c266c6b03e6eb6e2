"""Compare env steps per second of whole generations in zorl and other libraries, in one run.

Every contestant is a separate process (`benchmarks/peers/`). It is started once and then measures
for a moment, in turn with the others, again and again. The speed of a machine drifts, so only
figures of one rotation are compared. A ratio is the median over rotations, with the smallest and
the largest.

All contestants search the same distribution of policies: 8 tanh units, center + N(0, 1), with steps
that are too small to move the center. The center is a half-learned policy, so that episodes have
different lengths, 180 steps on average, on MountainCar-v0 and on CartPole-v1. A contestant whose
episodes have another length plays a different task, and is named. The time includes ask, rollouts
and tell. Compilation is excluded and reported separately. C, EnvPool raw and `env.step` raw are
rollouts only. If a peer computes masked steps of finished episodes, a second figure counts these
steps too. Contestants that step Gymnasium play one episode per candidate, because they are slow.

    python benchmarks/rollout_peers.py --peer-python PATH --figure rollouts.png

PATH is a Python that has some of evosax, gymnax, evotorch, sb3-contrib, envpool. Contestants whose
package is missing are skipped with a message, as is the C loop without gcc. `--redraw` makes table
and figure from a file written with `--json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contest import ALONE, ROLLOUTS_ONLY, Contestant, Row, figure, table

PEERS = Path(__file__).parent / "peers"
ZORL = ("zorl, compiled-fast", "zorl, gymnasium")  # the reference is the first that is present


@dataclass(frozen=True)
class Cell:
    """One comparison: an environment and the size of a generation."""

    env: str
    candidates: int
    episodes: int
    center: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Heading of the cell."""
        return f"{self.env}, {self.candidates} × {self.episodes}"


def half_learned(env: str) -> tuple[float, ...]:
    """Return a policy in which one of the 8 hidden units decides alone."""
    if env == "MountainCar-v0":  # pushes in the direction in which the car moves
        inputs, outputs, weights = 2, 3, [0.0, 80.0]
    else:  # pushes to the side to which the pole falls
        inputs, outputs, weights = 4, 2, [0.4, 0.8, 4.0, 4.0]
    theta = np.zeros(8 * (inputs + 1) + outputs * 9)
    theta[:inputs] = weights
    second = theta[8 * (inputs + 1) :]
    second[0], second[8 * (outputs - 1)] = -3.0, 3.0  # from this unit to the first and last output
    return tuple(theta.tolist())


CELLS = (
    Cell("MountainCar-v0", 64, 5, half_learned("MountainCar-v0")),
    Cell("MountainCar-v0", 512, 5, half_learned("MountainCar-v0")),
    Cell("CartPole-v1", 64, 5, half_learned("CartPole-v1")),
    Cell("CartPole-v1", 512, 5, half_learned("CartPole-v1")),
    Cell("HalfCheetah-v5", 16, 1),
)
C_SOURCES = {"MountainCar-v0": "mountain_car.h", "CartPole-v1": "cart_pole.h"}
# Name, script, variant, and whether it is slow; slow ones play one episode per candidate.
ZORL_VARIANTS = (
    ("zorl, compiled-fast", "fast", False),
    ("zorl, compiled-fast, normalised", "running", False),
    ("zorl, compiled", "exact", False),
    ("zorl, gymnasium", "gymnasium", True),
)
JAX_VARIANTS = (
    ("evosax + gymnax, as documented", "jax_es.py", "documented", False),
    ("evosax + gymnax, sharded", "jax_es.py", "sharded", False),
    ("evosax + gymnax, lanes by hand", "jax_es.py", "lanes", False),
)
STEPPED = (
    ("env.step, one process", "gym_steps.py", "one", True),
    ("env.step, two processes", "gym_steps.py", "two", True),
    ("sb3-contrib ARS", "sb3_ars.py", "sequential", True),
    ("sb3-contrib ARS, async", "sb3_ars.py", "async", True),
    ("EvoTorch GymNE", "evotorch_pgpe.py", "gymne", True),
    ("EvoTorch GymNE, 2 actors", "evotorch_pgpe.py", "gymne-2", True),
    ("EvoTorch VecGymNE", "evotorch_pgpe.py", "vec", True),
    ("EvoTorch VecGymNE, 2 actors", "evotorch_pgpe.py", "vec-2", True),
    ("EnvPool, raw", "envpool_es.py", "raw", False),
    ("EnvPool, numpy policy", "envpool_es.py", "search", False),
)


def commands(cell: Cell, peer_python: str | None, scratch: Path) -> dict[str, list[str]]:
    """Return the command of each contestant for a cell."""

    def script(python: str, name: str, variant: str, slow: bool) -> list[str]:
        episodes = 1 if slow else cell.episodes
        return [
            *(python, str(PEERS / name), variant, "--env", cell.env),
            *("--candidates", str(cell.candidates), "--episodes", str(episodes)),
            *("--center", json.dumps(cell.center)),
        ]

    classic = cell.env in C_SOURCES
    large = cell.candidates > 64  # in these cells, only contestants that may become faster
    found = {}
    for name, variant, slow in ZORL_VARIANTS:
        if (classic or slow) and not (large and slow):
            found[name] = script(sys.executable, "zorl_search.py", variant, slow)
    if classic:
        found[ROLLOUTS_ONLY] = c_loop(cell, scratch)
        if peer_python is not None:
            for name, program, variant, slow in JAX_VARIANTS:
                found[name] = script(peer_python, program, variant, slow)
    for name, program, variant, slow in STEPPED:
        # Contestants that step one environment run in the Python that has zorl's Gymnasium.
        python = sys.executable if program == "gym_steps.py" else peer_python
        has_it = classic or variant in ("one", "two", "sequential", "async", "gymne", "raw")
        if python is not None and has_it and not large:
            found[name] = script(python, program, variant, slow)
    return found


def c_loop(cell: Cell, scratch: Path) -> list[str]:
    """Compile the C loop of an environment and return its command with two threads."""
    program = scratch / cell.env
    flags = ["-O3", "-march=native", "-ffast-math", "-Wno-psabi", f'-DTASK="{C_SOURCES[cell.env]}"']
    with suppress(FileNotFoundError):  # no gcc: starting the missing program reports it
        subprocess.run(
            ["gcc", *flags, str(PEERS / "rollouts.c"), "-o", str(program), "-lpthread", "-lm"],
            check=True,
        )
    numbers = [cell.candidates, cell.episodes, 2, 1.0, *cell.center]
    return [str(program), *map(str, numbers)]


def rows_of(cell: Cell, contestants: list[Contestant]) -> list[Row]:
    """Return each contestant's steps per second in every rotation, and zorl's ratio to it."""
    rows = []
    for contestant in contestants:
        answers, steps = contestant.answers, sum(a["env_steps"] for a in contestant.answers)
        episodes = sum(a["episodes"] for a in answers)
        length = steps / episodes if episodes else float("nan")
        late = contestant.ready.get("compile_seconds", 0.0)
        useful = [a["env_steps"] / a["seconds"] for a in answers]
        counted = [max(a["env_steps"], a.get("computed", 0)) / a["seconds"] for a in answers]
        rows.append(Row(cell.name, contestant.name, useful, counted, length, late))
        if contestant.name == ZORL[0]:  # C has rollouts only, too
            alone = [a["env_steps"] / a["rollout_seconds"] for a in answers]
            rows.append(Row(cell.name, contestant.name + ALONE, alone, alone, length, late))
    usual = np.nanmedian([row.length for row in rows if not row.name.startswith("env.step")])
    for row in rows:
        if not row.name.startswith("env.step") and abs(row.length / usual - 1) > 0.25:
            print(f"{row.name} on {cell.name}: episodes of {row.length:.0f} steps, not {usual:.0f}")
    by_name = {row.name: row for row in rows}
    for row in rows:
        for name in ZORL:
            reference = by_name.get(name + ALONE if row.name == ROLLOUTS_ONLY else name)
            if reference is not None:
                row.ratios = list(np.divide(reference.env_steps, row.env_steps))
                row.counted_ratios = list(np.divide(reference.counted, row.counted))
                break
    return rows


def compete(
    cell: Cell,
    peer_python: str | None,
    only: list[str] | None,
    rotations: int,
    seconds: float,
    versions: dict[str, str],
) -> list[Row]:
    """Start all contestants, or those named, measure in turn, and stop them."""
    contestants: list[Contestant] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, command in commands(cell, peer_python, Path(scratch)).items():
            if only is not None and name not in only:
                continue
            try:
                contestants.append(Contestant(name, command, Path(scratch)))
                for package, number in contestants[-1].ready["versions"].items():
                    if versions.setdefault(package, number) != number:
                        versions[f"{package} of the peers"] = number
            except (OSError, RuntimeError) as error:
                print(f"skipped: {name} on {cell.name}: {error}", flush=True)
        try:
            for rotation in range(rotations):
                shift = rotation % max(len(contestants), 1)
                for contestant in contestants[shift:] + contestants[:shift]:
                    try:
                        contestant.measure(seconds)
                    except (OSError, RuntimeError) as error:
                        print(f"left: {contestant.name} on {cell.name}: {error}", flush=True)
                        contestant.close()
                        contestants.remove(contestant)
        finally:
            for contestant in contestants:
                contestant.close()
    return rows_of(cell, contestants)


def main() -> None:
    """Run, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="a Python that has the peers")
    parser.add_argument("--cells", nargs="+", help="environments to restrict the run to")
    parser.add_argument("--contestants", nargs="+", help="names, as the table has them")
    parser.add_argument("--rotations", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--figure", type=Path, help="draw this PNG")
    parser.add_argument("--redraw", type=Path, help="measure nothing: read a file of --json")
    parser.add_argument("--smoke", action="store_true", help="seconds, without peers")
    args = parser.parse_args()
    if args.redraw:
        saved = json.loads(args.redraw.read_text())
        about, rows = saved["about"], [Row(**row) for row in saved["rows"]]
    else:
        load = os.getloadavg()[0]
        if load > 0.5:
            print(f"the machine is busy (load {load:.1f}): figures will be low", flush=True)
        cells = [c for c in CELLS if not args.cells or c.env in args.cells]
        rotations, seconds, peers = args.rotations, args.seconds, args.peer_python
        only = args.contestants
        if args.smoke:
            cells = [Cell("CartPole-v1", 4, 1, half_learned("CartPole-v1"))]
            rotations, seconds, peers = 2, 0.02, None
            only = [
                "zorl, gymnasium",
                "zorl, compiled-fast",
                ROLLOUTS_ONLY,
                "env.step, one process",
            ]
        versions = {"Python": platform.python_version()}
        rows = []
        for cell in cells:
            rows += compete(cell, peers, only, rotations, seconds, versions)
        about = (
            ", ".join(f"{name} {number}" for name, number in versions.items())
            + f"; {os.cpu_count()} cores; {rotations} rotations of {seconds:g} s; load before "
            f"{load:.1f}"
        )
    print(f"{about}\n\n{table(rows)}")
    if args.json:
        saved = {"about": about, "rows": [vars(row) for row in rows]}
        args.json.write_text(json.dumps(saved, indent=1) + "\n")
    if args.figure:
        figure(rows, args.figure)


if __name__ == "__main__":
    main()
