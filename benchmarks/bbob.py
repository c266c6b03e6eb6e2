"""All methods on the 24 noiseless BBOB functions: which method suits which problem.

Every method starts from the same points, uniform in [-4, 4]^d, with an initial step size of 2, and
has the same budget of evaluations. The result is the share of (function, target) pairs reached
within a budget, over BBOB's 51 targets between 1e2 and 1e-8 above the optimum. `pycma` is the
reference implementation of CMA-ES, from the same starts.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/bbob.py --dims 5 20 --budget 1000 --instances 3 --out bbob.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import zorl
from zorl.common.errors import DivergedError
from zorl.common.storage import read_json, write_json
from zorl.common.subprocesses import available_cores

TARGETS = np.logspace(2, -8, 51)
STEP = 2.0  # scale of the first steps: about a quarter of the domain
GROUPS = {
    "separable": range(1, 6),
    "moderate": range(6, 10),
    "ill-conditioned": range(10, 15),
    "multi-modal": range(15, 20),
    "weak structure": range(20, 25),
}
# The methods that adapt their length scale start with STEP; estimators whose steps have a constant
# length get a twentieth of it, so that they can both get there and settle. A method without a line
# here, named by --methods, runs with its own defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "cma-es": {"sigma0": STEP},
    "cma-es, mirrored=False": {"sigma0": STEP, "mirrored": False},
    "sep-cma-es": {"sigma0": STEP},
    "ipop-cma-es": {"sigma0": STEP},
    "bipop-cma-es": {"sigma0": STEP},
    "lra-cma-es": {"sigma0": STEP},
    "lm-ma-es": {"sigma0": STEP},
    "xnes": {"sigma0": STEP},
    "snes": {"sigma0": STEP},
    "cem": {"sigma0": STEP},
    "pgpe": {"learning_rate": 0.2, "sigma": STEP},
    "openai-es": {"learning_rate": 0.1, "sigma": 0.1, "m": 8},
    "es": {"learning_rate": 0.01, "sigma": 0.1, "m": 8},
    "ars": {"learning_rate": 0.1, "radius": 0.1, "m": 8, "top": 4},
    "spsa": {},
    "two-point": {},
    "mpge": {},
    "guided-es": {},
    "random-search": {"radius": STEP},
    "pycma": {},
}
# Raw differences carry the scale of f, which spans 12 orders of magnitude here: these methods take
# Spall's gains, calibrated on 10 pairs that count.
CALIBRATED: dict[str, dict[str, Any]] = {
    "spsa": {},
    "two-point": {"directions": "sphere"},
    "mpge": {"directions": "orthogonal"},
    "guided-es": {"directions": "gaussian", "guide": zorl.optimizers.Guide()},
}
DIRECTIONS = 4  # that these average an update
Job = tuple[str, int, int, int, int]  # method, function, dimension, instance, budget


class Budget(Exception):
    """The budget of evaluations is spent, or every target is reached."""


class Watched:
    """A BBOB function that records the evaluation at which each target was first reached."""

    def __init__(self, function: int, dim: int, instance: int, budget: int) -> None:
        import ioh

        self._problem: Any = ioh.get_problem(function, instance, dim, ioh.ProblemClass.BBOB)
        self._optimum = self._problem.optimum.y
        self._budget = budget
        self.calls = 0
        self.hits = np.full(len(TARGETS), np.inf)

    def __call__(self, thetas: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) values above the optimum."""
        values = np.asarray(self._problem(thetas), np.float64) - self._optimum
        values[~(values >= 0)] = np.inf  # some functions overflow to NaN far outside their domain
        best = np.minimum.accumulate(values)
        reached = np.searchsorted(-best, -TARGETS)  # number of evaluations before each target
        fresh = np.isinf(self.hits) & (reached < len(values))
        self.hits[fresh] = self.calls + reached[fresh] + 1
        self.calls += len(values)
        if self.calls >= self._budget or np.isfinite(self.hits).all():
            raise Budget
        return np.asarray(values)


