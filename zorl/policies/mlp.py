"""Policy networks over flat parameter vectors: row i of a batch is computed with row i's theta.

The layout of theta is torch's: for each layer its weight (out, in) row by row, then its bias, so
that `torch.nn.utils.parameters_to_vector` of the same network gives the same vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.types import Vector
from zorl.common.validation import at_least, check_flag, check_name
from zorl.policies.activations import ACTIVATIONS, SQUASHED
from zorl.policies.spaces import ActionDecoder, Actions

Array = NDArray[Any]
Float32 = NDArray[np.float32]
Actor = Callable[[int, Array, "Array | None"], Actions]


class Policy(Protocol):
    """Parameters and observations in, actions out; what it remembers is kept by its caller."""

    @property
    def dim(self) -> int:
        """d, the number of parameters."""

    @property
    def state_size(self) -> int:
        """m, the numbers that it remembers from step to step of an episode; 0: no memory."""

    @property
    def decoder(self) -> ActionDecoder:
        """From network outputs to actions."""

    def init(self, rng: np.random.Generator) -> Vector:
        """A starting point (d,)."""

    def act(self, thetas: Array, observations: Array) -> Actions:
        """Deterministic actions for n normalised observations (n, o), row i by `thetas[i]`."""

    def bind(self, thetas: Float32, states: Float32 | None = None) -> Actor:
        """A fast `actor(n, features, uniforms)` over the first n rows of `thetas` (L, d).

        The actor reads `thetas` at each call, so rows may be replaced between calls. A row's
        action does not depend on the other rows, to the last bit.

        A policy with memory needs `states` (L, m), float32, which the actor reads and writes: 0
        where an episode begins.
        """


@dataclass(frozen=True)
class MlpPolicy:
    """A fully connected network of any depth, in numpy float32.

    Args:
        inputs: o, number of features.
        decoder: what the outputs mean.
        hidden: sizes of the hidden layers; () is a linear policy.
        activation: a name in `ACTIVATIONS`.
        bias: whether layers have biases.
        squash: whether the outputs go through a tanh, as those of SAC and TD3.
    """

    inputs: int
    decoder: ActionDecoder
    hidden: tuple[int, ...] = (8,)
    activation: str = "tanh"
    bias: bool = True
    squash: bool = False

    state_size = 0

    def __post_init__(self) -> None:
        at_least("inputs", self.inputs, 1)
        if not isinstance(self.hidden, Iterable):
            raise ConfigurationError(
                f"hidden must be a sequence of layer sizes, as (8,), got {self.hidden!r}"
            )
        hidden = tuple(self.hidden)
        for size in hidden:
            at_least("each hidden size", size, 1)
        object.__setattr__(self, "hidden", tuple(map(int, hidden)))
        check_name("activation", self.activation, ACTIVATIONS)
        check_flag("bias", self.bias)
        check_flag("squash", self.squash)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(out, in) of each layer."""
        sizes = (self.inputs, *self.hidden, self.decoder.outputs)
        return [(fan_out, fan_in) for fan_in, fan_out in pairwise(sizes)]

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return sum(fan_out * (fan_in + self.bias) for fan_out, fan_in in self.layers)

    def init(self, rng: np.random.Generator) -> Vector:
        """Uniform ±1/√fan_in like `torch.nn.Linear`; zeros for a linear policy, as in ARS."""
        if not self.hidden:
            return np.zeros(self.dim)
        parts = []
        for fan_out, fan_in in self.layers:
            bound = 1 / np.sqrt(fan_in)
            parts.append(rng.uniform(-bound, bound, fan_out * (fan_in + self.bias)))
        return np.concatenate(parts)

    def unpack(self, thetas: Array) -> list[tuple[Array, Array | None]]:
        """Views (n, out, in) and (n, out) of every layer's weights and biases."""
        views: list[tuple[Array, Array | None]] = []
        at = 0
        for fan_out, fan_in in self.layers:
            weight = thetas[:, at : at + fan_out * fan_in].reshape(len(thetas), fan_out, fan_in)
            at += fan_out * fan_in
            bias = thetas[:, at : at + fan_out] if self.bias else None
            at += fan_out * self.bias
            views.append((weight, bias))
        return views

    @property
    def layout(self) -> list[int]:
        """What `kernels` are told: bias, the numbers of activation and cell, sizes from o on.

        The activation's number is `SQUASHED` more where the outputs are squashed.
        """
        sizes = [self.inputs, *(out for out, _ in self.layers)]
        number = ACTIVATIONS[self.activation].number + SQUASHED * self.squash
        return [int(self.bias), number, 0, *sizes]

    @property
    def width(self) -> int:
        """Numbers that `kernels` need place for in a row of their scratch."""
        return max(self.layout[3:])

    def packing(self) -> NDArray[np.intp]:
        """(d,) the order of a theta's numbers for `kernels`: each weight as (in, out)."""
        parts = []
        for weight, bias in self.unpack(np.arange(self.dim)[None]):
            parts.append(weight[0].T.ravel())
            if bias is not None:
                parts.append(bias[0])
        return np.concatenate(parts)

    def bind(self, thetas: Float32, states: Float32 | None = None) -> Actor:
        """See `Policy.bind`."""
        check_thetas(thetas, self.dim)
        forward = Forward(self, thetas)
        decode = self.decoder.decode

        def actor(n: int, features: Array, uniforms: Array | None = None) -> Actions:
            return decode(forward(n, features), uniforms)

        return actor

    def forward(self, thetas: Array, observations: Array) -> Float32:
        """(n, outputs) network outputs for n normalised observations (n, o)."""
        features = np.asarray(observations)
        if features.ndim != 2 or features.shape[1] != self.inputs:
            raise ConfigurationError(
                f"observations must have shape (n, {self.inputs}), got {features.shape}"
            )
        rows = self._rows(thetas, len(features))
        return Forward(self, rows)(len(rows), features)

    def act(self, thetas: Array, observations: Array) -> Actions:
        """See `Policy.act`."""
        return self.decoder.decode(self.forward(thetas, observations))

    def _rows(self, thetas: Array, n: int) -> Float32:
        thetas = np.atleast_2d(thetas)
        if thetas.ndim != 2 or thetas.shape[1] != self.dim or len(thetas) not in (1, n):
            raise ConfigurationError(
                f"thetas must be (n, {self.dim}) with n = {n} or 1, got {thetas.shape}"
            )
        return np.ascontiguousarray(np.broadcast_to(thetas, (n, self.dim)), dtype=np.float32)


