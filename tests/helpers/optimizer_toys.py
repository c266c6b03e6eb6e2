"""Losses, searches and states that the tests of optimizers share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from zorl.common.storage import flatten
from zorl.optimizers.cma_es import CMAESState

Array = np.ndarray[Any, np.dtype[np.float64]]
Losses = Callable[[Array], Array]


def sphere(x: Array) -> Any:
    """(n,) losses of (n, d) points, as all of these."""
    return (x**2).sum(axis=1)


def ellipsoid(x: Array, condition: float = 1e6) -> Any:
    return x**2 @ condition ** np.linspace(0, 1, x.shape[1])


def rosenbrock(x: Array) -> Any:
    return (100 * (x[:, :-1] ** 2 - x[:, 1:]) ** 2 + (x[:, :-1] - 1) ** 2).sum(axis=1)


def uphill(loss: Losses) -> Losses:
    """Returns, higher better, of a loss."""
    return lambda x: -loss(x)


def rotation(d: int, seed: int = 0) -> Array:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def evaluations(optimizer: Any, loss: Losses, start: Any, seed: int, budget: int) -> float:
    """How many evaluations until one candidate has a loss of 1e-8 or less."""
    rng, state, spent = np.random.default_rng(seed), optimizer.init(start), 0
    while spent < budget:
        asked = optimizer.ask(state, rng)
        losses = loss(asked.thetas)
        hits = np.flatnonzero(losses <= 1e-8)
        if hits.size:
            return spent + int(hits[0]) + 1
        spent += len(losses)
        state = optimizer.tell(state, asked, -losses)
    return math.inf


def some_state(
    d: int, separable: bool = False, seed: int = 0, path_sigma_length: float = 1.0, t: int = 20
) -> CMAESState:
    """Make a state of a search under way, with nothing zero, unit or aligned."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d))
    covariance = root @ root.T / d + 0.3 * np.eye(d)
    variances, basis = np.linalg.eigh(covariance)
    if separable:
        covariance = variances = rng.uniform(0.2, 3.0, d)
        basis = np.empty((0, 0))
    path = rng.standard_normal(d)
    return CMAESState(
        theta=rng.standard_normal(d),
        t=t,
        sigma=0.7,
        covariance=covariance,
        path_c=rng.standard_normal(d),
        path_sigma=path * path_sigma_length * math.sqrt(d) / np.linalg.norm(path),
        eigenbasis=basis,
        scales=np.sqrt(variances),
        eigen_t=t,
    )


def played(
    optimizer: Any, returns_of: Losses, start: Any, generations: int, seed: int = 0
) -> tuple[list[Any], list[Any]]:
    """The states of a search, the first one too, and what it asked."""
    rng, states, asked = np.random.default_rng(seed), [optimizer.init(start)], []
    for _ in range(generations):
        asked.append(optimizer.ask(states[-1], rng))
        states.append(optimizer.tell(states[-1], asked[-1], returns_of(asked[-1].thetas)))
    return states, asked


def search(
    optimizer: Any, returns_of: Losses, start: Any, generations: int, seed: int = 0
) -> list[Any]:
    """The states of a search, the first one too."""
    return played(optimizer, returns_of, start, generations, seed)[0]


def final(optimizer: Any, returns_of: Losses, start: Any, generations: int, seed: int = 0) -> Any:
    """The last state of a search; no other is kept."""
    rng, state = np.random.default_rng(seed), optimizer.init(start)
    for _ in range(generations):
        asked = optimizer.ask(state, rng)
        state = optimizer.tell(state, asked, returns_of(asked.thetas))
    return state


def leaves(state: Any) -> dict[str, Any]:
    """Every number of a state, by dotted name."""
    scalars, arrays = flatten(state, "state")
    return {**scalars, **arrays}


def assert_same(one: Any, other: Any) -> None:
    """Two states hold the same numbers."""
    mine, theirs = leaves(one), leaves(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
