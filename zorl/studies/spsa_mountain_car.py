"""SPSA on Mountain Car: the published 3 × 3 grid of gains, as a distribution over seeds.

The report uses the momentum reward, a 2-8-3 tanh network on raw observations, constant gains α and
K, and 1,000 iterations. An update is kept when its mean over five episodes beats the best one so
far. The report shows one run a cell. The study has two readings. Either each side of a difference
plays from its own starts, as in code that resets an environment for every episode. Or both play
from the same starts, as in zorl.

    zorl study spsa-mountain-car --jobs 2
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.common.plotting import COLORS
from zorl.common.stats import Array, bootstrap, paired_difference
from zorl.studies.base import Study
from zorl.studies.mountain_car_luck import best_of, chances, constant_push, spread
from zorl.studies.mountain_car_runs import (
    POINTS,
    PUBLISHED,
    Gains,
    Runs,
    joined,
    positive,
    quartiles,
    search_runs,
    share,
    solved,
)

STARTS: dict[str, dict[str, Any]] = {"own": {"own_starts": True}, "shared": {}}
STALE: dict[str, Any] = {"gate": "stale-best"}
BLOCK = 50  # number of seeds that are computed and stored together


def cell(
    alpha: float, k: float, seeds: int, iterations: int, gate: Any = STALE, first: int = 0,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return the arguments of `search_runs` for the published SPSA, changed by `more`."""
    options = {"learning_rate": alpha, "radius": k, "m": 1, "episodes": 5, "normalize": "off"}
    return {"agent": "spsa", "first": first, "seeds": seeds, "iterations": iterations, **more,
            "options": {**options, **gate}}  # fmt: skip


def run(study: Study, seeds: int = 50, iterations: int = 1000) -> None:
    """Run the study.

    Args:
        study: see `Study`.
        seeds: number of seeds of a cell.
        iterations: number of iterations of a search.
    """
    seeds, iterations = study.pick(seeds, 2), study.pick(iterations, 40)
    cells = [
        cell(*gains, min(BLOCK, seeds - first), iterations, first=first, **starts)
        for starts in STARTS.values()
        for gains in PUBLISHED
        for first in range(0, seeds, BLOCK)
    ]
    exact = cell(0.5, 5.0, study.pick(10, 1), iterations, backend="compiled")
    *blocks, slow = study.map(search_runs, [*cells, exact], "runs")
    each = len(blocks) // (len(STARTS) * len(PUBLISHED))
    parts = iter([joined(blocks[i : i + each]) for i in range(0, len(blocks), each)])
    grids = {starts: {gains: next(parts) for gains in PUBLISHED} for starts in STARTS}
    for starts, grid in grids.items():
        study.table(
            f"grid-{starts}",
            ["α", "K", "published", "claimed: median [quartiles]", "ever positive",
             "held-out shaped", "claimed − held-out", "held-out native", "solved"],
            [
                [*gains, PUBLISHED[gains], quartiles(runs["claimed"]), share(positive(runs)),
                 str(bootstrap(runs["shaped"])),
                 str(paired_difference(runs["claimed"], runs["shaped"])),
                 str(bootstrap(runs["native"])), share(solved(runs))]
                for gains, runs in grid.items()
            ],
        )  # fmt: skip
    columns = [chances(grid, study.pick(100_000, 500)) for grid in grids.values()]
    study.table(
        "single-runs",
        ["of tables with one run a cell", *(f"{starts} starts" for starts in grids)],
        [[name, *(column[name] for column in columns)] for name in columns[0]],
    )
    pairs = list(zip(slow["claimed"], grids["shared"][0.5, 5.0]["claimed"], strict=False))
    equal = sum(abs(a - b) < 1e-2 for a, b in pairs)
    study.say(f"claims that double and single precision share: {equal} of {len(pairs)}")
    push, luck = constant_push(study.pick(5_000, 500)), np.random.default_rng(0)
    study.table(
        "constant-push",
        ["best of means of five", *(f"{name}: mean, 5 % to 95 %" for name in push)],
        [
            [n, *(spread(best_of(values, n, luck)) for values in push.values())]
            for n in (1, 3, 10, 100, 1000)
        ],
    )
    ends = joined(list(grids["own"].values()))
    values, counts = np.unique(np.round(ends["shaped"], 1), return_counts=True)
    usual = values[counts.argmax()]
    claims = np.array(ends["claimed"])[np.abs(np.array(ends["shaped"]) - usual) < 0.2]
    study.say(
        f"own starts: {claims.size} of {len(ends['shaped'])} runs end at {usual} on held-out "
        f"episodes and claim {claims.min():.1f} to {claims.max():.1f}"
    )
    draw_curves(study, grids["own"], np.arange(1, POINTS + 1) / POINTS * iterations)
    draw_claims(study, grids["own"])


def draw_curves(study: Study, grid: dict[Gains, Runs], x: Array) -> None:
    """Draw the report's grid of learning curves, with a band over seeds."""
    with study.figure("curves", 3, 3, (2.9, 1.9)) as (_, axes):
        for axis, (gains, runs) in zip(axes.flat, grid.items(), strict=True):
            claims, truth = np.array(runs["claims"]), np.array(runs["truth"])
            axis.plot(x, claims[:10].T, color=COLORS[5], linewidth=0.6, alpha=0.8)
            axis.fill_between(x, *np.quantile(claims, [0.1, 0.9], axis=0), color=COLORS[0],
                              alpha=0.15, linewidth=0)  # fmt: skip
            axis.plot(x, np.median(claims, axis=0), color=COLORS[0], linewidth=2)
            axis.plot(x, np.median(truth, axis=0), color=COLORS[6], linestyle="--", linewidth=1.2)
            axis.axhline(PUBLISHED[gains], color=COLORS[1], linestyle=":", linewidth=1.8)
            axis.set_title(f"α = {gains[0]:g}, K = {gains[1]:g}", fontsize=10)
            axis.set_ylim(-205, 45)
        for axis in axes[-1]:
            axis.set_xlabel("iteration")
        for axis in axes[:, 0]:
            axis.set_ylabel("shaped return")


def draw_claims(study: Study, grid: dict[Gains, Runs]) -> None:
    """Draw every seed's claim and held-out mean, with the published number."""
    rng = np.random.default_rng(0)
    with study.figure("claims", size=(8.0, 3.8)) as (_, axes):
        axis = axes[0, 0]
        for name, label, shift, color in (
            ("claimed", "claimed", -0.2, COLORS[0]), ("shaped", "held-out", 0.2, COLORS[2]),
        ):  # fmt: skip
            values = np.array([runs[name] for runs in grid.values()])
            where = np.arange(9)[:, None] + shift + rng.uniform(-0.12, 0.12, values.shape)
            axis.scatter(where, values, s=8, color=color, alpha=0.5, linewidth=0, label=label)
        axis.scatter(range(9), list(PUBLISHED.values()), marker="D", s=42, color=COLORS[1],
                     edgecolor="white", zorder=3, label="published")  # fmt: skip
        axis.set_xticks(range(9), [f"α {alpha:g}\nK {k:g}" for alpha, k in grid])
        axis.set_ylabel("shaped return")
        axis.grid(visible=False, axis="x")
        axis.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.0))
