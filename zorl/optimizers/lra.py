"""LRA-CMA-ES: CMA-ES that learns less from a generation the less of it is signal.

Nomura, Akimoto and Ono, "CMA-ES with Learning Rate Adaptation: Can CMA-ES with Default Population
Size Solve Multimodal and Noisy Problems?" (GECCO 2023, arXiv 2304.03473). Every update that CMA-ES
proposes is damped by a learning rate for the mean and one for the covariance, both driven by the
signal-to-noise ratio of the updates so far. It takes the place of larger populations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.options import takes_options_of
from zorl.common.types import Vector, frozen
from zorl.common.validation import check_fraction, positive
from zorl.optimizers.base import Asked, checked_returns, start_vector
from zorl.optimizers.checks import check_wrapped
from zorl.optimizers.cma_es import CMAES, CMAESOptions, CMAESState, axes, bounded
from zorl.optimizers.registry import GROWING_EPISODES, register_method

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Rate:
    """A learning rate and the statistics of the updates that it damps.

    Attributes:
        eta: the learning rate, in (0, 1].
        mean: the moving average E of the updates in local coordinates: (d,) for the mean, (d, d),
            or (d,) when separable, for the covariance.
        power: the moving average V of their squared lengths.
    """

    eta: float
    mean: NDArray[np.float64]
    power: float


@dataclass(frozen=True)
class LRAState:
    """State of a search with learning-rate adaptation.

    Attributes:
        inner: the search distribution, with all updates damped.
        mean_rate: of the distribution's mean.
        covariance_rate: of Σ = sigma² C.
    """

    inner: CMAESState
    mean_rate: Rate
    covariance_rate: Rate

    @property
    def theta(self) -> Vector:
        """(d,) the distribution's mean."""
        return self.inner.theta

    @property
    def t(self) -> int:
        """How many updates led here."""
        return self.inner.t


@dataclass(frozen=True)
class LearningRateAdaptation:
    """CMA-ES with the mean's and the covariance's learning rates adapted (algorithm 2 there).

    Costs an eigendecomposition of C per update, O(d³), where CMA-ES alone spares most of them. A
    generation whose returns are all equal changes nothing but `t`.

    Args:
        optimizer: the CMA-ES whose updates are damped.
        alpha: the signal-to-noise ratio aimed at, per unit of learning rate.
        beta_mean: how fast E and V of the mean forget, in (0, 1).
        beta_covariance: how fast E and V of the covariance forget, in (0, 1).
        gamma: how fast a learning rate may change, per unit of itself.
    """

    optimizer: CMAES = field(default_factory=CMAES)
    alpha: float = 1.4
    beta_mean: float = 0.1
    beta_covariance: float = 0.03
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_wrapped("LearningRateAdaptation", self.optimizer, CMAES)
        positive("alpha", self.alpha)
        positive("gamma", self.gamma)
        check_fraction("beta_mean", self.beta_mean)
        check_fraction("beta_covariance", self.beta_covariance)

    def memory_bytes(self, d: int) -> int:
        """Bytes that a search in d dimensions takes at its peak.

        CMA-ES's own and eight more arrays of C's shape: E and the E to come, the update of C as it
        is and in local coordinates, the damped C, its symmetric and its normalised form, its axes.
        """
        entries = d if self.optimizer.covariance == "separable" else d * d
        return self.optimizer.memory_bytes(d) + 8 * 8 * entries

    def init(self, theta: ArrayLike) -> LRAState:
        """CMA-ES's start at `theta`, shape (d,), with both learning rates at 1.

        Raises:
            ConfigurationError: `theta` is not a finite vector, or a search with that many
                parameters would take more than the `max_memory_gb` of the CMA-ES.
        """
        mean = start_vector(theta)
        self.optimizer.check_memory(mean.size, self.memory_bytes(mean.size), "LRA-CMA-ES")
        inner = self.optimizer.init(mean)
        rates = (
            Rate(1.0, frozen(np.zeros(shape)), 0.0)
            for shape in (inner.theta.shape, inner.covariance.shape)
        )
        return LRAState(inner, *rates)

    def ask(self, state: LRAState, rng: np.random.Generator) -> Asked:
        """CMA-ES's candidates, as they are."""
        return self.optimizer.ask(state.inner, rng)

    def tell(self, state: LRAState, asked: Asked, returns: ArrayLike) -> LRAState:
        """The next state from one return per candidate (n,), higher better."""
        values = checked_returns(state, asked, returns)
        old, new = state.inner, self.optimizer.tell(state.inner, asked, values)
        if values.min() == values.max():
            return replace(state, inner=new)

        # In units of the old sigma, so that no square of it can overflow or vanish.
        growth = (new.sigma / old.sigma) ** 2
        mean_step = new.theta - old.theta
        covariance_step = growth * new.covariance - old.covariance
        local_mean, local_covariance = _local(old, mean_step / old.sigma, covariance_step)
        before = state.mean_rate.eta
        mean_rate = self._adapted(state.mean_rate, local_mean, self.beta_mean)
        covariance_rate = self._adapted(
            state.covariance_rate, local_covariance, self.beta_covariance
        )

        theta = old.theta + mean_rate.eta * mean_step
        covariance = old.covariance + covariance_rate.eta * covariance_step
        damped = _decomposed(replace(new, theta=theta, sigma=old.sigma, covariance=covariance))
        # The best step size is inversely proportional to the mean's learning rate.
        sigma = damped.sigma * (before / mean_rate.eta)
        return LRAState(bounded(replace(damped, sigma=sigma)), mean_rate, covariance_rate)

    def _adapted(self, rate: Rate, update: NDArray[np.float64], beta: float) -> Rate:
        """`rate` after one more update, given in local coordinates."""
        mean = (1 - beta) * rate.mean + beta * update
        power = (1 - beta) * rate.power + beta * float((update**2).sum())
        length = float((mean**2).sum())
        # Of pure noise, E keeps β / (2 − β) of the power; what is more is signal.
        signal, noise = length - beta / (2 - beta) * power, power - length
        eta = rate.eta
        if noise > 0:  # else nothing has moved yet: updates below the rounding of theta
            push = min(max(signal / noise / (self.alpha * eta) - 1, -1.0), 1.0)
            eta = min(eta * math.exp(min(self.gamma * eta, beta) * push), 1.0)
        return Rate(eta, frozen(mean), power)


