"""Compiled code against numpy's, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from policy_toys import raw_outputs

from zorl.policies import kernels
from zorl.policies.activations import ACTIVATIONS
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.rollout.local.step_batch import CompiledStepBatch

Shape = tuple[int, tuple[int, ...], int]
SHAPES: list[Shape] = [
    (1, (), 1),
    (4, (), 2),
    (3, (5, 7), 1),
    (17, (32, 32), 6),
    (6, (1, 9), 3),
]


def check_bits(
    shape: Shape, activation: str, bias: bool, scale: float, squash: bool = False
) -> bool:
    """Compare the two forms; whether all outputs are numbers."""
    inputs, hidden, outputs = shape
    policy = MlpPolicy(inputs, raw_outputs(outputs), hidden, activation, bias, squash)
    rng = np.random.default_rng(10)
    thetas = (scale * rng.normal(size=(9, policy.dim))).astype(np.float32)
    x = rng.normal(size=(9, inputs)) * rng.choice([1e-20, 1, 10], size=(9, 1))
    off = Normalizer.create("off", np.zeros(inputs), np.zeros(inputs))
    step_batch = CompiledStepBatch(policy, thetas, off, 9, inputs)
    for row in range(9):
        step_batch.assign(row, row)
    step_batch.observe(x, np.zeros(9))
    step_batch.decide(7)
    found, expected = step_batch._outputs[:7], policy.forward(thetas, x)[:7]
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(found, expected)
    assert found[known].tobytes() == expected[known].tobytes()  # and signs of zeros
    assert step_batch._choices[:7].tolist() == expected.argmax(axis=1).tolist()
    assert not step_batch._outputs[7:].any()
    return bool(known.all())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(deadline=None, derandomize=True, max_examples=6)
@given(st.sampled_from(SHAPES), st.booleans(), st.sampled_from([1.0, 30.0, 1e37]), st.booleans())
@example((17, (32, 32), 6), True, 30.0, True)
def test_compiled_code_gives_the_same_bits(
    activation: str, shape: Shape, bias: bool, scale: float, squash: bool
) -> None:
    check_bits(shape, activation, bias, scale, squash)


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_that_overflow_have_the_same_bits_too(bias: bool) -> None:
    assert not check_bits((17, (32, 32), 6), "relu", bias, 1e37)


def test_code_is_kept_elsewhere_or_nowhere_where_numba_finds_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core import caching

    def twice(x: int) -> int:
        return 2 * x

    for name in ("InTreeCacheLocator", "UserWideCacheLocator"):  # as in a read-only installation
        locator = getattr(caching, name, None) or getattr(caching, f"_{name}")  # before numba 0.62
        monkeypatch.setattr(locator, "from_function", lambda *_: None)
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path))
    before = kernels.config.CACHE_DIR
    assert kernels._kept(twice)(3) == 6
    assert before == kernels.config.CACHE_DIR
    assert list((tmp_path / "kernels").glob("*/*twice*.nbc"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert kernels._kept(twice)(3) == 6
