"""What a policy network decides: from its outputs to actions of Gymnasium's spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.special import ndtri

from zorl.common.errors import UnsupportedSpaceError
from zorl.policies.normalization import HUGE, are_bounds
from zorl.policies.observations import ObservationEncoder

Array = NDArray[Any]
Actions = Sequence[Any] | NDArray[Any]  # one per row


@dataclass(frozen=True)
class ActionDecoder:
    """Turns network outputs into actions, deterministically or by seeded chance.

    Discrete and MultiDiscrete take the largest output of each group (stochastic: a softmax draw),
    MultiBinary the outputs above zero (stochastic: a logistic draw). Box maps [−1, 1] to the
    bounds and clips (stochastic: Gaussian noise of `noise_std` before that); a dimension without
    two bounds below 1e6, either way, is clipped but not scaled, as for observations.

    Attributes:
        kind: "discrete", "multi-discrete", "multi-binary" or "box".
        groups: sizes of the groups of outputs that each choose one value.
        start: the smallest value of each Discrete group.
        shape: shape of an action.
        dtype: its dtype, by name.
        low, high: bounds of a Box, flattened.
        stochastic: draw actions instead of taking the best.
        noise_std: of a stochastic Box policy, in units of half the range.
    """

    kind: str
    groups: tuple[int, ...]
    start: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = "int64"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    stochastic: bool = False
    noise_std: float = 0.1

    @staticmethod
    def for_space(space: spaces.Space[Any], stochastic: bool = False) -> ActionDecoder:
        """The decoder of a Discrete, MultiDiscrete, MultiBinary or floating Box space."""
        if isinstance(space, spaces.Discrete):
            return ActionDecoder(
                "discrete", (int(space.n),), (int(space.start),), stochastic=stochastic
            )
        if isinstance(space, spaces.MultiDiscrete):
            groups = tuple(int(n) for n in space.nvec.ravel())
            start = tuple(int(s) for s in space.start.ravel())
            return ActionDecoder(
                "multi-discrete",
                groups,
                start,
                space.shape,
                str(space.dtype),
                stochastic=stochastic,
            )
        if isinstance(space, spaces.MultiBinary):
            groups = (1,) * int(np.prod(space.shape))
            return ActionDecoder(
                "multi-binary", groups, (), space.shape, str(space.dtype), stochastic=stochastic
            )
        if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
            low, high = (tuple(map(float, bound.ravel())) for bound in (space.low, space.high))
            return ActionDecoder(
                "box", (1,) * len(low), (), space.shape, str(space.dtype), low, high, stochastic
            )
        cure = "a wrapper that maps one of these to it (gymnasium.ActionWrapper) would do"
        if isinstance(space, spaces.Box):
            cure = "for integers, MultiDiscrete; or wrap it with a gymnasium.ActionWrapper"
        raise UnsupportedSpaceError(
            f"the action space {space} is not supported: policies give Discrete, MultiDiscrete, "
            f"MultiBinary or a Box of floats; {cure}"
        )

    @property
    def outputs(self) -> int:
        """Number of network outputs, and of uniform numbers that a stochastic choice takes."""
        return sum(self.groups)

    def decode(self, outputs: Array, uniforms: Array | None = None) -> Actions:
        """One action per row.

        Args:
            outputs: (n, outputs) network outputs.
            uniforms: (n, outputs) numbers in [0, 1) for a stochastic choice; None decides
                deterministically.
        """
        if uniforms is not None:
            outputs = self._perturb(outputs, uniforms)
        if self.kind == "discrete":
            choices: list[int] = outputs.argmax(axis=1).tolist()
            start = self.start[0]
            return [choice + start for choice in choices] if start else choices
        n = len(outputs)
        if self.kind == "multi-discrete":
            ends = np.cumsum(self.groups)
            columns = [
                outputs[:, end - size : end].argmax(axis=1) + start
                for size, start, end in zip(self.groups, self.start, ends, strict=True)
            ]
            return np.stack(columns, axis=1).reshape(n, *self.shape).astype(self.dtype)
        if self.kind == "multi-binary":
            return (outputs > 0).reshape(n, *self.shape).astype(self.dtype)
        half, middle, low, high = self.range
        values = np.clip(outputs * half + middle, low, high)
        return np.asarray(values.astype(self.dtype).reshape(n, *self.shape))

    @cached_property
    def range(self) -> tuple[Array, Array, Array, Array]:
        """Half-width and middle of every bounded dimension (1 and 0 where unbounded), bounds."""
        low, high = np.array(self.low), np.array(self.high)
        bounded = are_bounds(low, high)
        half = np.where(bounded, np.where(bounded, high, 1) / 2 - np.where(bounded, low, -1) / 2, 1)
        middle = np.where(bounded, np.where(bounded, low, 0) + half, 0)
        return half, middle, low, high

    @property
    def unscaled(self) -> str:
        """What a user should know of finite bounds that count as none; "" where there are none."""
        huge = [b for b in (*self.low, *self.high) if HUGE <= abs(b) < float("inf")]
        if not huge:
            return ""
        return (
            f"actions are not scaled to the bound {huge[0]:g} of their space, because bounds from "
            f"{HUGE:g} on count as none: a policy's actions are of the order of 1; if the bound is "
            "meant, wrap the environment so that its actions lie in [-1, 1]"
        )

    def _perturb(self, outputs: Array, uniforms: Array) -> Array:
        """Outputs whose deterministic decoding is the stochastic choice."""
        tiny = np.finfo(np.float64).tiny
        uniforms = np.clip(uniforms, tiny, 1 - np.finfo(np.float64).epsneg)
        if self.kind == "box":
            return np.asarray(outputs + self.noise_std * ndtri(uniforms))
        if self.kind == "multi-binary":
            return np.asarray(outputs + np.log(uniforms) - np.log1p(-uniforms))
        return np.asarray(outputs - np.log(-np.log(uniforms)))  # the Gumbel-max trick


def check_spaces(env: gym.Env[Any, Any]) -> None:
    """Refuse an environment whose spaces no policy can handle.

    Raises:
        UnsupportedSpaceError: naming the space, what is supported, and the likely cure.
    """
    for kind, part in (("observation", env.observation_space), ("action", env.action_space)):
        if part.shape is not None and 0 in part.shape:
            raise UnsupportedSpaceError(
                f"{env.unwrapped}: the {kind} space {part} holds no number at all; was it made "
                "before the environment knew how many there are?"
            )
    try:
        ObservationEncoder.for_space(env.observation_space)
        ActionDecoder.for_space(env.action_space)
    except UnsupportedSpaceError as error:
        raise UnsupportedSpaceError(f"{env.unwrapped}: {error}") from None
