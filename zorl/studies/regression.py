"""SPSA and MPGE (2025) on regression: the published tables, and the walk of the dead weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import zorl.optimizers as zo
from zorl.common.plotting import COLORS
from zorl.common.stats import bootstrap
from zorl.optimizers.directions import orthogonal, rademacher, sphere
from zorl.optimizers.recipes import mpge_average, two_point_unit
from zorl.studies.base import Study
from zorl.studies.sparse_regression import (
    RADIUS,
    RATE,
    Problem,
    begin,
    descend,
    errors,
    gaps,
    predicted,
    walk,
)

METHODS: dict[str, Callable[[], Any]] = {
    "SPSA": lambda: zo.spsa(RATE, RADIUS),
    "MPGE, published (∇f/d)": lambda: mpge_average(RATE, RADIUS),
    "MPGE, unbiased": lambda: zo.mpge(RATE, RADIUS),
}
NAMES = ("analytical", *METHODS)
OTHERS: dict[str, Callable[[], Any]] = {
    "two-point on the unit sphere, published (∇f/d)": lambda: two_point_unit(RATE, RADIUS),
    "two-point, unbiased": lambda: zo.two_point(RATE, RADIUS),
}
EVALUATIONS = 2000  # evaluations of 1,000 steps of SPSA


def follow(method: str, d: int, seeds: int, steps: int, start: str) -> dict[str, Any]:
    """Return the errors of every seed, and curves of median loss, L1 error and ‖dead weights‖²."""
    found, curves = [], []
    for seed in range(seeds):
        problem, theta = Problem.draw(d, seed), begin(start, d, seed)
        if method == "analytical":
            thetas = descend(problem, theta, steps)
        else:
            thetas = walk(problem, (METHODS | OTHERS)[method](), theta, seed, steps)
        found.append(errors(problem, thetas))
        off = thetas - problem.truth
        dead = (off[:, problem.truth == 0] ** 2).sum(1)
        curves.append([problem.loss(thetas), np.abs(off).sum(1), dead])
    median, mean = np.median(curves, axis=0), np.mean(curves, axis=0)
    values: dict[str, Any] = {name: [one[name] for one in found] for name in found[0]}
    return {**values, "curves": median[:2].tolist(), "flat2": mean[2].tolist()}


def run(study: Study, seeds: int = 200, steps: int = 1000) -> None:
    """Reproduce the published tables, their number of iterations, and the dead weights' walk.

    Args:
        study: where tables, figures and cells go.
        seeds: number of data sets of each row.
        steps: number of iterations of a method.
    """
    seeds, steps = study.pick(seeds, 3), study.pick(steps, 60)
    cells: list[dict[str, Any]] = [
        {"method": name, "d": d, "seeds": seeds, "steps": steps, "start": start}
        for d, start in ((2, "zeros"), (11, "zeros"), (11, "normal")) for name in NAMES
    ]  # fmt: skip
    results = study.map(follow, cells)
    labels = ["d = {d}, start {start}: {method}".format(**cell) for cell in cells]
    rows: list[list[Any]] = [
        [label, *(str(bootstrap(got[key])) for key in ("loss", "l1", "l2", "flat"))]
        for label, got in zip(labels, results, strict=True)
    ]
    study.table("published", ["mean of the last ten", "loss", "L1", "L2", "dead"], rows)
    equal(study, seeds)
    rows = []
    for index, mark in ((0, 0.0934), (4, 0.0701), (5, 9.6883), (9, 9.6883)):
        for norm in ("l1", "l2"):
            values = np.array(results[index][norm])
            share = f"{(values <= mark).sum()}/{seeds}"
            quantiles = [float(q) for q in np.quantile(values, [0.05, 0.5, 0.95])]
            rows.append([labels[index], norm, mark, share, *quantiles])
    study.table("ranks", ["runs", "norm", "published", "runs ≤", "5 %", "median", "95 %"], rows)
    rows = []
    for t in (100, 250, 500, 1000, 2000):
        found = [gaps(d, t, rate, seeds) for d in (2, 11) for rate in (RATE, RATE / d)]
        rows.append([t, *(f"{error:.4f} ({gap:.1e})" for error, gap in found)])
    names = [f"d = {d}, {name}" for d in (2, 11) for name in ("∇f", "∇f/d")]
    study.table("iterations", ["iterations", *names], rows)
    draw_curves(study, results)
    draw_walk(study, results)
    draw_geometry(study)


def equal(study: Study, seeds: int) -> None:
    """Run every estimator from zeros with equal evaluations."""
    cells = []
    for d in (2, 11):
        for name in (*METHODS, *OTHERS):
            steps = study.pick(EVALUATIONS, 120) // (2 * d if name.startswith("MPGE") else 2)
            cells.append({"method": name, "d": d, "seeds": seeds, "steps": steps, "start": "zeros"})
    rows = [
        [cell["d"], cell["method"], cell["steps"], *(str(bootstrap(got[key])) for key in
         ("loss", "l1", "flat"))]
        for cell, got in zip(cells, study.map(follow, cells), strict=True)
    ]  # fmt: skip
    study.table("equal", ["d", "at equal evaluations", "steps", "loss", "L1", "dead"], rows)


def draw_curves(study: Study, results: list[Any]) -> None:
    """Draw the medians of loss and error over the seeds, 2-D above 11-D."""
    with study.figure("curves", 2, 2, (4.4, 2.9)) as (_, axes):
        for index, got in enumerate(results[:8]):
            row, method = divmod(index, 4)
            for column, curve in enumerate(got["curves"]):
                axes[row, column].loglog(
                    np.arange(1, len(curve) + 1), curve, "--" if method == 3 else "-",
                    color=COLORS[method], label=NAMES[method],
                )  # fmt: skip
        for row, d in enumerate((2, 11)):
            axes[row, 0].set(title=f"d = {d}: loss")
            axes[row, 1].set(title=f"d = {d}: error, L1")
            axes[1, row].set_xlabel("iteration")
        axes[0, 0].legend(fontsize=8)


def draw_walk(study: Study, results: list[Any]) -> None:
    """Draw the dead weights' norm with its prediction, and the final errors."""
    with study.figure("walk", 1, 2, (4.8, 3.4)) as (_, axes):
        for index, start, color in ((5, "zeros", COLORS[0]), (9, "normal", COLORS[1])):
            measured = np.array(results[index]["flat2"])[:41]
            t = np.arange(float(len(measured)))
            given = (0.0, 29.0) if start == "zeros" else (5.0, 35.0)
            axes[0, 0].plot(t, measured, color=color, label=f"measured, start {start}")
            axes[0, 0].plot(t, predicted(*given, t), "--", color=color, label="predicted")
            values = np.sort(results[index]["l1"])
            share = np.arange(1, len(values) + 1) / len(values)
            axes[0, 1].step(values, share, color=color, label=f"start {start}")
        axes[0, 0].set(xlabel="iteration", title="mean ‖dead weights‖²")
        axes[0, 0].legend(fontsize=8)
        axes[0, 1].axvline(9.6883, color="black", linewidth=1, label="published, 9.6883")
        axes[0, 1].set(xlabel="SPSA's L1 error in the end", title="share of seeds", xlim=(0, 30))
        axes[0, 1].legend(fontsize=8)


