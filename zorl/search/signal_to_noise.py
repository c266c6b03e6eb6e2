"""The signal-to-noise ratio of a search's updates, computed from the updates alone.

So it works for every optimizer, including your own. Over the last 1/β updates the mean step is
signal and the scatter about it is noise, as in the learning-rate adaptation of Nomura, Akimoto
and Ono (2023, section 3.1), whose estimator this is, with the start-up bias removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zorl.common.types import Vector, frozen

BETA = 0.1  # the memory's decay per update: about the last 19 updates count


@dataclass(frozen=True)
class UpdateSignal:
    """Running moments of a search's updates.

    Attributes:
        mean: (d,) exponential average of the updates, from zero.
        square: the same average of their squared lengths.
        t: updates taken in.
    """

    mean: Vector
    square: float = 0.0
    t: int = 0

    @classmethod
    def create(cls, dim: int) -> UpdateSignal:
        """Before the first update of d parameters."""
        return cls(frozen(np.zeros(dim)))

    def take(self, update: Vector, scale: float = 1.0) -> UpdateSignal:
        """With one more update, shape (d,), in units of `scale` (a search's own step size)."""
        update = update / scale
        return UpdateSignal(
            frozen((1 - BETA) * self.mean + BETA * update),
            float((1 - BETA) * self.square + BETA * (update @ update)),
            self.t + 1,
        )

    @property
    def ratio(self) -> float:
        """‖E[update]‖² / E‖update − E[update]‖², both estimated without bias.

        Below 0 by chance where there is no signal; NaN before the third update, and where
        nothing scatters.
        """
        if self.t < 3:
            return np.nan
        first = 1 - (1 - BETA) ** self.t  # sum of the average's weights
        second = BETA / (2 - BETA) * (1 - (1 - BETA) ** (2 * self.t))  # and of their squares
        square = self.square / first
        scatter = (square - float(self.mean @ self.mean) / first**2) / (1 - second / first**2)
        if not scatter > 1e-12 * square:
            return np.nan
        return float((square - scatter) / scatter)
