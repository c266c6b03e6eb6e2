"""Loss, data and searches of soft k-means, for the studies of SPSA and MPGE (2025)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import zorl
import zorl.optimizers as zo
from zorl.common.errors import UnknownNameError
from zorl.common.stats import Array, bootstrap, proportion_interval
from zorl.optimizers.recipes import mpge_average

RATE, RADIUS = 1e-3, 0.01
KINDS = {"2-D": (5, 2, 0), "6-D": (3, 6, 3)}  # clusters, dimensions, zeroed ones
METHODS: dict[str, Callable[[], Any]] = {
    "SPSA": lambda: zo.spsa(RATE, RADIUS),
    "MPGE, published (∇f/d)": lambda: mpge_average(RATE, RADIUS),
    "MPGE, unbiased": lambda: zo.mpge(RATE, RADIUS),
    "SPSA, gains": lambda: zo.spsa(1.5 * RATE * 101**0.602, RADIUS, gains=True, stability=100),
    "MPGE, unbiased, rate 0.008": lambda: zo.mpge(8 * RATE, RADIUS),
    "CMA-ES": lambda: zo.CMAES(2.0),
}
IPOP = "CMA-ES, restarts"
SCREENED = "best of 50 starts, MPGE 0.008, CMA-ES"


def draw(kind: str, seed: int, box: float = 10.0) -> tuple[Array, Array]:
    """Draw 300 points of blobs (σ = 5) around centres in [−box, box]^p, and a start (K, p)."""
    clusters, p, dead = KINDS[kind]
    rng = np.random.default_rng([p, seed])
    middles = rng.uniform(-box, box, (clusters, p))
    points = middles[np.arange(300) % clusters] + rng.normal(0, 5, (300, p))
    points[:, p - dead :] = 0
    return points, random_start(points, clusters, rng)


def random_start(points: Array, clusters: int, rng: np.random.Generator) -> Array:
    """Return K different points of the data + N(0, 0.1²), (K, p)."""
    chosen = points[rng.choice(len(points), clusters, replace=False)]
    return np.asarray(chosen + rng.normal(0, 0.1, chosen.shape))


def squares(points: Array, centres: Array) -> Array:
    """Return squared distances (…, K, N) of centres (…, K, p), at least 1e-12."""
    cross = centres @ points.T
    found = (centres**2).sum(-1)[..., None] - 2 * cross + (points**2).sum(-1)
    return np.asarray(np.maximum(found, 1e-12))


def loss(points: Array, centres: Array) -> Array:
    """Return Σᵢₖ uᵢₖ² ‖xᵢ − cₖ‖² with the best memberships (m = 2): Σᵢ 1 / Σₖ ‖xᵢ − cₖ‖⁻²."""
    return np.asarray((1 / (1 / squares(points, centres)).sum(-2)).sum(-1))


def memberships(points: Array, centres: Array) -> Array:
    """Return the best memberships uᵢₖ = ‖xᵢ − cₖ‖⁻² / Σ ‖xᵢ − cₗ‖⁻², (…, K, N)."""
    inverse = 1 / squares(points, centres)
    return np.asarray(inverse / inverse.sum(-2, keepdims=True))


def gradient(points: Array, centres: Array) -> Array:
    """Return the gradient of `loss`, 2 Σᵢ uᵢₖ² (cₖ − xᵢ): the best memberships have no slope."""
    u2 = memberships(points, centres) ** 2
    return np.asarray(2 * (u2.sum(-1)[..., None] * centres - u2 @ points))


def alternate(points: Array, centres: Array, rounds: int) -> Array:
    """Return centres (…, K, p) after rounds of fuzzy c-means: memberships, then weighted means."""
    for _ in range(rounds):
        u2 = memberships(points, centres) ** 2
        centres = (u2 @ points) / u2.sum(-1)[..., None]
    return centres


def best_known(points: Array, clusters: int, rng: np.random.Generator, rounds: int) -> float:
    """Return the lowest loss of alternating optimisation from 20 starts."""
    starts = np.array([random_start(points, clusters, rng) for _ in range(20)])
    return float(loss(points, alternate(points, starts, rounds)).min())


@cache
def references(kind: str, seed: int, rounds: int) -> tuple[float, float]:
    """Return a draw's best known loss, and that of alternating optimisation from its start."""
    points, start = draw(kind, seed)
    best = best_known(points, len(start), np.random.default_rng([9, seed]), rounds)
    return best, float(loss(points, alternate(points, start, 5 * rounds)))


