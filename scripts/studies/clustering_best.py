"""SPSA and MPGE (2025), soft k-means: what reaches the best optimum in fewest evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.plot_style import COLORS
from zorl.studies.soft_k_means import COLUMNS, IPOP, KINDS, METHODS, SCREENED, ratios, row
from zorl.study import Study

PAID = (*METHODS, IPOP, SCREENED)


def run(study: Study, draws: int = 60, cost: int = 5000) -> None:
    """Equal evaluations: every method on the same data, from the same starts."""
    draws, cost = study.pick(draws, 3), study.pick(cost, 300)
    cells: list[dict[str, Any]] = [
        {"kind": kind, "method": name, "steps": 0, "cost": cost, "draws": draws,
         "rounds": study.pick(200, 20)}
        for kind in KINDS for name in PAID
    ]  # fmt: skip
    results = study.map(ratios, cells)
    study.table("evaluations", COLUMNS, map(row, cells, results))
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
