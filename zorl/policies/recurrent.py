"""Policies with memory: a recurrent cell, whose state lasts from step to step of an episode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from zorl.common.types import Vector
from zorl.common.validation import at_least, check_flag
from zorl.policies.activations import ACTIVATIONS
from zorl.policies.memory import GRU, Cell, parse_memory
from zorl.policies.mlp import (
    Actor,
    Array,
    Float32,
    Forward,
    MlpPolicy,
    OrderedSum,
    check_states,
    check_thetas,
    is_mlp,
)
from zorl.policies.spaces import ActionDecoder, Actions

_tanh, _sigmoid = ACTIVATIONS["tanh"], ACTIVATIONS["sigmoid"]


@dataclass(frozen=True)
class RecurrentPolicy:
    """A cell with a state h of H numbers, and a fully connected network that reads it.

    With features x, h = 0 at the start of an episode, and σ the logistic function, a step is::

        elman:  h ← tanh(b + W x + U h)
        gru:    r = σ(b_r + W_r x + U_r h),  z = σ(b_z + W_z x + U_z h)
                n = tanh(b_n + W_n x + r · (U_n h)),  h ← n + z · (h − n)

    These are torch's RNNCell and GRUCell without the second bias, which only GRUCell's n could use.
    θ has their order: W (gates H, o) and U (gates H, H), gates r, z, n one after the other, then b,
    then the network's layers as in `MlpPolicy`.

    Args:
        inputs: o, number of features.
        decoder: what the outputs mean.
        memory: the cell and H, as "gru:8".
        hidden: sizes of layers between the state and the outputs.
        activation: of these layers.
        bias: whether cell and layers have biases.
    """

    inputs: int
    decoder: ActionDecoder
    memory: str = "gru:8"
    hidden: tuple[int, ...] = ()
    activation: str = "tanh"
    bias: bool = True

    def __post_init__(self) -> None:
        at_least("inputs", self.inputs, 1)
        check_flag("bias", self.bias)
        parse_memory(self.memory)
        object.__setattr__(self, "hidden", self.head.hidden)

    @property
    def cell(self) -> Cell:
        """The cell."""
        return parse_memory(self.memory)[0]

    @property
    def state_size(self) -> int:
        """H: see `Policy`."""
        return parse_memory(self.memory)[1]

    @cached_property
    def head(self) -> MlpPolicy:
        """The network that reads the state."""
        return MlpPolicy(self.state_size, self.decoder, self.hidden, self.activation, self.bias)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(out, in) of the cell, without what it remembers, and of each layer."""
        return [(self.state_size, self.inputs), *self.head.layers]

    @property
    def rows(self) -> int:
        """Rows of W and U: H for each gate."""
        return self.state_size * self.cell.gates

    @property
    def cell_dim(self) -> int:
        """Number of the cell's parameters, which come first in θ."""
        return self.rows * (self.inputs + self.state_size + self.bias)

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.cell_dim + self.head.dim

    def init(self, rng: np.random.Generator) -> Vector:
        """Uniform ±1/√H in the cell and ±1/√fan_in in layers, as torch's."""
        bound = 1 / np.sqrt(self.state_size)
        cell = rng.uniform(-bound, bound, self.cell_dim)
        if self.hidden:
            return np.concatenate([cell, self.head.init(rng)])
        return np.concatenate([cell, rng.uniform(-bound, bound, self.head.dim)])

    def unpack(self, thetas: Array) -> tuple[Array, Array, Array | None]:
        """Views (n, rows, o), (n, rows, H) and (n, rows) of W, U and b."""
        n, rows, h = len(thetas), self.rows, self.state_size
        end = rows * self.inputs
        w = thetas[:, :end].reshape(n, rows, self.inputs)
        u = thetas[:, end : end + rows * h].reshape(n, rows, h)
        return w, u, thetas[:, end + rows * h : self.cell_dim] if self.bias else None

    @property
    def layout(self) -> list[int]:
        """As `MlpPolicy.layout`."""
        bias, activation, _, *sizes = self.head.layout
        return [bias, activation, self.cell.number, self.inputs, *sizes]

    @property
    def width(self) -> int:
        """As `MlpPolicy.width`: the features beside the state, gates beside what they act on."""
        gates = (self.cell.gates + 1) * self.state_size
        return max(self.inputs + self.state_size, gates, self.head.width)

    def packing(self) -> NDArray[np.intp]:
        """As `MlpPolicy.packing`; of a GRU the gates r and z, then W_n and b_n, then U_n."""
        w, u, b = (
            None if part is None else part[0] for part in self.unpack(np.arange(self.dim)[None])
        )
        assert w is not None
        assert u is not None
        both = 2 * self.state_size if self.cell.number == GRU else self.state_size
        parts = [w[:both].T, u[:both].T, w[both:].T, u[both:].T]
        if b is not None:
            parts[2:] = [b[:both], w[both:].T, b[both:], u[both:].T]
        head = self.head.packing() + self.cell_dim
        return np.concatenate([*(part.ravel() for part in parts), head])

    def bind(self, thetas: Float32, states: Float32 | None = None) -> Actor:
        """See `Policy.bind`."""
        check_thetas(thetas, self.dim)
        check_states(states, len(thetas), self.state_size)
        assert states is not None
        cell = (_Gru if self.cell.number == GRU else _Elman)(self, thetas, states)
        forward = Forward(self.head, thetas[:, self.cell_dim :])
        decode = self.decoder.decode

        def actor(n: int, features: Array, uniforms: Array | None = None) -> Actions:
            return decode(forward(n, cell(n, features)), uniforms)

        return actor

    def act(self, thetas: Array, observations: Array) -> Actions:
        """See `Policy.act`: at the start of an episode."""
        n = len(observations)
        rows = np.broadcast_to(np.atleast_2d(thetas), (n, self.dim))
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        return self.bind(rows, np.zeros((n, self.state_size), np.float32))(n, observations, None)


