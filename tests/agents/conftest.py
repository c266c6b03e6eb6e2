"""What the tests of training and of resuming share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from run_outcomes import outcome
from toy_runs import PLAN, begin, recorders

from zorl.agents.plan import TrainingPlan
from zorl.agents.training import train


@pytest.fixture(scope="session", params=["last", "best"])
def unbroken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingPlan, dict[str, Any]]:
    """The plan of a run that nothing interrupted, and all that it left."""
    plan = replace(PLAN, select=request.param)
    agent, folder = begin(tmp_path_factory.mktemp("run") / "unbroken", plan)
    train(agent, plan, folder, recorders(folder))
    return plan, outcome(folder)
