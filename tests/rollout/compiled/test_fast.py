"""Fast arithmetic errs by no more than `fast` states, and becomes SIMD instructions."""

from __future__ import annotations

import importlib.util
import math
import platform
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from zorl.envs import find_twin, make_task
from zorl.policies.mlp import MlpPolicy
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.compiled import exact, fast
from zorl.rollout.compiled.parts import Spec
from zorl.rollout.compiled.source import kernel_source

SINGLES = np.float32


@cache
def over(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """A fast function over an array, in one loop as kernels have it."""
    function = getattr(fast, name)

    @njit(error_model="numpy")
    def loop(x: Any, results: Any) -> None:
        for i in range(len(x)):
            results[i] = function(x[i])

    def call(x: np.ndarray) -> np.ndarray:
        results = np.empty_like(x)
        loop(x, results)
        return results

    return call


def grid(limit: float, n: int = 400_000) -> tuple[np.ndarray, np.ndarray]:
    """float32 numbers within ±limit, as such and as float64."""
    x = np.random.default_rng(0).uniform(-limit, limit, n).astype(SINGLES)
    x[:5] = 0, limit, -limit, limit / 2, -limit / 2
    return x, x.astype(np.float64)


@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize(
    ("limit", "error"),
    [(np.pi, 1.5e-7), (100, 1.5e-7), (1e4, 1.5e-7), (1e5, 1.5e-7), (1e6, 2.5e-7)],
)
def test_angles_err_as_fast_says(name: str, limit: float, error: float) -> None:
    x, exactly = grid(limit)
    assert np.abs(over(name)(x) - getattr(np, name)(exactly)).max() < error


def test_tangents_and_exponentials_err_as_fast_says() -> None:
    for limit in (1e-3, 1, 12):
        x, exactly = grid(limit)
        x[0], exactly[0] = 1e-30, SINGLES(1e-30)
        assert (np.abs(over("tanh")(x) / np.tanh(exactly) - 1)).max() < 1.3e-6
    x, exactly = grid(87)
    x[:2], exactly[:2] = 88, 88
    assert (np.abs(over("exp")(x) / np.exp(exactly) - 1)).max() < 2.5e-7


def test_the_stated_errors_are_not_idle() -> None:
    """They are no more than twice what is found."""
    x, exactly = (values[5:] for values in grid(100))  # without 0
    assert np.abs(over("sin")(x) - np.sin(exactly)).max() > 0.75e-7
    assert (np.abs(over("tanh")(x) / np.tanh(exactly) - 1)).max() > 0.65e-6
    x, exactly = grid(87)
    assert (np.abs(over("exp")(x) / np.exp(exactly) - 1)).max() > 1.25e-7


def test_the_docstring_states_the_errors_that_are_tested() -> None:
    text = str(fast.__doc__)
    for words in ("tanh 1.3·10⁻⁶", "exp 2.5·10⁻⁷", "1.5·10⁻⁷ within\n±10⁵", "2.5·10⁻⁷ within ±10⁶"):
        assert words in text


@pytest.mark.parametrize("name", ["sin", "cos", "tanh", "exp", "sqrt", "log", "floor", "sign"])
def test_fast_functions_end_for_every_number_and_keep_nan(name: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -0.0], SINGLES)
    result = over(name)(x)
    assert result.dtype == SINGLES
    assert np.isnan(result[0])
    if name == "tanh":
        assert np.allclose(result[1:5], [1, -1, 1, -1], atol=1e-6, rtol=0)
    if name == "exp":
        assert result[[1, 3]].min() > 1e38
        assert 0 < result[[2, 4]].max() < 2e-38
    if name in ("sin", "cos"):
        assert np.isnan(result[1:3]).all()
        assert result[5:].tolist() == pytest.approx([0.0 if name == "sin" else 1.0] * 3, abs=1e-7)


def test_fast_modulo_has_the_sign_of_its_divisor() -> None:
    for x, y in [(5.5, 2.0), (-5.5, 2.0), (5.5, -2.0), (-5.5, -2.0), (-0.25, 6.0)]:
        assert fast.modulo(SINGLES(x), SINGLES(y)) == x % y


@pytest.mark.parametrize("module", [exact, fast])
def test_of_two_equal_numbers_the_first_is_taken_and_nan_stays(module: Any) -> None:
    zero, nan = module.real(0.0), module.real(np.nan)
    assert math.copysign(1, module.least(-zero, zero)) == -1
    assert math.copysign(1, module.least(zero, -zero)) == 1
    assert math.copysign(1, module.greatest(-zero, zero)) == -1
    assert math.isnan(module.clipped(nan, module.real(-1), module.real(1)))
    assert math.isnan(module.sign(nan))
    assert [module.sign(module.real(x)) for x in (-3, 0, 2)] == [-1, 0, 1]


def features() -> set[str]:
    path = Path("/proc/cpuinfo")
    return set(re.findall(r"\w+", path.read_text())) if path.exists() else set()


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not {"avx2", "fma"} <= features(),
    reason="reads the assembly of x86-64 with AVX2",
)
def test_fast_kernels_are_simd_without_checks_for_overlap(tmp_path: Path) -> None:
    task = make_task("MountainCar-v0", ["momentum"])
    twin = find_twin(task)
    assert twin is not None
    env = task.make()
    policy = MlpPolicy(2, ActionDecoder.for_space(env.action_space), (8,))
    env.close()
    source = kernel_source(Spec(twin, policy, False, True, True, False))
    path = tmp_path / "kernel_for_reading.py"
    path.write_text(source.replace("cache=True, ", ""))  # numba cannot show what it has loaded
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.kernel(
        np.zeros((1, policy.dim), np.float32),
        1,
        1,
        np.zeros(1, np.int64),
        np.zeros((1, 2), np.float32),
        3,
        np.zeros(2),
        np.ones(2),
        10.0,
        np.zeros(1),
        np.zeros(1),
        np.zeros(1, np.int64),
        np.zeros(1, np.bool_),
        np.zeros((1, 0)),
        np.zeros((1, 0)),
    )
    (assembly,) = module.kernel.inspect_asm().values()
    (code,) = module.kernel.inspect_llvm().values()
    found = Counter(re.findall(r"^\s+(v\w+[ps]s)\s", assembly, re.M))
    packed = sum(count for name, count in found.items() if re.match(r"vfn?m(add|sub)\w+ps", name))
    single = sum(count for name, count in found.items() if re.match(r"vfn?m(add|sub)\w+ss", name))
    assert packed > 30, found  # the network, the polynomials of tanh and cos
    assert single == 0, found  # nor are there loops over one lane at a time
    assert found["vdivps"] >= 1, found
    assert found["vdivss"] == 0, found
    assert "vector.body" in code
    assert "vector.memcheck" not in code
