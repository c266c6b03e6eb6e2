"""The policy that a search has at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.policies.memory import act_with_memory
from zorl.policies.mlp import Policy
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder


@dataclass(frozen=True)
class Incumbent:
    """A policy with its parameters; it stays as it is when the search goes on.

    Attributes:
        policy: the network.
        encoder: from observations to numbers.
        theta: (d,) parameters.
        normalizer: of the numbers.
    """

    policy: Policy
    encoder: ObservationEncoder
    theta: NDArray[np.float64]
    normalizer: Normalizer

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """See `SearchAgent.predict`."""
        features, batch = self.encoder.batch(observation)
        rows = self.normalizer(features)
        if self.policy.state_size:
            given, state = act_with_memory(self.policy, self.theta, rows, state, episode_start)
        else:
            given = self.policy.act(self.theta[None], rows)
        actions = np.asarray(given)
        return (actions if batch else actions[0]), state
