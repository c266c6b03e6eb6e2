"""The protocol between rollout_peers.py and its contestants; it needs only Python and numpy.

A contestant is a process. When it is ready it prints a JSON line with its versions and with the
extra seconds that its first generations took. Then it reads lines with a number of seconds from
standard input, measures for that time, and prints one JSON line for each. It ends when its input
ends. Everything that libraries print goes to stderr.
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
SIZES = {"MountainCar-v0": (2, 3), "CartPole-v1": (4, 2)}  # inputs and outputs of the network


class Played(NamedTuple):
    """The work of one call of a contestant.

    Attributes:
        env_steps: steps of unfinished episodes.
        episodes: number of episodes; 0 if they are not counted.
        generations: number of generations.
        computed: computed steps, including masked steps of finished episodes, if there are any.
        rollout_seconds: time in rollouts alone, if known.
    """

    env_steps: int
    episodes: int
    generations: int
    computed: int = 0
    rollout_seconds: float = 0.0


class Options(argparse.Namespace):
    """The options of every contestant."""

    variant: str
    env: str
    candidates: int
    episodes: int
    threads: int
    spread: float
    center: list[float]


def options(variants: Iterable[str]) -> Options:
    """Parse the command line: variant, environment and the distribution of the population.

    Populations are center + spread·N(0, 1) in torch's order of parameters. The steps are too small
    to move the center, so every contestant always plays the same distribution of episodes.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=list(variants))
    parser.add_argument("--env", required=True)
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--spread", type=float, default=1.0)
    parser.add_argument("--center", type=json.loads, default=[])
    return parser.parse_args(namespace=Options())


def unpack(theta: Any) -> list[Any]:
    """Split a parameter vector (d,) into the layers W (8, i), b (8,), V (o, 8) and c (o,)."""
    sizes = {HIDDEN * (i + 1) + o * (HIDDEN + 1): (i, o) for i, o in SIZES.values()}
    inputs, outputs = sizes[len(theta)]
    shapes = [(HIDDEN, inputs), (HIDDEN,), (outputs, HIDDEN), (outputs,)]
    cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(theta, cuts), shapes, strict=True)]


def serve(play: Callable[[], Played], *distributions: str) -> None:
    """Measure `play` repeatedly, for the seconds given by each line of standard input.

    Args:
        play: runs one or several whole generations.
        distributions: packages whose versions are reported.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the output of libraries must not be mistaken for answers
    clock = [time.perf_counter()]
    for _ in range(3):  # JAX compiles again for the types that the first call returns
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
