"""The network of the architecture search: its widths for x ∈ [0, 1]³, and its training."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.stats import Array
from zorl.studies.data import wine_quality

EPOCHS, RATE, BATCH, CLASSES = 10, 3e-3, 128, 6  # qualities 3 to 8


def units(x: Array, quarter: bool = True) -> tuple[int, ...]:
    """Return the report's widths for x ∈ [0, 1]³, 32 + 992x twice and 513x, or a quarter."""
    widths = np.array([32 + 992 * x[0], 32 + 992 * x[1], 513 * x[2]])
    return tuple(max(1, int(width)) for width in (widths / 4 if quarter else widths))


def parameters(widths: tuple[int, ...]) -> int:
    """Return the number of weights and biases."""
    sizes = (11, *widths, CLASSES)
    return sum((size + 1) * out for size, out in pairwise(sizes))


@lru_cache(maxsize=64)
def split(seed: int, data: Path | None) -> tuple[Any, ...]:
    """Split red wine into 959 to train, 320 to validate, 320 to test: features and classes."""
    import torch

    features, quality = wine_quality("red", data)
    order = np.random.default_rng(seed).permutation(len(features))
    parts = np.split(order, [959, 1279])
    mean, std = features[parts[0]].mean(axis=0), features[parts[0]].std(axis=0)
    x = torch.tensor((features - mean) / std, dtype=torch.float32)
    y = torch.tensor(quality - 3)
    return tuple((x[part], y[part]) for part in map(torch.tensor, parts))


def train(
    widths: tuple[int, ...],
    split_seed: int,
    init: int,
    data: Path | None = None,
    epochs: int = EPOCHS,
    rate: float = RATE,
) -> list[float]:
    """Train once by Adam; the epoch with the best validation loss counts.

    Args:
        widths: widths of the hidden layers; none gives multinomial logistic regression.
        split_seed: seed of the split into training, validation and test wines.
        init: seed of the initial weights and of the order of the mini-batches.
        data: see `zorl.studies.data`.
        epochs: number of passes through the 959 wines, in mini-batches of 128.
        rate: Adam's learning rate.

    Returns:
        Validation loss (cross-entropy), test loss and test accuracy at that epoch.
    """
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    (x, y), validation, test = split(split_seed, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init)
        layers: list[nn.Module] = []
        for size, out in pairwise((11, *widths, CLASSES)):
            layers += [nn.Linear(size, out), nn.ReLU()]
        net = nn.Sequential(*layers[:-1])
        adam = torch.optim.Adam(net.parameters(), lr=rate)
        best: list[float] = [np.inf, np.inf, 0.0]
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
                adam.zero_grad()
                cross_entropy(net(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
                adam.step()
            with torch.no_grad():
                loss = float(cross_entropy(net(validation[0]), validation[1]))
                if loss < best[0]:
                    guess = net(test[0])
                    right = float((guess.argmax(1) == test[1]).float().mean())
                    best = [loss, float(cross_entropy(guess, test[1])), right]
    return best
