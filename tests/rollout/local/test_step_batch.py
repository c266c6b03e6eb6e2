"""Compiled code decides when it pays, where it can, and to the same bits."""

from __future__ import annotations

import sys
from typing import Any

import numba
import pytest
from rollout_cases import (
    JOBS,
    run_jobs,
    runner,
    setting,
    shuffled,
    walk,
)

from zorl.policies.mlp import MlpPolicy
from zorl.rollout.local import step_batch
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.step_batch import CompiledStepBatch, StepBatch


def test_moments_are_the_same_bits_whatever_the_lanes() -> None:
    name = "cart-pole"
    jobs, here = shuffled(name, 1), setting(name)
    results = [
        run_jobs(runner(name, lanes, compiled), here.thetas, jobs, here.normalizer)
        for lanes in (1, 3, 16)
        for compiled in (False, True)
    ]
    for others in results[1:]:
        assert results[0].sums.any()
        assert results[0].sums.tobytes() == others.sums.tobytes()
        assert results[0].squares.tobytes() == others.squares.tobytes()


def test_compiled_code_is_loaded_when_it_pays() -> None:
    own = GymnasiumRunner(walk(), setting("walk").policy)
    assert own.step_batch_class() is StepBatch
    own.steps = 20_000
    assert own.step_batch_class() is CompiledStepBatch


def test_what_is_prepared_is_all_that_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the types of what the kernel is called with: it is compiled once for each."""
    kernels, called = step_batch._kernels(), set()
    real = kernels.decide

    def decide(*arguments: Any) -> Any:
        called.add(
            tuple(
                str(numba.typeof(argument))  # type: ignore[no-untyped-call]
                for argument in arguments
            )
        )
        return real(*arguments)

    monkeypatch.setattr(kernels, "decide", decide)
    runner("cart-pole", 4, compiled=False).prepare()
    assert called == set()
    runner("cart-pole", 4, compiled=True).prepare()
    prepared, called = called, set()
    for name in ("cart-pole", "walk", "box-doubled", "image", "pendulum-stochastic"):
        here = setting(name)
        run_jobs(runner(name, 4, compiled=True), here.thetas, JOBS, here.normalizer)
    assert called
    assert called <= prepared


def test_a_class_derived_from_the_network_decides_by_itself() -> None:
    class Negated(MlpPolicy):
        pass

    policy = setting("cart-pole").policy
    assert step_batch.step_batch_class(policy) is CompiledStepBatch
    assert step_batch.step_batch_class(Negated(policy.inputs, policy.decoder)) is StepBatch


def test_numpy_serves_with_a_notice_where_numba_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(
        sys.modules, "zorl.policies.kernels", None
    )  # importing it raises ImportError
    step_batch._kernels.cache_clear()
    own = runner("cart-pole", 4, compiled=True)
    assert own.step_batch_class() is StepBatch
    assert own.step_batch_class() is StepBatch
    assert caplog.text.count("in numpy, slower but bit-identical") == 1
    step_batch._kernels.cache_clear()
