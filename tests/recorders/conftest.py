"""What the tests of recorders start with."""

from __future__ import annotations

import pytest
from toy_videos import Coloured


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Coloured.rendered, Coloured.seeds, Coloured.closed = [], [], 0
