"""Architecture search on Wine Quality (a report of 2025): SPSA over the widths of a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.plotting import COLORS
from zorl.common.stats import Array, bootstrap, paired_difference
from zorl.optimizers import CMAES, Bounded, GradientSearch, spsa
from zorl.studies.base import Study
from zorl.studies.wine_network import EPOCHS, parameters, train, units

STARTS = {"small": 0.1, "middle": 0.5, "large": 0.8}
RATES = {"": 0.2, "small step": 0.02, "long step": 2.0}  # the report's a is not known
TRAININGS = 40
CUTS = {40: (5, 4, 2), 8: (2, 2, 2)}  # of the grid
METHODS = ["SPSA small", "SPSA middle", "SPSA large", "SPSA middle, small step", "CMA-ES",
           "grid search", "random", "random improved", "SPSA small, long step",
           "SPSA middle, long step", "SPSA improved"]  # fmt: skip
Validate = Callable[..., float]


def stretched(z: Array) -> Array:
    """Map [0, 1] onto itself by (9^z − 1)/8, so that the log of the widths is about even."""
    return np.asarray((np.exp(z * np.log(9)) - 1) / 8)


def climb(
    optimizer: GradientSearch, x: Array, rounds: int, rng: np.random.Generator, losses: Validate
) -> tuple[Array, list[Any]]:
    """Run the published update x ← clip(x − a·ĝ, 0, 1); give each round's mean loss and new x."""
    state, path = optimizer.init(x), []
    for _ in range(rounds):
        asked = optimizer.ask(state, rng)
        values = np.array([losses(np.clip(each, 0, 1)) for each in asked.thetas])
        state = optimizer.tell(state, asked, -values)
        state = optimizer.init(np.clip(state.theta, 0, 1))  # gains are constant
        path.append([float(values.mean()), *state.theta])
    return state.theta, path


