"""Compare milliseconds per generation of CMA-ES in zorl and in other libraries.

A generation is one `ask` and one `tell`. Each library has its default popsize (31 for fcmaes, else
4 + 3 ln d) unless --popsize sets one for all. The returns are random numbers; drawing them is not
timed. Libraries that cannot be imported are named and skipped. All run in turn in one process on
one core. A fixed calibration loop runs before and after each repeat, so that the drift of the
core's speed can be divided out. A repeat lasts for several periods of a lazy decomposition. If
zorl's period is longer, a generation's share of one decomposition is added.

    python benchmarks/optimizer_speed.py --repeats 7
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.storage import write_json
from zorl.optimizers.cma_es import CMAES

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
SIZES = ((51, "full"), (500, "full"), (2000, "full"), (100_000, "separable"))
Generation = Callable[[], float]  # runs one generation and returns the seconds of its ask and tell


@dataclass(frozen=True)
class Contender:
    """A running search of one library at one size."""

    popsize: int
    generation: Generation
    extra: Callable[[], float] = lambda: 0.0  # seconds to add to each generation


def default_popsize(d: int) -> int:
    """Return 4 + floor(3 ln d)."""
    return 4 + int(3 * math.log(d))


def timed(rng: np.random.Generator, ask: Callable[[], Any], tell: Callable[[Any], Any]) -> float:
    """Return the seconds of `ask()` and the following `tell(returns)`."""
    began = time.perf_counter()
    n = ask()
    middle = time.perf_counter()
    returns = rng.standard_normal(n)
    resumed = time.perf_counter()
    tell(returns)
    return middle - began + time.perf_counter() - resumed


def zorl(d: int, covariance: Any, popsize: int | None, mirrored: bool = True) -> Contender:
    """CMA-ES of zorl, with its default sampling or with independent candidates."""
    optimizer = CMAES(popsize=popsize, covariance=covariance, mirrored=mirrored)
    rng, n = np.random.default_rng(0), popsize or default_popsize(d)
    state, asked = optimizer.init(np.ones(d)), None
    gaps: list[int] = []

    def ask() -> int:
        nonlocal asked
        asked = optimizer.ask(state, rng)
        return len(asked)

    def tell(returns: Any) -> None:
        nonlocal state
        assert asked is not None
        # The cost of the decomposition is measured separately, because its period is long.
        told = optimizer.tell(replace(state, eigen_t=state.t) if d > 100 else state, asked, returns)
        state = told

    def generation() -> float:
        return timed(rng, ask, tell)

    def extra() -> float:
        """Return a generation's share of a decomposition."""
        nonlocal state
        if covariance == "separable" or d <= 100:
            return 0.0
        if not gaps:
            from zorl.optimizers.cma_es_constants import constants

            k = constants(d, n, False, True, mirrored)
            gaps.append(k.eigen_gap)
        plain = generation()
        state = replace(state, eigen_t=state.t - gaps[0])
        before, asked_now = state, optimizer.ask(state, rng)
        began = time.perf_counter()
        state = optimizer.tell(before, asked_now, rng.standard_normal(len(asked_now)))
        assert state.eigen_t == state.t, "no decomposition was measured"
        return max(0.0, time.perf_counter() - began - plain) / gaps[0]

    return Contender(n, generation, extra)


def independent(d: int, covariance: str, popsize: int | None) -> Contender:
    """CMA-ES of zorl with independent candidates and the tutorial's constants."""
    return zorl(d, covariance, popsize, mirrored=False)


def pycma(d: int, covariance: str, popsize: int | None) -> Contender:
    """CMA-ES/pycma: full, or with CMA_diagonal."""
    cma = importlib.import_module("cma")
    options: dict[str, Any] = {"verbose": -9, "seed": 1, "CMA_diagonal": covariance == "separable"}
    if popsize:
        options["popsize"] = popsize
    es = cma.CMAEvolutionStrategy(np.ones(d), 0.5, options)
    rng = np.random.default_rng(0)
    asked: list[Any] = []

    def ask() -> int:
        asked[:] = es.ask()
        return len(asked)

    return Contender(es.popsize, lambda: timed(rng, ask, lambda r: es.tell(asked, list(r))))


