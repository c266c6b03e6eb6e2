"""One step of all lanes, from their observations to their actions.

A `StepBatch` holds what one forward pass needs, a row for each lane. Two loops run on it:
`zorl.rollout.local.gymnasium_runner` over single environments, and `zorl.rollout.vector.episodes`
over a vector environment.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zorl.policies.mlp import Actor
from zorl.policies.normalization import Normalizer
from zorl.policies.recurrent import is_own
from zorl.policies.spaces import Actions

Draw = Callable[[int], NDArray[np.float64]]  # (n, u) uniform numbers for n lanes

log = logging.getLogger("zorl")


class BatchPolicy(Protocol):
    """What the rollout loops need of a policy: a `Policy`, or what has no memory and only this."""

    def bind(self, thetas: NDArray[np.float32]) -> Actor:
        """See `zorl.policies.Policy.bind`."""


class StepBatch:
    """Normalises observations, sums their moments and decides, for all lanes at once.

    A loop writes an episode's first observation through the view `observations`, calls `assign`,
    and then alternates `decide` and `observe`. After `observe` it must call `flush` before it reads
    or writes this view, or `returns`, again.

    Args:
        policy: decides.
        thetas: (n, d) candidates.
        normalizer: frozen.
        lanes: L.
        features: o.

    Attributes:
        state: (L, o + 1) one array, so that one check finds what is not finite. Its two parts:
        observations: (L, o) view of `state`: the last observation of every lane.
        returns: (L,) view of `state`: the sum of the rewards of every lane's episode so far.
        sums, squares: (L, o) shifted moments of every lane's episode, if the normalizer learns.
        memory: (L, m) what a policy with memory remembers of every lane's episode.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        thetas: NDArray[np.float32],
        normalizer: Normalizer,
        lanes: int,
        features: int,
    ) -> None:
        self._candidates = thetas
        self._normalizer = normalizer
        self._center, self._factor = normalizer.affine()
        self.state = np.zeros((lanes, features + 1))
        self.observations = self.state[:, :features]
        self.returns = self.state[:, -1]
        self._moments = np.zeros((2, lanes, features))
        self.sums, self.squares = self._moments
        self._thetas = np.zeros((lanes, thetas.shape[1]), np.float32)
        self.memory = np.zeros((lanes, getattr(policy, "state_size", 0)), np.float32)
        self._bind(policy, lanes)

    def _bind(self, policy: BatchPolicy, lanes: int) -> None:
        self._actor = _bound(policy, self._thetas, self.memory)
        self._features = np.zeros_like(self.sums)

    def observe(self, observations: NDArray[Any], rewards: NDArray[np.float64]) -> None:
        """Take the observations and rewards of a step of the first n lanes.

        Args:
            observations: (n, o) float32 or float64.
            rewards: (n,) are added to the lanes' returns.
        """
        n = len(rewards)
        self.observations[:n] = observations
        self.returns[:n] += rewards

    def flush(self) -> None:
        """Make sure that `state` holds all that was observed."""

    def assign(self, lane: int, row: int) -> None:
        """From now on candidate `row` plays an episode in a lane."""
        self._set_theta(lane, self._candidates[row])
        self.begin(lane)

    def begin(self, lanes: Any) -> None:
        """Forget what was summed and remembered in these lanes: an index or several."""
        self.returns[lanes] = 0.0
        self.sums[lanes] = 0.0
        self.squares[lanes] = 0.0
        self.memory[lanes] = 0.0

    def _set_theta(self, lane: int, theta: NDArray[np.float32]) -> None:
        self._thetas[lane] = theta

    def move(self, lane: int, source: int) -> None:
        """Move the episode of the lane `source` to another lane."""
        for values in (self.state, self.sums, self.squares, self._thetas, self.memory):
            values[lane] = values[source]

    def decide(self, n: int, draw: Draw | None = None) -> Actions | None:
        """Actions of the first n lanes; None, and nothing done, if their state is not finite.

        Args:
            n: how many lanes.
            draw: gives uniform numbers (n, u) for a stochastic policy.
        """
        state, normalizer = self.state[:n], self._normalizer
        # The first test is one fast pass, but large finite numbers overflow in it.
        if not math.isfinite(np.vdot(state, state)) and not np.isfinite(state).all():
            return None
        features = self.observations[:n]
        if normalizer.active:
            shifted = features - self._center
            features = self._features[:n]
            if normalizer.learns:
                self.sums[:n] += shifted
                np.multiply(shifted, shifted, out=features)
                self.squares[:n] += features
            np.multiply(shifted, self._factor, out=features)
            np.maximum(features, -normalizer.clip, out=features)
            np.minimum(features, normalizer.clip, out=features)
        return self._actor(n, features, None if draw is None else draw(n))


