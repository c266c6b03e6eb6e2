"""Which jobs a runner has begun and which are over."""

from __future__ import annotations

import numpy as np
import pytest
from toy_batches import Playing, nothing

from zorl.common.errors import (
    EnvironmentFailure,
)
from zorl.rollout.tracking import BEGUN, OVER, WAITING, JobTracker


def test_a_batch_ends_where_too_many_episodes_are_under_way() -> None:
    task, results, status = nothing(10)
    playing, heartbeats = Playing(lanes=8), []
    JobTracker(range(10), results, status, most=4, heartbeat=lambda: heartbeats.append(1)).play(
        playing, task, results
    )
    assert playing.calls == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (status == OVER).all()
    assert len(heartbeats) >= 10

    # With lanes enough for others it is one batch, and the lanes never run dry.
    task, results, status = nothing(10)
    playing = Playing(lanes=3)
    JobTracker(range(10), results, status, most=5).play(playing, task, results)
    assert playing.calls == [list(range(10))]


def test_what_is_under_way_when_a_runner_raises() -> None:
    task, results, status = nothing(40)
    with pytest.raises(EnvironmentFailure, match="job 20"):
        JobTracker(range(40), results, status).play(Playing(lanes=3, broken=(20,)), task, results)
    assert np.flatnonzero(status == OVER).tolist() == list(range(20))
    assert np.flatnonzero(status == BEGUN).tolist() == [20, 21, 22]
    assert np.flatnonzero(status == WAITING).tolist() == list(range(23, 40))
