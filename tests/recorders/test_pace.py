"""When something is due."""

from __future__ import annotations

import pytest
from toy_events import Clock

from zorl.common.errors import ConfigurationError
from zorl.recorders.pace import Pace


def test_a_pace_is_due_at_once_and_then_after_steps_or_seconds() -> None:
    clock = Clock()
    pace = Pace(100, 5.0, clock)
    assert pace.due(0)
    pace.mark(0)
    assert [pace.due(0), pace.due(99), pace.due(100)] == [False, False, True]
    clock.now += 4.9
    assert not pace.due(99)
    clock.now += 0.2
    assert pace.due(99)
    pace.mark(99)
    assert not pace.due(198)
    with pytest.raises(ConfigurationError, match="pace"):
        Pace(0, 1.0)