def draw_geometry(study: Study) -> None:
    """Draw estimates of −∇f at (0, 0) in 2-D, and the data with SPSA's lines."""
    problem, rng, zero = Problem.draw(2, 0), np.random.default_rng(1), np.zeros(2)
    down = -problem.gradient(zero)
    with study.figure("geometry", 1, 2, (4.6, 3.8)) as (_, axes):
        deltas = sphere(rng, 150, 2)
        points = (deltas @ down)[:, None] * deltas
        axes[0, 0].plot(*points.T, ".", color=COLORS[1], label="two-point, sphere", markersize=5)
        for pair in (orthogonal(rng, 2, 2) for _ in range(25)):  # a pair's parts sum to −∇f
            parts = (pair @ down)[:, None] * pair / 2
            axes[0, 0].plot(*parts.T, color=COLORS[2], linewidth=0.5)
        axes[0, 0].plot([], [], color=COLORS[2], label="MPGE, its pairs of parts")
        deltas = rademacher(rng, 50, 2)
        points = (deltas @ down)[:, None] * deltas
        axes[0, 0].plot(*points.T, "s", color=COLORS[0], label="SPSA: two values", markersize=8)
        axes[0, 0].plot(*(down / 2), "D", color=COLORS[4], label="MPGE average, −∇f/2")
        axes[0, 0].plot(*down, "*", color="black", markersize=13, label="MPGE sum = −∇f")
        axes[0, 0].set(title="estimates", xlabel="slope", ylabel="intercept", ylim=(-2, 27))
        axes[0, 0].legend(fontsize=7, loc="upper left")
        axes[0, 1].plot(problem.x[:, 0], problem.y, ".", color="#BBBBBB", markersize=2)
        thetas = walk(problem, METHODS["SPSA"](), zero, 0, study.pick(1000, 60))
        for t, color in zip((1, 5, 20, len(thetas) - 1), COLORS, strict=False):
            line = np.array([[0.0, 1], [1, 1]])
            axes[0, 1].plot(line[:, 0], line @ thetas[t], color=color, label=f"iteration {t}")
        axes[0, 1].set(title="data and SPSA's lines", xlabel="x", ylabel="y")
        axes[0, 1].legend(fontsize=8)
