"""Data augmentation: images that change at random each time they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zorl.common.validation import at_least

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RandomShifts:
    """Shift square images by whole pixels, uniformly over all shifts, and fill up with 0.

    Args:
        side: side of an image in pixels.
        pixels: the longest shift along each axis.
    """

    side: int
    pixels: int

    def __post_init__(self) -> None:
        at_least("side", self.side, 1)
        at_least("pixels", self.pixels, 0)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the images (b, side²), each moved by a different random shift."""
        import torch
        from torch.nn.functional import pad

        b, device = len(images), images.device
        padded = pad(images.view(b, self.side, self.side), (self.pixels,) * 4)
        corners = torch.randint(2 * self.pixels + 1, (2, b, 1), generator=generator, device=device)
        rows, columns = corners + torch.arange(self.side, device=device)
        picture = torch.arange(b, device=device)[:, None, None]
        return padded[picture, rows[:, :, None], columns[:, None, :]].reshape(b, -1)
