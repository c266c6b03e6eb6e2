"""Random directions: rows with zero mean and E[δδᵀ] = I.

That scale is the contract. With it, the mean over δ of (f(θ + cδ) − f(θ − cδ)) δ / 2c is the
gradient of a linear f in every dimension, whatever the distribution (see `tests/optimizers`).
A sampler may return any `Directions`; a matrix is the plain case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.types import Matrix, Vector, frozen
from zorl.common.validation import at_least, is_finite
from zorl.optimizers.base import Directions

Sampler = Callable[[np.random.Generator, int, int], "Matrix | Directions"]


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
    """(m, d) rows of length √d, Haar distributed, mutually orthogonal in blocks of up to d rows.

    Each row alone is uniform on the sphere of radius √d, so the mean of any m of them is unbiased.
    For m > d the blocks are independent of one another; the last may be smaller.
    """
    blocks = [_haar(rng, min(dim, m - start), dim) for start in range(0, m, dim)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _haar(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    q, r = np.linalg.qr(rng.standard_normal((dim, m)))
    # Without the signs of R's diagonal, Q is not Haar distributed (Mezzadri 2007).
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T * np.sqrt(dim))


def coordinate(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) rows ±√d·eᵢ along random axes, none twice before all were drawn (m > d: in blocks)."""
    blocks = -(-m // dim)
    axes = rng.permuted(np.tile(np.arange(dim), (blocks, 1)), axis=1).ravel()[:m]
    rows = np.zeros((m, dim))
    rows[np.arange(m), axes] = np.sqrt(dim) * (rng.integers(0, 2, m) * 2 - 1)
    return rows


def unit_sphere(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) unit vectors: E[δδᵀ] = I/d, so estimates are ∇f/d. For published conventions only."""
    return np.asarray(sphere(rng, m, dim) / np.sqrt(dim))


def unit_orthogonal(rng: np.random.Generator, m: int, dim: int) -> Matrix:
    """(m, d) orthonormal rows: E[δδᵀ] = I/d, so estimates are ∇f/d. For published conventions."""
    return np.asarray(orthogonal(rng, m, dim) / np.sqrt(dim))


@dataclass(frozen=True)
class Guide:
    """Guided directions: isotropic ones, stretched along the span of recent gradient estimates.

    δ = √(1 − share)·ε + √(share·d/r)·U η, with ε isotropic, η standard normal, and U an orthonormal
    basis, (d, r), of the last estimates that are linearly independent (Maheswaranathan et al. 2019,
    eq. 1, with the mean squared length d of all directions here). The estimate's mean is Σ∇f with
    Σ = (1 − share) I + share·(d/r) UUᵀ: preconditioned, no longer unbiased in scale.

    Args:
        memory: how many estimates are kept, at most d; min(4, d) when None.
        share: of the variance that goes into their span, in [0, 1).
    """

    memory: int | None = None
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.memory is not None:
            at_least("memory (gradient estimates that guide the directions)", self.memory, 1)
        if not (is_finite(self.share) and 0 <= self.share < 1):
            raise ConfigurationError(f"share must be a number in [0, 1), got {self.share!r}")

    def init(self, dim: int) -> Matrix:
        """(memory, d) zeros: no estimates yet.

        Raises:
            ConfigurationError: more estimates are to be kept than d directions can be independent.
        """
        memory = min(4, dim) if self.memory is None else self.memory
        if memory > dim:
            raise ConfigurationError(
                f"memory = {memory} gradient estimates cannot span more than d = {dim} "
                "dimensions; lower memory, or leave it at None for min(4, d)"
            )
        return frozen(np.zeros((memory, dim)))

    def remember(self, recent: Matrix, gradient: Vector) -> Matrix:
        """(memory, d) with the newest estimate first, as a unit vector."""
        length = float(np.linalg.norm(gradient))
        if length == 0:
            return recent
        return frozen(np.vstack((gradient / length, recent[:-1])))

    def basis(self, recent: Matrix) -> Matrix:
        """(r, d) orthonormal rows that span the estimates; r = 0 before the first."""
        _, scales, rows = np.linalg.svd(recent, full_matrices=False)
        return np.asarray(rows[scales > 1e-6])

    def stretch(self, isotropic: Matrix, recent: Matrix, rng: np.random.Generator) -> Matrix:
        """(m, d) guided directions from isotropic ones."""
        basis = self.basis(recent)
        if not len(basis):
            return isotropic
        m, dim = isotropic.shape
        along = rng.standard_normal((m, len(basis))) * math.sqrt(self.share * dim / len(basis))
        return np.asarray(math.sqrt(1 - self.share) * isotropic + along @ basis)


DIRECTIONS: dict[str, Sampler] = {
    "gaussian": gaussian,
    "uniform": uniform,
    "rademacher": rademacher,
    "sphere": sphere,
    "orthogonal": orthogonal,
    "coordinate": coordinate,
}
# Of length 1, not √d: the conventions of publications whose estimates are ∇f/d.
UNIT_DIRECTIONS: dict[str, Sampler] = {
    "unit-sphere": unit_sphere,
    "unit-orthogonal": unit_orthogonal,
}


def sampler(name: str) -> Sampler:
    """The sampler registered under `name`."""
    known = DIRECTIONS | UNIT_DIRECTIONS
    if not isinstance(name, str) or name not in known:
        raise UnknownNameError("direction", name, known)
    return known[name]
