"""One JSON line per record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_records import a_run, record

from zorl.recorders.base import PlainRecord
from zorl.recorders.jsonl import JsonlRecorder


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
