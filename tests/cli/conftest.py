"""Runs that the tests of the command line start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import Capture, train


class StopAfter:
    def __init__(self, count: int) -> None:
        self.left = count
        self.received = 2

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("runs") / "finished"
    assert train(path, "--quiet") == 0
    return path


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A run that a signal stopped after its third generation."""
    path = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        patch.setattr(StopSignalsStub, "stop", StopAfter(3), raising=False)
        patch.setattr("zorl.common.stop_signals.StopSignals", StopSignalsStub)
        assert train(path, "--quiet") == 130
    return path


class StopSignalsStub:
    stop: StopAfter

    def __enter__(self) -> StopAfter:
        return self.stop

    def __exit__(self, *exc: object) -> None:
        pass
