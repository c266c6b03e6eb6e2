"""Data and searches of regression, for the studies of SPSA and MPGE (2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zorl.common.stats import Array

RATE, RADIUS = 0.1, 0.01


@dataclass(frozen=True)
class Problem:
    """The mean squared error θᵀAθ − 2bᵀθ + c on drawn data; the last weight is the intercept."""

    x: Array
    y: Array
    truth: Array
    a: Array
    b: Array
    c: float

    @staticmethod
    def draw(d: int, seed: int, samples: int = 1000) -> Problem:
        """Draw data: X ~ U(0, 1) for d = 2; X ~ N(0, I) with five zeroed features for d = 11."""
        rng = np.random.default_rng([d, seed])
        x, truth = np.ones((samples, d)), np.append(np.full(d - 1, 2.0), 3.0)
        x[:, :-1] = rng.uniform(size=(samples, 1)) if d == 2 else rng.normal(size=(samples, d - 1))
        dead = 0 if d == 2 else (d - 1) // 2
        x[:, :dead] = truth[:dead] = 0
        y = x @ truth + rng.normal(0, 0.4, samples)
        return Problem(x, y, truth, x.T @ x / samples, x.T @ y / samples, float(y @ y / samples))

    def loss(self, thetas: Array) -> Array:
        """Return the losses (…,) of thetas (…, d)."""
        return np.asarray(((thetas @ self.a - 2 * self.b) * thetas).sum(-1) + self.c)

    def gradient(self, theta: Array) -> Array:
        """Return the gradient (d,) at theta (d,)."""
        return np.asarray(2 * (theta @ self.a - self.b))


def begin(kind: str, d: int, seed: int) -> Array:
    """Return the start (d,): zeros, or standard normal."""
    return np.zeros(d) if kind == "zeros" else np.random.default_rng([7, seed]).normal(size=d)


def walk(problem: Problem, search: Any, start: Array, seed: int, steps: int) -> Array:
    """Return the points (steps + 1, d) of a search."""
    state, rng, thetas = search.init(start), np.random.default_rng(seed), [start]
    for _ in range(steps):
        asked = search.ask(state, rng)
        state = search.tell(state, asked, -problem.loss(asked.thetas))
        thetas.append(state.theta)
    return np.array(thetas)


def descend(problem: Problem, start: Array, steps: int) -> Array:
    """Return the points (steps + 1, d) of gradient descent."""
    thetas = [start]
    for _ in range(steps):
        thetas.append(thetas[-1] - RATE * problem.gradient(thetas[-1]))
    return np.array(thetas)


def errors(problem: Problem, thetas: Array) -> dict[str, float]:
    """Return means of the last ten: loss, ‖θ − truth‖₁, ‖θ − truth‖₂ and the dead weights' norm."""
    off = thetas[-10:] - problem.truth
    return {
        "loss": float(problem.loss(thetas[-10:]).mean()),
        "l1": float(np.abs(off).sum(1).mean()),
        "l2": float(np.linalg.norm(off, axis=1).mean()),
        "flat": float(np.linalg.norm(off[:, problem.truth == 0], axis=1).mean()),
    }


def gaps(d: int, steps: int, rate: float, seeds: int) -> tuple[float, float]:
    """Return medians of descent's L1 error from zeros, and of its distance from least squares'."""
    found = []
    for seed in range(seeds):
        problem = Problem.draw(d, seed)
        best = np.linalg.lstsq(problem.x, problem.y, rcond=None)[0]  # least norm: dead are 0
        shrink = np.linalg.matrix_power(np.eye(d) - 2 * rate * problem.a, steps)
        error = np.abs(best - shrink @ best - problem.truth).sum()
        found.append((error, abs(error - np.abs(best - problem.truth).sum())))
    medians = np.median(found, axis=0)
    return float(medians[0]), float(medians[1])


def predicted(start2: float, error2: float, steps: Array, dead: int = 5, live: int = 6) -> Array:
    """Predict E‖dead weights‖² of SPSA on ‖θ_live − θ*‖² + c from both norms at the start.

    A step adds ±rate·(Δ·∇f) to each dead weight, and E(Δ·∇f)² = ‖∇f‖² = 4‖error‖². The error's
    mean square shrinks by ρ = 1 − 4 rate + 4 rate² · live a step.
    """
    shrink = 1 - 4 * RATE + 4 * RATE**2 * live
    return np.asarray(start2 + dead * 4 * RATE**2 * error2 * (1 - shrink**steps) / (1 - shrink))
