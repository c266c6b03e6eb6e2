"""Toy networks of the tests, as factories of (features, outputs): worker processes import them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

NETWORKS = (
    "perceptron",
    "odd",
    "deep",
    "tied",
    "normalised",
    "layer_normalised",
    "convolution",
    "recurrent",
)


def perceptron(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, outputs))


def odd(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, 7), nn.GELU(), nn.Linear(7, outputs))


def deep(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, outputs)
    )


class Tied(nn.Module):
    """Two layers in the middle share their weight."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, 5)
        self.middle = nn.Linear(5, 5, bias=False)
        self.again = nn.Linear(5, 5, bias=False)
        self.again.weight = self.middle.weight
        self.last = nn.Linear(5, outputs)

    def forward(self, x: torch.Tensor) -> Any:
        for layer in (self.first, self.middle, self.again):
            x = torch.tanh(layer(x))
        return self.last(x)


tied = Tied


def normalised(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, 8), nn.BatchNorm1d(8), nn.ELU(), nn.Dropout(), nn.Linear(8, outputs)
    )


def layer_normalised(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, 9), nn.LayerNorm(9), nn.SiLU(), nn.Linear(9, outputs))


def convolution(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, features)),
        nn.Conv1d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * features, outputs),
    )


class Recurrent(nn.Module):
    """Reads the features one after the other; no batching rule of vmap's covers it."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.cell = nn.GRU(1, 6, batch_first=True)
        self.last = nn.Linear(6, outputs)

    def forward(self, x: torch.Tensor) -> Any:
        states, _ = self.cell(x[..., None])
        return self.last(states[:, -1])


recurrent = Recurrent


class Remembering(nn.Module):
    """Takes its state and returns it."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, 6)
        self.last = nn.Linear(6, outputs)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        state = self.cell(x, state)
        return self.last(state), state


remembering = Remembering


class Frozen(nn.Sequential):
    """A frozen layer; what it is made of changes with `scale`, as between versions of a module."""

    scale = 1.0

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__(nn.Linear(features, 6), nn.Tanh(), nn.Linear(6, outputs))
        for parameter in self[0].parameters():
            parameter.requires_grad_(False)
            parameter.mul_(self.scale)


frozen = Frozen
