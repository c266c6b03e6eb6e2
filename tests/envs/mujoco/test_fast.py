"""Cheaper physics of MuJoCo tasks: what they change, and that a search ends without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zorl
from zorl.agents.plan import TrainingPlan
from zorl.agents.search.agent import SearchAgent
from zorl.agents.training import train
from zorl.common.errors import ConfigurationError
from zorl.envs import find_twin, make_task
from zorl.rollout.compiled.mujoco.backend import EXACT_SHARE
from zorl.rollout.compiled.mujoco.library import with_options
from zorl.runs.report import summary

mujoco = pytest.importorskip("mujoco")


def hopper(backend: str) -> SearchAgent:
    task = make_task("Hopper-v5", env_kwargs={"max_episode_steps": 25})
    options: Any = {"m": 2, "episodes": 1, "hidden": (), "seed": 3}
    made = zorl.make_agent("openai-es", task, backend=backend, workers=1, **options)
    assert isinstance(made, SearchAgent)
    return made


def test_a_search_has_cheaper_physics_first_and_the_tasks_own_at_last() -> None:
    fast, exact, budget = hopper("compiled-fast"), hopper("compiled"), 2000
    assert fast.description is not None
    assert "cheaper physics (integrator Euler" in fast.description
    state, spent, equal = fast.state, [], []

    def compare(generation: Any) -> None:
        nonlocal state
        truth = exact.search.step(state).evaluation.returns
        spent.append(state.counters.env_steps / budget)
        equal.append(np.array_equal(truth, generation.evaluation.returns))
        state = generation.state

    fast.learn(budget, callback=compare)
    assert equal == [share >= 1 - EXACT_SHARE for share in spent]
    assert 0 < sum(equal) < len(equal) / 2
    fast.close()
    exact.close()


def test_a_result_says_that_its_search_saw_cheaper_physics() -> None:
    for backend in ("compiled-fast", "compiled"):
        agent = hopper(backend)
        plan = TrainingPlan(100, validate_episodes=1, held_out=2)
        result = train(agent, plan)
        agent.close()
        assert ("cheaper physics" in summary(result)) == (backend == "compiled-fast")
        assert (result.caution is None) == (backend == "compiled")


def test_tasks_without_cheaper_physics_are_refused() -> None:
    for env_id in ("HalfCheetah-v5", "HumanoidStandup-v5"):
        with pytest.raises(ConfigurationError, match="no cheaper physics"):
            zorl.make_agent("openai-es", env_id, backend="compiled-fast")


def test_options_of_a_model_may_be_named() -> None:
    twin = find_twin(make_task("Hopper-v5"))
    assert twin is not None
    model = twin.env.model
    model.opt.disableflags = mujoco.mjtDisableBit.mjDSBL_WARMSTART
    changed = with_options(model, {"integrator": "Euler", "disableflags": "island"})
    island, warmstart = mujoco.mjtDisableBit.mjDSBL_ISLAND, mujoco.mjtDisableBit.mjDSBL_WARMSTART
    assert changed.opt.disableflags == island | warmstart
    assert changed.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    for options in ({"integrator": "Verlet"}, {"speed": 3}, {"iterations": "few"}):
        with pytest.raises(ConfigurationError):
            with_options(model, options)
