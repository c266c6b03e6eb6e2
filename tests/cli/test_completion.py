"""What a shell is answered when Tab is pressed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import Capture

from zorl.cli.completion import SHELLS
from zorl.cli.main import main


@pytest.mark.parametrize("shell", SHELLS)
def test_the_code_for_a_shell_is_printed(shell: str, capsys: Capture) -> None:
    assert main(["completion", shell]) == 0
    code = capsys.readouterr().out
    assert "zorl" in code
    assert "_ARGCOMPLETE" in code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("zorl tr", ["train"]),
        ("zorl train --agent c", ["cem", "cma-es"]),
        ("zorl compare --agents cma-es pp", ["ppo"]),
        ("zorl train --ga", ["--gate", "--gate-set"]),
    ],
)
def test_names_are_completed(line: str, answers: list[str], tmp_path: Path) -> None:
    path = tmp_path / "answer"
    environment = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(path),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run(
        [sys.executable, "-m", "zorl"], env={**os.environ, **environment}, check=True, timeout=60
    )
    assert [word.strip() for word in path.read_text().split("\n") if word] == answers
