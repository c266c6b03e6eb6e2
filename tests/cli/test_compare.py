"""`zorl compare`: mistakes on its command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_comparison import OPTIONS

from zorl.cli.main import main


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--env", "Pendulum-v1", "--agents", "cma-es"], "has no threshold; pass --threshold"),
        (["--env", "CartPole-v1", "--agents", "cma-es", "arss"], "unknown agent 'arss'"),
        (["--env", "CartPole-v1", "--agents", "cma-es", "ars(mm=1)"], "unknown option of ars 'mm'"),
        (["--env", "CartPole-v1", "--agents", "cma-es(gate=pared)"], "did you mean 'paired'"),
        (["--env", "CartPole-v1", "--agents", "cma-es(settings=best)"], "unknown settings 'best'"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(
    options: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *options, "--out", str(tmp_path / "out")]) == 2
    assert error in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_resume_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *OPTIONS, "--resume"]) == 2
    assert "--resume needs --out" in capsys.readouterr().err
