"""Commands on run folders and files that are there, damaged or not zorl's."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_runs import SMALL, Capture, contents, refused
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.cli.main import main
from zorl.common.storage import load_archive, save_archive


def test_an_existing_run_folder_is_not_touched(finished: Path, capsys: Capture) -> None:
    before = contents(finished)
    base = ["train", "--agent", "ars", "--env", WALK, "--run", str(finished)]
    message = refused(capsys, *base, code=1)
    assert f"{finished} exists already" in message
    assert "another configuration (agent.agent is 'spsa' there and 'ars' here)" in message
    assert contents(finished) == before


def test_a_finished_run_is_not_resumed(finished: Path, capsys: Capture) -> None:
    before = contents(finished)
    assert "is finished" in refused(capsys, "resume", str(finished), code=1)
    assert contents(finished) == before


def newer(data: bytes, path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts["zorl.json"])
    header["version"] += 1
    parts["zorl.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def other_configuration(data: bytes, path: Path) -> None:
    make_agent("spsa", WALK, hidden=(7,), m=2).save(path)


def foreign_zip(data: bytes, path: Path) -> None:
    from stable_baselines3 import PPO

    PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu").save(path)


DAMAGES: dict[str, tuple[Callable[[bytes, Path], Any], str]] = {
    "corrupt": (
        lambda data, path: path.write_bytes(data[:900] + b"\x00" * 40 + data[940:]),
        "corrupt, truncated or not a zorl file",
    ),
    "truncated": (
        lambda data, path: path.write_bytes(data[: len(data) // 2]),
        "corrupt, truncated or not a zorl file",
    ),
    "empty": (lambda data, path: path.write_bytes(b""), "corrupt, truncated or not a zorl file"),
    "newer": (newer, "written in format 2, this zorl reads up to 1; upgrade zorl"),
    "foreign": (foreign_zip, "a zip file, but not one of zorl's"),
    "pickle": (lambda data, path: path.write_bytes(b"\x80\x04K\x01."), "not a zorl file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_ours_is_refused_by_every_command(
    damage: str, interrupted: Path, tmp_path: Path, capsys: Capture
) -> None:
    break_it, words = DAMAGES[damage]
    checkpoint = interrupted / "checkpoint.zip"
    break_it(checkpoint.read_bytes(), checkpoint)
    before = contents(interrupted)
    gif = tmp_path / "x.gif"
    for command in (
        ["evaluate", str(checkpoint)],
        ["evaluate", str(interrupted), "--json"],
        ["watch", str(checkpoint), "--out", str(gif)],
        ["watch", str(interrupted), "--out", str(gif)],
        ["resume", str(interrupted)],
    ):
        message = refused(capsys, *command, code=1)
        assert str(checkpoint) in message
        assert words in message
    assert contents(interrupted) == before
    assert not gif.exists()


def test_a_checkpoint_of_another_configuration_is_refused(
    interrupted: Path, capsys: Capture
) -> None:
    other_configuration(b"", interrupted / "checkpoint.zip")
    before = contents(interrupted)
    message = refused(capsys, "resume", str(interrupted), code=1)
    assert "checkpoint.zip was written by another configuration" in message
    assert contents(interrupted) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not a readable JSON file"), ("[]", "expected a JSON object"), ("{}", "is missing")],
)
def test_a_broken_config_json_is_refused(
    text: str, words: str, interrupted: Path, capsys: Capture
) -> None:
    (interrupted / "config.json").write_text(text)
    assert words in refused(capsys, "resume", str(interrupted), code=1)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    for command in (["resume"], ["evaluate"], ["watch", "--out", "x.gif"]):
        message = refused(capsys, command[0], str(tmp_path), *command[1:], code=1)
        assert "is not a run folder: it has no config.json" in message
    (tmp_path / "config.json").write_text("{}")
    for command in (["evaluate"], ["watch", "--out", "x.gif"]):
        message = refused(capsys, command[0], str(tmp_path), *command[1:], code=1)
        assert "holds no saved policy yet" in message


def test_an_agent_s_file_with_impossible_contents_is_refused(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "agent.zip"
    make_agent("spsa", WALK).save(path)
    _, metadata, arrays = load_archive(path, "agent")
    for changes, words in (
        ({"scalars": None}, "agent"),
        ({"config": 3}, "configuration"),
        ({"config": {**metadata["config"], "env": 1}}, "not the configuration"),
        ({"config": {**metadata["config"], "task": {"env_id": "Gone-v0"}}}, "Gone-v0"),
        ({"config": {**metadata["config"], "hidden": "8x"}}, "hidden"),
        ({"config": {**metadata["config"], "options": {"colour": 1}}}, "colour"),
    ):
        save_archive(path, "agent", {**metadata, **changes}, arrays)
        capsys.readouterr()
        assert main(["evaluate", str(path)]) in (1, 2)
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert words in err


def test_watch_writes_only_what_it_can(finished: Path, tmp_path: Path, capsys: Capture) -> None:
    message = refused(capsys, "watch", str(finished), "--out", str(tmp_path / "x.png"))
    assert "can write .gif or .mp4, not '.png'" in message
    assert list(tmp_path.iterdir()) == []


def test_runs_begun_in_the_same_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zorl.runs.folder.time.strftime", lambda text: "NOW")
    short = ["--agent", "spsa", "--env", WALK, *SMALL, "--quiet", "--timesteps", "60"]
    for _ in range(2):
        assert main(["train", *short]) == 0
    more = ["--settings", "default", "--wrapper", "toy_envs:Doubled", "--gate", "paired"]
    assert main(["train", *short, *more, "--set", "radius=0.2", "--gate-set", "episodes=2"]) == 0
    walk = WALK.replace(":", "-").replace("/", "-")
    usual = f"{walk}__spsa__0__m=2__hidden=3__episodes=1__NOW"
    other = f"{walk}__spsa__0__toy_envs-Doubled__default__m=2__radius=0.2__hidden=3__gate=paired"
    names = sorted(path.name for path in Path("runs").iterdir())
    assert names[:2] == [usual, f"{usual}-2"]
    assert names[2].startswith(other[: len(walk) + 50])
    assert len(names) == 3
