"""Shifted pictures: every shift as often, and nothing but shifts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zorl.common.errors import ConfigurationError
from zorl.networks.augmentation import RandomShifts


def test_a_picture_is_moved_and_nothing_else() -> None:
    side, pixels = 6, 2
    picture = torch.zeros(side, side)
    picture[2, 3], picture[3, 3] = 1.0, 2.0
    images = picture.reshape(1, -1).repeat(5_000, 1)
    shifted = RandomShifts(side, pixels)(images, torch.Generator().manual_seed(0))
    assert shifted.shape == images.shape
    counts: dict[tuple[int, int], int] = {}
    for moved in shifted.view(-1, side, side).numpy():
        ((row, column),) = np.argwhere(moved == 1)
        assert moved[row + 1, column] == 2
        assert moved.sum() == 3
        shift = int(row) - 2, int(column) - 3
        counts[shift] = counts.get(shift, 0) + 1
    assert set(counts) == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert max(abs(count - 200) for count in counts.values()) < 70  # 5 standard deviations


def test_what_leaves_the_picture_is_gone() -> None:
    images = torch.ones(1_000, 9)
    shifted = RandomShifts(3, 1)(images, torch.Generator().manual_seed(1))
    assert set(shifted.sum(1).tolist()) == {9.0, 6.0, 4.0}


def test_no_pixels_no_shift_and_the_same_seed_the_same_pictures() -> None:
    images = torch.rand(7, 16)
    assert torch.equal(RandomShifts(4, 0)(images, torch.Generator()), images)
    first, second = (RandomShifts(4, 1)(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    with pytest.raises(ConfigurationError, match="pixels must be an integer ≥ 0"):
        RandomShifts(4, -1)
