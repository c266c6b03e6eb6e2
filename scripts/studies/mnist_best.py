"""How far evolution strategies get on MNIST in ten minutes and in an hour of CPU time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zorl import FunctionEvaluator, MinibatchObjective, Search, Streams
from zorl.data import mnist
from zorl.optimizers import Adam, Annealed, GradientSearch
from zorl.plot_style import COLORS
from zorl.stats import proportion_interval
from zorl.study import Study

VALIDATION = 5000  # of the training images, held back to choose settings by
# What each recipe evaluates a generation: N candidates on a mini-batch, or examples × m noises.
RECIPES: dict[str, dict[str, Any]] = {
    "node perturbation": {"examples": 256, "m": 16, "rate": 0.003, "radius": 0.01},
    "low rank, r = 1": {"rank": 1, "m": 500, "batch": 50, "rate": 0.003, "radius": 0.01},
    "full rank": {"rank": 0, "m": 50, "batch": 50, "rate": 0.001, "radius": 0.01},
    "Adam, backpropagation": {"batch": 128, "rate": 0.001},
}
SMALL: dict[str, dict[str, Any]] = {  # in a smoke run
    "node perturbation": {"examples": 8, "m": 2},
    "low rank, r = 1": {"m": 4},
    "full rank": {"m": 4},
    "Adam, backpropagation": {},
}
# Generations that fit into the CPU minutes, as measured.
GENERATIONS = {
    ("node perturbation", 10): 24_000,
    ("node perturbation", 60): 144_000,
    ("low rank, r = 1", 10): 5_200,
    ("full rank", 10): 7_000,
    ("Adam, backpropagation", 1): 10_000,
}


def train(
    recipe: str, generations: int, seed: int, device: str, settings: dict[str, Any],
    folder: Path, data: Path | None, threads: int, stop: Callable[[], bool],
) -> dict[str, Any] | None:  # fmt: skip
    """A run's curve of 40 points."""
    import torch

    from zorl.long_search import long_search
    from zorl.networks.backpropagation import train_by_backpropagation
    from zorl.networks.classifier import MlpClassifier
    from zorl.networks.node_perturbation import NodePerturbation

    torch.set_num_threads(1)
    images, streams = mnist(data), Streams(seed)
    net = MlpClassifier(device=device, threads=threads if device == "cpu" else 1)
    order = np.random.default_rng(0).permutation(len(images.train_images))
    held, kept = order[:VALIDATION], order[VALIDATION:]
    x, y = net.batch(images.train_images[kept], images.train_labels[kept])
    validation = images.train_images[held], images.train_labels[held]
    rule = Annealed(Adam(settings["rate"]), generations, hold=0.5)

    def measure(theta: Any) -> dict[str, float]:
        test = net.accuracy(theta, images.test_images, images.test_labels)
        return {"validation": net.accuracy(theta, *validation), "test": test}

    if "radius" not in settings:
        curve = train_by_backpropagation(
            net, x, y, rule, settings["batch"], generations, streams, measure, 40
        )
        return {"curve": curve, "threads": threads, "examples": 3 * settings["batch"]}
    radius, m = settings["radius"], settings["m"]
    if "examples" in settings:
        node = NodePerturbation(net, x, y, rule, radius, settings["examples"], m)
        evaluator = FunctionEvaluator(node.objective, minimise=True, batched=True, structured=True)
        search, examples = Search(node, evaluator, streams), 1
    else:
        noise = net.noise(settings["rank"] or None)
        objective = MinibatchObjective((x, y), net.losses, settings["batch"])
        evaluator = FunctionEvaluator(
            objective, minimise=True, batched=True, seeded=True, structured=True
        )
        optimizer = GradientSearch(rule, radius, m, noise)
        search, examples = Search(optimizer, evaluator, streams), settings["batch"]
    found = long_search(search, net.init(streams.init()), folder, generations, measure, 40, stop)
    return None if found is None else {"curve": found, "threads": threads, "examples": examples}


def run(study: Study, device: str = "cpu", hour: bool = True, seed: int = 0) -> None:
    """Accuracy against examples and against CPU seconds, for each recipe and budget."""
    plans = [(recipe, minutes) for recipe, minutes in GENERATIONS if hour or minutes < 60]
    cells: list[dict[str, Any]] = [
        {"recipe": recipe, "generations": study.pick(GENERATIONS[recipe, minutes], 3 + minutes // 60),
         "seed": seed, "device": device,
         "settings": RECIPES[recipe] | study.pick({}, SMALL[recipe])}
        for recipe, minutes in plans
    ]  # fmt: skip
    results = study.map(train, cells)
    rows = []
    for (recipe, minutes), result in zip(plans, results, strict=True):
        end = result["curve"][-1]
        right = round(10_000 * end["test"])
        rows.append(
            [recipe, minutes, end["generation"], end["evaluations"] * result["examples"],
             end["cpu_seconds"] / 60, end["seconds"] / 60, end["validation"],
             f"{proportion_interval(right, 10_000):.4f}"]
        )  # fmt: skip
    columns = ["recipe", "budget, CPU minutes", "generations", "examples evaluated", "CPU minutes",
               "minutes", "validation accuracy", "test accuracy [95 %]"]  # fmt: skip
    study.table("best", columns, rows)
    with study.figure("best", 1, 2, (5.2, 3.8)) as (_, axes):
        for color, (recipe, minutes), result in zip(COLORS, plans, results, strict=False):
            curve = result["curve"][1:]
            errors = [1 - row["test"] for row in curve]
            label = f"{recipe}, {minutes} min"
            examples = [row["evaluations"] * result["examples"] for row in curve]
            axes[0, 0].loglog(examples, errors, color=color, label=label)
            axes[0, 1].loglog([row["cpu_seconds"] for row in curve], errors, color=color)
        axes[0, 0].set(xlabel="examples evaluated (a gradient: 3)", ylabel="test error")
        axes[0, 1].set(xlabel="CPU seconds")
        axes[0, 0].legend(fontsize=7)
        for axis in axes[0]:
            axis.set_yticks([0.5, 0.2, 0.1, 0.05, 0.02], ["50 %", "20 %", "10 %", "5 %", "2 %"])
            axis.minorticks_off()