def search(method: str, points: Array, start: Array, steps: int, cost: int, seed: int) -> Any:
    """Return (evaluations, centres) of every update, for `steps` or up to `cost` evaluations.

    The centres are the search's own point; with restarts they are the best candidate so far.
    """
    known = ("analytical", *METHODS, IPOP, SCREENED)
    if method not in known:
        raise UnknownNameError("method", method, known)
    shape, rng, spent = start.shape, np.random.default_rng(seed), 0
    trail = [(0, start)]
    if method == "analytical":
        for t in range(steps):
            trail.append((t + 1, trail[-1][1] - RATE * gradient(points, trail[-1][1])))
        return trail

    def objective(thetas: Array) -> Array:
        return loss(points, thetas.reshape(-1, *shape))

    if method == IPOP:
        zorl.minimize(
            objective, start.ravel(), "ipop-cma-es", options={"sigma0": 2.0}, batched=True,
            seed=seed, max_evaluations=cost,
            callback=lambda now: trail.append((now.nfev, now.x.reshape(shape))),
        )  # fmt: skip
        return trail
    optimizers = [METHODS[name]() for name in METHODS if name == method]
    switch = cost
    if method == SCREENED:
        starts = np.array([random_start(points, shape[0], rng) for _ in range(50)])
        start, spent = starts[loss(points, starts).argmin()], 50
        trail.append((spent, start))
        optimizers, switch = [METHODS["MPGE, unbiased, rate 0.008"](), zo.CMAES(0.3)], 500
    for optimizer, end in zip(optimizers, (switch, cost), strict=False):
        state = optimizer.init(trail[-1][1].ravel())
        while spent < end if cost else state.t < steps:
            asked = optimizer.ask(state, rng)
            state = optimizer.tell(state, asked, -objective(asked.thetas))
            spent += len(asked)
            trail.append((spent, state.theta.reshape(shape)))
    return trail


def ratios(
    kind: str, method: str, draws: int, steps: int, cost: int, rounds: int
) -> dict[str, Any]:
    """Return every draw's loss, the best known loss, that of descent, and curves."""
    found: dict[str, Any] = {"loss": [], "best": [], "same": [], "within": []}
    curves, grid = [], np.geomspace(1, cost or steps, 40)
    for seed in range(draws):
        points, start = draw(kind, seed)
        best, same = references(kind, seed, rounds)
        trail = search(method, points, start, steps, cost, seed)
        losses = loss(points, np.array([centres for _, centres in trail]))
        at = np.array([spent if cost else t for t, (spent, _) in enumerate(trail)])
        found["loss"].append(float(losses[-10:].mean() if not cost else losses[-1]))
        found["best"].append(best)
        found["same"].append(same)
        reached = np.flatnonzero(losses <= 1.001 * best)
        found["within"].append(int(at[reached[0]]) if len(reached) else -1)
        curves.append(losses[np.searchsorted(at, grid, "right") - 1] / best)
    return {**found, "curve": np.median(curves, axis=0).tolist(), "grid": grid.tolist()}


COLUMNS = ("data", "method", "mean loss", "over alternation's", "over the best known", "median",
           "within 0.1 %", "share", "median when")  # fmt: skip


def row(cell: dict[str, Any], got: dict[str, Any]) -> list[Any]:
    """Return a row of a table."""
    value, best, same = (np.array(got[name]) for name in ("loss", "best", "same"))
    hits = int((value <= 1.001 * best).sum())
    when = np.where(np.array(got["within"]) < 0, np.inf, got["within"])  # never: the latest
    median = np.quantile(when, 0.5, method="higher")
    return [
        cell["kind"], cell["method"], f"{value.mean():.1f}", str(bootstrap(value / same)),
        str(bootstrap(value / best)), float(np.median(value / best)), f"{hits}/{len(value)}",
        format(proportion_interval(hits, len(value)), ".2f"),
        int(median) if np.isfinite(median) else "—",
    ]  # fmt: skip
