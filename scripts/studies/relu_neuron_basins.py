"""A single ReLU neuron (2026): the basins of every rule, and what noise and step length do to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from zorl.plot_style import COLORS
from zorl.stats import Array
from zorl.studies.neuron import descend, evolve
from zorl.studies.relu_neuron import cma, cma_restarted, kinds
from zorl.studies.relu_neuron_map import RECOMMENDED
from zorl.study import Study

STATES = ("solved", "line", "constant", "other")


def grid(size: int) -> Array:
    """(size², 4) starts at w1 = w2 = 1, b1 the faster."""
    b1, b2 = np.meshgrid(np.linspace(-2.5, 2.5, size), np.linspace(-5, 5, size))
    return np.stack([np.ones(b1.size), b1.ravel(), np.ones(b1.size), b2.ravel()], axis=1)


def basins(rule: str, size: int, budget: int) -> list[str]:
    """How runs end from (b1, b2) on a grid, b1 the faster; see `kinds`."""
    starts = grid(size)
    rng = np.random.default_rng(7)
    if rule == "Adam":
        return kinds(descend(starts, budget // 2, 0.01)[0])
    if rule == "gradient descent":
        return kinds(descend(starts, budget // 2, 0.1, adam=False)[0])
    if rule == "CMA-ES":
        return kinds(np.array([cma(theta[1], theta[3], i, True, budget // 10).x
                               for i, theta in enumerate(starts)]))  # fmt: skip
    if rule == "CMA-ES, restarts":
        return kinds(np.array([cma_restarted(theta[1], theta[3], i, True, budget).x
                               for i, theta in enumerate(starts)]))  # fmt: skip
    chosen: dict[str, Any] = {**RECOMMENDED, "restart": rule.endswith("restarts")}
    if rule == "ES, z-scores, uniform":
        chosen |= {"m": 15, "sigma": 0.01, "weights": "z-score", "rate": 0.03}
    elif rule.startswith("σ = "):  # many directions and small steps: nothing but σ matters
        chosen |= {"sigma": float(rule[4:]), "m": 8, "rate": 0.1}
    generations = budget // (8 if rule.startswith("σ = ") else 2 * chosen["m"] + 1)
    ends = evolve(starts, rng, generations, **chosen)["theta"]
    if chosen["weights"] != "raw" or rule.startswith("σ = "):
        # These hover about a solution at their floor; descent from there tells which one it is.
        ends = descend(ends, budget // 4, 0.1, adam=False)[0]
    return kinds(ends)


def limit(pairs: int, rate: float, size: int, time: float) -> list[str]:
    """As `basins`, of steps · rate = time at σ = 0.001; no pairs: gradient descent itself."""
    steps = round(time / rate)
    if pairs == 0:
        ends = descend(grid(size), steps, rate, adam=False)[0]
    else:
        rng = np.random.default_rng(7)
        ends = evolve(grid(size), rng, steps, pairs, 0.001, rate)["theta"]
    return kinds(descend(ends, round(20 * time), 0.1, adam=False)[0])


def run(study: Study, size: int = 41) -> None:
    """The basins of every rule in one picture; the same with less noise, and shorter steps."""
    short = "ES, raw, σ = 0.001"
    titles = {
        "gradient descent": "gradient descent",
        "Adam": "Adam",
        "CMA-ES": "CMA-ES",
        "CMA-ES, restarts": "CMA-ES, restarts",
        "ES, z-scores, uniform": "ES, z-scores",
        "ES, raw, uniform, σ = 0.001": short,
        "ES, raw, uniform, σ = 0.001, restarts": f"{short}, restarts",
        "σ = 0.3": "ES, raw, σ = 0.3, 8 pairs",
    }
    rules = [*titles, "σ = 0.001", "σ = 0.03", "σ = 0.1"]
    size = study.pick(size, 5)
    cells = [{"rule": r, "size": size, "budget": study.pick(40_000, 1_000)} for r in rules]
    ends = [np.array(names) for names in study.map(basins, cells)]
    picture(study, list(titles.values()), ends[: len(titles)], size)
    study.table(
        "basins", ["rule", *STATES, "lost where gradient descent solves"],
        [[rule, *shares(names), f"{np.mean((ends[0] == 'solved') & (names != 'solved')):.1%}"]
         for rule, names in zip(rules, ends, strict=True)],
    )  # fmt: skip

    settings = [(m, rate) for rate in (0.3, 0.1, 0.03) for m in (0, 2, 8, 32) if m * rate != 0.96]
    cells = [{"pairs": m, "rate": r, "size": size, "time": study.pick(500, 5)} for m, r in settings]
    found = dict(zip(settings, map(np.array, study.map(limit, cells)), strict=True))
    good = found[0, 0.1] == "solved"
    study.table(
        "limit", ["rate", "pairs", *STATES, "lost", "as gradient descent at that rate"],
        [[rate, m or "gradient", *shares(names), f"{np.mean(good & (names != 'solved')):.1%}",
          f"{np.mean(names == found[0, rate]):.0%}"] for (m, rate), names in found.items()],
    )  # fmt: skip


def shares(names: Array) -> list[str]:
    """Of every state."""
    return [f"{np.mean(names == state):.0%}" for state in STATES]


def picture(study: Study, rules: list[str], ends: list[Array], size: int) -> None:
    """The basins over (b1, b2), a panel a rule."""
    from matplotlib.colors import ListedColormap

    colors = ListedColormap([COLORS[2], COLORS[0], COLORS[1], "#BBBBBB"])
    with study.figure("basins", 2, 4, (2.5, 2.4)) as (figure, axes):
        for axis, rule, names in zip(axes.flat, rules, ends, strict=True):
            codes = np.array([STATES.index(name) for name in names]).reshape(size, size)
            shown = axis.imshow(codes, extent=(-2.5, 2.5, -5, 5), origin="lower", aspect="auto",
                                cmap=colors, vmin=-0.5, vmax=3.5)  # fmt: skip
            axis.grid(visible=False)
            axis.set_title(rule, fontsize=8)
        axes[1, 0].set_xlabel("b1")
        axes[0, 0].set_ylabel("b2")
        bar = figure.colorbar(shown, ax=axes, ticks=range(4))
        bar.ax.set_yticklabels(STATES)
