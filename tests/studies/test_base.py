"""Studies: cells computed once, tables, figures, signals, and what is wrong said clearly."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_cells

from zorl.cli.main import main
from zorl.common.errors import ConfigurationError, RunFolderError, UnknownNameError, ZorlError
from zorl.common.storage import read_json, write_json
from zorl.studies.base import Stopped, Study, list_studies, run_study

CELLS = [{"x": x} for x in range(4)]


def kept(out: Path, label: str) -> list[str]:
    return sorted(path.stem for path in (out / "cells" / label).glob("*.json"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_in_order_and_kept(tmp_path: Path, jobs: int) -> None:
    study = Study("toy", tmp_path, jobs=jobs)
    assert study.map(toy_cells.square, CELLS) == [0, 1, 4, 9]
    assert kept(tmp_path, "square") == ["x=0", "x=1", "x=2", "x=3"]


def test_only_what_is_missing_is_computed(tmp_path: Path) -> None:
    study = Study("toy", tmp_path)
    study.map(toy_cells.square, CELLS[:3])
    for path in (tmp_path / "cells" / "square").iterdir():
        write_json(path, read_json(path) | {"result": "kept"})
    assert study.map(toy_cells.square, CELLS) == ["kept", "kept", "kept", 9]


def test_a_cell_of_other_arguments_or_a_damaged_one_is_computed_anew(tmp_path: Path) -> None:
    study = Study("toy", tmp_path)
    study.map(toy_cells.square, CELLS[:2])
    first, second = sorted((tmp_path / "cells" / "square").iterdir())
    write_json(first, read_json(first) | {"cell": {"x": 7}, "result": "another's"})
    second.write_text("{")
    assert study.map(toy_cells.square, CELLS[:2]) == [0, 1]


def test_long_and_odd_arguments_have_files_of_their_own(tmp_path: Path) -> None:
    study = Study("toy", tmp_path)
    results = study.map(toy_cells.square, [{"x": x} for x in (1, 10**200, 10**201)], "odd")
    assert results == [1, 10**400, 10**402]
    assert len(kept(tmp_path, "odd")) == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_is_given_what_it_asks_for(tmp_path: Path, jobs: int) -> None:
    study = Study("toy", tmp_path, data=tmp_path / "d", jobs=jobs)
    results = study.map(toy_cells.where, CELLS[:2])
    cores = len(os.sched_getaffinity(0))
    assert [row[:2] for row in results] == [[str(tmp_path / "d"), max(1, cores // jobs)]] * 2
    assert (tmp_path / "cells" / "where" / "x=1" / "note").read_text() == "1"
    pids = {row[2] for row in results}
    assert (os.getpid() in pids) == (jobs == 1)


def test_a_cell_that_fails_costs_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZorlError, match=r"cells failed, see above: x=1 \(exit status 1\)"):
        Study("toy", tmp_path, jobs=2).map(toy_cells.faulty, CELLS)
    assert kept(tmp_path, "faulty") == ["x=0", "x=2", "x=3"]
    assert "one is too many" in capfd.readouterr().err


def test_two_equal_cells_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="two cells of square are the same"):
        Study("toy", tmp_path).map(toy_cells.square, [{"x": 1}, {"x": 1}])


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stop_ends_the_study_and_keeps_what_is_done(tmp_path: Path, jobs: int) -> None:
    study = Study("toy", tmp_path)
    study.map(toy_cells.square, CELLS[:1])
    begun = tmp_path / "cells" / "until_stopped" / "x=0" / "begun"
    study = Study("toy", tmp_path, jobs=jobs, stop=begun.exists)
    with pytest.raises(Stopped, match="`zorl study toy` resumes it"):
        study.map(toy_cells.until_stopped, CELLS[:2])
    assert kept(tmp_path, "until_stopped") == []
    assert (begun.parent / "saved").exists()
    assert kept(tmp_path, "square") == ["x=0"]


def test_a_table_is_printed_written_and_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study("toy", tmp_path)
    study.table("t", ["name", "value"], [["a, b", 1 / 3], ["c", 2]])
    study.close()
    assert "| a, b | 0.3333 |" in capsys.readouterr().out
    with (tmp_path / "t.csv").open() as file:
        assert list(csv.reader(file)) == [["name", "value"], ["a, b", str(1 / 3)], ["c", "2"]]
    with pytest.raises(ConfigurationError, match="a row of t has 1 of 2 cells"):
        study.table("t", ["name", "value"], [["a"]])


def test_a_figure_is_a_picture_and_logged(tmp_path: Path) -> None:
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    study = Study("toy", tmp_path)
    with study.figure("f", 1, 2, (2, 1)) as (_, axes):
        axes[0, 1].plot([1, 2])
    study.close()
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.size == (360, 90)
    events = EventAccumulator(str(tmp_path)).Reload()
    (image,) = events.Images("f")
    assert (image.width, image.height) == (360, 90)
    assert image.encoded_image_string == (tmp_path / "f.png").read_bytes()


def test_studies_have_names_and_titles() -> None:
    studies = list_studies()
    assert {"mnist", "mnist-best"} <= set(studies)
    assert all(title.endswith(".") for title in studies.values())


def test_what_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mnist"):
        run_study("mnst", tmp_path)
    with pytest.raises(UnknownNameError, match="unknown option of the study mnist 'seed'"):
        run_study("mnist", tmp_path, options={"seed": 3})
    with pytest.raises(ConfigurationError, match="seeds must be like 2, got 'x'"):
        run_study("mnist", tmp_path, options={"seeds": "x"})
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(RunFolderError, match="is not a study's folder"):
        run_study("mnist", tmp_path, fresh=True)
    write_json(tmp_path / "other" / "study.json", {"study": "else"})
    with pytest.raises(RunFolderError, match="holds the study 'else'"):
        run_study("mnist", tmp_path / "other", fresh=True)
    assert (tmp_path / "mine").read_text() == "precious"
    assert main(["study", "mnst"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_the_command_lists_studies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    assert "mnist " in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_next_call_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys, toy_cells\n"
        "from zorl.common.stop_signals import StopSignals\n"
        "from zorl.studies.base import Stopped, Study\n"
        "with StopSignals() as signals:\n"
        "    study = Study('toy', sys.argv[1], jobs=int(sys.argv[2]), stop=signals)\n"
        "    try:\n"
        "        print(study.map(toy_cells.until_stopped, [{'x': 5}, {'x': 6}]))\n"
        "    except Stopped:\n"
        "        sys.exit(128 + signals.received)\n"
    )
    tests = str(Path(__file__).parents[1] / "helpers")
    environment = {**os.environ, "PYTHONPATH": tests}
    command = [sys.executable, "-c", code, str(tmp_path), "1"]
    begun = tmp_path / "cells" / "until_stopped" / "x=5" / "begun"
    deadline = time.monotonic() + 60
    with subprocess.Popen(command, env=environment) as process:
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    (tmp_path / "cells" / "until_stopped" / "x=6").mkdir()
    (tmp_path / "cells" / "until_stopped" / "x=6" / "saved").touch()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[5, 6]", done.stderr
