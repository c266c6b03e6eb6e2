"""A twin that uses all that compiled code may use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zorl.envs import CompiledEnv

OFFSET = 0.25
WHOLE = 3
_SINGLE = np.float32(0.1)


def squares(x: Any, y: Any) -> Any:
    """A helper that returns two numbers."""
    return x * x, y * y


def _scaled_by(factor: float) -> Callable[[Any], Any]:
    def scaled(x: Any) -> Any:
        return factor * x

    return scaled


tripled = _scaled_by(3.0)
halved = _scaled_by(0.5)


@dataclass(frozen=True)
class Language(CompiledEnv):
    """All that `CompiledEnv` promises; `step` leaves the state alone and `observe` does it all."""

    gain: float = 1.5
    flag: bool = True
    count: int = 3

    def reset(self, rng: Any) -> Any:
        return tuple(rng.uniform(-3, 3, 2))

    def step(self, x: Any, y: Any, action: Any) -> Any:
        return (x, y), self.sorted_out(x, y), not (x < y)

    def observe(self, x: Any, y: Any) -> Any:
        """Numbers that say what went wrong, should they differ."""
        zero, one, two, three, four, five = self.functions(x, y)
        left, right = squares(x, y)
        sin, cos = math.sin(x), math.cos(y)  # names that the kernel has too
        real: float = sin + cos
        total = x
        total += y
        total -= 0.5
        total *= 2
        total /= 3
        total **= 2
        total %= 7
        chosen = left if x < y else right
        either = 1.0 if (x > 0 or y > 0) else 2.0
        both = 1.0 if (x > 0 and y > 0 and not x > 2) else 2.0
        chained = 1.0 if -1 < x <= y < 2 != 5 else 0.0  # type: ignore[comparison-overlap]
        inside = float(x > y) + 2 * float(x != y) + 4 * (x == y)
        return (
            zero,
            one,
            two,
            three,
            four,
            five,
            left - right,
            real,
            total,
            chosen,
            either,
            both,
            chained,
            inside,
            min(x, y) + 10 * max(x, y),
            min(x, y, 0.5) + 10 * max(x, y, -0.5, 0.25),
            abs(x) - math.fabs(y) + np.abs(x * y),
            x**2 - y**3 + abs(x) ** 0.5 + pow(y, 2) + math.pow(x, 3),
            x % 0.75 + x % -0.75 + y % 2.5,
            -x + +y,
            self.gain * x + self.count * y + self.flag,
            OFFSET * x + WHOLE + math.pi + np.pi + float(_SINGLE),
            tripled(x) - halved(y),
            self.static(x) + self.doubled(y),
            np.minimum(x, y) - 3 * np.maximum(x, y) + np.clip(x, -1, 0.5),
            np.sign(x) + 2 * np.square(y) + np.float64(x) + float(y),
            math.floor(x) + 2 * np.floor(y),
        )

    def functions(self, x: Any, y: Any) -> Any:
        loose = np.arctan2(y, x) + np.exp(x) + np.tanh(y) + np.log(abs(x) + 1)
        angle = math.atan2(x, y)
        smooth = math.tanh(x) + 3 * math.exp(y)
        root = math.sqrt(abs(x)) + math.log(abs(y) + 0.5) + np.sqrt(abs(y))
        circle = np.sin(x) - 2 * np.cos(y)
        rounded = np.float32(np.float32(x) + np.float32(np.float32(x) * np.float32(y)))
        single = float(rounded) + float(np.float32(y) ** 2)
        return loose, angle, smooth, root, circle, single

    def sorted_out(self, x: Any, y: Any) -> Any:
        if x > 1:
            a = b = y
        elif x > 0:
            a, b = 1, 2
        elif x > -1:
            if y > 0:
                return 5.0
            a, b = x, y
        else:
            a, b = y, -x
        return a - 2 * b

    def doubled(self, x: Any) -> Any:
        return self.gain * self.static(x)

    @staticmethod
    def static(x: Any) -> Any:
        return 2 * x
