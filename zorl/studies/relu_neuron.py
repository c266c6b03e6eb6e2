"""A single ReLU neuron (2026): the published observations when it learns from w1 = w2 = 1."""

from __future__ import annotations

from typing import Any

import numpy as np

import zorl
from zorl.common.plotting import COLORS
from zorl.common.stats import Array
from zorl.optimizers import CMAES
from zorl.studies.base import Study
from zorl.studies.neuron import CONSTANT, LINE, descend, evolve, loss, start

SOLVED = 1e-8
STARTS = (-5.0, -2.0, -1.2, -1.15, -1.1, -1.0, -0.5, 0.5, 1.0, 2.0, 5.0)
# x-evolution's default: 30 mirrored pairs, z-scores, σ = 0.01, rate 0.001 / 2σ in σ_R's terms.
DEFAULT = {"m": 30, "sigma": 0.01, "rate": 0.05, "weights": "z-score"}
RAW = {"m": 2, "sigma": 0.001, "rate": 0.3, "weights": "raw"}
RULES: dict[str, dict[str, Any]] = {
    "ES, z-scores, Gaussian": {**DEFAULT, "noise": "gaussian"},
    "ES, z-scores, uniform": {**DEFAULT, "noise": "uniform"},
    "ES, raw, Gaussian": {**RAW, "noise": "gaussian"},
    "ES, raw, uniform": {**RAW, "noise": "uniform"},
}


def cma(b1: float, b2: float, seed: int, mirrored: bool, budget: int) -> Any:
    """Run CMA-ES with σ0 = 0.5, without restarts."""
    return zorl.minimize(
        loss, start(b2, b1=b1)[0], CMAES(0.5, mirrored=mirrored), batched=True, seed=seed,
        target=SOLVED, tol=1e-15, max_evaluations=budget,
    )  # fmt: skip