def search(
    method: str, seed: int, trainings: int, data: Path | None = None, epochs: int = EPOCHS
) -> dict[str, Any]:
    """Run a method on one split; return the architecture that it ends with, and its path."""
    tried: list[tuple[float, Array]] = []

    def validate(x: Array, init: int | None = None) -> float:
        number = len(tried) if init is None else init
        loss = train(units(x), seed, number, data, epochs)[0]
        tried.append((loss, x))
        return loss

    def best_again(top: int, times: int) -> Array:
        """Train the `top` best again, `times` times each, and return the one with the best mean."""
        few = [x for _, x in sorted(tried, key=lambda pair: pair[0])[:top]]
        again = [np.mean([validate(x, 1000 + k) for k in range(times)]) for x in few]
        return few[int(np.argmin(again))]

    rng = np.random.default_rng((seed, 17))
    top, times = (4, 2) if trainings >= TRAININGS else (2, 2)
    path: list[Any] = []
    if method == "SPSA improved":
        rounds = (trainings - top * times) // 4
        pairs = spsa(2.0, 0.2, m=2, max_step=0.2)
        middle = np.full(3, 0.5)
        # Equal seeds in a round: common random numbers.
        _, path = climb(pairs, middle, rounds, rng,
                        lambda z: validate(stretched(z), len(tried) // 4))  # fmt: skip
        chosen = best_again(top, times)
    elif method.startswith("SPSA"):
        label, _, step = method.removeprefix("SPSA ").partition(", ")
        start, optimizer = np.full(3, STARTS[label]), spsa(RATES[step], 0.1, m=2)
        chosen, path = climb(optimizer, start, trainings // 4, rng, validate)
    elif method == "CMA-ES":  # `minimize` would spend 20 more on the final point
        bounded = Bounded(CMAES(0.25, popsize=8), 0.0, 1.0)
        swarm = bounded.init(np.full(3, 0.5))
        for _ in range(trainings // 8):
            asked = bounded.ask(swarm, rng)
            swarm = bounded.tell(swarm, asked, [-validate(x) for x in asked.thetas])
        chosen = swarm.theta
    elif method == "random improved":
        for x in stretched(rng.random((trainings - top * times, 3))):
            validate(x, 0)
        chosen = best_again(top, times)
    else:
        points = rng.random((trainings, 3))
        if method == "grid search":
            centres = [(np.arange(k) + 0.5) / k for k in CUTS[trainings]]
            points = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 3)
        chosen = points[int(np.argmin([validate(x) for x in points]))]
    return {"x": chosen.tolist(), "trainings": len(tried), "path": path}


def judge(
    x: list[float], seed: int, fresh: int, data: Path | None = None, epochs: int = EPOCHS
) -> list[float]:
    """Train an architecture on other splits and starts; return its mean test loss and accuracy."""
    ends = [train(units(np.array(x)), 1000 + k, 5000 + seed + k, data, epochs)[1:]
            for k in range(fresh)]  # fmt: skip
    return [float(mean) for mean in np.mean(ends, axis=0)]


def run(study: Study, seeds: int = 10, fresh: int = 10) -> None:
    """Run every method with the same number of trainings, and judge its result on new splits.

    Args:
        study: where tables, figures and cells go.
        seeds: number of searches of each method.
        fresh: number of new splits on which each result is judged.
    """
    budget, count = study.pick((TRAININGS, seeds), (8, 1))
    short: dict[str, Any] = study.pick({}, {"epochs": 1})
    cells: list[dict[str, Any]] = [
        {"method": m, "seed": s, "trainings": budget} for m in METHODS for s in range(count)
    ]
    ends = study.map(search, [cell | short for cell in cells])
    judged = study.map(judge, [
        {"x": end["x"], "seed": 100 * i, "fresh": study.pick(fresh, 2)} | short
        for i, end in enumerate(ends)
    ])  # fmt: skip
    scores = np.array(judged).reshape(len(METHODS), count, 2)
    sizes = np.array([parameters(units(np.array(end["x"]))) for end in ends]).reshape(-1, count)
    spent = np.array([end["trainings"] for end in ends]).reshape(-1, count)
    reference = scores[METHODS.index("random")]
    rows = []
    for method, used, size, (loss, right) in zip(
        METHODS, spent, sizes, scores.transpose(0, 2, 1), strict=True
    ):
        rows.append([method, int(used.max()), int(np.median(size)), f"{bootstrap(right):.4f}",
                     f"{bootstrap(right, 'iqm'):.4f}",
                     f"{paired_difference(right, reference[:, 1]):+.4f}",
                     f"{paired_difference(loss, reference[:, 0]):+.4f}",
                     1000 * float(np.median(right / size))])  # fmt: skip
    study.table("methods", ["method", "trainings", "parameters (median)", "test accuracy",
                "its IQM", "accuracy − random's", "loss − random's",
                "accuracy per 1,000 parameters"], rows)  # fmt: skip
    paths: dict[str, list[Any]] = {method: [] for method in METHODS}
    for cell, end in zip(cells, ends, strict=True):
        paths[cell["method"]].append(end["path"])
    moved = {name: np.array(path) for name, path in paths.items() if path[0]}
    study.table("moves", ["method", "first round's loss", "last round's loss", "x₁ at the end",
                "x₂", "x₃"],
                [[name, *(f"{bootstrap(path[:, end, 0]):.3f}" for end in (0, -1)),
                  *(f"{a:.2f} ± {b:.2f}" for a, b in zip(path[:, -1, 1:].mean(axis=0),
                                                         path[:, -1, 1:].std(axis=0),
                                                         strict=True))]
                 for name, path in moved.items()])  # fmt: skip
    picture(study, moved, sizes, scores)


def picture(study: Study, moved: dict[str, Array], sizes: Array, scores: Array) -> None:
    """Draw losses across iterations, and the final architectures' accuracy against their size."""
    with study.figure("search", 1, 2, (5.6, 3.6)) as (_, axes):
        for number, (method, path) in enumerate(moved.items()):
            color, losses = COLORS[number % len(COLORS)], path[:, :, 0]
            axes[0, 0].plot(range(1, losses.shape[1] + 1), losses.mean(axis=0), color=color,
                            label=method.removeprefix("SPSA "), marker=".",
                            linestyle="--" if "step" in method else "-")  # fmt: skip
        axes[0, 0].set(xlabel="iteration of SPSA (4 trainings)", ylabel="mean validation loss",
                       title="Loss, mean of all seeds")  # fmt: skip
        axes[0, 0].legend(fontsize=8)
        for number, method in enumerate(METHODS):
            axes[0, 1].semilogx(sizes[number], scores[number, :, 1], color=COLORS[number % 7],
                                marker="osD^v"[number % 5], linestyle="", alpha=0.7, markersize=4,
                                label=method)  # fmt: skip
        axes[0, 1].set(xlabel="parameters", ylabel="test accuracy", title="Final architectures")
        axes[0, 1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
