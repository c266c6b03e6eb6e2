"""All that decides a policy's action, and what export formats take from it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.types import Vector
from zorl.policies.mlp import Float32, MlpPolicy, Policy, is_mlp
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.spaces import ActionDecoder

_OBSERVATIONS = {"box", "pixels", "discrete"}
_TYPES = {"float32", "float64"}  # of Box actions


@dataclass(frozen=True)
class Snapshot:
    """Observation → features → normalised → network → action, at one moment of a search.

    Attributes:
        about: what it is, in a line, for the head of the file.
        policy: the network.
        theta: (d,) its parameters.
        normalizer: of features.
        encoder: from an observation to features.

    Raises:
        ConfigurationError: a parameter is not finite in float32, or observations or actions are of
            a type that no format has.
    """

    about: str
    policy: Policy
    theta: Vector
    normalizer: Normalizer
    encoder: ObservationEncoder

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            finite = np.isfinite(self.parameters).all()
        if not finite:
            raise ConfigurationError(
                "the policy has parameters that are no finite numbers in float32, so it diverged: "
                "export an earlier one, as a run folder's best.zip"
            )
        if self.encoder.kind not in _OBSERVATIONS:
            raise ConfigurationError(
                f"observations of the kind {self.encoder.kind!r} cannot be exported, only those of "
                "Box and Discrete; train with --wrapper flatten-observation"
            )
        if self.decoder.kind == "box" and self.decoder.dtype not in _TYPES:
            raise ConfigurationError(
                f"actions of type {self.decoder.dtype} cannot be exported, only float32 and "
                "float64; wrap the environment with a gymnasium.ActionWrapper"
            )

    @property
    def decoder(self) -> ActionDecoder:
        """From network outputs to actions."""
        return self.policy.decoder

    @property
    def parameters(self) -> Float32:
        """(d,) as the network computes with them."""
        return np.asarray(self.theta, np.float32)

    @property
    def mlp(self) -> MlpPolicy:
        """The network, where it is zorl's own.

        Raises:
            ConfigurationError: it is not.
        """
        if not is_mlp(self.policy):
            raise ConfigurationError(
                f"the policy is a {type(self.policy).__name__}, and this format only has zorl's "
                "own networks (--hidden, --activation)"
            )
        return self.policy

    def layers(self) -> list[tuple[Float32, Float32 | None]]:
        """Weights (in, out) and biases (out,) of zorl's own network, input side first."""
        return [
            (np.ascontiguousarray(weight[0].T), None if bias is None else bias[0])
            for weight, bias in self.mlp.unpack(self.parameters[None])
        ]

    def affine(self) -> tuple[Vector, Vector, float] | None:
        """Center (o,), factor (o,) and bound of the normalizer; None if it does nothing."""
        if not self.normalizer.active:
            return None
        return (*self.normalizer.affine(), self.normalizer.clip)

    @property
    def activations(self) -> list[str]:
        """The nonlinearities that zorl's own network has, by name."""
        own = [self.mlp.activation] if self.mlp.hidden else []
        return sorted({*own, "tanh"} if self.mlp.squash else {*own})

    @property
    def group_starts(self) -> list[int]:
        """The index of each group's first output."""
        return [0, *np.cumsum(self.decoder.groups)[:-1].tolist()]


def literals(array: NDArray[Any], suffix: str = "") -> list[str]:
    """Numbers as decimals that are read back to the same bits, in C, JavaScript and Python.

    float32 become the shortest decimals, unless a reader that rounds twice, by way of float64,
    would get another number.

    Args:
        array: float32 or float64, finite.
        suffix: put behind each, as C's "f".
    """
    found = []
    for value in array.ravel():
        text = str(value)
        if np.float32(float(text)) != np.float32(value):
            text = repr(float(value))
        found.append(text + suffix)
    return found


def wrapped(texts: list[str], indent: int) -> str:
    """Numbers between commas, in lines of at most 100 characters."""
    space = " " * indent
    return textwrap.fill(
        ", ".join(texts),
        100,
        initial_indent=space,
        subsequent_indent=space,
        break_on_hyphens=False,
        break_long_words=False,
    )
