"""Deterministic actions of an SB3 model whose bits depend on nothing but the row.

Torch rounds a row of a batch differently from the row alone, and may round it differently in
another place. Here a network always gets a block of the same size, so that kernels have the same
shapes however many rows there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from zorl.policies.module import one_torch_thread

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

Array = NDArray[Any]
log = logging.getLogger("zorl")

BLOCK = 32  # rows
_MOST_FLOPS = 400_000  # of a row; a dense network of 200,000 parameters has as many
_COUNTS = (1, 2, 7, 16, 31)
_ROLLS = (1, 5, 16)


class BlockPredictor:
    """Predicts in blocks that are always of the same size.

    A block has 32 rows where a row comes out the same in every place and among any neighbours,
    which is tried out here, with seeded random rows and parameters, so that it does not depend on
    what the model has learned. It has one row where that does not hold (with Intel's MKL, layers of
    8 units or fewer with a number of inputs that is no multiple of 4), and where the network is so
    large that a single row would take far longer in a block.

    Args:
        model: of SB3; it may go on learning.

    Attributes:
        block: rows computed at a time, 32 or 1; None: rows are computed as they come, because the
            policy remembers or takes other arguments than SB3's own.
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self._model = model
        with one_torch_thread():
            self.block = _block(model.policy)

    def __call__(self, observation: Any) -> Array:
        """The actions for one observation or a batch, as `model.predict` gives them.

        Raises:
            ValueError: of SB3, for observations of another shape.
        """
        if self.block is None or isinstance(observation, tuple):  # SB3 knows this mistake
            return self._predict(observation)
        values = _each(np.asarray, observation)
        batch = self._model.policy.is_vectorized_observation(values)
        count = _count(values) if batch else 1
        if not count:
            return self._predict(values)
        rows = values if batch else _each(lambda part: part[None], values)
        block = self.block
        with one_torch_thread():  # their number may decide how a product is divided
            parts = [
                self._predict(_padded(_rows(rows, slice(at, at + block)), block))[: count - at]
                for at in range(0, count, block)
            ]
        actions = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return actions if batch else actions[0]

    def _predict(self, observations: Any) -> Array:
        actions: Array = self._model.predict(observations, deterministic=True)[0]
        return actions


def _each(function: Callable[[Array], Array], observations: Any) -> Any:
    """A function of an array, or of each part of a Dict."""
    if isinstance(observations, Mapping):
        return {name: function(part) for name, part in observations.items()}
    return function(observations)


def _rows(observations: Any, which: Any) -> Any:
    return _each(lambda part: part[which], observations)


def _count(observations: Any) -> int:
    arrays = observations.values() if isinstance(observations, Mapping) else [observations]
    return len(next(iter(arrays)))


def _padded(observations: Any, block: int) -> Any:
    """(block, …) a copy of at most as many rows, and the last one again and again.

    In float64, which SB3 converts into memory of torch's own: where a number lies decides in which
    order some libraries add it up.
    """
    return _each(partial(_padded_array, block=block), observations)


def _padded_array(rows: Array, block: int) -> Array:
    dtype = np.float64 if rows.dtype.kind == "f" else rows.dtype
    padded = np.empty((block, *rows.shape[1:]), dtype)
    padded[: len(rows)] = rows
    padded[len(rows) :] = rows[-1]
    return padded


def _block(policy: Any) -> int | None:
    """`BlockPredictor.block` of a policy."""
    rows = _random_rows(policy.observation_space)
    try:
        with FlopCounterMode(display=False) as counter:
            _, memory = policy.predict(_rows(rows, slice(1)), deterministic=True)
        if memory is not None:
            return None
        if counter.get_total_flops() > _MOST_FLOPS:
            return 1
        if _is_the_same_in_every_place(policy, rows):
            return BLOCK
        reason, block = "a row's last bits depend on its place in a block", 1
    except Exception as error:  # a policy of another library, which may raise anything
        reason, block = f"{type(error).__name__}: {error}", None
    log.info("%s is evaluated in one lane: %s", type(policy).__name__, reason)
    return block


def _random_rows(space: Any) -> Any:
    """(32, …) seeded observations; they need not lie between a Box's bounds."""
    if isinstance(space, spaces.Dict):
        return {name: _random_rows(part) for name, part in space.items()}
    rng = np.random.default_rng(0)
    if not isinstance(space, spaces.Box):
        counts = 2 if isinstance(space, spaces.MultiBinary) else getattr(space, "nvec", None)
        return rng.integers(space.n if counts is None else counts, size=(BLOCK, *space.shape))
    if np.issubdtype(space.dtype, np.floating):
        return rng.normal(size=(BLOCK, *space.shape))
    return rng.integers(128, size=(BLOCK, *space.shape)).astype(space.dtype)


def _is_the_same_in_every_place(policy: Any, rows: Any) -> bool:
    """Whether each number on the way to an action is the same wherever its row is in a block."""
    rng = np.random.default_rng(1)
    recorded = _Recorded(policy)
    parameters = {
        name: torch.from_numpy(0.1 * rng.normal(size=value.shape)).to(value.dtype)
        for name, value in recorded.named_parameters()
    }
    expected = functional_call(recorded, parameters, (rows,))
    orders = [np.roll(np.arange(BLOCK), shift) for shift in _ROLLS]
    orders += [np.arange(BLOCK)[::-1], rng.permutation(BLOCK)]
    orders += [rng.permutation(BLOCK)[:count] for count in _COUNTS]
    for order in orders:
        found = functional_call(recorded, parameters, (_padded(_rows(rows, order), BLOCK),))
        if len(found) != len(expected):
            return False
        for values, whole in zip(found, expected, strict=True):
            # What does not depend on rows is the same whatever they are, such as a parameter.
            moved = np.array_equal(values[: len(order)], whole[order], equal_nan=True)
            if not moved and not np.array_equal(values, whole, equal_nan=True):
                return False
    return True


class _Recorded(nn.Module):
    """Whatever torch computes for the 32 rows of a block, up to the actions."""

    policy: Any

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, rows: Any) -> list[Array]:
        with _Recorder() as recorder:
            actions, _ = self.policy.predict(rows, deterministic=True)
        return [*recorder.arrays, actions]


class _Recorder(TorchFunctionMode):
    """Keeps a copy of each result that has 32 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: list[Array] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor) and value.shape[:1] == (BLOCK,):
                self.arrays.append(value.detach().numpy().copy())
        return result
