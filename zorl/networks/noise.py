"""Random directions of a network's parameters, regenerated from a seed instead of stored.

`LayerNoise` is a sampler for `GradientSearch(directions=…)`. With low rank, a matrix is perturbed
by A Bᵀ/√r (EGGROLL, Sarkar et al. 2025, arXiv 2511.16652). This takes r(m + n) random numbers for
an m × n matrix, thin products for all members, and one product of factors for the update. Neither
the (m, d) matrix of directions nor any member's own matrix is ever built.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.types import Matrix, Vector
from zorl.common.validation import at_least

if TYPE_CHECKING:
    import torch

S = TypeVar("S")
T = TypeVar("T")
Shape = tuple[int, ...]
_KEEP_BYTES = 1 << 29  # up to this size a generation's numbers are kept, not made twice


@dataclass(frozen=True)
class LayerNoise:
    """Gaussian directions of parameter tensors; a sampler of `GradientSearch`.

    For any rank, entries are uncorrelated and have zero mean and unit variance. The numbers of
    member i are those of row i % block in block i // block. The block's generator is seeded by the
    generation's seed and the block's index, so that any block can be made at any time, anywhere.
    Numbers depend on the device: a search on a GPU is not bit-identical to one on a CPU.

    Args:
        shapes: shapes of the tensors, in their order in theta.
        rank: r of the matrices' perturbations; None for full rank. Vectors have full rank.
        device: torch's name of the device that makes the numbers.
        block: number of members whose numbers are made together.
        threads: number of blocks computed at a time, each in one thread; results do not depend on
            it.
    """

    shapes: tuple[Shape, ...]
    rank: int | None = None
    device: str = "cpu"
    block: int = 64
    threads: int = 1

    def __post_init__(self) -> None:
        shapes = tuple(tuple(int(size) for size in shape) for shape in self.shapes)
        if not shapes or any(not shape or min(shape) < 1 for shape in shapes):
            raise ConfigurationError(
                f"shapes must be those of non-empty tensors, got {self.shapes}"
            )
        object.__setattr__(self, "shapes", shapes)
        if self.rank is not None:
            at_least("rank", self.rank, 1)
        at_least("block", self.block, 1)
        at_least("threads", self.threads, 1)

    @property
    def dim(self) -> int:
        """d, over all tensors."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def numbers(self) -> int:
        """Count of random numbers of one member."""
        return sum(sum(sizes) for sizes in map(self._sizes, self.shapes))

    def _sizes(self, shape: Shape) -> tuple[int, ...]:
        """Return the count of random numbers of each factor of a tensor's perturbation."""
        if self.rank is None or len(shape) == 1:
            return (math.prod(shape),)
        return (shape[0] * self.rank, math.prod(shape[1:]) * self.rank)

    def __call__(self, rng: np.random.Generator, m: int, dim: int) -> NoiseDirections:
        """Return directions (m, d), seeded from `rng`."""
        if dim != self.dim:
            raise ConfigurationError(
                f"the tensors {self.shapes} have {self.dim} parameters, but theta has {dim}"
            )
        return NoiseDirections(self, int(rng.integers(1 << 62)), m)

    def factors(self, numbers: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """Return views of the numbers (k, numbers) of k members, for each tensor.

        A view is the noise (k, *shape), or for a matrix of low rank A/√r (k, out, r) and
        B (k, in, r).
        """
        parts: list[tuple[torch.Tensor, ...]] = []
        start = 0
        for shape in self.shapes:
            sizes = self._sizes(shape)
            pieces = []
            for size in sizes:
                pieces.append(numbers[:, start : start + size])
                start += size
            if len(sizes) == 1:
                parts.append((pieces[0].view(len(numbers), *shape),))
            else:
                assert self.rank is not None
                rows = len(numbers)
                left, right = (piece.view(rows, -1, self.rank) for piece in pieces)
                parts.append((left, right))
        return parts


@dataclass(frozen=True)
class NoiseDirections:
    """The m directions of a generation; see `zorl.optimizers.base.Directions`.

    Attributes:
        noise: the sampler that made them.
        seed: seed of this generation.
        m: number of directions.
    """

    noise: LayerNoise
    seed: int
    m: int
    _kept: dict[int, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, d)."""
        return self.m, self.noise.dim

    @cached_property
    def blocks(self) -> list[tuple[int, int, int]]:
        """Return (index, first member, one past the last) of each block."""
        size = self.noise.block
        starts = range(0, self.m, size)
        return [(i, start, min(start + size, self.m)) for i, start in enumerate(starts)]

    def factors(self, block: int) -> list[tuple[torch.Tensor, ...]]:
        """Return the factors of a block's members; see `LayerNoise.factors`."""
        return self.noise.factors(self._numbers(block))

    def _numbers(self, block: int) -> torch.Tensor:
        import torch

        kept = self._kept.get(block)
        if kept is not None:
            return kept
        _, start, stop = self.blocks[block]
        noise = self.noise
        generator = torch.Generator(noise.device)
        words = np.random.SeedSequence((self.seed, block)).generate_state(1, np.uint64)
        generator.manual_seed(int(words[0]) >> 1)
        made = torch.empty((stop - start, noise.numbers), device=noise.device)
        made.normal_(generator=generator)
        if noise.rank is not None and noise.rank > 1:
            for parts in noise.factors(made):
                if len(parts) == 2:
                    parts[0].div_(math.sqrt(noise.rank))
        if self.m * noise.numbers * 4 <= _KEEP_BYTES:
            self._kept[block] = made
        return made

    def map(self, function: Callable[[int, int, int], T]) -> Iterable[T]:
        """Return `function(index, first, one past the last)` for every block, in order."""
        return in_threads(lambda block: function(*block), self.blocks, self.noise.threads)

    def combine(self, weights: Vector) -> Vector:
        """Return Σ wᵢ δᵢ (d,) without building any δ of low rank."""
        import torch

        every = torch.as_tensor(np.asarray(weights, np.float32), device=self.noise.device)

        def part(block: int, start: int, stop: int) -> list[torch.Tensor]:
            return [_weighted(pieces, every[start:stop]) for pieces in self.factors(block)]

        return summed(self.map(part))

    def dense(self) -> Matrix:
        """Return the matrix (m, d) itself."""
        import torch

        rows = []
        for block, _, _ in self.blocks:
            tensors = [
                parts[0] if len(parts) == 1 else parts[0] @ parts[1].transpose(1, 2)
                for parts in self.factors(block)
            ]
            rows.append(torch.cat([tensor.flatten(1) for tensor in tensors], dim=1))
        return torch.cat(rows).cpu().numpy().astype(np.float64)


def in_threads(function: Callable[[S], T], items: Sequence[S], threads: int) -> Iterable[T]:
    """Return `function(item)` for every item, in order, a few at a time."""
    if min(threads, len(items)) == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        yield from pool.map(function, items)


def summed(parts: Iterable[list[torch.Tensor]]) -> Vector:
    """Add up lists of tensors and concatenate the result (d,)."""
    import torch

    total: list[torch.Tensor] = []
    for part in parts:
        total = [a.add_(b) for a, b in zip(total, part, strict=True)] if total else part
    flat = torch.cat([tensor.reshape(-1) for tensor in total])
    return flat.cpu().numpy().astype(np.float64)


def _weighted(parts: tuple[torch.Tensor, ...], weights: torch.Tensor) -> torch.Tensor:
    """Return Σ wᵢ Eᵢ of a block's members, from the factors of one tensor."""
    if len(parts) == 1:
        noise = parts[0]
        return (weights @ noise.flatten(1)).view(noise.shape[1:])
    left, right = parts
    out, size = left.shape[1], right.shape[1]
    scaled = (left * weights[:, None, None]).transpose(0, 1).reshape(out, -1)
    return scaled @ right.transpose(1, 2).reshape(-1, size)


def check_device(device: Any) -> str:
    """Return the device's name if torch can use it.

    Raises:
        ConfigurationError: torch cannot use it.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigurationError(
            f"torch cannot use the device {device!r}: {str(error).splitlines()[0]}"
        ) from None
    return str(device)