@register_method("lra-cma-es", sigma0=1.0, **GROWING_EPISODES)
@takes_options_of(CMAES)
def lra_cma_es(
    *,
    alpha: float = 1.4,
    beta_mean: float = 0.1,
    beta_covariance: float = 0.03,
    gamma: float = 0.1,
    **cmaes: Unpack[CMAESOptions],
) -> LearningRateAdaptation:
    """LRA-CMA-ES (Nomura, Akimoto and Ono 2023): learning rates follow the signal-to-noise ratio.

    For noisy or multimodal returns; the default population is meant to suffice. The paper's
    candidates are independent: `mirrored=False`.

    Args:
        alpha: the signal-to-noise ratio aimed at, per unit of learning rate.
        beta_mean: how fast the statistics of the mean forget, in (0, 1).
        beta_covariance: how fast the statistics of the covariance forget, in (0, 1).
        gamma: how fast a learning rate may change, per unit of itself.
        cmaes: options of `CMAES`; `LearningRateAdaptation.memory_bytes` is held to `max_memory_gb`.
    """
    return LearningRateAdaptation(CMAES(**cmaes), alpha, beta_mean, beta_covariance, gamma)


def _local(
    state: CMAESState, mean_step: Vector, covariance_step: NDArray[np.float64]
) -> tuple[Vector, NDArray[np.float64]]:
    """Steps of the mean and of C, in units of sigma, where the Fisher information is I."""
    if state.covariance.ndim == 1:
        return mean_step / state.scales, covariance_step / (math.sqrt(2) * state.scales**2)
    root = (state.eigenbasis / state.scales) @ state.eigenbasis.T  # C^-1/2, the symmetric one
    return root @ mean_step, root @ covariance_step @ root / math.sqrt(2)


def _decomposed(state: CMAESState) -> CMAESState:
    """`state` with its axes computed again, and sigma taking over the determinant: det C = 1."""
    full = state.covariance.ndim == 2
    symmetric = (state.covariance + state.covariance.T) / 2 if full else state.covariance
    covariance, basis, variances = axes(symmetric)
    unit = math.exp(float(np.log(variances).mean()) / 2)
    return replace(
        state,
        sigma=state.sigma * unit,
        covariance=covariance / unit**2,
        eigenbasis=basis,
        scales=np.sqrt(variances) / unit,
    )
