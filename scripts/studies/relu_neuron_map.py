"""A single ReLU neuron (2026): the settings with which evolution strategies converge."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from zorl.plot_style import COLORS
from zorl.stats import proportion_interval
from zorl.studies.neuron import evolve, start
from zorl.studies.relu_neuron import cma_restarted
from zorl.study import Study

NOISES = ("gaussian", "uniform", "rademacher")
WEIGHTS = ("raw", "z-score", "ranks")
STARTS = (-5.0, -2.0, -1.2, -1.1, -1.0, 0.5, 1.0, 2.0, 5.0)
SIGMAS = (0.003, 0.01, 0.03, 0.1)
RATES = {"raw": (0.1, 0.3, 1.0), "z-score": (0.003, 0.03, 0.1), "ranks": (0.003, 0.03, 0.1)}
MEMBERS = (2, 15)  # pairs
RECOMMENDED: dict[str, Any] = {
    "m": 2, "sigma": 0.001, "rate": 0.3, "weights": "raw", "restart": True
}  # fmt: skip


def settings(noise: str, weights: str, annealed: bool, seeds: int, budget: int) -> list[Any]:
    """[σ, rate, pairs, share solved from each b2] of every setting: a part of the map."""
    starts = np.concatenate([start(b2, seeds) for b2 in STARTS])
    rows: list[Any] = []
    for number, (sigma, rate, m) in enumerate(product(SIGMAS, RATES[weights], MEMBERS)):
        found = evolve(
            starts, np.random.default_rng(number), budget // (2 * m + 1), m, sigma, rate, noise,
            weights, annealed,
        )  # fmt: skip
        solved = np.isfinite(found["evaluations"]).reshape(len(STARTS), seeds)
        rows.append([sigma, rate, m, solved.mean(axis=1).tolist()])
    return rows


def recommended(
    noise: str, seeds: int, generations: int, chosen: dict[str, Any]
) -> list[list[float]]:
    """Evaluations to 1e-8 of every seed from every b2 in [−5, 5]; −1 for never."""
    points = np.linspace(-5, 5, 21)
    starts = np.concatenate([start(b2, seeds) for b2 in points])
    rng = np.random.default_rng(2026)
    found = evolve(starts, rng, generations, noise=noise, **chosen)["evaluations"]
    return [[-1.0 if np.isinf(e) else e for e in row] for row in found.reshape(len(points), seeds)]


def restarted(mirrored: bool, points: list[float], seeds: int, budget: int) -> list[list[float]]:
    """As `recommended`, of CMA-ES with restarts."""
    runs = [[cma_restarted(0.0, b2, s, mirrored, budget) for s in range(seeds)] for b2 in points]
    return [[float(r.nfev) if r.fun < 1e-8 else -1.0 for r in row] for row in runs]


def floor(
    weights: str, sigma: float, rate: float, m: int, noise: str, generations: int
) -> list[float]:
    """Losses at which 40 runs from b2 = −1 end that do not stop at any target."""
    rng = np.random.default_rng(1)
    found = evolve(
        start(-1.0, 40), rng, generations, m, sigma, rate, noise, weights, target=0.0
    )  # fmt: skip
    return sorted(found["loss"].tolist())


def run(study: Study, seeds: int = 20, budget: int = 20_000) -> None:
    """The success map, and the recommended setting beside CMA-ES with restarts."""
    seeds, budget = study.pick(seeds, 2), study.pick(budget, 300)
    combinations = list(product(NOISES, WEIGHTS, (False, True)))
    cells = [
        {"noise": noise, "weights": weights, "annealed": annealed, "seeds": seeds, "budget": budget}
        for noise, weights, annealed in combinations
    ]
    results = study.map(settings, cells)
    rows, best = [], {}
    for (noise, weights, annealed), found in zip(combinations, results, strict=True):
        sigma, rate, m, shares = max(found, key=lambda row: sum(row[3]))
        best[noise, weights, annealed] = found
        schedule = "annealed" if annealed else "constant"
        rows.append([noise, weights, schedule, sigma, rate, m, *(f"{s:.0%}" for s in shares)])
    columns = ["noise", "weights", "schedule", "σ", "rate", "pairs", *map(str, STARTS)]
    study.table("map", columns, rows)
    heat(study, best)

    points = np.linspace(-5, 5, 21)
    more = study.pick(100, 2)
    cells = [{"noise": noise, "seeds": more, "generations": study.pick(8_000, 200),
              "chosen": RECOMMENDED} for noise in ("gaussian", "uniform")]  # fmt: skip
    rules = {f"ES, {cell['noise']}": counts
             for cell, counts in zip(cells, study.map(recommended, cells), strict=True)}  # fmt: skip
    few = points[:: study.pick(1, 10)].tolist()
    cells = [{"mirrored": mirrored, "points": few, "seeds": seeds, "budget": 2 * budget}
             for mirrored in (True, False)]  # fmt: skip
    names = ("CMA-ES, restarts", "CMA-ES, tutorial's, restarts")
    rules |= dict(zip(names, study.map(restarted, cells), strict=True))
    rows = []
    for rule, counts in rules.items():
        taken = np.where(np.array(counts) < 0, np.inf, counts)
        medians, solved = np.median(taken, axis=1), int(np.isfinite(taken).sum())
        interval = proportion_interval(solved, taken.size)
        rows.append([rule, f"{solved}/{taken.size}", f"{interval.low:.1%} to {interval.high:.1%}",
                     float(medians.max()), float(np.linspace(-5, 5, len(medians))[medians.argmax()]),
                     float(np.median(taken)), float(np.max(taken))])  # fmt: skip
    study.table("recommended", ["rule", "solved", "95 % interval", "largest median", "at b2 =",
                "median of all", "largest of all"], rows)  # fmt: skip

    cells = [
        {"weights": weights, "sigma": sigma, "rate": rate, "m": m, "noise": noise,
         "generations": study.pick(4_000, 50)}
        for weights, rate, m in (("raw", 0.3, 2), ("z-score", 0.003, 2), ("ranks", 0.003, 15))
        for sigma in (0.001, 0.003, 0.01, 0.03) for noise in ("gaussian", "uniform")
    ]  # fmt: skip
    rows = [[c["weights"], c["rate"], c["m"], c["sigma"], c["noise"], losses[10], losses[20],
             f"{np.mean(np.array(losses) < 1e-8):.0%}"]
            for c, losses in zip(cells, study.map(floor, cells), strict=True)]  # fmt: skip
    study.table("floor", ["weights", "rate", "pairs", "σ", "noise", "lower quartile", "median",
                "below 1e-8 at the end"], rows)  # fmt: skip


def heat(study: Study, found: dict[Any, list[Any]]) -> None:
    """Shares solved by uniform noise without annealing, over σ and rate, in two regions."""
    regions: dict[str, Any] = {"b2 from −1.2 to 2": slice(2, 8), "b2 = −5, −2, 5": [0, 1, 8]}
    with study.figure("map", 2, 3, (3.2, 2.6)) as (figure, axes):
        for column, weights in enumerate(WEIGHTS):
            rows = [row for row in found["uniform", weights, False] if row[2] == 2]
            for line, (title, part) in enumerate(regions.items()):
                shares = np.array([np.array(row[3])[part].mean() for row in rows])
                axis = axes[line, column]
                shown = axis.imshow(shares.reshape(len(SIGMAS), -1), vmin=0, vmax=1, cmap="viridis")
                axis.set_xticks(range(3), [f"{rate:g}" for rate in RATES[weights]])
                axis.set_yticks(range(len(SIGMAS)), [f"{sigma:g}" for sigma in SIGMAS])
                axis.grid(visible=False)
                axis.set_title(f"{weights}; {title}", fontsize=9)
        axes[1, 1].set_xlabel("rate")
        axes[0, 0].set_ylabel("σ")
        figure.colorbar(shown, ax=axes, label="share of runs below 1e-8")