def cmaes(d: int, covariance: str, popsize: int | None) -> Contender:
    """CyberAgentAILab/cmaes: CMA, or SepCMA."""
    module = importlib.import_module("cmaes")
    cls = module.SepCMA if covariance == "separable" else module.CMA
    es, rng = (
        cls(mean=np.ones(d), sigma=0.5, seed=1, population_size=popsize),
        np.random.default_rng(0),
    )
    asked: list[Any] = []

    def ask() -> int:
        asked[:] = [es.ask() for _ in range(es.population_size)]
        return len(asked)

    def tell(returns: Any) -> None:
        es.tell(list(zip(asked, map(float, returns), strict=True)))

    return Contender(es.population_size, lambda: timed(rng, ask, tell))


def _fcmaes(es: Any) -> Contender:
    rng = np.random.default_rng(0)
    asked: list[Any] = []

    def ask() -> int:
        asked[:] = [es.ask()]
        return len(asked[0])

    return Contender(es.popsize, lambda: timed(rng, ask, es.tell))


def fcmaes_native(d: int, covariance: str, popsize: int | None) -> Contender:
    """Active CMA-ES of fcmaes in C++, with its default popsize of 31."""
    if covariance == "separable":
        raise NotImplementedError
    module = importlib.import_module("fcmaes.cmaescpp")
    rng = np.random.Generator(np.random.PCG64DXSM(1))
    options = {"input_sigma": 0.5, "max_evaluations": 10**9, "stop_hist": 0, "rg": rng}
    return _fcmaes(module.ACMA_C(d, x0=np.ones(d), popsize=popsize or 31, **options))


def fcmaes_python(d: int, covariance: str, popsize: int | None) -> Contender:
    """CMA-ES of fcmaes in Python, with its default popsize of 31."""
    if covariance == "separable":
        raise NotImplementedError
    module = importlib.import_module("fcmaes.cmaes")
    options = {"input_sigma": 0.5, "max_evaluations": 10**9, "popsize": popsize or 31}
    return _fcmaes(module.Cmaes(x0=np.ones(d), **options))


def evosax(d: int, covariance: str, popsize: int | None) -> Contender:
    """CMA_ES or Sep_CMA_ES of evosax, jitted, in float32; evosax requires a popsize."""
    jax, algorithms = importlib.import_module("jax"), importlib.import_module("evosax.algorithms")
    cls = algorithms.Sep_CMA_ES if covariance == "separable" else algorithms.CMA_ES
    popsize, mean = popsize or default_popsize(d), np.ones(d, np.float32)
    es = cls(population_size=popsize, solution=mean)
    params = es.default_params
    keys = [jax.random.key(0)]
    state, rng, population = es.init(keys[0], mean, params), np.random.default_rng(0), None

    def ask() -> int:
        nonlocal state, population
        keys[:] = jax.random.split(keys[0])
        population, state = es.ask(keys[1], state, params)
        jax.block_until_ready(population)
        return popsize

    def tell(returns: Any) -> None:
        nonlocal state
        state, _ = es.tell(keys[1], population, returns.astype(np.float32), state, params)
        jax.block_until_ready(state)

    return Contender(popsize, lambda: timed(rng, ask, tell))


def evotorch(d: int, covariance: str, popsize: int | None) -> Contender:
    """EvoTorch's CMAES in float32; its step also evaluates, which here is one look-up."""
    root, torch = importlib.import_module("evotorch"), importlib.import_module("torch")
    algorithms = importlib.import_module("evotorch.algorithms")
    importlib.import_module("logging").disable(20)
    torch.set_num_threads(1)
    problem = root.Problem(
        "min",
        lambda x: x[:, 0],
        solution_length=d,
        initial_bounds=(1.0, 1.0),
        vectorized=True,
        store_solution_stats=False,
        seed=1,
    )
    es = algorithms.CMAES(
        problem, stdev_init=0.5, separable=covariance == "separable", popsize=popsize
    )

    def generation() -> float:
        began = time.perf_counter()
        es.step()
        return time.perf_counter() - began

    return Contender(es.popsize, generation)


