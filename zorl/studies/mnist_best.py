"""The accuracy that evolution strategies reach on MNIST in ten minutes and an hour of CPU time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zorl import FunctionEvaluator, MinibatchObjective, Search, Streams
from zorl.common.plotting import COLORS
from zorl.common.stats import proportion_interval
from zorl.optimizers import Adam, Annealed, GradientSearch
from zorl.studies.base import Study
from zorl.studies.data import mnist

VALIDATION = 5000  # number of training images that are held back to choose settings
NODE = {"examples": 512, "m": 16, "rate": 0.004, "radius": 0.01}
# (recipe, CPU minutes): settings. "generations" is the number that was measured to fit.
CPU: dict[tuple[str, int], dict[str, Any]] = {
    ("node perturbation, shifted images", 30): {**NODE, "pixels": 2, "generations": 38_000},
    ("node perturbation, shifted images", 10): {**NODE, "pixels": 1, "generations": 12_500},
    ("node perturbation", 5): {**NODE, "radius": 0.3, "generations": 6_500},
    ("low rank, r = 1, N = 1,000", 10): {
        "rank": 1, "m": 500, "batch": 50, "rate": 0.003, "radius": 0.01, "generations": 5_000
    },
    ("full rank, N = 100", 5): {
        "rank": 0, "m": 50, "batch": 50, "rate": 0.001, "radius": 0.01, "generations": 3_500
    },
    ("Adam, backpropagation", 1): {"batch": 128, "rate": 0.001, "generations": 10_000},
    ("Adam, shifted images", 2): {
        "batch": 128, "rate": 0.001, "pixels": 1, "generations": 20_000
    },
}  # fmt: skip
# On a GPU: wall-clock minutes instead of CPU minutes.
GPU: dict[tuple[str, int], dict[str, Any]] = {
    ("node perturbation, shifted images, N = 69,632", 1): {
        **NODE, "examples": 4096, "pixels": 1, "generations": 5_500
    },
    ("low rank, r = 1, N = 65,536", 1): {
        "rank": 1, "m": 32_768, "batch": 256, "rate": 0.01, "radius": 0.01, "generations": 500
    },
}  # fmt: skip
SMALL = {"examples": 8, "m": 2, "generations": 2}  # settings of a smoke run


def train(
    recipe: str, settings: dict[str, Any], seed: int, device: str,
    folder: Path, data: Path | None, threads: int, stop: Callable[[], bool],
) -> dict[str, Any] | None:  # fmt: skip
    """Train by a recipe and return a curve of 40 points."""
    import torch

    from zorl.networks.augmentation import RandomShifts
    from zorl.networks.backpropagation import train_by_backpropagation
    from zorl.networks.classifier import MlpClassifier
    from zorl.networks.node_perturbation import NodePerturbation
    from zorl.search.checkpointed import long_search

    torch.set_num_threads(1)
    images, streams = mnist(data), Streams(seed)
    net = MlpClassifier(device=device, threads=threads if device == "cpu" else 1)
    order = np.random.default_rng(0).permutation(len(images.train_images))
    held, kept = order[:VALIDATION], order[VALIDATION:]
    x, y = net.batch(images.train_images[kept], images.train_labels[kept])
    validation = images.train_images[held], images.train_labels[held]
    generations, pixels = settings["generations"], settings.get("pixels", 0)
    rule = Annealed(Adam(settings["rate"]), generations, hold=0.5)
    augment = RandomShifts(28, pixels) if pixels else None

    def measure(theta: Any) -> dict[str, float]:
        test = net.accuracy(theta, images.test_images, images.test_labels)
        return {"validation": net.accuracy(theta, *validation), "test": test}

    batch = settings.get("batch", 1)
    if "radius" not in settings:
        curve = train_by_backpropagation(
            net, x, y, rule, batch, generations, streams, measure, 40, augment
        )
        return {"curve": curve, "threads": 1, "examples": 3 * batch}
    radius, m = settings["radius"], settings["m"]
    if "examples" in settings:
        node = NodePerturbation(net, x, y, rule, radius, settings["examples"], m, augment)
        evaluator = FunctionEvaluator(node.objective, minimise=True, batched=True, structured=True)
        search = Search(node, evaluator, streams)
    else:
        objective = MinibatchObjective((x, y), net.losses, batch)
        evaluator = FunctionEvaluator(
            objective, minimise=True, batched=True, seeded=True, structured=True
        )
        noise = net.noise(settings["rank"] or None)
        search = Search(GradientSearch(rule, radius, m, noise), evaluator, streams)
    start = net.init(streams.init())
    found = long_search(search, start, folder, generations, measure, 40, stop)
    return None if found is None else {"curve": found, "threads": threads, "examples": batch}


def run(study: Study, device: str = "cpu", seed: int = 0) -> None:
    """Measure accuracy against evaluated examples and seconds, for each recipe and budget.

    Args:
        study: where tables, figures and cells go.
        device: "cpu", or the torch device of a GPU, which has other recipes.
        seed: seed of every training run.
    """
    plans = CPU if device == "cpu" else GPU
    cells = []
    for number, ((recipe, _), settings) in enumerate(plans.items()):
        small = {name: SMALL[name] for name in settings if name in SMALL}
        small["generations"] += number  # no two cells alike
        cells.append({"recipe": recipe, "settings": study.pick(settings, settings | small),
                      "seed": seed, "device": device})  # fmt: skip
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
    columns = ["recipe", "budget, minutes", "generations", "examples evaluated", "CPU minutes",
               "minutes", "validation accuracy", "test accuracy [95 %]"]  # fmt: skip
    study.table("best", columns, rows)
    with study.figure("best", 1, 2, (5.4, 4)) as (_, axes):
        for color, (recipe, minutes), result in zip(COLORS, plans, results, strict=False):
            curve = result["curve"][1:]
            errors = [1 - row["test"] for row in curve]
            examples = [row["evaluations"] * result["examples"] for row in curve]
            axes[0, 0].loglog(examples, errors, color=color, label=f"{recipe}, {minutes} min")
            axes[0, 1].loglog([row["cpu_seconds"] for row in curve], errors, color=color)
        axes[0, 0].set(xlabel="examples evaluated (a gradient: 3)", ylabel="test error")
        axes[0, 1].set(xlabel="CPU seconds")
        axes[0, 0].legend(fontsize=7)
        for axis in axes[0]:
            axis.set_yticks(
                [0.5, 0.2, 0.1, 0.05, 0.02, 0.01], ["50 %", "20 %", "10 %", "5 %", "2 %", "1 %"]
            )
            axis.minorticks_off()
