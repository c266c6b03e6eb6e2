"""SPSA and MPGE (2025) on soft k-means: which method needs the fewest evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.common.plotting import COLORS
from zorl.common.stats import bootstrap, proportion_interval
from zorl.studies.base import Study
from zorl.studies.soft_k_means import (
    COLUMNS,
    IPOP,
    KINDS,
    METHODS,
    SCREENED,
    alternate,
    draw,
    loss,
    ratios,
    references,
    row,
    search,
)

PAID = (*METHODS, IPOP, SCREENED)
ALTERNATION = "alternating optimisation, 1,000 rounds"
BAD = (ALTERNATION, "SPSA", "MPGE, unbiased, rate 0.008", "CMA-ES", IPOP)


def run(study: Study, draws: int = 60, cost: int = 5000) -> None:
    """Run every method with equal evaluations, on the same data and from the same starts.

    Args:
        study: where tables, figures and cells go.
        draws: number of data sets of each kind.
        cost: number of evaluations of a method.
    """
    draws, cost = study.pick(draws, 3), study.pick(cost, 300)
    cells: list[dict[str, Any]] = [
        {"kind": kind, "method": name, "steps": 0, "cost": cost, "draws": draws,
         "rounds": study.pick(200, 20)}
        for kind in KINDS for name in PAID
    ]  # fmt: skip
    results = study.map(ratios, cells)
    study.table("evaluations", COLUMNS, map(row, cells, results))
    poor: list[dict[str, Any]] = [
        {"method": name, "draws": draws, "cost": cost, "rounds": study.pick(200, 20)}
        for name in BAD
    ]  # fmt: skip
    rows = []
    for name, got in zip(BAD, study.map(from_bad_starts, poor), strict=True):
        hits = sum(ratio <= 1.001 for ratio in got)
        share = format(proportion_interval(hits, draws), ".2f")
        rows.append([name, str(bootstrap(got)), max(got), f"{hits}/{draws}", share])
    study.table("bad-starts", ["method", "over the best known", "worst", "0.1 %", "share"], rows)
    with study.figure("costs", 1, 2, (5.0, 3.6)) as (_, axes):
        for index, (cell, got) in enumerate(zip(cells, results, strict=True)):
            column, method = divmod(index, len(PAID))
            excess = np.maximum(np.array(got["curve"]) - 1, 1e-6)
            axes[0, column].loglog(
                got["grid"], excess, "--" if method == 7 else "-", label=cell["method"],
                color=COLORS[method % len(COLORS)],
            )  # fmt: skip
            axes[0, column].set(xlabel="evaluations")
            axes[0, column].set_title(f"{cell['kind']}: median loss / best known − 1", fontsize=10)
        axes[0, 0].legend(fontsize=7, loc="lower left")
    with study.figure("ratios", 1, 2, (5.2, 3.6)) as (_, axes):
        spread = np.random.default_rng(0).uniform(-0.3, 0.3, draws)
        for index, got in enumerate(results):
            column, method = divmod(index, len(PAID))
            excess = np.maximum(np.array(got["loss"]) / np.array(got["best"]) - 1, 1e-8)
            axes[0, column].semilogx(excess, method + spread, ".", color=COLORS[0], markersize=4)
        for column, kind in enumerate(KINDS):
            axes[0, column].axvline(1e-3, color=COLORS[1], linewidth=1)
            axes[0, column].set_yticks(range(len(PAID)), [] if column else PAID, fontsize=8)
            axes[0, column].set(title=kind, xlabel=f"loss / best − 1, {cost:,} evaluations")
            axes[0, column].invert_yaxis()


def from_bad_starts(method: str, draws: int, cost: int, rounds: int) -> list[float]:
    """Return the final loss over the best known in 2-D if all five centres start at one point.

    The point is the first centre of the draw's start; the centres start at N(0, 0.1²) around it.
    """
    found = []
    for seed in range(draws):
        points, start = draw("2-D", seed)
        start = start[0] + np.random.default_rng([7, seed]).normal(0, 0.1, start.shape)
        if method == ALTERNATION:
            end = alternate(points, start, 5 * rounds)
        else:
            end = search(method, points, start, 0, cost, seed)[-1][1]
        found.append(float(loss(points, end)) / references("2-D", seed, rounds)[0])
    return found
