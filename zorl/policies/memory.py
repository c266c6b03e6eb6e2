"""Memory of a policy: its name, and its state as SB3's recurrent policies take and return it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.types import Vector
from zorl.policies.mlp import Array, Policy
from zorl.policies.spaces import Actions

NONE, ELMAN, GRU = range(3)  # their numbers in compiled code


@dataclass(frozen=True)
class Cell:
    """A recurrent cell.

    Attributes:
        number: its number in compiled code.
        gates: rows of its weights for each unit.
        summary: what it is, in a line.
    """

    number: int
    gates: int
    summary: str


CELLS: Final = {
    "elman": Cell(ELMAN, 1, "Elman's simple recurrent cell (1990): h = tanh(b + W x + U h)."),
    "gru": Cell(GRU, 3, "Gated recurrent unit (Cho et al. 2014): gates keep, forget and replace."),
}


def parse_memory(text: Any) -> tuple[Cell, int]:
    """The cell and the number of units that "gru:8" names.

    Raises:
        ConfigurationError: the text is of another form.
        UnknownNameError: there is no such cell.
    """
    cell, colon, units = text.partition(":") if isinstance(text, str) else ("", "", "")
    number = int(units) if units.isdecimal() else 0
    if colon and cell not in CELLS:
        raise UnknownNameError("memory", cell, CELLS)
    if not number:
        raise ConfigurationError(
            f"memory must be a cell and its number of units, as gru:8 or elman:8, got {text!r}"
        )
    return CELLS[cell], number


def act_with_memory(
    policy: Policy, theta: Vector, features: Array, state: Any, episode_start: Any
) -> tuple[Actions, tuple[NDArray[np.float32]]]:
    """Deterministic actions of a policy with memory, and its state after them.

    Args:
        policy: with m numbers of state.
        theta: (d,) its parameters.
        features: (n, o) normalised observations.
        state: from the last call, a tuple of one array (1, n, m), as of SB3's recurrent policies:
            layers, environments, units; None begins n episodes.
        episode_start: (n,) where an episode begins, so that the state counts for nothing; None:
            nowhere.

    Raises:
        ConfigurationError: a state or starts of another shape.
    """
    n, m = len(features), policy.state_size
    states = np.zeros((n, m), np.float32)
    if state is not None:
        given = state[0] if isinstance(state, (tuple, list)) and len(state) == 1 else state
        if np.shape(given) != (1, n, m):
            raise ConfigurationError(
                f"state must be what predict returned for as many observations, a tuple of one "
                f"array of shape (1, {n}, {m}), or None where episodes begin; got "
                f"{type(state).__name__} of shape {_shape(given)}"
            )
        states[:] = given[0]
    if episode_start is not None:
        starts = np.ravel(episode_start)
        if starts.shape != (n,):
            raise ConfigurationError(
                f"episode_start must say of each of {n} observations whether an episode begins, "
                f"got shape {np.shape(episode_start)}"
            )
        states[starts.astype(np.bool_)] = 0.0
    thetas = np.repeat(np.asarray(theta, np.float32)[None], n, axis=0)
    actions = policy.bind(thetas, states)(n, features, None)
    return actions, (states[None],)


def _shape(value: Any) -> Any:
    try:
        return np.shape(value)
    except ValueError:
        return "that is none"
