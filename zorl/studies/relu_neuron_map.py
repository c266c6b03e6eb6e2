"""A single ReLU neuron (2026): the settings with which evolution strategies converge."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from zorl.common.plotting import COLORS
from zorl.common.stats import Array
from zorl.studies.base import Study
from zorl.studies.neuron import descend, evolve, start
from zorl.studies.relu_neuron import cma, kinds

NOISES = ("gaussian", "uniform", "rademacher")
WEIGHTS = ("raw", "z-score", "ranks")
STARTS = (-5.0, -2.0, -1.2, -1.1, -1.0, 0.5, 1.0, 2.0, 5.0)
SIGMAS = (0.003, 0.01, 0.03, 0.1)
RATES = {"raw": (0.1, 0.3, 1.0), "z-score": (0.003, 0.03, 0.1), "ranks": (0.003, 0.03, 0.1)}
MEMBERS = (2, 15)  # pairs
RECOMMENDED: dict[str, Any] = {
    "m": 2, "sigma": 0.001, "rate": 0.3, "weights": "raw", "restart": True
}  # fmt: skip
STATES = ("solved", "line", "constant", "other")


def settings(noise: str, weights: str, annealed: bool, seeds: int, budget: int) -> list[Any]:
    """Return [σ, rate, pairs, share solved from each b2] of every setting, a part of the map."""
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
    """Return the evaluations to 1e-8 of every seed from every b2 in [−5, 5]; −1 if never."""
    points = np.linspace(-5, 5, 21)
    starts = np.concatenate([start(b2, seeds) for b2 in points])
    rng = np.random.default_rng(2026)
    found = evolve(starts, rng, generations, noise=noise, **chosen)["evaluations"]
    return [[-1.0 if np.isinf(e) else e for e in row] for row in found.reshape(len(points), seeds)]


def floor(
    weights: str, sigma: float, rate: float, m: int, noise: str, generations: int
) -> list[float]:
    """Return the final losses of 40 runs from b2 = −1 without a target."""
    rng = np.random.default_rng(1)
    found = evolve(
        start(-1.0, 40), rng, generations, m, sigma, rate, noise, weights, target=0.0
    )  # fmt: skip
    return sorted(found["loss"].tolist())


def basins(rule: str, size: int, budget: int) -> list[str]:
    """Return how runs end from (b1, b2) on a grid on which b1 varies fastest; see `kinds`."""
    b1, b2 = np.meshgrid(np.linspace(-2.5, 2.5, size), np.linspace(-5, 5, size))
    starts = np.stack([np.ones(b1.size), b1.ravel(), np.ones(b1.size), b2.ravel()], axis=1)
    rng = np.random.default_rng(7)
    if rule == "Adam":
        return kinds(descend(starts, budget // 2, 0.01)[0])
    if rule == "gradient descent":
        return kinds(descend(starts, budget // 2, 0.1, adam=False)[0])
    if rule == "CMA-ES":
        return kinds(np.array([cma(theta[1], theta[3], i, True, budget // 10).x
                               for i, theta in enumerate(starts)]))  # fmt: skip
    chosen: dict[str, Any] = {**RECOMMENDED, "restart": rule.endswith("restarts")}
    if rule == "ES, z-scores, uniform":
        chosen |= {"m": 15, "sigma": 0.01, "weights": "z-score", "rate": 0.03}
    elif rule.startswith("σ = "):  # many directions and small steps, so that only σ matters
        chosen |= {"sigma": float(rule[4:]), "m": 8, "rate": 0.1}
    generations = budget // (8 if rule.startswith("σ = ") else 2 * chosen["m"] + 1)
    ends = evolve(starts, rng, generations, **chosen)["theta"]
    if chosen["weights"] != "raw" or rule.startswith("σ = "):
        # These hover around a solution at their floor; descent from there shows which one it is.
        ends = descend(ends, budget // 4, 0.1, adam=False)[0]
    return kinds(ends)


def steps(pairs: int, rate: float, size: int, time: float) -> list[str]:
    """Like `basins`, after time / rate steps at σ = 0.001; no pairs means gradient descent."""
    b1, b2 = np.meshgrid(np.linspace(-2.5, 2.5, size), np.linspace(-5, 5, size))
    starts = np.stack([np.ones(b1.size), b1.ravel(), np.ones(b1.size), b2.ravel()], axis=1)
    if pairs == 0:
        ends = descend(starts, round(4 * time / rate), rate, adam=False)[0]
    else:
        rng = np.random.default_rng(7)
        ends = evolve(starts, rng, round(time / rate), pairs, 0.001, rate)["theta"]
    return kinds(descend(ends, round(27 * time), 0.1, adam=False)[0])


def run(study: Study, seeds: int = 20, budget: int = 20_000, size: int = 41) -> None:
    """Compute the success map, the recommended setting, and the basins of every rule.

    Args:
        study: where tables, figures and cells go.
        seeds: number of runs of each setting.
        budget: number of evaluations of a run.
        size: number of starts along each axis of the basins.
    """
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
    rows = []
    more = study.pick(100, 2)
    cells = [{"noise": noise, "seeds": more, "generations": study.pick(8_000, 200),
              "chosen": RECOMMENDED} for noise in ("gaussian", "uniform")]  # fmt: skip
    for cell, counts in zip(cells, study.map(recommended, cells), strict=True):
        taken = np.where(np.array(counts) < 0, np.inf, counts)
        medians = np.median(taken, axis=1)
        worst = int(medians.argmax())
        solved = np.isfinite(taken)
        rows.append([cell["noise"], f"{solved.mean():.2%}", int(solved.sum()), float(medians.max()),
                     points[worst], float(np.median(taken)),
                     float(np.max(taken))])  # fmt: skip
    study.table("recommended", ["noise", "solved", "runs solved", "largest median", "at b2 =",
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

    raw = "ES, raw, uniform, σ = 0.001"
    rules = ["gradient descent", "Adam", "ES, z-scores, uniform", raw, "CMA-ES",
             f"{raw}, restarts", "σ = 0.001", "σ = 0.03", "σ = 0.1", "σ = 0.3"]  # fmt: skip
    size = study.pick(size, 5)
    cells = [{"rule": r, "size": size, "budget": study.pick(40_000, 1_000)} for r in rules]
    ends = [np.array(names) for names in study.map(basins, cells)]
    picture(study, rules[:6], ends[:6], size)
    rows = [[rule, *(f"{np.mean(names == state):.0%}" for state in STATES),
             f"{np.mean((ends[0] == 'solved') & (names != 'solved')):.1%}"]
            for rule, names in zip(rules, ends, strict=True)]  # fmt: skip
    study.table("basins", ["rule", *STATES, "lost where gradient descent solves"], rows)
    plans = [(pairs, rate) for pairs in (0, 2, 8, 32) for rate in (0.1, 0.3)]
    cells = [{"pairs": pairs, "rate": rate, "size": size, "time": study.pick(300.0, 1.0)}
             for pairs, rate in plans]  # fmt: skip
    found = [np.array(names) for names in study.map(steps, cells)]
    rows = [[pairs or "gradient descent", rate, *(f"{np.mean(names == s):.0%}" for s in STATES),
             f"{np.mean((found[0] == 'solved') & (names != 'solved')):.1%}"]
            for (pairs, rate), names in zip(plans, found, strict=True)]  # fmt: skip
    study.table("steps", ["pairs", "rate", *STATES, "lost"], rows)


def heat(study: Study, found: dict[Any, list[Any]]) -> None:
    """Draw shares solved by uniform noise without annealing, over σ and rate, in two regions."""
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


def picture(study: Study, rules: list[str], ends: list[Array], size: int) -> None:
    """Draw the basins over (b1, b2), one panel per rule."""
    from matplotlib.colors import ListedColormap

    colors = ListedColormap([COLORS[2], COLORS[0], COLORS[1], "#BBBBBB"])
    with study.figure("basins", 2, 3, (3.1, 2.7)) as (figure, axes):
        for axis, rule, names in zip(axes.flat, rules, ends, strict=True):
            codes = np.array([STATES.index(name) for name in names]).reshape(size, size)
            shown = axis.imshow(codes, extent=(-2.5, 2.5, -5, 5), origin="lower", aspect="auto",
                                cmap=colors, vmin=-0.5, vmax=3.5)  # fmt: skip
            axis.grid(visible=False)
            axis.set_title(rule, fontsize=9)
        axes[1, 1].set_xlabel("b1")
        axes[0, 0].set_ylabel("b2")
        bar = figure.colorbar(shown, ax=axes, ticks=range(4))
        bar.ax.set_yticklabels(STATES)
