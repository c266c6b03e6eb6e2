"""From Gymnasium's observations to features: every space in one stable layout.

| space | its features |
|---|---|
| Box | its values, in row-major order |
| Box of uint8 from 0 to 255: pixels | the same, divided by 255 |
| Discrete | one-hot |
| MultiDiscrete | one-hot of each number, in row-major order |
| MultiBinary | its zeros and ones, in row-major order |
| Tuple | those of its parts, in their order |
| Dict | those of its parts, in the order of the space (of a plain dict: by name) |

But for pixels, this is the layout of `gymnasium.spaces.flatten`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from zorl.common.errors import EnvironmentFailure, UnsupportedSpaceError

Array = NDArray[Any]

_BRIGHTEST: Final = 255


@dataclass(frozen=True)
class ObservationEncoder:
    """Writes observations into rows of float64 features; the module says in which order.

    Attributes:
        kind: "box", "pixels", "discrete", "multi-discrete", "multi-binary", "tuple" or "dict".
        shape: of an observation; () where it has parts.
        dtype: its dtype, by name.
        low, high: bounds of each of the `size` features.
        groups: how many values each number of a Discrete or MultiDiscrete observation can have.
        starts: the smallest value of each.
        parts: of a Tuple or Dict, by index or name.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    groups: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    parts: tuple[tuple[int | str, ObservationEncoder], ...] = ()

    @staticmethod
    def for_space(space: spaces.Space[Any]) -> ObservationEncoder:
        """The encoder of a space.

        Raises:
            UnsupportedSpaceError: it has no numbers, or a part that has no such features; names it
                and, where there is one, the cure.
        """
        unsupported = [
            f"{type(part).__name__}{name and f' ({name})'}"
            for name, part in _leaves(space)
            if _leaf(part) is None
        ]
        if unsupported:
            raise UnsupportedSpaceError(
                f"the observation space {space} is not supported: policies read Box, Discrete, "
                "MultiDiscrete and MultiBinary, and Tuple and Dict of them, not "
                f"{', '.join(unsupported)}{_cure(space)}"
            )
        encoder = _encoder(space)
        if not encoder.size:
            raise UnsupportedSpaceError(f"the observation space {space} has no numbers to act on")
        return encoder

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.low)

    @property
    def start(self) -> int:
        """The smallest value of a Discrete observation."""
        return self.starts[0]

    @cached_property
    def _slices(self) -> list[slice]:
        """The features of each part."""
        ends = accumulate((part.size for _, part in self.parts), initial=0)
        return [slice(start, end) for start, end in pairwise(ends)]

    @cached_property
    def _offsets(self) -> Array:
        """Where each group's one-hot features begin, for numbers from 0."""
        return np.array([0, *accumulate(self.groups)])[: len(self.groups)]

    def encode(self, observation: Any) -> Array:
        """(size,) features of one observation, in memory of their own.

        Raises:
            EnvironmentFailure: it has another shape or lies outside of the space.
        """
        features = np.zeros(self.size)
        if self.kind == "discrete":  # what _fill does, sooner
            index = int(observation) - self.start
            if not 0 <= index < self.size:  # numpy would count a negative index from the end
                raise self._outside(observation)
            features[index] = 1.0
        else:
            self._fill(features[None], observation, single=True)
        return features

    def write(self, buffer: Array, row: int, observation: Any) -> None:
        """Put the features of one observation into `buffer[row]`; raises as `encode`."""
        buffer[row] = self.encode(observation)

    def rows(self, observations: Any, n: int) -> Array:
        """(n, size) features of n observations that lie along the first axis of all arrays.

        Raises:
            EnvironmentFailure: as `encode`.
        """
        features = np.zeros((n, self.size))
        self._fill(features, observations, single=False)
        return features

    def observations(self, features: Array) -> Any:
        """What `rows` made features of: n observations of the space, along the first axis."""
        n = len(features)
        if self.parts:
            parts = {
                name: part.observations(features[:, at])
                for (name, part), at in zip(self.parts, self._slices, strict=True)
            }
            return parts if self.kind == "dict" else tuple(parts.values())
        if self.groups:
            ends = self._offsets + self.groups
            ones = [features[:, end - n : end] for end, n in zip(ends, self.groups, strict=True)]
            features = np.stack([one.argmax(axis=1) for one in ones], axis=1) + self.starts
        elif self.kind == "pixels":
            features = np.rint(features * _BRIGHTEST)
        return features.reshape(n, *self.shape).astype(self.dtype)

    def batch(self, observations: Any) -> tuple[Array, bool]:
        """(n, size) features of one observation or a batch, and whether it was a batch.

        Args:
            observations: one of the space, or with a first axis more in each of its arrays.

        Raises:
            UnsupportedSpaceError: it is neither.
            EnvironmentFailure: it lies outside of the space.
        """
        first, value = self, observations
        try:
            while first.parts:
                name, first = first.parts[0]
                value = value[name]
        except (IndexError, KeyError, TypeError):
            raise UnsupportedSpaceError(
                f"observations must have the parts {[name for name, _ in self.parts]}, got "
                f"{type(observations).__name__} {observations}"
            ) from None
        values = np.asarray(value)
        one = values.ndim == len(first.shape)
        if (values.shape if one else values.shape[1:]) != first.shape:
            raise UnsupportedSpaceError(
                f"observations must have shape {first.shape}, or that after a first axis for a "
                f"batch, got {values.shape}"
            )
        if one:
            return self.encode(observations)[None], False
        return self.rows(observations, len(values)), True

    def _fill(self, features: Array, observations: Any, single: bool) -> None:
        """Write n rows; `single`: there is one observation, and no axis for it."""
        for (name, part), at in zip(self.parts, self._slices, strict=True):
            try:
                part._fill(features[:, at], observations[name], single)
            except EnvironmentFailure as error:
                raise EnvironmentFailure(f"in the part {name!r}, {error}") from None
            except (IndexError, KeyError, TypeError):
                raise EnvironmentFailure(
                    f"an observation lacks the part {name!r}: {observations}"
                ) from None
        if self.parts:
            return
        values = np.asarray(observations)
        values = values[None] if single else values
        if values.shape != (len(features), *self.shape):  # numpy would stretch a single number
            if single:
                what, found, wanted = "an observation has", values.shape[1:], self.shape
            else:
                n = len(features)
                what, found, wanted = f"{n} observations have", values.shape, (n, *self.shape)
            raise EnvironmentFailure(f"{what} shape {found}, but the space says {wanted}")
        flat = values.reshape(len(features), math.prod(self.shape))
        if self.groups:
            index = flat.astype(np.int64) - self.starts
            if ((index < 0) | (index >= self.groups)).any():
                raise self._outside(observations)
            features[...] = 0.0
            features[np.arange(len(flat))[:, None], self._offsets + index] = 1.0
        elif self.kind == "pixels":
            np.divide(flat, _BRIGHTEST, out=features)
        else:
            features[...] = flat

    def _outside(self, observation: Any) -> EnvironmentFailure:
        ranges = zip(self.starts, self.groups, strict=True)
        allowed = [f"{{{start}, …, {start + count - 1}}}" for start, count in ranges]
        return EnvironmentFailure(
            f"the observation {observation} is not in {' × '.join(dict.fromkeys(allowed))}"
        )


