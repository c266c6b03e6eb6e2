"""The example programs learn, on budgets of seconds."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "docs/examples"


def test_a_policy_with_memory_learns_to_balance_without_velocities() -> None:
    example = runpy.run_path(str(EXAMPLES / "memory.py"))
    assert example["main"](30_000) > 60  # without a memory, some 40
