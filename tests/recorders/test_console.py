"""What a person sees of a run."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from toy_records import CART, a_run, record

from zorl.envs import make_task
from zorl.recorders import console
from zorl.recorders.console import ConsoleRecorder
from zorl.recorders.jsonl import JsonlRecorder

SHAPED = make_task("MountainCar-v0", ["momentum"])


NO_SUCCESS = make_task("Pendulum-v1")


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


@pytest.mark.parametrize("width", [60, 80, 100, 119, 120, 160])
def test_on_a_terminal_a_line_fits_and_loses_what_matters_least(
    width: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    recorder = ConsoleRecorder(stream)
    recorder.start(a_run(SHAPED, 500_000_000))
    clock.now += 2
    recorder.record(
        record(
            9_999, 312_123_456, search__return_mean=-1080.04, task__success_rate=1.0,
            gate__episodes=40, gate__acceptance_rate=0.6667,
        )
    )  # fmt: skip
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", text) if "native" in line]
    assert len(lines) == 1
    assert len(lines[0].rstrip()) < width
    for part in ("62% ", "312,123,456 steps", "native -150.0", ":01 left"):
        assert part in lines[0]
    assert ("gen 10000" in lines[0]) == (width == 160)
    assert ("kept 67%" in lines[0]) == (width in (119, 160))  # 120 have a bar
    assert ("success 100%" in lines[0]) == (width >= 80)
    recorder.finish({})


def test_a_run_goes_on_where_its_terminal_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for kind in (Gone, GoneTerminal):
        recorder = ConsoleRecorder(kind(), interval=0)
        recorder.start(a_run())
        recorder.record(record(0, 10))
        recorder.finish({})


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


class GoneTerminal(Gone):
    def isatty(self) -> bool:
        return True


def test_finishing_what_never_began_is_no_error(tmp_path: Path) -> None:
    ConsoleRecorder(io.StringIO()).finish({})
    JsonlRecorder(tmp_path / "x.jsonl").finish({})
    assert list(tmp_path.iterdir()) == []
