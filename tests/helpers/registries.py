"""What a test registers is forgotten after it."""

from __future__ import annotations

from typing import Any

import pytest

from zorl.common.registry import Registry


def forget_afterwards(registry: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back, when the test ends, what it adds to a registry."""
    len(registry)  # what the registry finds by itself stays
    for kept in ("_things", "_defaults"):
        monkeypatch.setattr(registry, kept, dict(getattr(registry, kept)))
