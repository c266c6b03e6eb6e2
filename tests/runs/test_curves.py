"""The learning curve: what is read is what was written, and nothing else is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from zorl.common.errors import FileFormatError
from zorl.runs.curves import first_reaching, read_curve, write_curve


def test_a_curve_is_read_as_it_was_written_and_writes_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "validation.csv"
    rows = [
        {"env_steps": 0, "native_return": -200.0, "seconds": 0.1},
        {"env_steps": 10**12, "native_return": 1 / 3, "seconds": 1e-17},
        {"env_steps": 7, "native_return": float("inf"), "seconds": 3.0},
    ]
    write_curve(path, rows)
    text = path.read_bytes()
    again = read_curve(path)
    assert again == rows
    assert [type(value) for value in again[0].values()] == [int, float, float]
    write_curve(path, again)
    assert path.read_bytes() == text
    assert text.splitlines()[0] == b"env_steps,native_return,seconds"


def test_no_file_and_no_rows_are_an_empty_curve(tmp_path: Path) -> None:
    assert read_curve(tmp_path / "nothing.csv") == []
    write_curve(tmp_path / "empty.csv", [])
    assert read_curve(tmp_path / "empty.csv") == []


@pytest.mark.parametrize("text", ["a,b\n1,x\n", "a,b\n1\n", "a,b\n1,2,3\n", "a\n\xff\n"])
def test_what_is_no_table_of_numbers_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "validation.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileFormatError, match=r"validation\.csv: not a learning curve"):
        read_curve(path)


def test_the_first_point_that_reaches_the_threshold_is_named() -> None:
    rows = [{"x": 1.0}, {"x": 3.0}, {"x": 4.0}]
    assert first_reaching(rows, "x", 3.0) is rows[1]
    assert first_reaching(rows, "x", 5.0) is None
