"""What a person sees of a run, what a program reads of it, and several recorders as one."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zorl.envs import make_task
from zorl.recorders import console
from zorl.recorders.base import BaseRecorder, PlainRecord, Record, Recorders, Run
from zorl.recorders.console import ConsoleRecorder
from zorl.recorders.jsonl import JsonlRecorder

CART = make_task("CartPole-v1")
SHAPED = make_task("MountainCar-v0", ["momentum"])
NO_SUCCESS = make_task("Pendulum-v1")


class NoAgent:
    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:  # fmt: skip
        raise AssertionError("nobody asked for an action")


def a_run(task: Any = CART, total: int = 1000, **options: Any) -> Run:
    return Run("a-run", NoAgent(), task, {}, total, **options)


def record(index: int, env_steps: int, **scalars: float) -> PlainRecord:
    figures = {name.replace("__", "/"): value for name, value in scalars.items()}
    return PlainRecord(index, env_steps, {"task/native_return_mean": -150.0, **figures})


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(console.time, "perf_counter", lambda: self.now)  # type: ignore[attr-defined]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def shown(task: Any, total: int = 1000, **scalars: float) -> str:
    stream = io.StringIO()
    recorder = ConsoleRecorder(stream)
    recorder.start(a_run(task, total))
    recorder.record(record(0, 10, **scalars))
    return stream.getvalue()


# Console


def test_a_line_has_all_that_one_wants_to_know(clock: Clock) -> None:
    stream = io.StringIO()
    recorder = ConsoleRecorder(stream)
    recorder.start(a_run(SHAPED, 500_000))
    clock.now += 20
    recorder.record(
        record(
            11, 125_000, search__return_mean=-80.04, task__success_rate=0.25,
            gate__episodes=40, gate__acceptance_rate=0.6667,
        )
    )  # fmt: skip
    assert stream.getvalue() == (
        " 25% gen 12 · 125,000 steps · 6,250/s · shaped -80.0 · native -150.0 · success 25% · "
        "kept 67% · 1:00 left\n"
    )


def test_a_line_leaves_out_what_there_is_not(clock: Clock) -> None:
    clock.now += 1
    assert "shaped" not in shown(CART, search__return_mean=3)
    assert "shaped 3.0" in shown(SHAPED, search__return_mean=3)
    assert "shaped 4.0" in shown(SHAPED, task__return_mean=4)  # a baseline's
    assert "shaped –" in shown(SHAPED)
    assert "success 0%" in shown(CART, task__success_rate=0)
    assert "success" not in shown(NO_SUCCESS, task__success_rate=0)
    assert "success" not in shown(CART)
    assert "kept" not in shown(CART, gate__acceptance_rate=1.0)
    assert "kept" not in shown(CART, gate__acceptance_rate=1.0, gate__episodes=0)
    assert "kept 0%" in shown(CART, gate__acceptance_rate=0.0, gate__episodes=2)


def test_lines_come_now_and_then_and_the_last_is_always_there_once(clock: Clock) -> None:
    stream = io.StringIO()
    recorder = ConsoleRecorder(stream, interval=5)
    recorder.start(a_run())
    for index in range(12):  # one a second: at 1 s, 6 s, 11 s
        clock.now += 1
        recorder.record(record(index, 10 * (index + 1)))
    recorder.finish({})
    recorder.finish({})
    lines = stream.getvalue().splitlines()
    assert [line.split(" · ")[0] for line in lines] == [
        "  1% gen 1",
        "  6% gen 6",
        " 11% gen 11",
        " 12% gen 12",
    ]
    recorder.start(a_run())
    clock.now += 1
    recorder.record(record(0, 1000))
    recorder.finish({})  # shown already
    assert len(stream.getvalue().splitlines()) == 5


def test_the_rate_and_the_time_left_are_of_this_part_of_the_run(clock: Clock) -> None:
    stream = io.StringIO()
    recorder = ConsoleRecorder(stream)
    recorder.start(a_run(total=10_000, start_steps=9_000, start_index=90))
    clock.now += 2
    recorder.record(record(90, 9_100))
    assert stream.getvalue().startswith(" 91% gen 91 · 9,100 steps · 50/s · ")
    assert stream.getvalue().endswith("0:18 left\n")
    recorder.record(record(91, 10_500))
    clock.now += 5
    recorder.record(record(92, 10_600))
    assert "100% gen 93" in stream.getvalue()
    assert stream.getvalue().endswith("0:00 left\n")


def test_it_writes_to_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = ConsoleRecorder()
    recorder.start(a_run())
    recorder.record(record(0, 10))
    recorder.finish({})
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_bar_is_redrawn(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    recorder = ConsoleRecorder(stream)
    recorder.start(a_run())
    for index in range(4):
        clock.now += 0.15
        recorder.record(record(index, 100 * (index + 1)))
    text = stream.getvalue()
    assert "gen 1 " in text
    assert "10%" in text
    assert "gen 2 " not in text  # within a fifth of a second
    assert "gen 3 " in text
    assert "gen 4 " not in text
    recorder.finish({})
    assert "gen 4 " in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1
    recorder.finish({})  # nothing is left to stop


def test_finishing_what_never_began_is_no_error(tmp_path: Path) -> None:
    ConsoleRecorder(io.StringIO()).finish({})
    JsonlRecorder(tmp_path / "x.jsonl").finish({})
    assert list(tmp_path.iterdir()) == []


# JSON lines


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, records: list[PlainRecord], start: int = 0) -> None:
    recorder = JsonlRecorder(path)
    recorder.start(a_run(start_index=start))
    for item in records:
        recorder.record(item)
    recorder.finish({})


def test_every_record_is_a_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "generations.jsonl"
    recorder = JsonlRecorder(path)
    recorder.start(a_run())
    for index in range(3):
        recorder.record(record(index, 7 * index, search__x=0.1 * index))
        assert len(lines_of(path)) == index + 1  # a reader need not wait for the end
    recorder.finish({})
    assert lines_of(path)[2] == {
        "index": 2,
        "env_steps": 14,
        "search/x": 0.2,
        "task/native_return_mean": -150.0,
    }
    recorder.record(record(3, 21))  # after the finish nothing is written, and nothing fails
    assert len(lines_of(path)) == 3


def test_figures_that_are_no_numbers_are_null(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, [record(0, 1, a=float("nan"), b=float("inf"), c=-float("inf"), d=1.5)])
    (line,) = lines_of(path)
    assert (line["a"], line["b"], line["c"], line["d"]) == (None, None, None, 1.5)
    assert "NaN" not in path.read_text()


def test_a_resume_drops_what_lies_beyond_the_checkpoint(tmp_path: Path) -> None:
    path, unbroken = tmp_path / "x.jsonl", tmp_path / "unbroken.jsonl"
    records = [record(index, 10 * index, value=np.sin(index)) for index in range(8)]
    write(unbroken, records)
    write(path, records[:6])
    write(path, records[3:], start=3)
    assert path.read_bytes() == unbroken.read_bytes()


@pytest.mark.parametrize(
    "rest",
    [b'{"index": 2, "env', b'{"index": 2, "e": 9}', b"[]\n", b"\n", b'{"index": "x"}\n', b"\xff"],
)
def test_a_torn_or_foreign_line_is_dropped(rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, [record(0, 1), record(1, 2)])
    kept = path.read_text()
    path.write_bytes(kept.encode() + rest)
    write(path, [record(3, 4)], start=3)
    assert path.read_text().startswith(kept + '{"index": 3, ')
    assert [line["index"] for line in lines_of(path)] == [0, 1, 3]


# Several as one, and the standard ones


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