class _Cell:
    """One step of the states of all rows, in elementary operations."""

    def __init__(self, policy: RecurrentPolicy, thetas: Float32, states: Float32) -> None:
        self._states = states
        self._features = np.empty((len(thetas), policy.inputs), np.float32)
        self._bind(policy.state_size, *policy.unpack(thetas))

    def _bind(self, h: int, w: Array, u: Array, bias: Array | None) -> None:
        raise NotImplementedError

    def _next(self, n: int, x: Float32, state: Float32) -> Float32:
        """The states after features x (n, o)."""
        raise NotImplementedError

    def __call__(self, n: int, features: Array) -> Float32:
        """(n, H) the new states, a view."""
        x, state = self._features[:n], self._states[:n]
        x[...] = features
        with np.errstate(over="ignore", invalid="ignore"):  # of parameters beyond reason
            state[...] = self._next(n, x, state)
        return state


class _Elman(_Cell):
    def _bind(self, h: int, w: Array, u: Array, bias: Array | None) -> None:
        self._sum = OrderedSum(bias, w, u)

    def _next(self, n: int, x: Float32, state: Float32) -> Float32:
        total = self._sum(n, x, state)
        _tanh(total, total)
        return total


class _Gru(_Cell):
    def _bind(self, h: int, w: Array, u: Array, bias: Array | None) -> None:
        gates, candidate = slice(None, 2 * h), slice(2 * h, None)
        self._gates = OrderedSum(None if bias is None else bias[:, gates], w[:, gates], u[:, gates])
        self._seen = OrderedSum(None if bias is None else bias[:, candidate], w[:, candidate])
        self._remembered = OrderedSum(None, u[:, candidate])

    def _next(self, n: int, x: Float32, state: Float32) -> Float32:
        gates = self._gates(n, x, state)
        _sigmoid(gates, gates)
        h = state.shape[1]
        reset, keep = gates[:, :h], gates[:, h:]
        candidate = self._seen(n, x) + reset * self._remembered(n, state)
        _tanh(candidate, candidate)
        result: Float32 = candidate + keep * (state - candidate)
        return result


def is_own(policy: object) -> TypeGuard[MlpPolicy | RecurrentPolicy]:
    """Whether a policy is one of zorl's own networks, not of a class that is derived from them.

    Compiled code and saved episodes know what these compute.
    """
    return is_mlp(policy) or type(policy) is RecurrentPolicy
