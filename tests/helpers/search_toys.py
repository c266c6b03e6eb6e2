"""Small searches: a sphere, noisy evaluations of it, and what is compared of two searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from zorl.common.storage import flatten
from zorl.common.streams import Seeds, Streams
from zorl.common.types import Matrix, Vector
from zorl.optimizers import ars
from zorl.policies.normalization import Moments, Normalizer
from zorl.rollout.evaluation import Evaluation, Evaluator
from zorl.search import AlwaysAccept, Generation, Search, SearchState

CENTER = np.array([0.5, -1.0, 2.0])


def sphere(theta: Vector) -> float:
    """Loss with its minimum 0 at `CENTER`."""
    return float(((theta - CENTER) ** 2).sum())


def spheres(thetas: Matrix) -> Vector:
    """The losses of all rows."""
    return np.asarray(((thetas - CENTER) ** 2).sum(axis=1))


@dataclass
class Noisy(Evaluator):
    """An evaluator whose returns, lengths and moments are functions of theta and seed."""

    fault: Callable[[Vector, int], float | None] | None = None  # a return instead, or None
    calls: list[tuple[int, Seeds, Normalizer]] = field(default_factory=list)

    def evaluate(self, thetas: Any, seeds: Seeds, normalizer: Normalizer) -> Evaluation:
        self.calls.append((len(thetas), tuple(seeds), normalizer))
        returns = np.empty((len(thetas), len(seeds)))
        lengths = np.empty(returns.shape, np.int64)
        for i, theta in enumerate(thetas):
            for j, seed in enumerate(seeds):
                rng = np.random.default_rng(seed)
                returns[i, j] = -sphere(theta) + 0.1 * rng.normal()
                lengths[i, j] = 3 + (seed + int(abs(theta[0]) * 1000)) % 7
                fault = None if self.fault is None else self.fault(theta, seed)
                if fault is not None:
                    returns[i, j] = fault
        moments = None
        if normalizer.learns:
            moments = Moments(int(lengths.sum()), np.resize(thetas, 2), np.ones(2))
        return Evaluation(returns, returns - 1, lengths, lengths > 5, moments)


RUNNING = Normalizer.create("running", np.full(2, -np.inf), np.full(2, np.inf))


def make_search(evaluator: Any = None, gate: Any = None, **options: Any) -> Search:
    """ARS on the noisy sphere, or with other parts."""
    options = {"optimizer": ars(learning_rate=0.05, radius=0.1, m=4), "episodes": 2, **options}
    return Search(
        evaluator=evaluator or Noisy(),
        streams=Streams(options.pop("seed", 3)),
        gate=gate or AlwaysAccept(),
        **options,
    )


def generations(of: Search, count: int) -> list[Generation]:
    """The first ones, from zeros on."""
    return list(islice(of.run(of.init(np.zeros(3), RUNNING)), count))


def bits(state: SearchState) -> tuple[Any, ...]:
    """All that a state holds, exactly."""
    scalars, arrays = flatten(state, "state")
    return scalars, {name: array.tobytes() for name, array in arrays.items()}
