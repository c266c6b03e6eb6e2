"""Evolution strategies on MNIST (a report of 2023): its four tables, at its settings.

A 784-256-128-10 network, mini-batches of 50 that all members share, learning rate 0.001, radius
0.002. Accuracy is measured on the test images. An epoch is 1,200 iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zorl import FunctionEvaluator, MinibatchObjective, Search, Streams
from zorl.common.plotting import COLORS
from zorl.common.stats import bootstrap
from zorl.optimizers import SGD, GradientSearch, ars, es_normalised
from zorl.search import Budget
from zorl.studies.base import Study
from zorl.studies.data import mnist

BATCH, RADIUS, RATE = 50, 0.002, 0.001
# (table, method, members, iterations): published accuracy and minutes
PUBLISHED = {
    ("I", "backpropagation", 1, 6000): (0.7058, 2 + 55 / 60),
    ("I", "vanilla", 10, 6000): (0.7514, 24 + 17 / 60),
    ("II", "vanilla", 10, 2400): (0.7058, 9 + 52 / 60),
    ("II, III", "vanilla", 50, 2400): (0.7983, 32 + 50 / 60),
    ("II", "vanilla", 100, 2400): (0.8099, 60 + 11 / 60),
    ("III", "antithetic", 50, 2400): (0.7901, 45 + 14 / 60),
    ("III", "fd", 50, 2400): (0.7821, 38 + 13 / 60),
    ("IV", "antithetic", 10, 2400): (0.7269, 10 + 22 / 60),
    ("IV", "sigma-r", 10, 2400): (0.7558, 11 + 37 / 60),
    ("IV", "antithetic", 50, 3600): (0.8099, 60 + 55 / 60),
    ("IV", "sigma-r", 50, 3600): (0.8150, 67 + 50 / 60),
}
# Longest run of each rule. Its curve contains the shorter runs: nothing depends on the length.
LONGEST = {(method, n): 0 for _, method, n, _ in PUBLISHED}
for _, method, n, iterations in PUBLISHED:
    LONGEST[method, n] = max(LONGEST[method, n], iterations)
RATES = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0)  # of σ_R; 0.25 is the normalised rule at 0.001


def optimizer(method: str, n: int, rate: float, noise: Any) -> GradientSearch:
    """Return a rule of the report with N directions; antithetic rules evaluate 2N members."""
    if method == "sigma-r":
        return replace(ars(rate, RADIUS, n), directions=noise)
    return replace(es_normalised(method, rate, RADIUS, n), directions=noise)


def train(
    method: str, n: int, rate: float, iterations: int, seed: int,
    folder: Path, data: Path | None, threads: int, stop: Callable[[], bool],
) -> dict[str, Any] | None:  # fmt: skip
    """Run a rule; return its curve, with a point after 2,400 iterations, and its threads."""
    import torch

    from zorl.networks.backpropagation import train_by_backpropagation
    from zorl.networks.classifier import MlpClassifier
    from zorl.search.checkpointed import long_search

    torch.set_num_threads(1)
    images, net, streams = mnist(data), MlpClassifier(threads=threads), Streams(seed)
    x, y = images.train_images, images.train_labels
    points = 25 if iterations == 6000 else 24

    def measure(theta: Any) -> dict[str, float]:
        accuracy = net.accuracy(theta, images.test_images, images.test_labels)
        return {"accuracy": accuracy, "weight_rms": float(np.sqrt(np.mean(np.square(theta))))}

    if method == "backpropagation":
        curve = train_by_backpropagation(
            net, x, y, SGD(rate), BATCH, iterations, streams, measure, points
        )
        return {"curve": curve, "threads": threads}
    objective = MinibatchObjective((x, y), net.losses, BATCH)
    evaluator = FunctionEvaluator(
        objective, minimise=True, batched=True, seeded=True, structured=True
    )
    search = Search(optimizer(method, n, rate, net.noise()), evaluator, streams)
    start = net.init(streams.init())
    found = long_search(search, start, folder, iterations, measure, points, stop)
    return None if found is None else {"curve": found, "threads": threads}


def pace(method: str, n: int, iterations: int, threads: int, data: Path | None) -> list[float]:
    """Return the wall-clock seconds of each iteration; nothing else should run meanwhile."""
    import torch

    from zorl.networks.backpropagation import train_by_backpropagation
    from zorl.networks.classifier import MlpClassifier

    torch.set_num_threads(1)
    images, net, streams = mnist(data), MlpClassifier(threads=threads), Streams(0)
    x, y = images.train_images, images.train_labels
    if method == "backpropagation":
        curve = train_by_backpropagation(
            net, x, y, SGD(RATE), BATCH, iterations, streams, lambda theta: {}, iterations
        )
        return [float(step) for step in np.diff([row["seconds"] for row in curve])]
    objective = MinibatchObjective((x, y), net.losses, BATCH)
    evaluator = FunctionEvaluator(
        objective, minimise=True, batched=True, seeded=True, structured=True
    )
    search = Search(optimizer(method, n, RATE, net.noise()), evaluator, streams)
    state = search.init(net.init(streams.init()))
    return [g.timing.total for g in search.run(state, until=Budget(generations=iterations))]


def at(curve: list[dict[str, float]], iterations: int) -> dict[str, float]:
    """Return the row of a curve after a number of iterations, or its last row."""
    return next((row for row in curve if row["generation"] >= iterations), curve[-1])


def run(study: Study, seeds: int = 2, first_seed: int = 1) -> None:
    """Run every row of the four tables, and the effect of the learning rate in the fourth.

    Args:
        study: where tables, figures and cells go.
        seeds: number of training runs of each row.
        first_seed: the first of their seeds.
    """
    share = study.pick(1, 2400)  # divisor of the iterations in a smoke run
    cells = [
        {"method": method, "n": n, "rate": RATE, "iterations": whole // share, "seed": seed}
        for (method, n), whole in LONGEST.items()
        for seed in range(first_seed, first_seed + study.pick(seeds, 1))
    ]
    cells += [
        {"method": "sigma-r", "n": 10, "rate": rate, "iterations": 2400 // share, "seed": seed}
        for rate in RATES[1:]
        for seed in range(first_seed, first_seed + study.pick(seeds, 1))
    ]
    curves: dict[Any, list[list[dict[str, float]]]] = {}
    for cell, result in zip(cells, study.map(train, cells), strict=True):
        key = cell["method"], cell["n"], cell["rate"]
        curves.setdefault(key, []).append(result["curve"])
    rules = [{"method": m, "n": n, "iterations": study.pick(60, 2)} for m, n in LONGEST]
    paces = {(c["method"], c["n"]): np.median(s[1:]) for c, s in
             zip(rules, study.map(pace, rules), strict=True)}  # fmt: skip
    rows = []
    for (table, method, n, iterations), (accuracy, minutes) in PUBLISHED.items():
        ends = [at(curve, iterations // share) for curve in curves[method, n, RATE]]
        found = bootstrap([end["accuracy"] for end in ends])
        seconds = float(paces[method, n]) * iterations
        rms = float(np.mean([end["weight_rms"] for end in ends]))
        rows.append([table, method, n, iterations, accuracy, f"{found:.3f}", f"{rms:.3f}",
                     f"{minutes:.1f}", f"{seconds / 60:.2f}",
                     f"{60 * minutes / seconds:.0f}"])  # fmt: skip
    study.table("tables", ["table", "rule", "N", "iterations", "published accuracy",
                "reproduced accuracy", "weight rms", "published minutes", "minutes here",
                "times as fast"], rows)  # fmt: skip
    normalised = curves["antithetic", 10, RATE]
    rows = [["normalised", RATE, RATE / (2 * RADIUS), *ends_of(normalised, 2400 // share)]]
    for rate in RATES:
        rows.append(["σ_R", rate, rate, *ends_of(curves["sigma-r", 10, rate], 2400 // share)])
    columns = ["rule, N = 10", "learning rate", "the same as σ_R at", "accuracy", "weight rms"]
    study.table("step_length", columns, rows)
    with study.figure("curves", 1, 2, (5.2, 3.8)) as (_, axes):
        names = [key for key in curves if key[2] == RATE]
        for color, key in zip(COLORS * 2, names, strict=False):
            style = "--" if key[0] == "sigma-r" else "-"
            draw(axes[0, 0], curves[key], f"{key[0]}, N = {key[1]}", color, style)
        for color, rate in zip(COLORS, RATES, strict=False):
            draw(axes[0, 1], curves["sigma-r", 10, rate], f"σ_R at {rate:g}", color, "--")
        draw(axes[0, 1], normalised, "normalised at 0.001", "black", "-")
        for axis, title in zip(axes[0], ("as published", "N = 10: step lengths"), strict=True):
            axis.set(title=title, xlabel="iterations", ylabel="test accuracy", ylim=(0, 1))
            axis.legend(fontsize=7)


def ends_of(curves: list[list[dict[str, float]]], iterations: int) -> list[str]:
    """Format the final accuracy and weights, over the seeds."""
    ends = [at(curve, iterations) for curve in curves]
    rms = np.mean([end["weight_rms"] for end in ends])
    return [f"{bootstrap([end['accuracy'] for end in ends]):.3f}", f"{rms:.3f}"]


def draw(axis: Any, curves: list[Any], label: str, color: str, style: str) -> None:
    """Draw the mean curve of some runs."""
    mean = np.mean([[row["accuracy"] for row in curve] for curve in curves], axis=0)
    steps = [row["generation"] for row in curves[0]]
    axis.plot(steps, mean, style, color=color, label=label, linewidth=1.4)