def check_thetas(thetas: Array, dim: int) -> None:
    """Refuse what is no buffer of parameters for `Policy.bind`.

    Raises:
        ConfigurationError: another shape than (n, dim), or not float32.
    """
    if thetas.ndim != 2 or thetas.shape[1] != dim or thetas.dtype != np.float32:
        raise ConfigurationError(
            f"thetas must be float32 of shape (n, {dim}), got {thetas.dtype} of shape "
            f"{thetas.shape}"
        )


def check_states(states: Array | None, rows: int, size: int) -> None:
    """Refuse what is no memory for `Policy.bind`.

    Raises:
        ConfigurationError: there is none, or of another shape than (rows, size).
    """
    if states is None or states.shape != (rows, size):
        raise ConfigurationError(
            f"a policy with memory needs states of shape ({rows}, {size}), got "
            f"{None if states is None else states.shape}"
        )


class OrderedSum:
    """The sums bias + W x + U y + … of every row, over one buffer of parameters.

    Every output is summed input by input, in their order, starting from the bias. A matrix product
    of a library would be faster, and would give other last bits on another processor.

    Args:
        bias: (L, out) view, or None.
        weights: (L, out, in) views.
    """

    def __init__(self, bias: Array | None, *weights: Array) -> None:
        rows, fan_out, _ = weights[0].shape
        self._bias = bias
        self._weights = [weight.transpose(2, 0, 1) for weight in weights]
        # What is summed, input by input, and the bias before them.
        self._terms = np.zeros((1 + sum(map(len, self._weights)), rows, fan_out), np.float32)
        self._sums = np.empty((rows, fan_out), np.float32)

    def __call__(self, n: int, *inputs: Float32) -> Float32:
        """(n, out) for inputs (n, in) of each weight; overwritten by the next call."""
        terms, out = self._terms[:, :n], self._sums[:n]
        if self._bias is not None:
            terms[0] = self._bias[:n]
        at = 1
        for weight, x in zip(self._weights, inputs, strict=True):
            np.multiply(weight[:, :n], x.T[:, :, None], out=terms[at : at + len(weight)])
            at += len(weight)
        _sum_in_order(terms, out)
        return out


class Forward:
    """The batched forward pass over one buffer of parameters, in elementary operations."""

    def __init__(self, policy: MlpPolicy, thetas: Float32) -> None:
        self._act = ACTIVATIONS[policy.activation]
        self._features = np.empty((len(thetas), policy.inputs), np.float32)
        self._layers = [OrderedSum(bias, weight) for weight, bias in policy.unpack(thetas)]
        self._squash = policy.squash

    def __call__(self, n: int, features: Array) -> Float32:
        """(n, outputs) for features (n, o); the result is overwritten by the next call."""
        x = self._features[:n]
        x[...] = features
        with np.errstate(over="ignore", invalid="ignore"):  # of parameters beyond reason
            for index, layer in enumerate(self._layers):
                if index:
                    self._act(x, x)
                x = layer(n, x)
            if self._squash:
                ACTIVATIONS["tanh"](x, x)
        return x


def _sum_in_order(terms: Float32, out: Float32) -> None:
    """Sum over the first axis, one term after the other."""
    if out.size == 1:  # numpy would sum a single row in pairs
        out[...] = np.add.accumulate(terms, axis=0)[-1]
    else:
        np.add.reduce(terms, axis=0, out=out)


@dataclass(frozen=True)
class LinearPolicy(MlpPolicy):
    """A policy without a hidden layer (ARS uses bias=False)."""

    hidden: tuple[int, ...] = field(default=(), init=False)


def is_mlp(policy: object) -> TypeGuard[MlpPolicy]:
    """Whether a policy is one of these two, not of a class of its own that is derived from them.

    Compiled code and saved episodes know what these two compute.
    """
    return type(policy) in (MlpPolicy, LinearPolicy)
