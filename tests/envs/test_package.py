from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zorl.envs

ROOT = Path(__file__).resolve().parents[2]
MODULES = [f"zorl.envs.{info.name}" for info in pkgutil.iter_modules(zorl.envs.__path__)]


def test_the_folder_cannot_be_imported_under_its_own_name() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import envs"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "ImportError: this folder is the package zorl.envs; import that" in found.stderr


def test_everything_public_exists() -> None:
    assert sorted(set(zorl.envs.__all__)) == sorted(zorl.envs.__all__)  # type: ignore[attr-defined]
    for name in zorl.envs.__all__:  # type: ignore[attr-defined]
        assert hasattr(zorl.envs, name)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: Any) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_there_are_examples() -> None:
    module = importlib.import_module("zorl.envs.wrappers.momentum_reward")
    assert doctest.testmod(module).attempted > 0
