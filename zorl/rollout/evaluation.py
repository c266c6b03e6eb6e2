"""What an evaluation is, and the evaluator of plain functions; needs only numpy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.streams import Seeds
from zorl.policies.normalization import Moments, Normalizer


@dataclass(frozen=True)
class Evaluation:
    """Results of n candidates on e common episodes; arrays (n, e).

    Attributes:
        returns: of episodes: what the search maximises.
        native_returns: the task's own, without the shaping of its wrappers.
        lengths: env steps; 0 for a plain function.
        successes: whether the task calls the episode a success.
        moments: of all observations that the policy acted on, or None.
    """

    returns: NDArray[np.float64]
    native_returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_]
    moments: Moments | None = None

    @property
    def env_steps(self) -> int:
        """Exact number of env steps taken."""
        return int(self.lengths.sum())

    @property
    def episodes(self) -> int:
        """Number of episodes run."""
        return self.returns.size


class Evaluator(Protocol):
    """Scores candidates. Subclass it: the attributes have defaults.

    Attributes:
        structured: whether `evaluate` takes a search's candidates as the optimizer made them,
            which may be `zorl.optimizers.Candidates` instead of a matrix.
        takes_origin: whether `evaluate` also takes a keyword `origin`, the
            `zorl.rollout.origin.CandidateOrigin` of a search's candidates, for machines that
            compute the candidates themselves instead of receiving them.
        takes_most_steps: whether `evaluate` also takes a keyword `most_steps`, the env steps after
            which it gives up and raises `TooManySteps`.
    """

    structured: bool = False
    takes_origin: bool = False
    takes_most_steps: bool = False

    @abstractmethod
    def evaluate(self, thetas: NDArray[Any], seeds: Seeds, normalizer: Normalizer) -> Evaluation:
        """Score every candidate, (n, d), on every seed, (e,)."""

    def begin(self, spent: float) -> None:
        """Before a generation of a search with a budget of env steps: the share that is spent."""
        return


class FunctionEvaluator(Evaluator):
    """A plain objective as an evaluator, so that the search loop runs on it.

    Args:
        function: takes (d,) and returns a number; with `batched`, takes (n, d) and returns (n,).
        minimise: negate it: the loop maximises.
        batched: see `function`.
        seeded: it takes a seed as a second argument and depends on both, so that candidates of a
            generation can be compared under common random numbers (one mini-batch, say).
        noisy: its values differ from call to call: it is called for every episode. A function
            that is neither noisy nor seeded is called once.
        structured: the function (which must be batched) takes an optimizer's `Candidates` as they
            are, even where they are no matrix; a gate's two candidates always are one.

    Raises:
        ConfigurationError: `structured` without `batched`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        minimise: bool = False,
        batched: bool = False,
        seeded: bool = False,
        noisy: bool = False,
        structured: bool = False,
    ) -> None:
        if structured and not batched:
            raise ConfigurationError("an objective of structured candidates needs batched=True")
        self._function = function
        self._sign = -1.0 if minimise else 1.0
        self._batched = batched
        self._seeded = seeded
        self._once = not (seeded or noisy)
        self.structured = structured

    def evaluate(
        self, thetas: Any, seeds: Seeds = (0,), normalizer: Normalizer | None = None
    ) -> Evaluation:
        """See `Evaluator`; ignores the normalizer, and the seeds unless `seeded`.

        Raises:
            ConfigurationError: the objective did not return one number per candidate.
        """
        if not self.structured:
            thetas = np.asarray(thetas)
        columns = [self._column(thetas, seed) for seed in (seeds[:1] if self._once else seeds)]
        values = self._sign * np.stack(columns, axis=1)
        if self._once:
            values = np.repeat(values, len(seeds), axis=1)
        return Evaluation(
            values, values, np.zeros(values.shape, np.int64), np.zeros(values.shape, np.bool_)
        )

    def _column(self, thetas: Any, seed: int) -> NDArray[np.float64]:
        """(n,) the objective's values of all candidates under one seed."""
        more = (seed,) if self._seeded else ()
        if self._batched:
            values = _numbers(self._function(thetas, *more))
        else:
            values = np.array([_number(self._function(theta, *more)) for theta in thetas])
        n = thetas.shape[0]
        if values.shape != (n,):
            raise ConfigurationError(
                f"the objective must return one value per candidate, shape ({n},), "
                f"got {values.shape}"
            )
        return values


def _numbers(result: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"the objective must return one number per candidate, got {result!r}"
        ) from None


def _number(result: Any) -> float:
    array = np.asarray(result)
    if array.size == 1 and array.dtype.kind in "fiub":
        return float(array.item())
    got = f"shape {array.shape}" if array.size != 1 else repr(result)
    raise ConfigurationError(
        f"the objective must return one number, got {got}; an objective that takes all (n, d) "
        "candidates at once needs batched=True"
    )
