"""Compare how many evaluations CMA-ES needs to reach f <= 1e-8 in zorl, pycma and cmaes.

All libraries have the same starting points, rotations and budgets, and run without their stopping
rules. A run fails when its budget is spent, or when a whole generation lies within 1e-12 of one
value above the target. The evaluations shown are those of the successful runs.

    python benchmarks/cma_es.py --dims 10 20 40 --runs 25 --jobs 2
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.storage import write_json
from zorl.optimizers.cma_es import CMAES

Array = NDArray[np.float64]
TARGET = 1e-8


def _weighted(weights: Callable[[int], Array]) -> Callable[[Array], Array]:
    return lambda x: np.asarray(x**2 @ weights(x.shape[1]))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sphere": _weighted(np.ones),
    "ellipsoid": _weighted(lambda d: 1e6 ** np.linspace(0, 1, d)),
    "discus": _weighted(lambda d: np.r_[1e6, np.ones(d - 1)]),
    "cigar": _weighted(lambda d: np.r_[1.0, np.full(d - 1, 1e6)]),
    "rosenbrock": lambda x: np.asarray(
        (100 * (x[:, :-1] ** 2 - x[:, 1:]) ** 2 + (x[:, :-1] - 1) ** 2).sum(axis=1)
    ),
    "rastrigin": lambda x: np.asarray((x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum(axis=1)),
}


@dataclass(frozen=True)
class Cell:
    """One library on one problem: a row of the table."""

    function: str
    rotated: bool
    d: int
    popsize: int | None
    library: str


class Search:
    """A common interface for all libraries: `ask`, and a `tell` that minimises."""

    def __init__(self, library: str, start: Array, sigma: float, popsize: int | None, seed: int):
        self.tell: Callable[[Array], None]
        self.ask: Callable[[], Array]
        getattr(self, f"_{library.partition(',')[0]}")(library, start, sigma, popsize, seed)

    def _zorl(
        self, library: str, start: Array, sigma: float, popsize: int | None, seed: int
    ) -> None:
        optimizer = CMAES(sigma0=sigma, popsize=popsize, mirrored="independent" not in library)
        state, rng = optimizer.init(start), np.random.default_rng(seed)
        asked = optimizer.ask(state, rng)

        def ask() -> Array:
            nonlocal asked
            asked = optimizer.ask(state, rng)
            return asked.thetas

        def tell(losses: Array) -> None:
            nonlocal state
            state = optimizer.tell(state, asked, -losses)

        self.ask, self.tell = ask, tell

    def _pycma(self, _: str, start: Array, sigma: float, popsize: int | None, seed: int) -> None:
        options: dict[str, Any] = {"seed": seed + 1, "verbose": -9}
        if popsize:
            options["popsize"] = popsize
        es = importlib.import_module("cma").CMAEvolutionStrategy(start, sigma, options)
        asked: list[Any] = []

        def ask() -> Array:
            asked[:] = es.ask()
            return np.array(asked)

        self.ask, self.tell = ask, lambda losses: es.tell(asked, list(losses))

    def _cmaes(self, _: str, start: Array, sigma: float, popsize: int | None, seed: int) -> None:
        cls = importlib.import_module("cmaes").CMA
        es = cls(mean=start, sigma=sigma, seed=seed, population_size=popsize)
        asked: list[Any] = []

        def ask() -> Array:
            asked[:] = [es.ask() for _ in range(es.population_size)]
            return np.array(asked)

        def tell(losses: Array) -> None:
            es.tell(list(zip(asked, map(float, losses), strict=True)))

        self.ask, self.tell = ask, tell


LIBRARIES = ("zorl", "zorl, independent", "pycma", "cmaes")


def rotation(d: int) -> Array:
    """Return a random orthogonal matrix (d, d), the same for all libraries."""
    return np.asarray(np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0])


def evaluations(cell: Cell, seed: int) -> float:
    """Return the evaluations until a candidate reaches the target; infinity if none does."""
    f, turn = FUNCTIONS[cell.function], rotation(cell.d)
    start = np.random.default_rng([seed, cell.d]).uniform(-4, 4, cell.d)
    sigma = 2.0
    if cell.function == "rosenbrock":
        start, sigma = np.zeros(cell.d), 0.1
    search = Search(cell.library, start, sigma, cell.popsize, seed)
    spent, budget = 0, 10_000 * cell.d
    while spent < budget:
        x = search.ask()
        losses = f(x @ turn if cell.rotated else x)
        hits = np.flatnonzero(losses <= TARGET)
        if hits.size:
            return float(spent + hits[0] + 1)
        if np.ptp(losses) < 1e-12:
            break
        spent += len(losses)
        search.tell(losses)
    return math.inf


def run(cell: Cell, runs: int) -> tuple[Cell, list[float]]:
    """Return the evaluations of each run."""
    warnings.simplefilter("ignore")
    return cell, [evaluations(cell, seed) for seed in range(runs)]


def problems(dims: list[int], functions: list[str]) -> Iterator[tuple[str, bool, int, int | None]]:
    """List the problems: function, whether it is rotated, dimension and popsize."""
    for d in dims:
        for function in functions:
            for rotated in (False, True):
                yield function, rotated, d, None
        if "rastrigin" in functions:
            yield "rastrigin", False, d, 10 * d


def row(cell: Cell, counts: list[float], best: float | None) -> str:
    """Format a row of the table; its last column compares with the peers' better median."""
    reached = [c for c in counts if c < math.inf]
    name = f"{cell.function}{', rotated' if cell.rotated else ''}"
    figures = "– | – | –"
    if reached:
        low, median, high = np.quantile(reached, (0.25, 0.5, 0.75))
        ratio = f"{median / best:.2f}" if best else "–"
        figures = f"{median:,.0f} | {low:,.0f}–{high:,.0f} | {ratio}"
    popsize = cell.popsize or "default"
    success = f"{len(reached)}/{len(counts)}"
    return f"| {name} | {cell.d} | {popsize} | {cell.library} | {success} | {figures} |"


def table(results: dict[Cell, list[float]]) -> str:
    """Format all rows as Markdown."""
    lines = [
        "| function | d | popsize | library | success | evaluations, median | quartiles "
        "| to the better peer's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell, counts in results.items():
        peers = []
        for other in ("pycma", "cmaes"):
            found = results.get(Cell(cell.function, cell.rotated, cell.d, cell.popsize, other), [])
            reached = [c for c in found if c < math.inf]
            peers += [float(np.median(reached))] if reached else []
        lines.append(row(cell, counts, min(peers, default=None)))
    return "\n".join(lines)


def main() -> None:
    """Run everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--functions", nargs="+", default=list(FUNCTIONS), choices=list(FUNCTIONS))
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="write every run's evaluations to this file too")
    args = parser.parse_args()
    # One thread per library, so that they do not wait for each other. Workers inherit this.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    libraries = []
    for library in args.libraries:
        module = {"pycma": "cma", "cmaes": "cmaes"}.get(library, "numpy")
        if importlib.util.find_spec(module):
            libraries.append(library)
        else:
            print(f"(no {library}: the package {module} is not installed)")
    cells = [
        Cell(*p, library) for p in problems(args.dims, args.functions) for library in libraries
    ]
    results: dict[Cell, list[float]] = {}
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for cell, counts in pool.map(run, cells, [args.runs] * len(cells)):
            results[cell] = counts
            if args.json:
                rows = [{**asdict(c), "evaluations": v} for c, v in results.items()]
                write_json(args.json, {"runs": rows})  # JSON has no infinity: it becomes null
    print(table(results))


if __name__ == "__main__":
    main()
