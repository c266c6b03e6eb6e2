"""The run folder: created once, never overwritten, opened only where it is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zorl.common.errors import FileFormatError, RunFolderError
from zorl.common.storage import read_json
from zorl.runs.folder import RunFolder, run_name


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
