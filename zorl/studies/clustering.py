"""SPSA and MPGE (2025) on soft k-means: the published iterations, on many data sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.common.plotting import COLORS
from zorl.common.stats import bootstrap
from zorl.studies.base import Study
from zorl.studies.soft_k_means import COLUMNS, KINDS, best_known, draw, loss, ratios, row, search

PUBLISHED = {"2-D": 4150.62 / 4100.41, "6-D": 9817.708 / 9805.3763}  # MPGE / analytical
AT = (100, 200, 500, 1000, 1500, 2000, 3000, 4000)
NAMES = ("analytical", "SPSA", "MPGE, published (∇f/d)", "MPGE, unbiased")


def run(study: Study, draws: int = 60, steps: int = 1000) -> None:
    """Run equal iterations, as published; find the spread of blobs with the published losses.

    Args:
        study: where tables, figures and cells go.
        draws: number of data sets of each kind.
        steps: number of iterations of a method.
    """
    draws, steps = study.pick(draws, 3), study.pick(steps, 30)
    cells: list[dict[str, Any]] = [
        {"kind": kind, "method": name, "steps": steps, "cost": 0, "draws": draws,
         "rounds": study.pick(200, 20)}
        for kind in KINDS for name in NAMES
    ]  # fmt: skip
    results = study.map(ratios, cells)
    study.table("iterations", COLUMNS, map(row, cells, results))
    rows: list[list[Any]] = []
    for kind in KINDS:
        gains = [np.array(got["loss"]) for cell, got in zip(cells, results, strict=True)
                 if cell["kind"] == kind]  # fmt: skip
        rows += [[kind, name, str(bootstrap(gain / gains[0])), float(np.median(gain / gains[0]))]
                 for name, gain in zip(NAMES[1:], gains[1:], strict=True)]  # fmt: skip
    study.table("beside", ["data", "method", "over the analytical's", "median"], rows)
    scales: list[list[Any]] = []
    for kind, (clusters, _, _) in KINDS.items():
        for box in (5.0, 7.0, 10.0, 15.0):
            rng = np.random.default_rng(1)
            drawn = [draw(kind, seed, box)[0] for seed in range(study.pick(20, 3))]
            values = [best_known(points, clusters, rng, 50) for points in drawn]
            scales.append([kind, box, *(float(q) for q in np.quantile(values, [0.05, 0.5, 0.95]))])
    study.table("scales", ["data", "centres within ±", "5 %", "median loss", "95 %"], scales)
    at = [t for t in AT if t <= study.pick(max(AT), 200)]
    sought = [{"kind": kind, "draws": draws, "at": at} for kind in KINDS]
    measured = study.map(gaps, sought)
    rows = []
    for kind, got in zip(KINDS, measured, strict=True):
        ranges = [np.quantile(column, [0.05, 0.5, 0.95]) for column in np.transpose(got["ratios"])]
        rows += [[kind, t, *(f"{q:.4f}" for q in range_)]
                 for t, range_ in zip(at, ranges, strict=True)]  # fmt: skip
        since = np.where(np.array(got["since"]) < 0, np.inf, got["since"])
        quartiles = np.quantile(since, [0.25, 0.5, 0.75], method="higher")
        name = f"below {PUBLISHED[kind]:.4f} for good: iteration, quartiles"
        rows.append([kind, name, *(f"{q:.0f}" for q in quartiles)])
    study.table("gaps", ["data", "iterations", "5 %", "median", "95 %"], rows)
    draw_trails(study, steps)
    with study.figure("curves", 1, 2, (4.8, 3.2)) as (_, axes):
        for index, (cell, got) in enumerate(zip(cells, results, strict=True)):
            column, method = divmod(index, 4)
            excess = np.maximum(np.array(got["curve"]) - 1, 1e-6)
            axes[0, column].loglog(
                got["grid"], excess, "--" if method == 3 else "-", label=cell["method"],
                color=COLORS[method],
            )  # fmt: skip
            axes[0, column].set(xlabel="iteration")
            axes[0, column].set_title(f"{cell['kind']}: median loss / best known − 1", fontsize=10)
        axes[0, 0].legend(fontsize=8, loc="lower left")


def gaps(kind: str, draws: int, at: list[int]) -> dict[str, Any]:
    """Return the published MPGE's loss divided by the analytical gradient's, after `at` iterations.

    "since" is the iteration from which a draw's ratio stays at or below the published one, or −1.
    """
    ratios_at, since = [], []
    for seed in range(draws):
        points, start = draw(kind, seed)
        analytical, mpge = (
            np.array([float(loss(points, centres)) for _, centres in trail])
            for trail in (search(name, points, start, at[-1], 0, seed) for name in NAMES[::2])
        )
        ratio = mpge / analytical
        ratios_at.append(ratio[at].tolist())
        last = int(np.flatnonzero(ratio > PUBLISHED[kind])[-1])
        since.append(-1 if last == at[-1] else last + 1)
    return {"ratios": ratios_at, "since": since}


def draw_trails(study: Study, steps: int) -> None:
    """Draw the first draw's data and the centres' trajectories, with both conventions of MPGE."""
    points, start = draw("2-D", 0)
    groups = np.arange(len(points)) % len(start)
    with study.figure("centres", 1, 3, (3.6, 3.6)) as (_, axes):
        for axis, name in zip(axes[0], NAMES[1:], strict=True):
            trail = search(name, points, start, steps, 0, 0)
            path = np.array([centres for _, centres in trail])
            for k in range(len(start)):
                axis.plot(*points[groups == k].T, ".", color=COLORS[k], markersize=2, alpha=0.5)
                axis.plot(*path[:, k].T, color="black", linewidth=1)
            axis.plot(*start.T, "o", markerfacecolor="white", color="black", markersize=6)
            axis.plot(*path[-1].T, "*", color="black", markersize=12)
            axis.set_title(f"{name}: {float(loss(points, path[-1])):.1f}", fontsize=9)
