"""Where a generation's candidates come from: a value smaller than they are, which makes them again.

`ask` is a function of the optimizer's state and of a generator that is itself a function of
(run seed, generation). So a candidate need not travel: whoever holds the state can make all of
them, to the same bits where the same versions of the numerical libraries run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.streams import Streams
from zorl.optimizers.base import Optimizer


@dataclass(frozen=True)
class CandidateOrigin:
    """What a generation's candidates are a function of.

    Attributes:
        optimizer: who asks.
        state: its state.
        streams: the run's random numbers.
        generation: which of them.
    """

    optimizer: Optimizer[Any]
    state: Any
    streams: Streams
    generation: int

    def thetas(self) -> NDArray[np.float32]:
        """(n, d) the candidates, as rollouts take them."""
        asked = self.optimizer.ask(self.state, self.streams.search(self.generation))
        return np.ascontiguousarray(asked.thetas, dtype=np.float32)


def fingerprint(thetas: NDArray[np.float32]) -> bytes:
    """A short value that differs wherever a bit, or the shape, of two matrices does."""
    digest = hashlib.blake2b(repr(thetas.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(thetas).view(np.uint8).data)
    return digest.digest()