MAKERS: dict[str, Callable[[int, str, int | None], Contender]] = {
    "zorl": zorl,
    "zorl, mirrored=False": independent,
    "pycma": pycma,
    "cmaes": cmaes,
    "fcmaes, C++": fcmaes_native,
    "fcmaes, Python": fcmaes_python,
    "evosax": evosax,
    "EvoTorch": evotorch,
}


def contenders(d: int, covariance: str, popsize: int | None) -> Iterator[tuple[str, Contender]]:
    """List the libraries that can be imported and have this kind of covariance."""
    for name, make in MAKERS.items():
        try:
            yield name, make(d, covariance, popsize)
        except ImportError as error:
            print(f"(no {name}: {error})")
        except NotImplementedError:
            pass


def calibration() -> float:
    """Return the seconds of a fixed amount of work similar to a generation's."""
    rng = np.random.default_rng(0)
    matrix = np.full((300, 300), 0.5)
    began = time.perf_counter()
    for _ in range(6):
        np.linalg.eigvalsh(matrix[:100, :100])
        matrix @ rng.standard_normal((300, 100))
        sum(range(10_000))
    return time.perf_counter() - began


def repeat(contender: Contender, seconds: float, least: int) -> tuple[float, float]:
    """Return seconds per generation, over at least `least` of them, and per calibration loop."""
    before = calibration()
    total, count = 0.0, 0
    while count < least or (total < seconds and count < 400):
        total += contender.generation()
        count += 1
    extra = contender.extra()
    return total / count + extra, (before + calibration()) / 2


def measure(
    d: int, covariance: str, popsize: int | None, repeats: int, seconds: float
) -> list[dict[str, Any]]:
    """Measure one row per library."""
    found = dict(contenders(d, covariance, popsize))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    # Two periods of the tutorial's lazy decomposition, which is 14 generations at d = 2,000.
    # Libraries that decompose in each generation need fewer.
    period = 15 if covariance == "full" and d >= 2000 else 8
    for contender in found.values():
        contender.generation()  # warm-up: imports, caches, compilation
    for turn in range(repeats):
        names = list(found) if turn % 2 else list(found)[::-1]
        for name in names:
            eager = name in ("cmaes", "evosax") and d >= 500
            times[name].append(repeat(found[name], seconds, 1 if eager else 2 * period))
    typical = float(np.median([c for rows in times.values() for _, c in rows]))
    rows = []
    for name, pairs in times.items():
        # The raw seconds, multiplied by the core's current speed relative to its usual speed.
        milliseconds = [1e3 * s * typical / c for s, c in pairs]
        low, median, high = np.quantile(milliseconds, (0.25, 0.5, 0.75))
        rows.append(
            {
                "d": d,
                "covariance": covariance,
                "library": name,
                "popsize": found[name].popsize,
                "median": float(median),
                "low": float(low),
                "high": float(high),
                "per_candidate": float(median) / found[name].popsize,
            }
        )
    return rows


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[d for d, _ in SIZES])
    parser.add_argument("--popsize", type=int, help="the same for all; default: that of each")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a repeat, at least")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    # BLAS reads these when it is loaded, before this line, so a new process is needed.
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.environ.update(dict.fromkeys(THREADS, "1"))
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"Python {platform.python_version()}, numpy {np.__version__}, one core")
    print("| d | covariance | library | popsize | ms per generation | quartiles | µs a candidate |")
    print("|---|---|---|---|---|---|---|")
    everything = []
    for d, covariance in SIZES:
        if d not in args.sizes:
            continue
        for row in measure(d, covariance, args.popsize, args.repeats, args.seconds):
            everything.append(row)
            print(
                f"| {d:,} | {covariance} | {row['library']} | {row['popsize']} "
                f"| {row['median']:.3g} | {row['low']:.3g}–{row['high']:.3g} "
                f"| {1e3 * row['per_candidate']:.3g} |",
                flush=True,
            )
    if args.json:
        write_json(args.json, {"rows": everything})


if __name__ == "__main__":
    main()
