"""CMA-ES: a Gaussian that learns its own mean, step size and covariance from ranks.

Equation numbers are those of Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772);
the separable variant is that of Ros and Hansen (PPSN 2008). Only the order of the returns is used,
so every strictly increasing transform of the objective gives the same search, bit for bit.

By default the candidates are opposite pairs along orthogonal directions. Such pairs are those of
Wang, Emmerich and Bäck (2014); mirrored sampling is that of Brockhoff et al. (PPSN 2010). Sigma is
kept unbiased not by selection within pairs, as there, but by the exact variance that pairs leave to
the mean's step. The rates, found by trial, are those that the more even samples bear;
`benchmarks/cma_es.py` shows what they bring. `mirrored=False` is the tutorial's method. In both,
the axes of C are computed again when 5 % of it is new: less often than by the tutorial's rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import UnknownNameError
from zorl.common.options import takes_options_of
from zorl.common.types import Matrix, Vector
from zorl.common.validation import check_flag, positive
from zorl.optimizers.base import Asked, check_popsize, default_popsize, start_vector
from zorl.optimizers.checks import MAX_CONDITION, check_memory, clipped_sigma
from zorl.optimizers.cma_es_constants import Constants, constants
from zorl.optimizers.distribution import DistributionSearch
from zorl.optimizers.registry import GROWING_EPISODES, register_method

if TYPE_CHECKING:
    from typing_extensions import Unpack

Covariance: TypeAlias = Literal["full", "separable"]


class SeparableOptions(TypedDict, total=False):
    """The options of `CMAES` but `covariance`, for recipes that hand them on."""

    sigma0: float
    popsize: int | None
    active: bool
    mirrored: bool
    max_memory_gb: float
    damped: bool


class CMAESOptions(SeparableOptions, total=False):
    """The options of `CMAES`, for recipes that hand them on."""

    covariance: Covariance


_MAX_SHIFT = 64  # how many powers of two C's longest axis may drift before sigma takes them over


@dataclass(frozen=True)
class CMAESState:
    """The search distribution N(theta, sigma² C) and its memory; arrays are read-only.

    Attributes:
        theta: (d,) the distribution's mean.
        t: how many updates led here, flat generations included.
        sigma: the step size.
        covariance: C, (d, d), or its diagonal (d,) when separable.
        path_c: (d,) the evolution path of the covariance, p_c.
        path_sigma: (d,) the evolution path of the step size, p_sigma.
        eigenbasis: (d, d) B with C = B diag(scales²) B^T at update `eigen_t`; (0, 0), standing for
            the identity, when separable.
        scales: (d,) the standard deviations along the axes B.
        eigen_t: the update at which `eigenbasis` and `scales` were computed.
    """

    theta: Vector
    t: int
    sigma: float
    covariance: Matrix
    path_c: Vector
    path_sigma: Vector
    eigenbasis: Matrix
    scales: Vector
    eigen_t: int

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)


@register_method("cma-es", sigma0=1.0, episodes=2)
@dataclass(frozen=True)
class CMAES(DistributionSearch[CMAESState]):
    """CMA-ES with weighted recombination, cumulative step-size adaptation and active covariance.

    Ties between returns are broken by candidate index. A generation whose returns are all equal
    says nothing about any direction, so it changes nothing but `t`.

    Args:
        sigma0: the initial step size, in units of theta: about a third of the expected distance to
            the optimum.
        popsize: candidates per generation, at least 4; 4 + floor(3 ln d) when None (eq. 48).
        covariance: "full", or "separable" for a diagonal C, which is linear in d in time and memory
            and learns (d + 2) / 3 times as fast, but does not see correlations.
        active: whether the worst half shrinks the variance along its directions.
        mirrored: whether candidates are opposite pairs along orthogonal directions, with the
            constants that these allow; otherwise they are independent, with the tutorial's.
        max_memory_gb: the most memory that a search may take, in units of 1e9 bytes.
        damped: whether sigma changes more slowly, the more so the larger the population; mirrored,
            so does C in populations that are large for d, and the worse half pushes nothing. Safer
            on sharp ridges and among many optima, slower elsewhere.
    """

    sigma0: float = 0.5
    popsize: int | None = None
    covariance: Covariance = "full"
    active: bool = True
    mirrored: bool = True
    max_memory_gb: float = 4.0
    damped: bool = False

    def __post_init__(self) -> None:
        positive("sigma0", self.sigma0)
        positive("max_memory_gb", self.max_memory_gb)
        check_popsize(self.popsize, 4)
        if self.covariance not in ("full", "separable"):
            raise UnknownNameError("covariance", str(self.covariance), ("full", "separable"))
        check_flag("active", self.active)
        check_flag("mirrored", self.mirrored)
        check_flag("damped", self.damped)

    def memory_bytes(self, d: int) -> int:
        """Bytes that a search in d dimensions takes at its peak: states, candidates, work arrays.

        Full: C and B of a state, the C and B to come, and LAPACK's copy of C and work space of two
        more (d, d) matrices while the axes are computed.
        """
        squares = 0 if self.covariance == "separable" else 7 * d * d
        return 8 * (squares + (4 * self.population(d) + 16) * d)

    def init(self, theta: ArrayLike) -> CMAESState:
        """N(theta, sigma0² I) around `theta`, shape (d,), with empty evolution paths.

        Raises:
            ConfigurationError: `theta` is not a finite vector, or a search with that many
                parameters would take more than `max_memory_gb`.
        """
        mean = start_vector(theta)
        d, separable = mean.size, self.covariance == "separable"
        self.check_memory(d, self.memory_bytes(d))
        return CMAESState(
            theta=mean,
            t=0,
            sigma=float(self.sigma0),
            covariance=np.ones(d) if separable else np.eye(d),
            path_c=np.zeros(d),
            path_sigma=np.zeros(d),
            eigenbasis=np.empty((0, 0)) if separable else np.eye(d),
            scales=np.ones(d),
            eigen_t=0,
        )

    def check_memory(self, d: int, needed: int, search: str = "CMA-ES") -> None:
        """Raise if `search`, this one or one around it, `needed` more bytes than it may."""
        instead = "a smaller popsize"
        if self.covariance == "full":
            instead = 'covariance="separable" or the method "lm-ma-es", which take O(d)'
        search = f"{search} with a {self.covariance} covariance"
        check_memory(search, d, needed, self.max_memory_gb, instead)

    def population(self, d: int) -> int:
        """See `DistributionSearch`."""
        return self.popsize or default_popsize(d)

    def noise_rows(self, n: int) -> int:
        """See `DistributionSearch`."""
        return (n + 1) // 2 if self.mirrored else n

    def ask(self, state: CMAESState, rng: np.random.Generator) -> Asked:
        """Candidates theta ± sigma y with y ~ N(0, C) (eq. 38-40).

        `directions` holds the y, (m, d). Mirrored, m is half of n, rounded up, and the candidates
        are the m of theta + sigma y first, then theta - sigma y in the same order.
        """
        d = state.theta.size
        n = self.population(d)
        m = self.noise_rows(n)
        z = _orthogonal(rng, m, d) if self.mirrored else rng.standard_normal((m, d))
        z *= state.scales
        y = _times(z, state.eigenbasis.T)
        candidates = np.empty((n, d))
        np.multiply(y, state.sigma, out=candidates[:m])
        np.subtract(state.theta, candidates[: n - m], out=candidates[m:])
        candidates[:m] += state.theta
        return Asked(candidates, state.t, y, sigma=state.sigma)

    def update(self, state: CMAESState, noise: Matrix, values: Vector) -> CMAESState:
        """Equations 41 to 47; `noise` holds the directions y, see `ask`."""
        y, (n, d), t = noise, (values.size, state.theta.size), state.t + 1
        separable = state.covariance.ndim == 1
        k = constants(d, n, separable, self.active, self.mirrored, self.damped)
        ranks = np.empty(n, dtype=np.intp)
        ranks[np.argsort(-values, kind="stable")] = np.arange(n)

        # A pair's two steps are opposite.
        pull = np.asarray(np.bincount(k.pair, k.sign * k.recombination[ranks]), np.float64)
        step = pull @ y  # eq. 41
        theta = state.theta + state.sigma * step  # eq. 42 with c_m = 1

        squares = y * y if separable else None
        shift, lengths = _whitened(state, y, squares, pull, step)
        path_sigma, sigma, h_sigma = _step_size(state, shift, k)
        path_c = (1 - k.c_c) * state.path_c + h_sigma * k.gain_c * step  # eq. 45
        weights = _outer_weights(ranks, lengths, d, k)
        moved = CMAESState(
            theta=theta,
            t=t,
            sigma=sigma,
            covariance=_covariance(state, y, squares, weights, path_c, h_sigma, k),
            path_c=path_c,
            path_sigma=path_sigma,
            eigenbasis=state.eigenbasis,
            scales=state.scales,
            eigen_t=state.eigen_t,
        )
        # B and D lag behind C, for a decomposition costs O(d³) and an update O(d² n) (B.2).
        due = separable or t - state.eigen_t >= k.eigen_gap
        return bounded(_decomposed(moved) if due else moved)


@register_method("sep-cma-es", sigma0=1.0, **GROWING_EPISODES)
@takes_options_of(CMAES, "covariance")
def sep_cma_es(**cmaes: Unpack[SeparableOptions]) -> CMAES:
    """Separable CMA-ES (Ros and Hansen 2008): a diagonal covariance, linear in d.

    Args:
        cmaes: options of `CMAES`, except `covariance`.
    """
    return CMAES(covariance="separable", **cmaes)


def _whitened(
    state: CMAESState, y: Matrix, squares: Matrix | None, pull: Vector, step: Vector
) -> tuple[Vector, Vector]:
    """C^-1/2 step, (d,), and the squared lengths of the C^-1/2 y, (m,).

    Args:
        state: the state that asked, with the axes of C.
        y: (m, d) the directions.
        squares: of them, when separable.
        pull: (m,) the directions' weights in the step.
        step: (d,) pull @ y.
    """
    if squares is not None:
        return step / state.scales, squares @ (1 / state.scales**2)
    white = (y @ state.eigenbasis) / state.scales  # up to a rotation, which keeps the lengths
    return state.eigenbasis @ (pull @ white), np.einsum("ij,ij->i", white, white)


def _step_size(state: CMAESState, shift: Vector, k: Constants) -> tuple[Vector, float, float]:
    """The new p_sigma and sigma, and h_sigma.

    h_sigma is 0 while sigma still has to grow: p_c stalls, so that C does not grow instead.
    """
    path = (1 - k.c_sigma) * state.path_sigma + k.gain_sigma * shift  # eq. 43
    length = float(np.linalg.norm(path)) / k.chi
    sigma = state.sigma * math.exp(k.c_sigma / k.d_sigma * (length - 1))  # eq. 44
    unbiased = length / math.sqrt(1 - (1 - k.c_sigma) ** (2 * (state.t + 1)))
    return path, sigma, float(unbiased < 1.4 + 2 / (state.theta.size + 1))


def _outer_weights(ranks: NDArray[np.intp], lengths: Vector, d: int, k: Constants) -> Vector:
    """(m,) the weight of each direction's outer product in C.

    A bad direction may take away at most what a typical length takes, or C could lose its positive
    definiteness (eq. 46). The two outer products of a pair are the same one.
    """
    lengths = np.maximum(lengths, np.finfo(np.float64).tiny)
    typical = np.where(ranks < k.mu, 1.0, (d / lengths)[k.pair])
    return np.asarray(np.bincount(k.pair, k.weights[ranks] * typical), np.float64)


def _covariance(
    state: CMAESState,
    y: Matrix,
    squares: Matrix | None,
    weights: Vector,
    path_c: Vector,
    h_sigma: float,
    k: Constants,
) -> Matrix:
    """The new C (eq. 47), in one product of p_c and all directions."""
    variance_loss = (1 - h_sigma) * k.c_c * (2 - k.c_c)
    decay = 1 + k.c_1 * variance_loss - k.c_1 - k.c_mu * k.total
    if squares is not None:
        covariance = (k.c_mu * weights) @ squares
        covariance += decay * state.covariance + k.c_1 * path_c**2
        return np.asarray(covariance)
    coefficients = np.append(k.c_mu * weights, k.c_1)
    return _updated(decay, state.covariance, coefficients, np.concatenate((y, path_c[None])))


def _times(rows: Matrix, basis: Matrix) -> Matrix:
    return rows @ basis if basis.size else rows  # a separable state stores no basis: identity


def _orthogonal(rng: np.random.Generator, m: int, d: int) -> Matrix:
    """(m, d) standard normal rows, mutually orthogonal in blocks of up to d of them.

    A Gaussian matrix is G^1/2 Q with G its Gram matrix and Q, its orthonormal polar factor,
    uniform and independent of G: rows of Q with the square roots of G's diagonal for lengths have
    exactly the normal distribution each. Few rows in many dimensions are left as they are drawn:
    the cosines between them are 3 % or less in the root mean square.
    """
    if d > 1000 * m:
        return rng.standard_normal((m, d))
    blocks = -(-m // d)
    z = rng.standard_normal((blocks, min(m, d), d))
    gram = z @ z.transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(gram)
    roots = np.sqrt(np.maximum(values, np.finfo(np.float64).eps ** 2 * values[:, -1:]))
    polar = (vectors / roots[:, None, :]) @ vectors.transpose(0, 2, 1)
    lengths = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    return np.asarray((lengths[:, :, None] * polar @ z).reshape(-1, d)[:m])


def _updated(decay: float, covariance: Matrix, coefficients: Vector, rows: Matrix) -> Matrix:
    """The sum of decay C and all coefficientᵢ rowᵢ rowᵢ^T, in one call that copies C just once."""
    from scipy.linalg.blas import dgemm  # a third of a second that worker processes do not pay

    scaled = coefficients[:, None] * rows
    # BLAS counts columns first, so it is given the transposed views, of which none is copied.
    product: Matrix = dgemm(1.0, rows.T, scaled.T, decay, covariance.T, trans_b=1)
    return product.T


def axes(covariance: Matrix) -> tuple[Matrix, Matrix, Vector]:
    """C with its axes B and the variances (d,) along them, C = B diag(variances) B^T.

    Variances below 1e-14 of the largest are raised to that, in C too. Of a diagonal C, (d,), B is
    the empty matrix that a separable state has.
    """
    if covariance.ndim == 1:
        variances = np.maximum(covariance, covariance.max() / MAX_CONDITION)
        return variances, np.empty((0, 0)), variances
    variances, basis = np.linalg.eigh(covariance)  # of its lower triangle
    floor = variances[-1] / MAX_CONDITION
    if variances[0] < floor:
        variances = np.maximum(variances, floor)
        covariance = (basis * variances) @ basis.T
    return covariance, basis, variances


def _decomposed(state: CMAESState) -> CMAESState:
    """`state` with the axes of its C computed again, and made safe for float64.

    When the longest axis has left [2^-64, 2^64], sigma takes the power of two over: the same
    distribution, exactly.
    """
    covariance, basis, variances = axes(state.covariance)
    scales = np.sqrt(variances)
    exponent = math.frexp(scales.max())[1]
    unit = 2.0**exponent if abs(exponent) > _MAX_SHIFT else 1.0
    return replace(
        state,
        sigma=state.sigma * unit,
        covariance=covariance / unit**2,
        path_c=state.path_c / unit,
        eigenbasis=basis,
        scales=scales / unit,
        eigen_t=state.t,
    )


def bounded(state: CMAESState) -> CMAESState:
    """`state` with sigma clipped so that sigma x the longest axis stays in [1e-100, 1e30]."""
    sigma = clipped_sigma(state.sigma, float(state.scales.max()))
    return state if sigma == state.sigma else replace(state, sigma=sigma)
