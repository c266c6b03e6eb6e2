"""Long searches: a curve, a log, and the same bits however often they are stopped."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zorl import FunctionEvaluator, Search, Streams
from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.optimizers import Adam, GradientSearch
from zorl.search.checkpointed import long_search


def search(seed: int = 0) -> Search:
    evaluator = FunctionEvaluator(lambda x: float(x @ x), minimise=True)
    return Search(GradientSearch(Adam(0.05), 0.1, 4), evaluator, Streams(seed))


def long(*arguments: Any, **more: Any) -> list[dict[str, float]]:
    """The curve of a search that is not stopped."""
    curve = long_search(*arguments, **more)
    assert curve is not None
    return curve


def measure(theta: np.ndarray) -> dict[str, float]:
    return {"loss": float(theta @ theta), "first": theta[0]}


def figures(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in curve]


def test_a_curve_has_its_points_and_falls(tmp_path: Path) -> None:
    curve = long(search(), np.ones(3), tmp_path, 60, measure, points=6)
    assert [row["generation"] for row in curve] == [0, 10, 20, 30, 40, 50, 60]
    assert [row["evaluations"] for row in curve] == [80 * k for k in range(7)]
    assert curve[0]["loss"] == 3
    assert curve[-1]["loss"] < 0.5
    assert all(a["seconds"] < b["seconds"] for a, b in pairwise(curve))


def test_a_stopped_search_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = long(search(), np.ones(3), tmp_path / "whole", 40, measure, points=8)
    left = iter([3, 1, 7, 1000])
    for _ in range(3):
        count = next(left)

        def stop() -> bool:
            nonlocal count
            count -= 1
            return count <= 0

        found = long_search(search(), np.ones(3), tmp_path / "cut", 40, measure, 8, stop)
        assert found is None
        assert (tmp_path / "cut" / "checkpoint.zip").is_file()
    found = long(search(), np.ones(3), tmp_path / "cut", 40, measure, 8)
    assert figures(found) == figures(whole)
    # A search that is over says so again without running.
    assert long_search(search(), np.ones(3), tmp_path / "cut", 40, measure, 8) == found


def test_measuring_is_not_counted(tmp_path: Path) -> None:
    def slow(theta: np.ndarray) -> dict[str, float]:
        time.sleep(0.2)
        return {}

    curve = long(search(), np.ones(3), tmp_path, 4, slow, points=4)
    assert curve[-1]["seconds"] < 0.4


def test_a_checkpoint_of_another_length_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    long_search(search(), np.ones(3), tmp_path, 4, measure)
    with pytest.raises(FileFormatError, match="4 generations, not 5"):
        long_search(search(), np.ones(3), tmp_path, 5, measure)
    (tmp_path / "checkpoint.zip").write_bytes(b"nothing")
    with pytest.raises(FileFormatError):
        long_search(search(), np.ones(3), tmp_path, 4, measure)
    with pytest.raises(ConfigurationError, match="generations must be an integer ≥ 1"):
        long_search(search(), np.ones(3), tmp_path / "new", 0, measure)


def test_tensorboard_shows_the_curve(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    long_search(search(), np.ones(3), tmp_path, 20, measure, points=4)
    events = EventAccumulator(str(tmp_path)).Reload()
    losses = events.Scalars("measured/loss")
    assert [event.step for event in losses] == [0, 5, 10, 15, 20]
    assert losses[0].value == 3
    assert "search/update_norm" in events.Tags()["scalars"]
