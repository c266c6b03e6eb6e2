"""Several recorders as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from toy_records import a_run, record

from zorl.recorders.base import BaseRecorder, Record, Recorders, Run


class Log(BaseRecorder):
    def __init__(self, log: list[Any], name: str, fails: bool = False) -> None:
        self.log, self.name, self.fails = log, name, fails

    def start(self, run: Run) -> None:
        self.log.append((self.name, "start", run.name))

    def record(self, record: Record) -> None:
        self.log.append((self.name, "record", record.index))

    def validation(self, env_steps: int, figures: Mapping[str, float]) -> None:
        self.log.append((self.name, "validation", env_steps))

    def finish(self, result: Mapping[str, Any]) -> None:
        self.log.append((self.name, "finish", dict(result)))
        if self.fails:
            raise RuntimeError(f"{self.name} fails")


def test_several_recorders_are_told_in_order() -> None:
    log: list[Any] = []
    with Recorders([Log(log, "a"), Log(log, "b")]) as both:
        both.start(a_run())
        both.record(record(4, 1))
        both.validation(9, {})
        both.result["status"] = "finished"
    verbs = [("start", "a-run"), ("record", 4), ("validation", 9)]
    verbs += [("finish", {"status": "finished"})]
    assert log == [(name, *verb) for verb in verbs for name in "ab"]


def test_all_are_finished_whatever_happens() -> None:
    log: list[Any] = []
    with (
        pytest.raises(RuntimeError, match="a fails"),
        Recorders([Log(log, "a", fails=True), Log(log, "b", fails=True), Log(log, "c")]),
    ):
        pass
    assert [name for name, verb, _ in log if verb == "finish"] == ["a", "b", "c"]
    log.clear()
    one = Recorders([Log(log, "a")])
    one.result["status"] = "failed"
    with pytest.raises(ZeroDivisionError), one:
        raise ZeroDivisionError
    assert log == [("a", "finish", {"status": "failed"})]