def _bound(policy: Any, thetas: NDArray[np.float32], memory: NDArray[np.float32]) -> Actor:
    actor: Actor = policy.bind(thetas, memory) if memory.size else policy.bind(thetas)
    return actor


class CompiledStepBatch(StepBatch):
    """The same, bit-identical, in one call of compiled code; for zorl's own networks.

    Observations and rewards wait in `_pending` until the kernel of the next `decide` takes them.
    """

    def _bind(self, policy: BatchPolicy, lanes: int) -> None:
        assert is_own(policy)
        kernels = _kernels()
        assert kernels is not None
        self._kernel = kernels.decide_with_memory if policy.state_size else kernels.decide
        self._packing = policy.packing()
        self._decoder = policy.decoder
        self._greedy = policy.decoder.kind == "discrete"
        self._start = policy.decoder.start[0] if self._greedy else 0
        size = policy.decoder.outputs
        outputs = np.zeros((lanes, size + policy.state_size), np.float32)
        self._outputs, self.memory = outputs[:, :size], outputs[:, size:]
        self._choices = np.zeros(lanes, np.int64)
        nothing = np.zeros((0, policy.inputs))
        self._singles, self._doubles = nothing.astype(np.float32), nothing
        self._nothing = (self._singles, self._doubles, np.zeros(0))
        self._pending = self._nothing
        normalizer = self._normalizer
        self._arguments = (
            self.state,
            self._moments,
            np.stack([self._center, self._factor, np.full_like(self._center, normalizer.clip)]),
            self._thetas,
            np.array([normalizer.active, normalizer.learns, *policy.layout]),
            np.zeros((2, policy.width), np.float32),
            outputs,
            self._choices,
        )

    def _set_theta(self, lane: int, theta: NDArray[np.float32]) -> None:
        self._thetas[lane] = theta[self._packing]

    def observe(self, observations: NDArray[Any], rewards: NDArray[np.float64]) -> None:
        """See `StepBatch.observe`; the next `decide` or `flush` writes them into `state`."""
        if observations.itemsize == 4:
            self._pending = (observations, self._doubles, rewards)
        else:
            self._pending = (self._singles, observations, rewards)

    def flush(self) -> None:
        """See `StepBatch.flush`."""
        if self._pending is not self._nothing:
            singles, doubles, rewards = self._pending
            self._pending = self._nothing
            super().observe(singles if singles.size else doubles, rewards)

    def decide(self, n: int, draw: Draw | None = None) -> Actions | None:
        """See `StepBatch.decide`."""
        pending, self._pending = self._pending, self._nothing
        if not self._kernel(n, *pending, *self._arguments):
            return None
        if draw is None and self._greedy:
            choices: list[int] = self._choices[:n].tolist()
            return [choice + self._start for choice in choices] if self._start else choices
        return self._decoder.decode(self._outputs[:n], None if draw is None else draw(n))


def step_batch_class(policy: BatchPolicy) -> type[StepBatch]:
    """`CompiledStepBatch` where it can be used; the first call in a process loads the code."""
    return CompiledStepBatch if is_own(policy) and _kernels() else StepBatch


def warm(policy: BatchPolicy) -> None:
    """Compile the code for observations of single and double precision, where it is used."""
    if step_batch_class(policy) is not CompiledStepBatch:
        return
    assert is_own(policy)
    size = policy.inputs
    bounds = np.full(size, np.inf)
    thetas = np.zeros((1, policy.dim), np.float32)
    step_batch = CompiledStepBatch(
        policy, thetas, Normalizer.create("off", -bounds, bounds), 1, size
    )
    step_batch.assign(0, 0)
    step_batch.decide(1)
    examples: tuple[NDArray[Any], ...] = (
        np.ndarray((1, size), np.float32, bytes(4 * size)),
        np.zeros((1, size)),
    )
    for observations in examples:
        step_batch.observe(observations, np.zeros(1))
        step_batch.decide(1)


@cache
def _kernels() -> Any:
    """The module `zorl.policies.kernels`; None, and one warning, where numba cannot be used."""
    try:
        return importlib.import_module("zorl.policies.kernels")
    except (ImportError, OSError, RuntimeError) as error:
        # Not installed, made for another Python or numpy, or without a folder for its code.
        log.warning("policies run in numpy, slower but bit-identical: %s", error)
        return None
