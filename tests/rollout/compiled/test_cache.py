"""Kernels are compiled once a machine, and kept where the user may write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from toy_twins import RightDrift

from zorl.rollout.compiled.cache import announced, loaded, traced

ROOT = Path(__file__).parents[3]

PLAY = """
import json, sys
import numpy as np
from toy_twins import RightDrift
from zorl.rollout.compiled.cache import traced, was_compiled

play = traced(RightDrift(), 2, 1, exact=True)
seen, rewards, ends = np.zeros((4, 2)), np.zeros(3), np.zeros(3, np.bool_)
play(np.ones((4, 2)), np.ones((3, 1)), seen, rewards, ends, True)
(kernel,) = (m.kernel for name, m in sys.modules.items() if name.startswith("zorl_kernel_"))
hits, misses = (sum(c.values()) for c in (kernel.stats.cache_hits, kernel.stats.cache_misses))
assert was_compiled(play) == bool(misses)
print(json.dumps([hits, misses, rewards.tolist()]))
"""


def play(cache: Path) -> subprocess.Popen[str]:
    """A process that plays three steps of a twin, and tells whether that had to be compiled."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/helpers")])
    env = {**os.environ, "ZORL_CACHE": str(cache), "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, "-c", PLAY],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> tuple[int, int, list[float]]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    hits, misses, rewards = json.loads(output)
    return hits, misses, rewards


def test_processes_that_start_together_agree_and_later_ones_compile_nothing(tmp_path: Path) -> None:
    together = [play(tmp_path) for _ in range(2)]
    answers = [answer(process) for process in together]
    assert all(hits + misses == 1 for hits, misses, _ in answers)
    assert any(misses for _, misses, _ in answers)
    hits, misses, rewards = answer(play(tmp_path))
    assert (hits, misses) == (1, 0)
    assert all(others == rewards for _, _, others in answers)
    assert len(list((tmp_path / "kernels").glob("zorl_kernel_*.py"))) == 1
    assert not list((tmp_path / "kernels").glob("*.part"))


@pytest.mark.parametrize("terminal", [True, False])
def test_only_what_is_compiled_is_announced_and_only_on_a_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    twin = RightDrift(push=0.4001 + terminal)
    seen, rewards, ends = np.zeros((4, 2)), np.zeros(3), np.zeros(3, np.bool_)
    for expected in ("compiling\n" * terminal, ""):  # it is loaded the second time
        kernel = traced(twin, 2, 1, exact=True)
        with announced(kernel, "compiling"):
            kernel(np.ones((4, 2)), np.ones((3, 1)), seen, rewards, ends, True)
        assert capsys.readouterr().err == expected
        monkeypatch.delitem(sys.modules, kernel.__module__)  # as if in a later process


def sources(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("zorl_kernel_*.py")}


def test_threads_that_load_a_kernel_together_all_get_it() -> None:
    source = "import time\n\ntime.sleep(0.2)\nkernel = 3\n"
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda _: loaded(source).kernel, range(4))] == [3] * 4


def test_a_changed_twin_is_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path))
    # Parameters that no other test has: this process keeps the modules it has loaded.
    traced(RightDrift(push=0.3001), 2, 1, exact=True)
    first = sources(tmp_path)
    assert len(first) == 1
    traced(RightDrift(push=0.3001), 2, 1, exact=True)
    assert sources(tmp_path) == first
    traced(RightDrift(push=0.3002), 2, 1, exact=True)
    traced(RightDrift(push=0.3001), 2, 1, exact=False)
    assert len(sources(tmp_path)) == 3


def test_changed_arithmetic_is_another_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For numba looks at a kernel's own file alone, and not at what is inlined into it."""
    from zorl.rollout.compiled import cache

    monkeypatch.setenv("ZORL_CACHE", str(tmp_path))
    traced(RightDrift(push=0.3003), 2, 1, exact=True)
    (before,) = sources(tmp_path)
    copies = []
    for path in cache._INLINED:
        copy = tmp_path / path.name
        copy.write_text(path.read_text() + "# changed\n" * (path.name == "kernels.py"))
        copies.append(copy)
    monkeypatch.setattr(cache, "_INLINED", tuple(copies))
    traced(RightDrift(push=0.3003), 2, 1, exact=True)
    assert len(sources(tmp_path) - {before}) == 1


def test_a_folder_that_cannot_be_written_is_replaced_by_a_temporary_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken, temporary = tmp_path / "file", tmp_path / "tmp"
    taken.write_text("a file, where a folder should be")
    temporary.mkdir()
    monkeypatch.setenv("ZORL_CACHE", str(taken))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    play = traced(RightDrift(push=0.3004), 2, 1, exact=True)
    (folder,) = temporary.iterdir()
    assert len(sources(folder)) == 1
    assert folder.stat().st_mode & 0o077 == 0  # code is run from there: nobody else's business
    seen, rewards, ends = np.zeros((2, 2)), np.zeros(1), np.zeros(1, np.bool_)
    play(np.zeros((2, 2)), np.full((1, 1), 2.0), seen, rewards, ends, True)
    assert rewards[0] == -0.3004
