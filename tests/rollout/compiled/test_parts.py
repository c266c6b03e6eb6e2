"""The parts of a kernel: networks of every shape, success, faults and time limits."""

from __future__ import annotations

import numpy as np
import pytest
from compiled_cases import (
    FIGURES,
    NETWORKS,
)
from toy_twins import ACTIONS

from zorl.policies.activations import ACTIVATIONS


def test_the_networks_cover_what_they_should() -> None:
    cases = [make() for make in NETWORKS.values()]
    assert {case.policy.activation for case in cases} == set(ACTIVATIONS)
    assert {getattr(case.policy, "squash", False) for case in cases} == {False, True}
    assert {case.mode for case in cases} == {"off", "bounds", "running"}
    assert {case.task.env_kwargs["action"] for case in cases} == set(ACTIONS)


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_kernels_have_the_bits_of_the_network_in_numpy(name: str) -> None:
    here = NETWORKS[name]()
    thetas, seeds = here.thetas(12), range(20, 32)
    mine = here.evaluate(here.compiled(exact=True), thetas, seeds)
    truth = here.evaluate(here.in_lockstep(), thetas, seeds)
    for figure in FIGURES:
        assert getattr(mine, figure).tolist() == getattr(truth, figure).tolist(), figure
    assert len(np.unique(truth.returns)) > 8
    assert (truth.returns[0] != truth.returns).any()
    assert truth.lengths.min() == 1
    assert truth.lengths.max() == 8  # the time limit: Echo itself goes on to 11
    if here.mode != "running":
        assert mine.moments is truth.moments is None
        return
    assert mine.moments is not None
    assert truth.moments is not None
    assert mine.moments.count == truth.moments.count == truth.lengths.sum()
    assert mine.moments.mean.tolist() == truth.moments.mean.tolist()
    assert mine.moments.m2.tolist() == truth.moments.m2.tolist()


@pytest.mark.parametrize("name", NETWORKS)
def test_fast_kernels_are_close_to_the_network_in_numpy(name: str) -> None:
    here = NETWORKS[name]()
    thetas, seeds = here.thetas(40), range(20, 40)
    mine = here.evaluate(here.compiled(exact=False), thetas, seeds)
    truth = here.evaluate(here.in_lockstep(), thetas, seeds)
    assert mine.lengths.tolist() == truth.lengths.tolist()
    if here.policy.decoder.kind == "discrete":  # a tie, now and then
        assert (mine.returns == truth.returns).mean() > 0.995
    else:
        size = np.abs(truth.returns).max()
        assert np.abs(mine.returns - truth.returns).max() < 1e-5 * size
    if here.mode == "running":
        assert mine.moments is not None
        assert truth.moments is not None
        assert mine.moments.count == truth.moments.count
        assert np.allclose(mine.moments.mean, truth.moments.mean, rtol=0, atol=1e-5)
        assert np.allclose(mine.moments.m2, truth.moments.m2, rtol=1e-5, atol=0)


@pytest.mark.parametrize("exact", [True, False])
def test_of_equal_outputs_the_first_is_chosen(exact: bool) -> None:
    here = NETWORKS["three-layers"]()
    thetas = np.zeros((2, here.policy.dim), np.float32)
    thetas[1, [-4, -2]] = 1.0  # the fourth and the sixth of seven: 0 and 2
    result = here.evaluate(here.compiled(exact), thetas, range(3))
    assert (result.returns[0] == -3 * result.lengths[0]).all()
    assert (result.returns[1] == 0).all()
