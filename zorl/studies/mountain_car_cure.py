"""SPSA and MPGE on Mountain Car: what cures the failures of the report.

The study first tries inputs × gate × gains for three estimators, on seeds that are used to choose
settings. It then runs a few settings on 100 other seeds. The budget is the report's for SPSA, 1,000
iterations of 15 episodes, or a tenth of it.

    zorl study mountain-car-cure --jobs 2
"""

from __future__ import annotations

import numpy as np

from zorl.common.plotting import COLORS
from zorl.common.stats import bootstrap
from zorl.studies.base import Study
from zorl.studies.mountain_car_runs import (
    BUDGET,
    FORMS,
    POINTS,
    SOLVED,
    Runs,
    heat_map,
    search_runs,
    setting,
    share,
    solved,
)

INPUTS, GATES = ("off", "bounds", "running"), ("stale-best", "paired", "off")
STEEP, MIDDLE, SMALL = (0.5, 5.0), (0.05, 1.0), (0.01, 0.3)  # α and K: the report's best, smaller
GAINS = (STEEP, MIDDLE, SMALL)
CLAIMS = (  # form, inputs, gate, gains, budget, reward
    ("SPSA", "off", "stale-best", STEEP, BUDGET, "momentum"),  # as published
    ("SPSA", "bounds", "stale-best", STEEP, BUDGET, "momentum"),
    ("SPSA", "bounds", "off", STEEP, BUDGET, "momentum"),
    ("SPSA", "running", "off", STEEP, BUDGET, "momentum"),
    ("SPSA", "running", "off", SMALL, BUDGET, "momentum"),
    ("SPSA, 8 directions", "running", "off", SMALL, BUDGET, "momentum"),
    ("SPSA, 8 directions", "running", "off", SMALL, BUDGET // 10, "momentum"),
    ("MPGE, published average", "running", "stale-best", (1.0, 5.0), BUDGET, "momentum"),
    ("MPGE", "running", "off", SMALL, BUDGET, "momentum"),
    ("MPGE, 8 directions", "running", "off", SMALL, BUDGET, "momentum"),
    ("MPGE, 8 directions", "running", "off", SMALL, BUDGET // 10, "momentum"),
    ("SPSA, 8 directions", "running", "off", SMALL, BUDGET, ""),
    ("SPSA, 8 directions", "running", "off", MIDDLE, BUDGET, ""),
    ("MPGE, 8 directions", "running", "off", SMALL, BUDGET, ""),
    ("MPGE, 8 directions", "running", "off", MIDDLE, BUDGET, ""),
)


def run(study: Study, choose: int = 10, claim: int = 100) -> None:
    """Run the study.

    Args:
        study: see `Study`.
        choose: number of seeds of a cell of the map, from 0.
        claim: number of seeds of a claim, from 1000.
    """
    choose, claim = study.pick(choose, 1), study.pick(claim, 1)
    part = study.pick(1.0, 0.01)  # fraction of every budget
    budget = int(BUDGET * part)

    forms = list(FORMS)[:3]
    keys = [(form, i, g, a) for form in forms for i in INPUTS for g in GATES for a in GAINS]
    cells = [setting(*key, choose, budget=budget) for key in keys]
    found = dict(zip(keys, study.map(search_runs, cells, "map"), strict=True))
    study.table(
        "map",
        ["inputs", "gate", "α", "K", *(f"{form}: solved, native" for form in forms)],
        [
            [i, g, *a, *(f"{solved(found[f, i, g, a]).sum()}/{choose}, "
                         f"{np.mean(found[f, i, g, a]['native']):.0f}" for f in forms)]
            for i in INPUTS for g in GATES for a in GAINS
        ],
    )  # fmt: skip

    cells = [
        setting(form, inputs, gate, gains, claim, 1000, budget=int(most * part),
             reward=reward)
        for form, inputs, gate, gains, most, reward in CLAIMS
    ]  # fmt: skip
    claims = study.map(search_runs, cells, "claims")
    study.table(
        "claims",
        ["reward", "estimator", "inputs", "gate", "α", "K", "budget", "solved", "worst seed",
         "held-out native", "episodes to it"],
        [
            [reward or "native", form, inputs, gate, *gains, f"{most:,}", share(solved(runs)),
             f"{min(runs['success']):.0%}", str(bootstrap(runs["native"])), spent(runs, most)]
            for (form, inputs, gate, gains, most, reward), runs in zip(CLAIMS, claims, strict=True)
        ],
    )  # fmt: skip
    eleven = [
        (form, gains, reward)
        for form in ("SPSA, 8 directions", "MPGE, 8 directions")
        for gains in (SMALL, MIDDLE)
        for reward in ("", "momentum")
    ]
    cells = [
        setting(form, "running", "off", gains, 1, 11, budget=budget, reward=reward)
        for form, gains, reward in eleven
    ]
    study.table(
        "seed-11",
        ["estimator", "α", "K", "reward", "held-out success", "held-out native", "episodes to it"],
        [
            [form, *gains, reward or "native", f"{runs['success'][0]:.0%}", runs["native"][0],
             spent(runs, BUDGET).partition(", ")[0]]
            for (form, gains, reward), runs in zip(
                eleven, study.map(search_runs, cells, "seed-11"), strict=True)
        ],
    )  # fmt: skip
    with study.figure("curves", size=(7.5, 4.0)) as (_, axes):
        axis = axes[0, 0]
        x = np.arange(POINTS + 1) / POINTS * BUDGET
        shown = [(0, "SPSA as published"), (1, "… inputs scaled by bounds"),
                 (3, "… by running statistics, no gate"), (5, "SPSA, 8 directions, small steps"),
                 (7, "MPGE as published, running statistics"),
                 (9, "MPGE, 8 directions, small steps")]  # fmt: skip
        for color, (at, label) in zip(COLORS, shown, strict=False):
            good = (np.array(claims[at]["rate"]) >= SOLVED).mean(axis=0)
            axis.plot(x, [0, *good], color=color, label=label, linewidth=1.9)
        axis.axhline(0.95, color="#595959", linestyle=":")
        axis.set(xlabel="episodes, candidates and gate", ylabel=f"share of {claim} seeds solved",
                 ylim=(-0.02, 1.03))  # fmt: skip
        axis.legend(loc="center right", fontsize=9)
    with study.figure("map", 1, 3, (3.1, 3.8)) as (_, axes):
        names = [f"{inputs}, {a:g}/{k:g}" for inputs in INPUTS for a, k in GAINS]
        for axis, form in zip(axes[0], forms, strict=True):
            image = np.array([
                [solved(found[form, i, g, a]).mean() for i in INPUTS for a in GAINS] for g in GATES
            ]).T  # fmt: skip
            left = names if form == forms[0] else [""] * len(names)
            heat_map(axis, image, ["stale\nbest", "paired", "none"], left)
            axis.set_title(form, fontsize=10)
        axes[0, 0].set_ylabel("inputs, α/K")


def spent(runs: Runs, budget: int) -> str:
    """Format the median and 95 % quantile of the episodes until validation shows 95 % successes."""
    rate = np.array(runs["rate"]) >= SOLVED
    first = np.where(rate.any(axis=1), rate.argmax(axis=1) + 1, np.inf) / POINTS * budget
    middle, late = np.quantile(first, [0.5, 0.95], method="higher")
    return ", ".join(f"{value:,.0f}" if np.isfinite(value) else "–" for value in (middle, late))
