"""How a training run is conducted."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from toy_runs import PLAN, StopAfter, begin, fresh

from zorl.agents.plan import TrainingPlan
from zorl.agents.resuming import resume
from zorl.agents.training import train
from zorl.common.errors import ConfigurationError
from zorl.recorders.base import UNLIMITED
from zorl.runs.curves import read_curve


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"total_timesteps": 0}, "total_timesteps must be an integer ≥ 1, got 0"),
        ({"total_timesteps": 10.5}, "total_timesteps must be an integer ≥ 1"),
        ({"validate_every": -1}, "validate_every must be"),
        ({"seconds": 0}, "seconds must be a number > 0, got 0"),
        ({"seconds": "60"}, "seconds must be a number > 0, got '60'"),
        ({"select": "bst"}, "unknown selection 'bst'; did you mean 'best'"),
    ],
)
def test_a_plan_is_checked(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TrainingPlan(**{"total_timesteps": 10, **values})


def test_a_plan_s_interval_is_a_twentieth() -> None:
    assert TrainingPlan(1000).interval == 50
    assert TrainingPlan(7).interval == 1
    assert TrainingPlan(1e3, stop_at=2.0) == TrainingPlan(1000, stop_at=2)  # type: ignore[arg-type]
    assert type(TrainingPlan(1, stop_at=2.0).stop_at) is float  # a return is no count
    assert TrainingPlan(1000, 300).interval == 300
    assert TrainingPlan.from_json(asdict(PLAN)) == PLAN


def test_a_budget_is_said_in_words() -> None:
    assert (TrainingPlan(2000).budget, TrainingPlan(2000).points) == (
        "2,000 env steps",
        "100 env steps",
    )
    both = TrainingPlan(2000, seconds=60)
    assert (both.budget, both.points) == ("2,000 env steps or 60 s", "100 env steps or 3 s")
    alone = TrainingPlan(UNLIMITED, seconds=60)
    assert (alone.budget, alone.points) == ("60 s", "3 s")
    assert TrainingPlan(2000, 300, seconds=60).points == "300 env steps"


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_budget_of_seconds_ends_the_training(tmp_path: Path, interrupted: bool) -> None:
    plan = replace(PLAN, total_timesteps=UNLIMITED, validate_every=None, seconds=0.4)
    agent, folder = begin(tmp_path / "run", plan)
    if interrupted:
        assert train(agent, plan, folder, stop=StopAfter(2)).status == "interrupted"
        result = resume(folder)
    else:
        result = train(agent, plan, folder)
    agent.close()
    assert result.finished
    assert 0.4 <= result.seconds < 4
    assert result.env_steps.training < 10**7
    # Points along the way, by time, and the last one at the end.
    steps = [row["env_steps"] for row in read_curve(folder.validation)]
    assert len(steps) > 3
    assert steps[-1] == result.env_steps.training


def test_env_steps_that_are_spent_before_the_seconds_end_the_training() -> None:
    agent = fresh()
    result = train(agent, replace(PLAN, seconds=1000.0))
    agent.close()
    assert result.finished
    assert 6000 <= result.env_steps.training < 9000
