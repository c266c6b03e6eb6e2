"""A multilayer perceptron for classification that evaluates all members of a population at once.

The products with θ itself are computed once for all members. Each member adds a product with its
noise, which is thin if the noise has low rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.types import Vector
from zorl.common.validation import at_least
from zorl.networks.noise import LayerNoise, NoiseDirections, Shape, check_device
from zorl.optimizers.gradient_search import Perturbed
from zorl.optimizers.weights import ANTITHETIC, FORWARD

if TYPE_CHECKING:
    import torch

_ROWS = 1 << 15  # examples × members in one product if candidates are dense rows


@dataclass(frozen=True)
class MlpClassifier:
    """ReLU layers and a softmax; θ holds each layer's weights (out, in) and biases, in order.

    Args:
        sizes: units of each layer, including inputs and classes.
        device: torch's name of the device that computes.
        threads: number of blocks of members computed at a time; see `LayerNoise`.
    """

    sizes: tuple[int, ...] = (784, 256, 128, 10)
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        if len(self.sizes) < 2:
            raise ConfigurationError(f"sizes must be inputs, …, classes, got {self.sizes}")
        for size in self.sizes:
            at_least("a layer's size", size, 1)
        at_least("threads", self.threads, 1)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of the parameter tensors, in their order in θ."""
        layers = [((out, size), (out,)) for size, out in pairwise(self.sizes)]
        return tuple(shape for layer in layers for shape in layer)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes)

    def noise(self, rank: int | None = None, block: int | None = None) -> LayerNoise:
        """Return a sampler of directions of full or low rank for this network; see `LayerNoise`."""
        check_device(self.device)
        if block is None:
            block = 1024 if self.device != "cpu" else 8 if rank is None else 32
        return LayerNoise(self.shapes, rank, self.device, block, self.threads)

    def init(self, rng: np.random.Generator) -> Vector:
        """Return initial parameters (d,), uniform on ±1/√inputs like those of torch.nn.Linear."""
        parts = []
        for size, out in pairwise(self.sizes):
            bound = 1 / math.sqrt(size)
            parts += [rng.uniform(-bound, bound, out * size), rng.uniform(-bound, bound, out)]
        return np.concatenate(parts)

    def tensors(self, theta: ArrayLike) -> list[torch.Tensor]:
        """Split θ (d,), or one θ per row (n, d), into float32 tensors of `shapes` (after n)."""
        import torch

        flat = torch.as_tensor(np.asarray(theta, np.float32), device=self.device)
        if flat.shape[-1] != self.dim:
            raise ConfigurationError(
                f"a network of sizes {self.sizes} has {self.dim} parameters, but theta has "
                f"{flat.shape[-1]}"
            )
        pieces = torch.split(flat, [math.prod(shape) for shape in self.shapes], dim=-1)
        rows = flat.shape[:-1]
        return [piece.view(*rows, *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def batch(self, images: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (b, inputs) and labels (b,) as tensors on the device."""
        import torch

        if isinstance(images, np.ndarray) and not images.flags.writeable:
            images = images.copy()  # torch warns about read-only arrays
        pixels = torch.as_tensor(images, device=self.device, dtype=torch.float32)
        if pixels.ndim != 2 or pixels.shape[1] != self.sizes[0]:
            raise ConfigurationError(
                f"images must have shape (b, {self.sizes[0]}), got {tuple(pixels.shape)}"
            )
        if isinstance(labels, np.ndarray) and not labels.flags.writeable:
            labels = labels.copy()
        return pixels, torch.as_tensor(labels, device=self.device, dtype=torch.long)

    def logits(self, theta: ArrayLike, images: Any) -> torch.Tensor:
        """Return the logits (b, classes) of one θ (d,)."""
        import torch

        h, _ = self.batch(images, ())
        tensors = self.tensors(theta)
        for weights, bias in zip(tensors[::2], tensors[1::2], strict=True):
            h = torch.addmm(bias, h, weights.T)
            if weights is not tensors[-2]:
                h.relu_()
        return h

    def accuracy(self, theta: ArrayLike, images: Any, labels: Any) -> float:
        """Return the share of images that θ classifies correctly."""
        _, digits = self.batch(images, labels)
        right = self.logits(theta, images).argmax(1) == digits
        return int(right.sum()) / len(digits)

    def losses(self, candidates: Any, images: Any, labels: Any) -> NDArray[np.float64]:
        """Return the mean cross-entropies (n,) of n candidates on the same images.

        Args:
            candidates: rows (n, d), or a `Perturbed` θ with directions of `noise`, whose members
                are never built as rows.
            images: (b, inputs).
            labels: (b,).
        """
        pixels, digits = self.batch(images, labels)
        directions = getattr(candidates, "directions", None)
        if isinstance(candidates, Perturbed) and isinstance(directions, NoiseDirections):
            if directions.noise.shapes != self.shapes:
                raise ConfigurationError("these directions belong to a network of other sizes")
            return self._of_noise(candidates, directions, pixels, digits)
        return self._of_rows(candidates, pixels, digits)

    def _of_rows(
        self, candidates: Any, pixels: torch.Tensor, digits: torch.Tensor
    ) -> NDArray[np.float64]:
        """Compute the losses of dense rows, a few at a time."""
        import torch

        matrix = candidates if isinstance(candidates, np.ndarray) else candidates.dense()
        few = max(1, _ROWS // len(pixels))
        values = []
        for start in range(0, len(matrix), few):
            tensors = self.tensors(matrix[start : start + few])
            h = pixels.expand(len(tensors[0]), *pixels.shape)
            for weights, bias in zip(tensors[::2], tensors[1::2], strict=True):
                h = torch.baddbmm(bias[:, None], h, weights.transpose(1, 2))
                if weights is not tensors[-2]:
                    h.relu_()
            values.append(_cross_entropy(h, digits))
        return torch.cat(values).cpu().numpy().astype(np.float64)

    def _of_noise(
        self,
        candidates: Perturbed,
        directions: NoiseDirections,
        pixels: torch.Tensor,
        digits: torch.Tensor,
    ) -> NDArray[np.float64]:
        import torch

        tensors = self.tensors(candidates.theta)
        first = torch.addmm(tensors[1], pixels, tensors[0].T)  # of every member
        signs = (1.0, -1.0) if candidates.scheme == ANTITHETIC else (1.0,)
        scales = [sign * candidates.radius for sign in signs]

        def block(number: int, start: int, stop: int) -> torch.Tensor:
            return self._block(tensors, first, directions.factors(number), scales, pixels, digits)

        values = torch.cat(list(directions.map(block)), dim=1).reshape(-1)
        if candidates.scheme == FORWARD:
            own = self._of_rows(candidates.theta[None], pixels, digits)
            return np.concatenate([values.cpu().numpy().astype(np.float64), own])
        return values.cpu().numpy().astype(np.float64)

    def _block(
        self,
        tensors: Sequence[torch.Tensor],
        first: torch.Tensor,
        factors: Sequence[tuple[torch.Tensor, ...]],
        scales: Sequence[float],
        pixels: torch.Tensor,
        digits: torch.Tensor,
    ) -> torch.Tensor:
        """Return the losses (signs, k) of a block's members."""
        import torch

        k, b = len(factors[0][0]), len(pixels)
        own = _through(pixels, factors[0], factors[1][0])  # (k, b, out), for both signs
        h = pixels.new_empty((len(scales), *own.shape))
        for side, scale in enumerate(scales):
            torch.add(first, own, alpha=scale, out=h[side])
        for layer in range(1, len(tensors) // 2):
            h = h.relu_().view(len(scales) * k * b, -1)
            weights, bias = tensors[2 * layer], tensors[2 * layer + 1]
            z = torch.addmm(bias, h, weights.T).view(len(scales), k, b, -1)
            h = h.view(len(scales), k, b, -1)
            for side, scale in enumerate(scales):
                own = _through(h[side], factors[2 * layer], factors[2 * layer + 1][0])
                z[side].add_(own, alpha=scale)
            h = z
        return _cross_entropy(h, digits)


def _through(h: torch.Tensor, noise: tuple[torch.Tensor, ...], bias: torch.Tensor) -> torch.Tensor:
    """Return h Eᵢᵀ + eᵢ (k, b, out) of every member i, for one h (b, in) or one each (k, b, in)."""
    import torch

    if len(noise) == 1:
        matrix = noise[0].transpose(1, 2)
        if h.ndim == 2:
            h = h.expand(len(matrix), *h.shape)
        return torch.baddbmm(bias[:, None], h, matrix)
    left, right = noise  # (k, out, r), (k, in, r)
    k, _, rank = left.shape
    if h.ndim == 2:  # one product for all members
        thin = (h @ right.transpose(0, 1).reshape(h.shape[1], -1)).view(len(h), k, rank)
        thin = thin.transpose(0, 1)
    else:
        thin = torch.bmm(h, right)
    return torch.baddbmm(bias[:, None], thin, left.transpose(1, 2))


def _cross_entropy(logits: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropies (…,) over b of logits (…, b, classes)."""
    from torch.nn.functional import cross_entropy

    classes = logits.shape[-1]
    labels = digits.expand(logits.shape[:-1]).reshape(-1)
    losses = cross_entropy(logits.reshape(-1, classes), labels, reduction="none")
    return losses.view(logits.shape[:-1]).mean(-1)
