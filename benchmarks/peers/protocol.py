"""How a contestant of rollout_peers.py is talked to; Python and numpy alone.

A contestant is a process. When it is ready it prints a JSON line with its versions and with how
many seconds longer its first generations took than later ones. Then it prints one for every line on
its standard input, which is how many seconds to measure for. It ends when its input does. Whatever
libraries print goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

HIDDEN = 8
SIZES = {"MountainCar-v0": (2, 3), "CartPole-v1": (4, 2)}  # inputs, outputs of the network


class Played(NamedTuple):
    """What one call of a contestant did.

    Attributes:
        env_steps: steps of episodes that were not over.
        episodes: episodes; 0 where there are none to count.
        generations: generations.
        computed: steps computed, where that is more: masked steps of finished episodes too.
        rollout_seconds: spent in rollouts alone, where that is known.
    """

    env_steps: int
    episodes: int
    generations: int
    computed: int = 0
    rollout_seconds: float = 0.0


class Options(argparse.Namespace):
    """What every contestant is told."""

    variant: str
    env: str
    candidates: int
    episodes: int
    spread: float
    center: list[float]


def options(variants: Iterable[str]) -> Options:
    """The command line: variant, environment and the distribution of the population.

    Populations are center + spread·N(0, 1) in torch's order of parameters, with steps too small to
    move them, so that every contestant plays the same distribution of episodes at all times.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=list(variants))
    parser.add_argument("--env", required=True)
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=5)
    parser.add_argument("--spread", type=float, default=1.0)
    parser.add_argument("--center", type=json.loads, default=[])
    return parser.parse_args(namespace=Options())


def unpack(theta: Any) -> list[Any]:
    """The layers W (8, i), b (8,), V (o, 8), c (o,) in a parameter vector (d,)."""
    sizes = {HIDDEN * (i + 1) + o * (HIDDEN + 1): (i, o) for i, o in SIZES.values()}
    inputs, outputs = sizes[len(theta)]
    shapes = [(HIDDEN, inputs), (HIDDEN,), (outputs, HIDDEN), (outputs,)]
    cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(theta, cuts), shapes, strict=True)]


def serve(play: Callable[[], Played], *distributions: str) -> None:
    """Measure `play`, over and over, for as long as each line on standard input says.

    Args:
        play: does one or several whole generations.
        distributions: packages whose versions are reported.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries that print must not be taken for answers
    clock = [time.perf_counter()]
    for _ in range(3):  # JAX compiles a second time, for the types that come out of the first call
        play()
        clock.append(time.perf_counter())
    first, second, third = np.diff(clock)
    ready = {
        "ready": True,
        "versions": {name: version(name) for name in distributions},
        "compile_seconds": float(max(first + second - 2 * third, 0)),
    }
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        limit = float(line)
        total = np.zeros(len(Played._fields))
        began, seconds = time.perf_counter(), 0.0
        while seconds < limit:
            total += play()
            seconds = time.perf_counter() - began
        answer = dict(zip(Played._fields, total.tolist(), strict=True))
        print(json.dumps({**answer, "seconds": seconds}), file=answers)