def ends(rule: str, settings: dict[str, Any], b2: float, seeds: int, budget: int) -> Any:
    """Return the last θ of every seed."""
    if rule.startswith("CMA-ES"):
        mirrored = rule == "CMA-ES"
        return [cma(0.0, b2, s, mirrored, budget // 4).x.tolist() for s in range(seeds)]
    if rule == "Adam":
        return descend(start(b2), budget // 2, 0.01)[0].tolist()
    generations = budget // (2 * settings["m"] + 1)
    rng = np.random.default_rng(abs(int(1000 * b2)))
    return evolve(start(b2, seeds), rng, generations, **settings)["theta"].tolist()


def kinds(thetas: Array) -> list[str]:
    """Classify each θ by its loss: "solved", "line", "constant" or "other"."""
    found = []
    for value in loss(thetas):
        near = [name for name, plateau in (("line", LINE), ("constant", CONSTANT))
                if abs(value / plateau - 1) < 0.05]  # fmt: skip
        found.append("solved" if value < SOLVED else near[0] if near else "other")
    return found


def run(study: Study, seeds: int = 40, budget: int = 40_000) -> None:
    """Run each rule from every b2; draw how weights evolve, and the landscape with its troughs.

    Args:
        study: where tables, figures and cells go.
        seeds: number of runs of each rule from each start.
        budget: number of evaluations of a run.
    """
    seeds, budget = study.pick(seeds, 3), study.pick(budget, 2_000)
    rules = ["Adam", *RULES, "CMA-ES", "CMA-ES, tutorial's"]
    cells = [
        {"rule": rule, "settings": RULES.get(rule, {}), "b2": b2, "seeds": seeds, "budget": budget}
        for rule in rules for b2 in STARTS
    ]  # fmt: skip
    results = iter(study.map(ends, cells))
    rows, plateaus, hyperbola = [], [], []
    for rule in rules:
        row, plateau = [], []
        for _ in STARTS:
            thetas = np.array(next(results))
            names = kinds(thetas)
            row.append(f"{names.count('solved')}/{len(names)}")
            median = np.median(loss(thetas))
            plateau.append(f"{median:.1e}")
            hyperbola += [t for t, name in zip(thetas, names, strict=True) if name == "solved"]
        rows.append([rule, *row])
        plateaus.append([rule, *plateau])
    study.table("solved", ["solved from b2 =", *map(str, STARTS)], rows)
    study.table("losses", ["median loss from b2 =", *map(str, STARTS)], plateaus)
    weights = np.array(hyperbola)
    off = np.abs(weights[:, 0] * weights[:, 2] - 1).max()
    study.say(f"largest |w1·w2 − 1| of {len(weights)} solved runs: {off:.1e}")
    evolution(study, budget)
    landscape(study, weights)


def evolution(study: Study, budget: int) -> None:
    """Draw the weights of runs from b2 = −1; only the first part of runs that arrive early."""
    paths: dict[str, Array] = {"Adam": descend(start(-1.0), budget // 40, 0.01)[1][:, 0]}
    for rule, settings in RULES.items():
        generations = budget // (2 * settings["m"] + 1)
        if settings["weights"] == "raw":
            generations //= 20
        found = evolve(
            start(-1.0), np.random.default_rng(1), generations, **settings, trace=True
        )  # fmt: skip
        paths[rule] = found["trace"][:: max(1, generations // 100), 0]
    steps: list[Array] = []
    zorl.minimize(
        loss, start(-1.0)[0], CMAES(0.5), batched=True, seed=1, target=1e-12, tol=1e-15,
        max_evaluations=budget // 40, callback=lambda standing: steps.append(standing.theta),
    )  # fmt: skip
    paths["CMA-ES"] = np.array(steps)
    with study.figure("evolution", 2, 3, (3.4, 2.4)) as (_, axes):
        for axis, (rule, path) in zip(axes.flat, paths.items(), strict=True):
            for color, name, column in zip(COLORS, ("w1", "b1", "w2", "b2"), path.T, strict=False):
                axis.plot(np.linspace(0, 1, len(path)), column, color=color, label=name)
            axis.set_title(f"{rule}: {loss(path[-1]):.0e}", fontsize=9)
        axes[0, 0].legend(fontsize=7)
        axes[1, 1].set_xlabel("share of what is shown")


def landscape(study: Study, weights: Array) -> None:
    """Draw the loss over (b1, b2) at w1 = w2 = 1 with trajectories, and where solved runs end."""
    b1, b2 = np.meshgrid(np.linspace(-2.5, 2.5, 201), np.linspace(-5, 5, 201))
    grid = np.stack([np.ones_like(b1), b1, np.ones_like(b1), b2], axis=-1)
    with study.figure("landscape", 1, 2, (4.6, 3.8)) as (figure, axes):
        values = np.log10(loss(grid) + 1e-4)
        filled = axes[0, 0].contourf(b1, b2, values, 24, cmap="viridis")
        figure.colorbar(filled, ax=axes[0, 0], label="log10 loss, w1 = w2 = 1")
        for begin in (-5.0, -1.2, -1.0, 2.0, 5.0):
            path = descend(start(begin), study.pick(20_000, 500), 0.01)[1][:, 0]
            axes[0, 0].plot(path[:, 1], path[:, 3], color="white", linewidth=1.2)
            axes[0, 0].plot(*path[-1, [1, 3]], "o", color="#D55E00", markersize=5)
        axes[0, 0].set(xlabel="b1", ylabel="b2", title="Adam's trajectories")
        line = np.linspace(0.15, 4, 200)
        axes[0, 1].plot(line, 1 / line, color="black", linewidth=0.8, label="w1·w2 = 1")
        axes[0, 1].plot(weights[:, 0], weights[:, 2], ".", color=COLORS[1], markersize=3)
        axes[0, 1].set(xlabel="w1", ylabel="w2", xlim=(0, 4), ylim=(0, 4), title="solved runs")
        axes[0, 1].legend(fontsize=8)
