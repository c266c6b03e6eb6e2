"""A single ReLU neuron: its exact loss and slope, and many evolution strategies side by side.

The neuron f(x) = w2·ReLU(w1·x + b1) + b2 learns ReLU(x) for x uniform on [−1, 1], with
θ = (w1, b1, w2, b2). The error is piecewise linear, so its mean square and slope are exact sums
over at most three pieces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.stats import Array
from zorl.optimizers.directions import DIRECTIONS

LINE, CONSTANT = 1 / 48, 5 / 48  # losses of the best line, x/2 + 1/4, and the best constant, 1/4


def _pieces(thetas: Array) -> tuple[Array, Array, Array, Array]:
    """Return the pieces' ends (…, 4), whether the neuron is on (…, 3), and errors at both ends."""
    w1, b1, w2, b2 = (thetas[..., i : i + 1] for i in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        kink = np.clip(np.nan_to_num(-b1 / w1), -1, 1)
    one = np.ones_like(kink)
    ends = np.concatenate([-one, np.minimum(kink, 0), np.maximum(kink, 0), one], axis=-1)
    on = w1 * (ends[..., :-1] + ends[..., 1:]) / 2 + b1 > 0
    errors = w2 * np.maximum(w1 * ends + b1, 0) + b2 - np.maximum(ends, 0)
    return ends, on, errors[..., :-1], errors[..., 1:]


def loss(thetas: Array) -> Array:
    """Return the mean square errors (…,) of thetas (…, 4)."""
    ends, _, left, right = _pieces(thetas)
    squares = np.diff(ends, axis=-1) * (left * left + left * right + right * right)
    return np.asarray(squares.sum(-1) / 6)


def slope(thetas: Array) -> Array:
    """Return the gradients (…, 4) of the loss."""
    w1, b1, w2, _ = (thetas[..., i : i + 1] for i in range(4))
    ends, on, left, right = _pieces(thetas)
    starts, stops = ends[..., :-1], ends[..., 1:]

    def product(a: Array, b: Array) -> Array:
        """Integrate error · (linear from a to b within each piece) over all pieces, / 2."""
        terms = left * (2 * a + b) + right * (a + 2 * b)
        return np.asarray(((stops - starts) * terms).sum(-1) / 6)

    one = np.ones_like(starts)
    return np.stack(
        [
            product(on * w2 * starts, on * w2 * stops),
            product(on * w2, on * w2),
            product(on * (w1 * starts + b1), on * (w1 * stops + b1)),
            product(one, one),
        ],
        axis=-1,
    )


def weigh(losses: Array, m: int, weights: str, sigma: float) -> Array:
    """Return weights (runs, m) of mirrored pairs: raw, or z-scores or ranks in σ_R's step lengths.

    z-scores of all 2m losses give σ_R's weights up to a constant factor, so the rules are the same.
    """
    if weights == "ranks":
        losses = losses.argsort(axis=1).argsort(axis=1) / (2 * m - 1)
    difference = losses[:, :m] - losses[:, m:]
    if weights == "raw":
        return np.asarray(difference / (2 * m * sigma))
    spread = losses.std(axis=1, keepdims=True)
    flat = spread <= 1e-12 * np.abs(losses).max(axis=1, keepdims=True)
    return np.where(flat, 0, difference / (m * np.where(flat, 1, spread)))


def evolve(
    starts: Array, rng: np.random.Generator, generations: int, m: int, sigma: float, rate: float,
    noise: str = "uniform", weights: str = "raw", annealed: bool = False, restart: bool = False,
    target: float = 1e-8, trace: bool = False,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Run evolution strategies side by side from starts (runs, 4): mirrored pairs, plain SGD.

    A run ends when the loss of its own point is below the target; that point costs an evaluation a
    generation. With `restart`, a run whose loss has not fallen by a fifth in 60 generations starts
    again at w1 = w2 = 1, with both biases uniform on [−1, 1]. If annealed, sigma and rate fall
    together by six orders of magnitude.

    Returns:
        "theta" (runs, 4), "loss" (runs,), "evaluations" to the target (∞: never), "tries"; and the
        "trace" (generations, runs, 4).
    """
    theta = np.array(starts, np.float64)
    runs = len(theta)
    done, tries = np.full(runs, np.inf), np.ones(runs)
    best, since = np.full(runs, np.inf), np.zeros(runs)
    path = []
    for t in range(generations):
        own = loss(theta)
        done[(own < target) & np.isinf(done)] = (t + 1) + 2 * m * t
        active = np.isinf(done)
        if not active.any() and not trace:
            break
        if restart:
            better = own < 0.8 * best
            best, since = np.where(better, own, best), np.where(better, 0, since + 1)
            bad = active & ((since > 60) | ~(own < 1e6))
            count = int(bad.sum())
            theta[bad] = 1.0
            theta[bad, 1::2] = rng.uniform(-1, 1, (count, 2))
            best[bad], since[bad] = np.inf, 0
            tries[bad] += 1
        shrink = 10 ** (-6 * t / generations) if annealed else 1.0
        c = sigma * shrink
        directions = np.asarray(DIRECTIONS[noise](rng, runs * m, 4)).reshape(runs, m, 4)
        pairs = np.concatenate(
            [theta[:, None] + c * directions, theta[:, None] - c * directions], 1
        )
        weighed = weigh(loss(pairs), m, weights, c)
        step = rate * shrink * np.einsum("rm,rmd->rd", weighed, directions)
        with np.errstate(over="ignore", invalid="ignore"):
            theta = np.where(active[:, None] | trace, np.nan_to_num(theta - step, nan=1e6), theta)
        theta = np.clip(theta, -1e6, 1e6)
        if trace:
            path.append(theta)
    found = {"theta": theta, "loss": loss(theta), "evaluations": done, "tries": tries}
    return found | ({"trace": np.array(path)} if trace else {})


def descend(starts: Array, steps: int, rate: float, adam: bool = True) -> tuple[Array, Array]:
    """Run Adam or gradient descent from starts (runs, 4); return ends and path (101, runs, 4)."""
    theta = np.array(starts, np.float64)
    first, second, path = np.zeros_like(theta), np.zeros_like(theta), [theta]
    for t in range(1, steps + 1):
        gradient = slope(theta)
        if adam:
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            root = np.sqrt(second / (1 - 0.999**t)) + 1e-8
            gradient = first / (1 - 0.9**t) / root
        theta = theta - rate * gradient
        if t * 100 // steps > (t - 1) * 100 // steps:
            path.append(theta)
    return theta, np.array(path)


def start(b2: float, count: int = 1, b1: float = 0.0) -> Array:
    """Return starts (count, 4) at w1 = w2 = 1."""
    return np.tile([1.0, b1, 1.0, b2], (count, 1))
