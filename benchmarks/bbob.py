"""The whole family on the 24 noiseless BBOB functions: which method to reach for when.

Every method starts from the same points, uniform in [-4, 4]^d, with steps of the size of 2, and
spends the same budget of evaluations. The figure is the share of (function, target) pairs that
were reached, over 51 targets between 1e2 and 1e-8 above the optimum (BBOB's), within a budget.
`pycma` is the reference implementation of CMA-ES, on the same starts.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/bbob.py --dims 5 20 --budget 1000 --instances 5 --out bbob.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import zorl
from zorl.errors import DivergedError
from zorl.storage import write_json

TARGETS = np.logspace(2, -8, 51)
STEP = 2.0  # the scale of the first steps, about a quarter of the domain
GROUPS = {
    "separable": range(1, 6),
    "moderate": range(6, 10),
    "ill-conditioned": range(10, 15),
    "multi-modal": range(15, 20),
    "weak structure": range(20, 25),
}
# The methods that adapt their length scale start with STEP; estimators whose steps have a constant
# length get a twentieth of it, so that they can both get there and settle.
METHODS: dict[str, dict[str, Any]] = {
    "cma-es": {"sigma0": STEP},
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
Job = tuple[str, int, int, int, int]  # method, function, dimension, instance, budget


class Budget(Exception):
    """The evaluations are spent, or every target is reached."""


class Watched:
    """A BBOB function that notes at which evaluation each target was first reached."""

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
        reached = np.searchsorted(-best, -TARGETS)  # how many evaluations come before each target
        fresh = np.isinf(self.hits) & (reached < len(values))
        self.hits[fresh] = self.calls + reached[fresh] + 1
        self.calls += len(values)
        if self.calls >= self._budget or np.isfinite(self.hits).all():
            raise Budget
        return np.asarray(values)


def run(job: Job) -> list[float]:
    """Evaluations to each target, infinite where it was not reached."""
    method, function, dim, instance, budget = job
    warnings.simplefilter("ignore")  # pycma's, and overflows of searches that diverge
    watched = Watched(function, dim, instance, budget)
    seed = 1000 * function + instance
    start = np.random.default_rng(seed).uniform(-4, 4, dim)
    try:
        if method == "pycma":
            _pycma(watched, start, seed)
        else:
            search: Any = method
            options = METHODS[method]
            if method in CALIBRATED:
                rng = np.random.default_rng(seed)
                spsa = zorl.optimizers.calibrated_spsa(
                    lambda thetas: -watched(thetas), start, rng, budget // 2, 0.1, 0.1, pairs=10
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

    while True:  # restarted from the same point with the same population when it stops
        seed += 100_000
        strategy = cma.CMAEvolutionStrategy(start, STEP, {"seed": seed, "verbose": -9})
        while not strategy.stop():
            xs = strategy.ask()
            strategy.tell(xs, watched(np.asarray(xs)).tolist())


def table(results: dict[str, Any], dim: int, budgets: list[int], methods: list[str]) -> str:
    """Shares in per cent: at every budget over all functions, and at the last one by group."""
    heads = [*(f"{b}·d" for b in budgets), *GROUPS]
    rows = [f"| d = {dim} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    scored = []
    for method in methods:
        hits = np.array([results[f"{method}/{f}/{dim}"] for f in range(1, 25)])  # (24, i, targets)
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
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", help="a JSON file for every hit")
    parser.add_argument("--smoke", action="store_true", help="seconds: 20 evaluations per d")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.dims, options.budget, options.instances = [5], 20, 1
    started = time.perf_counter()
    jobs: list[Job] = [
        (method, function, dim, instance, options.budget * dim)
        for method in options.methods
        for dim in options.dims
        for function in range(1, 25)
        for instance in range(1, options.instances + 1)
    ]
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # of each process: the processes fill the cores
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        hits = pool.map(run, jobs, chunksize=4)
    results: dict[str, Any] = {}
    for (method, function, dim, _, _), hit in zip(jobs, hits, strict=True):
        results.setdefault(f"{method}/{function}/{dim}", []).append(hit)
    budgets = sorted({b for b in (30, 100, 300) if b < options.budget} | {options.budget})
    for dim in options.dims:
        print(table(results, dim, budgets, options.methods), end="\n\n")
    print(f"{len(jobs)} runs in {time.perf_counter() - started:.0f} s")
    if options.out:
        write_json(options.out, results)


if __name__ == "__main__":
    main()
