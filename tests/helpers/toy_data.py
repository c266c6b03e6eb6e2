"""Where the real data sets are, for tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[3] / "shared" / "data"


def real_data() -> Path:
    """$ZORL_DATA, or a folder beside the checkout; without either the test is skipped."""
    named = os.environ.get("ZORL_DATA")
    folder = Path(named) if named else _BESIDE
    if not folder.is_dir():
        pytest.skip("the data sets are not here; name their folder in $ZORL_DATA")
    return folder
