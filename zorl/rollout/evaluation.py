"""What an evaluation is, and the evaluator of plain functions; needs numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zorl.errors import ConfigurationError
from zorl.normalization import Moments, Normalizer
from zorl.streams import Seeds


@dataclass(frozen=True)
class Evaluation:
    """Results of n candidates on e common episodes; arrays (n, e).

    Attributes:
        returns: what is searched.
        native_returns: the task's own returns.
        lengths: env steps; 0 for a plain function.
        successes: whether the task calls the episode a success.
        moments: observations of each candidate, or None.
    """

    returns: NDArray[np.float64]
    native_returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_]
    moments: tuple[Moments, ...] | None = None

    @property
    def env_steps(self) -> int:
        """Exact number of env steps taken."""
        return int(self.lengths.sum())

    @property
    def episodes(self) -> int:
        """Number of episodes run."""
        return self.returns.size


class Evaluator(Protocol):
    """Scores candidates."""

    def evaluate(self, thetas: NDArray[Any], seeds: Seeds, normalizer: Normalizer) -> Evaluation:
        """Every candidate (n, d) on every seed."""


class FunctionEvaluator:
    """A plain objective behind the evaluator's verbs, so that the search loop runs on it.

    Args:
        function: takes (d,) and returns a number; with `batched`, takes (n, d) and returns (n,).
        minimise: negate it: the loop maximises.
        batched: see `function`.
    """

    def __init__(
        self, function: Callable[[Any], Any], minimise: bool = False, batched: bool = False
    ) -> None:
        self._function = function
        self._sign = -1.0 if minimise else 1.0
        self._batched = batched

    def evaluate(
        self, thetas: NDArray[Any], seeds: Seeds = (0,), normalizer: Normalizer | None = None
    ) -> Evaluation:
        """See `Evaluator`; seeds and normalizer do not matter."""
        thetas = np.asarray(thetas)
        if self._batched:
            values = np.asarray(self._function(thetas), dtype=np.float64)
        else:
            values = np.array([float(self._function(theta)) for theta in thetas])
        if values.shape != (len(thetas),):
            raise ConfigurationError(
                f"the objective must return one value per candidate, shape ({len(thetas)},), "
                f"got {values.shape}"
            )
        returns = np.repeat(self._sign * values[:, None], len(seeds), axis=1)
        return Evaluation(
            returns, returns, np.zeros(returns.shape, np.int64), np.zeros(returns.shape, np.bool_)
        )