def run(job: Job) -> list[float]:
    """Return the evaluations to each target; infinite if it was not reached."""
    method, function, dim, instance, budget = job
    warnings.simplefilter("ignore")  # from pycma, and overflows in searches that diverge
    watched = Watched(function, dim, instance, budget)
    seed = 1000 * function + instance
    start = np.random.default_rng(seed).uniform(-4, 4, dim)
    try:
        if method == "pycma":
            _pycma(watched, start, seed)
        else:
            search: Any = method.partition(",")[0]
            options = SETTINGS.get(method, {})
            if method in CALIBRATED:
                rng = np.random.default_rng(seed)
                updates = budget // (2 * DIRECTIONS)
                spsa = zorl.optimizers.calibrated_spsa(
                    lambda thetas: -watched(thetas), start, rng, updates, 0.1, 0.1, 10, DIRECTIONS
                )
                search = replace(spsa, **CALIBRATED[method])
            zorl.minimize(
                watched, start, search, options=options, seed=seed, batched=True, tol=None,
                max_evaluations=10 * budget,
            )  # fmt: skip
    except (Budget, DivergedError):
        pass
    return [float(hit) if hit <= budget else np.inf for hit in watched.hits]


def _pycma(watched: Callable[[Any], Any], start: NDArray[np.float64], seed: int) -> None:
    import cma

    while True:  # restarted from the same point with the same population whenever it stops
        seed += 100_000
        strategy = cma.CMAEvolutionStrategy(start, STEP, {"seed": seed, "verbose": -9})
        while not strategy.stop():
            xs = strategy.ask()
            strategy.tell(xs, watched(np.asarray(xs)).tolist())


def table(results: dict[str, Any], dim: int, budgets: list[int], methods: list[str]) -> str:
    """Format shares in per cent: per budget over all functions, and per group at the last one."""
    heads = [*(f"{b}·d" for b in budgets), *GROUPS]
    rows = [f"| d = {dim} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    scored = []
    for method in methods:
        # (24, instances, targets); JSON has no infinity: null is a target that was not reached
        hits = np.array([results[f"{method}/{f}/{dim}"] for f in range(1, 25)], np.float64)
        hits[np.isnan(hits)] = np.inf
        shares = [100 * (hits <= b * dim).mean() for b in budgets]
        groups = [
            100 * (hits[[f - 1 for f in group]] <= budgets[-1] * dim).mean()
            for group in GROUPS.values()
        ]
        scored.append((np.mean(shares), method, [*shares, *groups]))
    best = np.max([cells for _, _, cells in scored], axis=0)
    for _, method, cells in sorted(scored, reverse=True):
        texts = [
            f"**{cell:.0f}**" if round(cell) == round(top) else f"{cell:.0f}"
            for cell, top in zip(cells, best, strict=True)
        ]
        rows.append(f"| {method} | " + " | ".join(texts) + " |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--budget", type=int, default=1000, help="evaluations per dimension")
    parser.add_argument("--instances", type=int, default=3)
    known = list({**SETTINGS, **zorl.optimizers.METHODS})
    parser.add_argument("--methods", nargs="+", default=list(SETTINGS), choices=known)
    parser.add_argument("--workers", type=int, default=available_cores())
    parser.add_argument("--out", help="a JSON file for every hit")
    parser.add_argument("--smoke", action="store_true", help="seconds: 20 evaluations per d")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.dims, options.budget, options.instances = [5], 20, 1
    setting = f"{options.budget} x {options.instances}"
    results: dict[str, Any] = {"setting": setting}
    if options.out and Path(options.out).exists():
        results = read_json(options.out)
        if results["setting"] != setting:
            parser.error(f"{options.out} holds a run of {results['setting']}, not {setting}")
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # of each process: the processes fill the cores
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for method in options.methods:
            fill(results, method, options, pool)
            if options.out:  # an interrupted run resumes from this file
                write_json(options.out, results)
    budgets = sorted({b for b in (30, 100, 300) if b < options.budget} | {options.budget})
    for dim in options.dims:
        print(table(results, dim, budgets, options.methods), end="\n\n")


def fill(results: dict[str, Any], method: str, options: argparse.Namespace, pool: Any) -> None:
    """Run the cells of one method that `results` does not have yet."""
    started = time.perf_counter()
    cells = [(f, dim) for dim in options.dims for f in range(1, 25)]
    cells = [(f, dim) for f, dim in cells if f"{method}/{f}/{dim}" not in results]
    jobs: list[Job] = [
        (method, f, dim, instance, options.budget * dim)
        for f, dim in cells
        for instance in range(1, options.instances + 1)
    ]
    hits = pool.map(run, jobs, chunksize=2)
    for k, (f, dim) in enumerate(cells):
        some = hits[k * options.instances : (k + 1) * options.instances]
        results[f"{method}/{f}/{dim}"] = some
    seconds = time.perf_counter() - started
    print(f"{method}: {len(jobs)} runs in {seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
