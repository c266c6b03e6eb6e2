"""The run folder, its learning curve, and stopping at a signal."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from zorl.curves import read_curve, write_curve
from zorl.errors import FileFormatError, RunFolderError
from zorl.runs import RunFolder, StopSignals, run_name
from zorl.storage import read_json


def test_a_name_says_what_the_run_is_and_is_a_file_name() -> None:
    pattern = r"MountainCar-v0__cma-es__3__\d{8}-\d{6}"
    assert re.fullmatch(pattern, run_name("MountainCar-v0", "cma-es", 3))
    assert run_name("my.mod:ns/Car-v1", "ppo", 0).startswith("my.mod-ns-Car-v1__ppo__0__")


def test_a_folder_is_created_with_its_configuration(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "a" / "b", {"x": 1})
    assert folder.path == tmp_path / "a" / "b"
    assert read_json(folder.path / "config.json") == {"x": 1} == folder.read_config()
    assert [path.name for path in folder.path.iterdir()] == ["config.json"]
    (tmp_path / "empty").mkdir()
    assert RunFolder.create(tmp_path / "empty", {}).config.is_file()


@pytest.mark.parametrize("name", ["config.json", "notes.txt", ".hidden"])
def test_what_is_there_already_is_not_touched(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / name).write_text("mine")
    with pytest.raises(RunFolderError, match=f"{path} exists already.*zorl resume {path}"):
        RunFolder.create(path, {"x": 1})
    assert [(item.name, item.read_text()) for item in path.iterdir()] == [(name, "mine")]
    with pytest.raises(RunFolderError, match="is not an empty folder"):
        RunFolder.create(path / name, {})


def test_only_a_run_s_folder_is_opened(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="nothing: no such run folder"):
        RunFolder.open(tmp_path / "nothing")
    with pytest.raises(RunFolderError, match=r"it has no config\.json"):
        RunFolder.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="no such run folder"):
        RunFolder.open(tmp_path / "file")
    made = RunFolder.create(tmp_path / "run", {"x": 2})
    assert RunFolder.open(str(made.path)).read_config() == {"x": 2}
    made.config.write_text("{")
    with pytest.raises(FileFormatError, match=r"config\.json: not a readable JSON file"):
        RunFolder.open(made.path).read_config()


def test_the_policy_is_the_final_one_or_the_latest(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    with pytest.raises(RunFolderError, match="holds no saved policy yet"):
        folder.policy_file()
    folder.checkpoint.write_text("")
    assert folder.policy_file() == folder.checkpoint
    folder.agent.write_text("")
    assert folder.policy_file() == folder.agent


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_a_flag_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    with StopSignals() as signals:
        assert not signals()
        os.kill(os.getpid(), number)
        assert signals()
        assert signals.received is number
    assert {n: signal.getsignal(n) for n in before} == before
    assert signals()  # it is still known afterwards, for the exit status


def test_a_second_ctrl_c_interrupts_and_a_second_sigterm_does_not() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received is signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.received is signal.SIGTERM


def test_handlers_are_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), StopSignals():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_of_the_main_thread_there_is_nothing_to_handle() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[bool] = []

    def elsewhere() -> None:
        with StopSignals() as signals:
            seen.append(signals())
            seen.append(signal.getsignal(signal.SIGINT) is before)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False, True]


# Learning curves


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
