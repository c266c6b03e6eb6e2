"""SPSA and MPGE on Mountain Car: tests of α = K/10, the need for the gate, and MPGE's failure.

The study tests the report's three findings over seeds, around its settings: keep α = K/10; the goal
is never reached without the gate that keeps only improvements; and MPGE never reaches it. SPSA's
starts follow the first reading of `spsa_mountain_car`.

    zorl study spsa-mountain-car-rules --jobs 2
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.common.stats import paired_difference
from zorl.studies.base import Study
from zorl.studies.mountain_car_runs import (
    BUDGET,
    NEVER,
    PUBLISHED,
    heat_map,
    joined,
    positive,
    quartiles,
    search_runs,
    setting,
    share,
    solved,
)
from zorl.studies.spsa_mountain_car import STARTS, cell

RADII, RATIOS = (0.5, 1.0, 2.0, 5.0, 10.0), (0.02, 0.1, 0.5)  # K and α/K
UNGATED: dict[str, Any] = {  # keeps every update, measured as the gate would
    "gate": "blocking", "gate_options": {"tolerance": 1e9, "episodes": 5},
}  # fmt: skip


def run(
    study: Study, seeds: int = 50, free: int = 25, few: int = 5, iterations: int = 1000
) -> None:
    """Run the study.

    Args:
        study: see `Study`.
        seeds: number of seeds of a cell.
        free: number of seeds of a cell without the gate.
        few: number of seeds of a cell of MPGE with 1,000 iterations, 515,000 episodes.
        iterations: number of iterations of a search.
    """
    seeds, free = study.pick(seeds, 1), study.pick(free, 1)
    iterations = study.pick(iterations, 4)
    rule = [(round(k * ratio, 4), k) for ratio in RATIOS for k in RADII]
    gains = [*PUBLISHED, *(pair for pair in rule if pair not in PUBLISHED)]
    cells = [cell(*pair, seeds, iterations, **STARTS["own"]) for pair in gains]
    cells += [cell(*pair, free, iterations, UNGATED, **STARTS["own"]) for pair in PUBLISHED]
    results = study.map(search_runs, cells, "runs")
    runs = dict(zip(gains, results, strict=False))
    loose = dict(zip(PUBLISHED, results[len(gains) :], strict=True))
    rows = [(*pair, runs[pair], loose[pair]) for pair in PUBLISHED]
    gated, ungated = joined([row[2] for row in rows]), joined([row[3] for row in rows])
    study.table(
        "gate",
        ["α", "K", "gate: positive", "gate: solved", "no gate: positive", "no gate: solved",
         "no gate: goal at all", "share of its iterates", "no gate, final: goal at all"],
        [
            [alpha, k, share(positive(a)), share(solved(a)), share(positive(b)), share(solved(b)),
             share(np.array(b["reached"]) > 0), f"{np.mean(b['reached']):.1%}",
             share(np.array(b["success"]) > 0)]
            for alpha, k, a, b in [*rows, ("all", "", gated, ungated)]
        ],
    )  # fmt: skip
    flags = np.array([[solved(runs[round(k * r, 4), k]) for k in RADII] for r in RATIOS])
    study.table(
        "rule",
        ["α/K", *(f"K = {k:g}" for k in RADII), "all K", "difference to α = K/10"],
        [
            [ratio, *(f"{hits.sum()}/{seeds}" for hits in row), share(row.ravel()),
             str(paired_difference(row.mean(axis=0), flags[1].mean(axis=0)))]
            for ratio, row in zip(RATIOS, flags, strict=True)
        ],
    )  # fmt: skip
    study.table("radius", ["K", "all α"], [
        [k, share(flags[:, at].ravel())] for at, k in enumerate(RADII)
    ])  # fmt: skip
    mpge(study, seeds, study.pick(few, 1), iterations, study.pick(BUDGET, 150))
    with study.figure("map", size=(4.8, 2.8)) as (_, axes):
        axis = axes[0, 0]
        image = flags.mean(axis=2)[::-1]
        heat_map(axis, image, [f"{k:g}" for k in RADII], [f"{ratio:g}" for ratio in RATIOS[::-1]])
        axis.set(xlabel="radius K", ylabel="α / K (published rule: 0.1)")
        axis.set_title(f"Share of {seeds} seeds solved", fontsize=10)


def mpge(study: Study, seeds: int, few: int, iterations: int, budget: int) -> None:
    """Make the table of MPGE, over all nine pairs of gains."""
    kinds = [
        ("MPGE, published average", "off", NEVER, budget, seeds),
        ("MPGE, published average", "off", iterations, NEVER, few),
        ("MPGE", "off", NEVER, budget, seeds),
        ("MPGE", "off", iterations, NEVER, few),
        ("MPGE, published average", "running", NEVER, budget, seeds),
        ("MPGE", "running", NEVER, budget, seeds),
    ]
    cells = [
        setting(form, inputs, "stale-best", gains, n, iterations=some, budget=most)
        for form, inputs, some, most, n in kinds
        for gains in PUBLISHED
    ]
    results = study.map(search_runs, cells, "mpge")
    rows = []
    for at, (form, inputs, *_) in enumerate(kinds):
        own = results[9 * at : 9 * at + 9]
        best = max(range(9), key=lambda i: (solved(own[i]).sum(), np.median(own[i]["claimed"])))
        runs = joined(own)
        rows.append([
            form, inputs, f"{np.mean(runs['episodes']):,.0f}", quartiles(runs["claimed"]),
            share(positive(runs)), share(solved(runs)),
            "α {:g}, K {:g}".format(*list(PUBLISHED)[best]), share(solved(own[best])),
        ])  # fmt: skip
    study.table(
        "mpge",
        ["convention", "inputs", "episodes", "claimed: median [quartiles]", "ever positive",
         "solved, all nine cells", "best cell", "solved there"],
        rows,
    )  # fmt: skip
