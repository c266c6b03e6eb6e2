"""The example programs run, on budgets of seconds."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_policy_with_memory_learns_to_balance_without_velocities() -> None:
    example = runpy.run_path(str(EXAMPLES / "memory.py"))
    assert example["main"](30_000) > 60  # without a memory, some 40


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
