"""The run folder: created once, never overwritten, opened only where it is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from zorl.common.errors import FileFormatError, RunFolderError
from zorl.common.storage import read_json
from zorl.runs.folder import RunFolder, new_folder, run_name


def test_a_name_says_what_the_run_is_and_is_a_file_name() -> None:
    pattern = r"MountainCar-v0__cma-es__3__\d{8}-\d{6}"
    assert re.fullmatch(pattern, run_name("MountainCar-v0", "cma-es", 3))
    assert run_name("my.mod:ns/Car-v1", "ppo", 0).startswith("my.mod-ns-Car-v1__ppo__0__")


def test_settings_are_in_the_name() -> None:
    name = run_name("Car-v0", "ars", 0, ["momentum(speed_weight=10)", "m:C", "sigma0=0.1"])
    assert name.startswith("Car-v0__ars__0__momentum(speed_weight=10)__m-C__sigma0=0.1__2")
    long = run_name("Car-v0", "ars", 0, ["é" * 1000, "/"])
    assert len(long.encode()) < 150
    assert re.fullmatch(r"Car-v0__ars__0__é+__\d{8}-\d{6}", long)


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "a"
    made = [new_folder(path) for _ in range(3)]
    assert [folder.name for folder in made] == ["a", "a-2", "a-3"]
    assert all(folder.is_dir() for folder in made)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):  # not for ever
        new_folder(tmp_path / "file" / "a")


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
    with pytest.raises(RunFolderError, match=f"^{path} exists already and is not empty; choose"):
        RunFolder.create(path, {"x": 1})
    assert [(item.name, item.read_text()) for item in path.iterdir()] == [(name, "mine")]
    with pytest.raises(RunFolderError, match="is no folder; choose another"):
        RunFolder.create(path / name, {})


def test_only_the_same_run_that_is_not_over_is_offered_to_go_on_with(tmp_path: Path) -> None:
    config: dict[str, Any] = {"agent": {"seed": 1, "hidden": (8,)}, "plan": {"select": "best"}}
    folder = RunFolder.create(tmp_path / "run", {**config, "versions": {"zorl": "0.1"}})

    def message(other: dict[str, Any]) -> str:
        with pytest.raises(RunFolderError) as caught:
            RunFolder.create(folder.path, other)
        return str(caught.value)

    assert message(config).endswith(f"which is the same: zorl resume {folder.path}")
    other = message({**config, "agent": {**config["agent"], "seed": 2}})
    assert "another configuration (agent.seed is 1 there and 2 here)" in other
    assert "resume" not in other
    folder.agent.write_text("")
    assert "finished" in message(config)
    assert "resume" not in message(config)
    with folder.locked():
        assert "in use: process" in message(config)
        assert "resume" not in message(config)


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
