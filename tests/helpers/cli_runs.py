"""What the tests of the command line share: short runs, and messages of refused commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy_envs
from toy_envs import WALK

from zorl.cli.main import main

ROOT = Path(toy_envs.__file__).parents[2]
SMALL = [
    *("--timesteps", "600", "--validate-episodes", "2", "--held-out", "3", "--hidden", "3"),
    *("--episodes", "1", "--set", "m=2", "--no-tensorboard"),
]
Capture = pytest.CaptureFixture[str]


def train(path: Path, *options: str, agent: str = "spsa", env: str = WALK) -> int:
    return main(["train", "--agent", agent, "--env", env, "--run", str(path), *SMALL, *options])


def refused(capsys: Capture, *arguments: str, code: int = 2) -> str:
    """The one message of a command that fails."""
    capsys.readouterr()
    try:
        status = main(list(arguments))
    except SystemExit as error:  # argparse's way
        status = int(error.code or 0)
    out, err = capsys.readouterr()
    assert status == code, err
    assert out == ""
    trace, mark, message = err.partition("zorl: error: ")
    assert trace == "" or trace.startswith("Traceback "), err  # an environment's own
    assert mark
    assert len(message.splitlines()) == 1, err
    return message


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
