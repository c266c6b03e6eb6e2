"""Measure `ModulePolicy` in microseconds per candidate and step, against two alternatives.

"load and forward" is the obvious loop: load each candidate's parameters into the module, then make
one forward pass. "MlpPolicy" is zorl's own network of the same size, in numpy. All three alternate
within one process. Times are CPU time, and the median is reported.

    python benchmarks/module_policy.py --repeats 15
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from zorl.policies.mlp import MlpPolicy
from zorl.policies.module import ModulePolicy
from zorl.policies.spaces import ActionDecoder

FEATURES, CHOICES = 4, 2


def network(hidden: tuple[int, ...]) -> nn.Module:
    """Return a perceptron with tanh between its layers."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((FEATURES, *hidden, CHOICES)):
        layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def sides(hidden: tuple[int, ...], lanes: int) -> dict[str, Callable[[], Any]]:
    """Return the three ways to choose the actions of all lanes once."""
    decoder = ActionDecoder.for_space(spaces.Discrete(CHOICES))
    rng = np.random.default_rng(0)
    module = network(hidden).eval()
    policy, own = ModulePolicy(module, FEATURES, decoder), MlpPolicy(FEATURES, decoder, hidden)
    thetas = rng.normal(0, 0.3, (lanes, policy.dim)).astype(np.float32)
    features = rng.normal(size=(lanes, FEATURES))
    load: Any = nn.utils.vector_to_parameters
    vmapped, plain = policy.bind(thetas), own.bind(thetas)

    def load_and_forward() -> list[int]:
        actions = []
        with torch.inference_mode():
            for theta, row in zip(thetas, features, strict=True):
                load(torch.from_numpy(theta), module.parameters())
                actions.append(int(module(torch.from_numpy(row[None]).float()).argmax()))
        return actions

    ways: dict[str, Callable[[], Any]] = {
        "ModulePolicy": lambda: vmapped(lanes, features, None),
        "load and forward": load_and_forward,
        "MlpPolicy": lambda: plain(lanes, features, None),
    }
    results = [list(way()) for way in ways.values()]
    assert results[0] == results[1] == results[2], "they decide otherwise"
    return ways


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {args.lanes} lanes")
    print("| hidden | ModulePolicy, µs | load and forward, µs | MlpPolicy in numpy, µs |")
    print("|---|---|---|---|")
    for hidden in ((8,), (32, 32), (64, 64)):
        ways = sides(hidden, args.lanes)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.repeats):
            for name, way in ways.items():
                began = time.process_time()
                for _ in range(5):
                    way()
                seconds[name].append((time.process_time() - began) / 5 / args.lanes)
        cells = " | ".join(f"{statistics.median(values) * 1e6:.1f}" for values in seconds.values())
        print(f"| {'-'.join(map(str, hidden))} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
