"""How a training run is conducted."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from toy_runs import PLAN

from zorl.agents.plan import TrainingPlan
from zorl.common.errors import ConfigurationError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"total_timesteps": 0}, "total_timesteps must be an integer ≥ 1, got 0"),
        ({"total_timesteps": 1e5}, "total_timesteps must be an integer ≥ 1"),
        ({"validate_every": -1}, "validate_every must be"),
        ({"select": "bst"}, "unknown selection 'bst'; did you mean 'best'"),
    ],
)
def test_a_plan_is_checked(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TrainingPlan(**{"total_timesteps": 10, **values})


def test_a_plan_s_interval_is_a_twentieth() -> None:
    assert TrainingPlan(1000).interval == 50
    assert TrainingPlan(7).interval == 1
    assert TrainingPlan(1000, 300).interval == 300
    assert TrainingPlan.from_json(asdict(PLAN)) == PLAN
