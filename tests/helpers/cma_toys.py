"""Objectives, states and searches that the tests of CMA-ES share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np

from zorl.optimizers.cma_es import CMAES, CMAESState

Array = np.ndarray[Any, np.dtype[np.float64]]
Losses = Callable[[Array], Array]


def sphere(x: Array) -> Any:
    return (x**2).sum(axis=1)


def ellipsoid(x: Array) -> Any:
    return x**2 @ 1e6 ** np.linspace(0, 1, x.shape[1])


def rosenbrock(x: Array) -> Any:
    return (100 * (x[:, :-1] ** 2 - x[:, 1:]) ** 2 + (x[:, :-1] - 1) ** 2).sum(axis=1)


def rotation(d: int, seed: int = 0) -> Array:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def evaluations(optimizer: CMAES, loss: Losses, start: Array, seed: int, budget: int) -> float:
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


def search(
    optimizer: Any, returns_of: Losses, start: Array, generations: int, seed: int = 0
) -> list[Any]:
    rng, state = np.random.default_rng(seed), optimizer.init(start)
    states = [state]
    for _ in range(generations):
        asked = optimizer.ask(state, rng)
        state = optimizer.tell(state, asked, returns_of(asked.thetas))
        states.append(state)
    return states


def assert_same(one: Any, other: Any) -> None:
    for a, b in zip(astuple(one), astuple(other), strict=True):
        np.testing.assert_array_equal(a, b)
