"""Decoders for policies under test."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from zorl.policies.spaces import ActionDecoder


def raw_outputs(k: int) -> ActionDecoder:
    """A decoder whose actions are the network's outputs, bit for bit."""
    unbounded = np.full(k, np.inf, np.float32)
    return ActionDecoder.for_space(spaces.Box(-unbounded, unbounded))


def discrete(n: int) -> ActionDecoder:
    return ActionDecoder.for_space(spaces.Discrete(n))
