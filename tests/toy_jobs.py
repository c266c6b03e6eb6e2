"""What tests run in processes of their own, in a module that those can import.

They cannot import the test modules: some distributions install a package named `tests`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from zorl.storage import write_json


def describe(path: Path) -> None:
    """Write down how this process was started, and fail with status 3."""
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    write_json(path, {"blocked": blocked, "threads": os.environ.get("OMP_NUM_THREADS")})
    sys.exit(3)


def never_ends(path: Path) -> None:
    """Say that it has begun, and then ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path.touch()
    time.sleep(60)
