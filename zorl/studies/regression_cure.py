"""SPSA and MPGE (2025) on regression: how to keep dead weights still at SPSA's cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg

import zorl.optimizers as zo
from zorl.common.plotting import COLORS
from zorl.common.stats import Array, bootstrap, paired_difference, proportion_interval
from zorl.optimizers.directions import coordinate, rademacher
from zorl.studies.base import Study
from zorl.studies.sparse_regression import RADIUS, RATE, Problem, begin, errors

BAR = 0.0703  # MPGE's published error
ANNEALED = "SPSA, weight decay 10/(t + 20)"
PROBED = "SPSA, probed"


class Cycle:
    """Directions ±1 in d ≤ 16 dimensions: the rows of a shuffled Hadamard matrix, in turn."""

    def __init__(self) -> None:
        self._left: list[Array] = []

    def __call__(self, rng: np.random.Generator, m: int, d: int) -> Array:
        """Return the next rows (m, d); the 16 rows of a block satisfy Σ δδᵀ = 16 I."""
        while len(self._left) < m:
            block = rng.permutation(scipy.linalg.hadamard(16).astype(float)[:, :d])
            self._left += list(block * rademacher(rng, 1, d))
        taken, self._left = self._left[:m], self._left[m:]
        return np.array(taken)


def _spsa(directions: Any, rate: float = RATE, m: int = 1) -> zo.GradientSearch:
    return zo.GradientSearch(zo.SGD(rate), RADIUS, m, directions)


METHODS: dict[str, Callable[[], Any]] = {
    "SPSA": lambda: zo.spsa(RATE, RADIUS),
    "SPSA, rate 0.02": lambda: zo.spsa(0.02, RADIUS),
    "SPSA, gains": lambda: zo.spsa(RATE * 101**0.602, RADIUS, gains=True, stability=100),
    "SPSA, averaged": lambda: zo.Averaged(zo.spsa(RATE, RADIUS), start=500),
    "SPSA, Adam": lambda: zo.GradientSearch(zo.Adam(0.05), RADIUS, 1, "rademacher"),
    "SPSA, weight decay 0.01": lambda: zo.spsa(RATE, RADIUS, weight_decay=0.01),
    ANNEALED: lambda: zo.spsa(RATE, RADIUS, weight_decay=0.5),
    "SPSA, Hadamard rows in turn, rate 0.02": lambda: _spsa(Cycle(), 0.02),
    "SPSA, Hadamard rows in turn, rate 0.01": lambda: _spsa(Cycle(), 0.01),
    "one axis a step, rate 0.04": lambda: _spsa(coordinate, 0.04),
    PROBED: lambda: zo.spsa(RATE, RADIUS),
    "MPGE, unbiased (22 a step)": lambda: zo.mpge(RATE, RADIUS),
    "Hadamard block (32 a step)": lambda: _spsa(Cycle(), RATE, 16),
    "CMA-ES": lambda: zo.CMAES(0.5),
}


def probe(loss: Callable[[Array], Array], theta: Array) -> Array:
    """Return 1 for each weight that influences the loss, else 0 (d,), from 2d evaluations."""
    steps = np.eye(theta.size)
    values = loss(np.concatenate([theta + steps, theta - steps]))
    response = np.abs(np.subtract(*np.split(values, 2)))
    return np.asarray(response > 1e-9 * np.abs(values).max(), float)


def search_for(method: str, problem: Problem, theta: Array, seed: int, budget: int) -> Array:
    """Return the points (k, d) of a search within the budget of evaluations."""
    search, rng, spent = METHODS[method](), np.random.default_rng(seed), 0
    if method == PROBED:
        live = probe(problem.loss, theta)
        theta, spent = theta * live, 2 * theta.size  # dead weights: any value will do
        search = replace(search, directions=lambda rng, m, d: rademacher(rng, m, d) * live)
    state, thetas = search.init(theta), [theta]
    while True:
        if method == ANNEALED:
            search = replace(search, weight_decay=10 / (state.t + 20))
        asked = search.ask(state, rng)
        spent += len(asked)
        if spent > budget:
            return np.array(thetas)
        state = search.tell(state, asked, -problem.loss(asked.thetas))
        thetas.append(state.theta)


def solve(
    method: str, seeds: int, budget: int, start: str, turned: bool, first: int
) -> dict[str, Any]:
    """Return the errors of every seed from `first` on; `turned` rotates the dead directions."""
    found = []
    for seed in range(first, first + seeds):
        problem, theta, turn = Problem.draw(11, seed), begin(start, 11, seed), np.eye(11)
        if turned:
            turn = np.linalg.qr(np.random.default_rng([3, seed]).normal(size=(11, 11)))[0]
        seen = replace(problem, a=turn.T @ problem.a @ turn, b=problem.b @ turn)
        thetas = search_for(method, seen, theta @ turn, seed, budget) @ turn.T
        least = np.linalg.lstsq(problem.x, problem.y, rcond=None)[0]
        best = float(np.abs(least - problem.truth).sum())
        found.append({**errors(problem, thetas), "least": best})
    return {name: [one[name] for one in found] for name in found[0]}


def run(study: Study, seeds: int = 60, budget: int = 2000, first: int = 1000) -> None:
    """Run every cure with equal evaluations, for dead weights along axes or not, from two starts.

    The methods were first tried on seeds 0 to 59; `first` is the first of the other seeds.

    Args:
        study: where tables, figures and cells go.
        seeds: number of data sets of each case.
        budget: number of evaluations of a method.
        first: the first seed of a data set.
    """
    seeds, budget = study.pick(seeds, 3), study.pick(budget, 200)
    cells = [
        {"method": name, "seeds": seeds, "budget": budget, "start": start, "turned": turned,
         "first": first}
        for start, turned in (("zeros", False), ("normal", False), ("zeros", True))
        for name in METHODS
    ]  # fmt: skip
    results = study.map(solve, cells)
    rows = []
    for cell, got in zip(cells, results, strict=True):
        met = int((np.array(got["l1"]) <= BAR).sum())
        place = ("start {start}" + ", turned" * bool(cell["turned"])).format(**cell)
        rows.append([
            place, cell["method"], str(bootstrap(got["l1"])), float(np.median(got["l1"])),
            str(paired_difference(got["l1"], got["least"])), f"{met}/{seeds}",
            format(proportion_interval(met, seeds), ".2f"), f"{np.mean(got['loss']):.4f}",
        ])  # fmt: skip
    columns = ["case", "method", "L1 error", "median", "above least squares", "met", "share",
               "loss"]  # fmt: skip
    study.table("cures", columns, rows)
    least = np.array(results[0]["least"])
    study.say(f"least squares: L1 {bootstrap(least)}, ≤ {BAR}: {(least <= BAR).sum()}/{seeds}")
    with study.figure("cure", 1, 2, (5.4, 4.2)) as (_, axes):
        spread = np.random.default_rng(0).uniform(-0.3, 0.3, seeds)
        for column, title in enumerate(("start zeros", "start standard normal")):
            axis = axes[0, column]
            for row in range(len(METHODS)):
                values = results[column * len(METHODS) + row]["l1"]
                axis.semilogx(values, row + spread, ".", color=COLORS[0], markersize=3)
            axis.axvline(BAR, color=COLORS[1], label="published MPGE, 0.0703")
            axis.set_yticks(range(len(METHODS)), list(METHODS) if column == 0 else [], fontsize=8)
            axis.set(xlabel=f"L1 error after {budget:,} evaluations", title=title)
            axis.invert_yaxis()
        axes[0, 1].legend(fontsize=8, loc="lower left")