def _encoder(space: spaces.Space[Any]) -> ObservationEncoder:
    """The encoder of a space of which all parts are supported."""
    leaf = _leaf(space)
    if leaf is not None:
        return leaf
    kind = "dict" if isinstance(space, spaces.Dict) else "tuple"
    parts = [(name, _encoder(part)) for name, part in _parts(space)]
    parts = [(name, part) for name, part in parts if part.size]
    low, high = (
        tuple(bound for _, part in parts for bound in getattr(part, side))
        for side in ("low", "high")
    )
    return ObservationEncoder(kind, (), "", low, high, parts=tuple(parts))


def _leaf(space: spaces.Space[Any]) -> ObservationEncoder | None:
    """The encoder of a supported space without parts."""
    if isinstance(space, spaces.Box) and space.dtype is not None and space.dtype.kind in "fiub":
        low, high = (tuple(map(float, bound.ravel())) for bound in (space.low, space.high))
        kind = "box"
        if space.dtype == np.uint8 and (space.low == 0).all() and (space.high == _BRIGHTEST).all():
            kind, high = "pixels", (1.0,) * len(high)
        return ObservationEncoder(kind, space.shape, str(space.dtype), low, high)
    if isinstance(space, spaces.MultiBinary):
        size = int(np.prod(space.shape))
        bounds = (0.0,) * size, (1.0,) * size
        return ObservationEncoder("multi-binary", space.shape, str(space.dtype), *bounds)
    if isinstance(space, spaces.Discrete):
        kind, counts = "discrete", np.array([space.n])
    elif isinstance(space, spaces.MultiDiscrete):
        kind, counts = "multi-discrete", space.nvec.ravel()
    else:
        return None
    groups, starts = tuple(counts.tolist()), tuple(np.ravel(space.start).tolist())
    bounds = (0.0,) * sum(groups), (1.0,) * sum(groups)
    shape = space.shape or ()
    return ObservationEncoder(kind, shape, str(space.dtype), *bounds, groups, starts)


def _parts(space: spaces.Space[Any]) -> Iterable[tuple[int | str, spaces.Space[Any]]]:
    if isinstance(space, spaces.Dict):
        return space.spaces.items()
    return enumerate(space.spaces) if isinstance(space, spaces.Tuple) else ()


def _leaves(space: spaces.Space[Any], name: str = "") -> Iterable[tuple[str, spaces.Space[Any]]]:
    """What has no parts, with where it is."""
    if not isinstance(space, (spaces.Dict, spaces.Tuple)):
        yield name, space
    for key, part in _parts(space):
        yield from _leaves(part, f"{name}[{key!r}]")


def _cure(space: spaces.Space[Any]) -> str:
    """What to do about a part that is not supported; "" where nothing would do."""
    if not isinstance(space, spaces.Dict):
        return ""
    kept = [
        name
        for name, part in space.items()
        if all(_leaf(leaf) is not None for _, leaf in _leaves(part))
    ]
    if not kept:
        return ""
    wrapper = f"gymnasium.wrappers:FilterObservation(filter_keys={kept})"
    return f"; keep the others with --wrapper '{wrapper}'"
