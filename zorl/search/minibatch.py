"""Objectives on mini-batches: one batch for a whole generation, as SGD has one for a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.validation import at_least

BATCHES = ("shared", "pair", "candidate")


class MinibatchObjective:
    """The mean loss on a mini-batch of the data, as a seeded function of candidates.

    Calling it with candidates and a seed draws `batch_size` distinct rows by that seed. A search
    gives all candidates of a generation the same seed, so that one batch serves the whole
    population and both signs of a pair: common random numbers. Use it where a function is `seeded`
    and `batched`, as `zorl.minimize(objective, x0, seeded=True, batched=True)`.

    Args:
        data: an array, or a tuple of arrays with a common first axis; numpy or torch.
        loss: (thetas, *batch) to (n,) losses, lower better. Shared, the arrays of the batch begin
            with the axis batch_size; else with the axes (n, batch_size). Structured candidates are
            handed on as they are.
        batch_size: rows of a batch.
        batches: "shared"; or "pair", a batch for each antithetic pair, candidates i and i + n/2; or
            "candidate", a batch for each candidate.
    """

    def __init__(
        self, data: Any, loss: Callable[..., Any], batch_size: int, batches: str = "shared"
    ) -> None:
        self.data: tuple[Any, ...] = data if isinstance(data, tuple) else (data,)
        sizes = []
        for array in self.data:
            shape = getattr(array, "shape", None)
            if not shape:
                raise ConfigurationError(
                    f"data must be arrays with a first axis, got a {type(array).__name__}"
                )
            sizes.append(int(shape[0]))
        if not sizes or len(set(sizes)) > 1:
            raise ConfigurationError(f"data must be arrays of one common length, got {sizes}")
        if not callable(loss):
            raise ConfigurationError(f"loss must be a function (thetas, *batch), got {loss!r}")
        at_least("batch_size", batch_size, 1)
        if batch_size > sizes[0]:
            raise ConfigurationError(
                f"batch_size = {batch_size}, but the data have only {sizes[0]} rows"
            )
        if batches not in BATCHES:
            raise UnknownNameError("kind of batches", batches, BATCHES)
        self.loss = loss
        self.rows = sizes[0]
        self.batch_size = batch_size
        self.batches = batches

    def __call__(self, thetas: Any, seed: int) -> NDArray[np.float64]:
        """(n,) losses of the candidates on the batch, or the batches, of a seed."""
        n = int(thetas.shape[0])
        chosen = self.indices(n, seed)
        return self._checked(self.loss(thetas, *(_rows(array, chosen) for array in self.data)), n)

    def indices(self, n: int, seed: int) -> NDArray[np.int64]:
        """The rows that n candidates see: (batch_size,), or (n, batch_size) where each has its own.

        Raises:
            ConfigurationError: pairs are wanted of an odd number of candidates.
        """
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        if self.batches == "shared":
            return rng.choice(self.rows, self.batch_size, replace=False)
        if self.batches == "candidate":
            return self._batches(rng, n)
        if n % 2:
            raise ConfigurationError(f"{n} candidates are no pairs; use an antithetic scheme")
        return np.tile(self._batches(rng, n // 2), (2, 1))

    def _batches(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        size = self.batch_size
        return np.stack([rng.choice(self.rows, size, replace=False) for _ in range(count)])

    def full(self, thetas: Any) -> NDArray[np.float64]:
        """(n,) losses on all the data, whatever the kind of batches; for a shared-batch loss."""
        return self._checked(self.loss(thetas, *self.data), int(thetas.shape[0]))

    def _checked(self, values: Any, n: int) -> NDArray[np.float64]:
        if hasattr(values, "detach"):  # torch's
            values = values.detach().cpu()
        losses = np.asarray(values, np.float64)
        if losses.shape != (n,):
            raise ConfigurationError(
                f"the loss must return one number per candidate, shape ({n},), got {losses.shape}"
            )
        return losses


def _rows(array: Any, chosen: NDArray[np.int64]) -> Any:
    """Rows of an array, or of a torch tensor on its own device."""
    if hasattr(array, "detach"):
        import torch

        return array[torch.as_tensor(chosen, device=array.device)]
    return array[chosen]
