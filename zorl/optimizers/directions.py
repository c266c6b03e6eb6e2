"""Random directions: rows with zero mean and identity covariance, E[δδᵀ] = I.

That scale is the contract. With it, the mean over δ of (f(θ + cδ) − f(θ − cδ)) δ / 2c is the
gradient of a linear f in every dimension, whatever the distribution (see `tests/optimizers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from zorl.errors import ConfigurationError, UnknownNameError
from zorl.optimizers.base import Matrix

Sampler = Callable[[np.random.Generator, int, int], Matrix]


def gaussian(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) standard normal entries."""
    return rng.standard_normal((m, dim))


def uniform(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) entries uniform on [−√3, √3]: zero mean, unit variance."""
    return rng.uniform(-math.sqrt(3.0), math.sqrt(3.0), (m, dim))


def rademacher(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) entries ±1 (Spall 1992, the simultaneous perturbation)."""
    return np.asarray(rng.integers(0, 2, (m, dim)) * 2 - 1, np.float64)


def sphere(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) rows uniform on the sphere of radius √d."""
    rows = rng.standard_normal((m, dim))
    return np.asarray(rows * (np.sqrt(dim) / np.linalg.norm(rows, axis=1, keepdims=True)))


def orthogonal(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) mutually orthogonal rows of length √d, Haar distributed; needs m ≤ d.

    Each row alone is uniform on the sphere of radius √d, so the mean of m ≤ d of them is unbiased.
    """
    if m > dim:
        raise ConfigurationError(
            f"at most d = {dim} directions can be orthogonal, but {m} were asked for"
        )
    q, r = np.linalg.qr(rng.standard_normal((dim, m)))
    # Without the signs of R's diagonal, Q is not Haar distributed (Mezzadri 2007).
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T * np.sqrt(dim))


DIRECTIONS: dict[str, Sampler] = {
    "gaussian": gaussian,
    "uniform": uniform,
    "rademacher": rademacher,
    "sphere": sphere,
    "orthogonal": orthogonal,
}


def sampler(name: str) -> Sampler:
    """The sampler registered under `name`."""
    if name not in DIRECTIONS:
        raise UnknownNameError("direction", name, DIRECTIONS)
    return DIRECTIONS[name]
