"""Every study runs in its smoke mode: all of its tables and figures, in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_data import real_data

from zorl.cli.main import main
from zorl.studies.base import list_studies


@pytest.mark.parametrize("name", list_studies())
def test_a_study_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / name
    command = ["study", name, "--smoke", "--out", str(out), "--data", str(real_data())]
    assert main(command) == 0, capsys.readouterr().err
    tables, figures = list(out.glob("*.csv")), list(out.glob("*.png"))
    assert tables
    assert figures
    assert all("nan" not in table.read_text().split(",") for table in tables)
    # Again: everything is there already, and the same.
    before = {table.name: table.read_bytes() for table in tables}
    assert main(command) == 0
    assert {table.name: table.read_bytes() for table in out.glob("*.csv")} == before
