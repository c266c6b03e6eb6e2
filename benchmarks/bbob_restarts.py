"""CMA-ES with and without restarts beside pycma's, on the 24 noiseless BBOB functions.

Each method starts from the same points, uniform in [-4, 4]^d, with an initial step size of 2, and
stops by its own criteria; restarts begin at other points of the same kind. What is compared is the
expected running time (ERT) to a target above the optimum: all evaluations of all runs, until the
target or the end, by the number of runs that reached it.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/bbob_restarts.py --results benchmarks/bbob_restarts.json

Runs that the file of results has are not run again: more instances are added to it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from bbob import STEP, TARGETS, Budget, Watched

import zorl
from zorl.common.errors import DivergedError
from zorl.common.storage import read_json, write_json

SHOWN = [1e1, 1e-1, 1e-3, 1e-8]  # of the targets of bbob.py
COLUMNS = [int(np.argmin(np.abs(np.log(TARGETS / target)))) for target in SHOWN]
LOW, HIGH = -4.0, 4.0
METHODS = ("bipop-cma-es", "cma-es", "cma-es, damped")
LIBRARIES = ("zorl", "pycma")
NAMES = (
    "sphere", "ellipsoid, separable", "Rastrigin, separable", "Büche–Rastrigin", "linear slope",
    "attractive sector", "step ellipsoid", "Rosenbrock", "Rosenbrock, rotated", "ellipsoid",
    "discus", "bent cigar", "sharp ridge", "different powers", "Rastrigin", "Weierstrass",
    "Schaffer F7", "Schaffer F7, ill-conditioned", "Griewank–Rosenbrock", "Schwefel",
    "Gallagher, 101 peaks", "Gallagher, 21 peaks", "Katsuura", "Lunacek bi-Rastrigin",
)  # fmt: skip
Results = dict[str, str]  # evaluations to each target ("-": not reached), and all of the run


def run(library: str, method: str, function: int, d: int, instance: int, budget: int) -> str:
    """Return an entry of `Results`."""
    watched = Watched(function, d, instance, budget)
    seed = 1000 * function + instance
    start = np.random.default_rng(seed).uniform(LOW, HIGH, d)
    with suppress(Budget, DivergedError):
        (_zorl if library == "zorl" else _pycma)(watched, start, method, seed, budget)
    hits = [watched.hits[column] for column in COLUMNS]
    texts = [str(int(hit)) if hit <= budget else "-" for hit in hits]
    return " ".join([*texts, str(min(watched.calls, budget))])


def _zorl(watched: Watched, start: Any, method: str, seed: int, budget: int) -> None:
    name, _, damped = method.partition(", ")
    options: dict[str, Any] = {"sigma0": STEP, "damped": bool(damped)}
    if name == "bipop-cma-es":
        options.update(low=LOW, high=HIGH)
    zorl.minimize(
        watched, start, name, options=options, seed=seed, batched=True, max_evaluations=10 * budget
    )


def _pycma(watched: Watched, start: Any, method: str, seed: int, budget: int) -> None:
    import cma

    rng, starts = np.random.default_rng([seed, 1]), [start]
    bipop = method == "bipop-cma-es"
    cma.fmin2(
        None,
        lambda: starts.pop() if starts else rng.uniform(LOW, HIGH, start.size),
        STEP,
        {"seed": seed, "verbose": -9},
        restarts=9 if bipop else 0,
        bipop=bipop,
        parallel_objective=lambda xs: watched(np.asarray(xs)).tolist(),
    )


def expected(runs: list[str], column: int) -> tuple[int, float]:
    """How many runs reached the target, and the ERT."""
    entries = [each.split() for each in runs]
    reached = sum(entry[column] != "-" for entry in entries)
    spent = sum(int(entry[-1 if entry[column] == "-" else column]) for entry in entries)
    return reached, spent / reached if reached else math.inf


def compared(runs: dict[str, list[str]], column: int) -> str:
    """The ERT of zorl by pycma's, or who alone reached the target."""
    (ours_reached, ours), (theirs_reached, theirs) = (
        expected(runs[library], column) for library in LIBRARIES
    )
    if ours_reached and theirs_reached:
        return f"{ours / theirs:.2f}"
    return "zorl" if ours_reached else "pycma" if theirs_reached else "–"


def table(results: Results, method: str, dims: list[int], budget: int, instances: int) -> str:
    """Per function and dimension: zorl's ERT by pycma's, and both at the last target.

    Where just one of them reached a target, its name stands for the ratio.
    """
    heads = ["function", "d", *(f"at {target:g}" for target in SHOWN), "zorl", "pycma"]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    final = []
    for function in range(1, 25):
        for d in dims:
            runs = {
                library: [
                    results[_key(library, method, function, d, instance, budget)]
                    for instance in range(1, instances + 1)
                ]
                for library in LIBRARIES
            }
            cells = [compared(runs, column) for column in range(len(SHOWN))]
            final.append(cells[-1])
            for library in LIBRARIES:
                reached, ert = expected(runs[library], len(SHOWN) - 1)
                cells.append(f"{reached}/{instances}" + (f", {ert:,.0f}" if reached else ""))
            name = f"f{function} {NAMES[function - 1]}"
            rows.append(f"| {name} | {d} | " + " | ".join(cells) + " |")
    return "\n".join([*rows, "", summary(final)])


def summary(cells: list[str]) -> str:
    """What the ratios at the last target say, in a sentence."""
    ratios = [float(cell) for cell in cells if cell not in ("–", *LIBRARIES)]
    alone = [f"{cells.count(library)} by {library} alone" for library in LIBRARIES]
    mean = f", of geometric mean {np.exp(np.mean(np.log(ratios))):.2f}" if ratios else ""
    return (
        f"Of {len(cells)} problems {len(ratios)} were solved by both, {', '.join(alone)}, "
        f"{cells.count('–')} by neither. The ratio of both is at most 1 in "
        f"{sum(ratio <= 1 for ratio in ratios)} of {len(ratios)}{mean}."
    )


def _key(library: str, method: str, function: int, d: int, instance: int, budget: int) -> str:
    if library == "pycma":
        method = method.partition(",")[0]
    return f"{library} {method} f{function} d{d} i{instance} {budget}"


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--budget", type=int, default=10_000, help="evaluations per dimension")
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--functions", type=int, nargs="+", help="run only these, print no table")
    parser.add_argument("--results", help="a JSON file of all runs, continued where it exists")
    parser.add_argument("--smoke", action="store_true", help="seconds: 20 evaluations per d")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.dims, options.budget, options.instances = [2], 20, 1
    results: Results = {}
    if options.results and Path(options.results).exists():
        results = read_json(options.results)
    warnings.simplefilter("ignore")  # from pycma, and overflows far outside the domain
    began = time.perf_counter()
    for instance in range(1, options.instances + 1):
        for d in options.dims:
            for function in options.functions or range(1, 25):
                for method in options.methods:
                    for library in LIBRARIES:
                        key = _key(library, method, function, d, instance, options.budget)
                        if key not in results:
                            results[key] = run(
                                library, method, function, d, instance, options.budget * d
                            )
                if options.results:
                    write_json(options.results, results)
            seconds = time.perf_counter() - began
            print(f"instance {instance}, d = {d}: {seconds:.0f} s", file=sys.stderr)
    if not options.functions:
        for method in options.methods:
            print(f"{method}:\n")
            print(table(results, method, options.dims, options.budget, options.instances), "\n")


if __name__ == "__main__":
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    main()
