"""What a generation's candidates are computed from: smaller than they are, and enough.

`ask` is a function of the optimizer's state and of a random generator, which is a function of
(run seed, generation). So candidates need not be sent to other machines: whoever holds the state
can compute all of them, bit-identical where the same versions of the numerical libraries run.
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
    """The origin of a generation's candidates: all that they are a function of.

    Attributes:
        optimizer: proposes the candidates.
        state: its state.
        streams: the run's random numbers.
        generation: its number.
    """

    optimizer: Optimizer[Any]
    state: Any
    streams: Streams
    generation: int

    def thetas(self) -> NDArray[np.float32]:
        """Compute the candidates, (n, d)."""
        asked = self.optimizer.ask(self.state, self.streams.search(self.generation))
        return np.ascontiguousarray(asked.thetas, dtype=np.float32)


def fingerprint(thetas: NDArray[np.float32]) -> bytes:
    """A short value that differs wherever a bit, or the shape, of two matrices does."""
    digest = hashlib.blake2b(repr(thetas.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(thetas).view(np.uint8).data)
    return digest.digest()
