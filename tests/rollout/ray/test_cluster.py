"""A Ray that zorl starts is silent and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from toy_jobs import ToyRunner

from zorl.common.errors import ConfigurationError
from zorl.rollout.ray.backend import RayBackend


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'zorl\[ray\]'"):
        RayBackend(ToyRunner())


LOCAL = """
import os, signal, subprocess, sys
import numpy as np
from toy_jobs import ToyRunner
from zorl.common.errors import ConfigurationError
from zorl.policies.normalization import Normalizer
from zorl.rollout.ray.backend import RayBackend
from zorl.rollout.batch import EpisodeBatch

handler = lambda *_: None
signal.signal(signal.SIGTERM, handler)
normalizer = Normalizer.create("off", np.zeros(1), np.zeros(1))
batch = EpisodeBatch(np.ones((4, 2), np.float32), (1, 2), normalizer)
try:
    RayBackend(ToyRunner(), address="127.0.0.1:1").run(batch)
except ConfigurationError as error:
    assert "127.0.0.1:1" in str(error), error
else:
    raise AssertionError
first, second = RayBackend(ToyRunner(), 1), RayBackend(ToyRunner(), 1)
assert first.run(batch).returns.tobytes() == second.run(batch).returns.tobytes()
assert signal.getsignal(signal.SIGTERM) is handler
first.close()
assert second.run(batch).lengths.tolist() == [2, 3] * 4  # Ray lives as long as one needs it
second.close()
second.close()
import ray
assert not ray.is_initialized()
assert signal.getsignal(signal.SIGTERM) is handler
"""


def test_ray_on_this_machine_is_silent_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tests = str(Path(__file__).parents[2] / "helpers")
        environment = {**os.environ, "TMPDIR": folder, "PYTHONPATH": tests}
        environment.pop("RAY_ADDRESS", None)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", LOCAL],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert list(Path(folder).iterdir()) == []
        assert processes_with(folder) == []


def processes_with(text: str) -> list[str]:
    """Command lines of running processes that have `text` in them."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if text in line and path.parent.name != str(os.getpid()):
            lines.append(line)
    return lines
