"""Policies that kernels run, and those they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from compiled_cases import (
    mountain_car,
)

from zorl.common.errors import ConfigurationError
from zorl.envs import find_twin
from zorl.policies.mlp import MlpPolicy
from zorl.rollout.compiled.backend import CompiledBackend
from zorl.rollout.compiled.source import why_no_lanes, why_not


class Negated(MlpPolicy):
    """Another network than that of its base class."""


def test_policies_that_no_kernel_runs_are_named() -> None:
    here = mountain_car()
    stochastic = replace(here.policy, decoder=replace(here.policy.decoder, stochastic=True))
    twin = find_twin(here.task)
    assert twin is not None
    several = replace(here.policy, decoder=replace(here.policy.decoder, kind="multi-discrete"))
    for policy, words in [
        (stochastic, "act deterministically"),
        (several, "not multi-discrete"),
        (object(), "not a object"),
        (Negated(**vars(here.policy)), "not a Negated"),  # it may compute something else
    ]:
        assert words in str(why_not(policy))
        with pytest.raises(ConfigurationError, match=words):
            CompiledBackend(here.task, twin, policy, here.encoder)  # type: ignore[arg-type]
    assert why_not(here.policy) is why_no_lanes(here.policy) is None
    assert why_no_lanes(replace(here.policy, hidden=(512, 512))) is None
    large = replace(here.policy, hidden=(512,) * 8)  # 64 of them would not fit on the stack
    assert "units" in str(why_no_lanes(large))
    with pytest.raises(ConfigurationError, match="units"):
        CompiledBackend(here.task, twin, large, here.encoder)
