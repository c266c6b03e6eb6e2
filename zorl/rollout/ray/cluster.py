"""A connection to Ray that leaves nothing behind: to a cluster, or to a Ray of one's own."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from zorl.common.errors import ConfigurationError


def require_ray() -> Any:
    """The module ray.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "the backend ray needs Ray, which is not installed: pip install 'zorl[ray]'"
        ) from error
    return ray


class Cluster:
    """A connection to Ray: the program's own, to a cluster's address, or to one started here."""

    _started: ClassVar[int] = 0  # backends that use an instance that zorl started
    _folder: ClassVar[str] = ""

    def __init__(self, ray: Any, address: str | None, workers: int | None) -> None:
        self._ray = ray
        self._ours = False
        if ray.is_initialized():
            if Cluster._started:
                self._ours = True
                Cluster._started += 1
            return
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        _check_address(address)
        options: dict[str, Any] = {"address": address}
        if address == "local":
            # Its logs go with it, wherever the system keeps temporary files.
            Cluster._folder = tempfile.mkdtemp(prefix="ray")
            options["_temp_dir"] = Cluster._folder
            options["num_cpus"] = max(workers or 1, os.cpu_count() or 1)
            options["include_dashboard"] = False
            options["_system_config"] = {"worker_niceness": 0}  # Ray's 15 is for shared clusters
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody was asked
        try:
            with _kept_signals():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, ValueError) as error:
            raise ConfigurationError(f"no Ray cluster at {address!r}: {error}") from error
        self._ours = True
        Cluster._started = 1

    def close(self) -> None:
        """Leave; whoever leaves last ends what was started here."""
        if not self._ours:
            return
        self._ours = False
        Cluster._started -= 1
        if Cluster._started == 0 and self._ray.is_initialized():
            with _kept_signals():
                self._ray.shutdown()
            if Cluster._folder:
                shutil.rmtree(Cluster._folder, ignore_errors=True)
                Cluster._folder = ""


def _check_address(address: str) -> None:
    """Refuse what Ray itself would try to reach for more than a minute, with noise."""
    host, colon, port = address.rpartition(":")
    if address.startswith("ray://"):
        raise ConfigurationError(
            f"{address!r} is an address of the Ray Client, which this backend does not speak: run "
            "on a machine of the cluster, with its address as host:port, or 'auto'"
        )
    if not colon:
        return
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            pass
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"no Ray cluster at {address!r}: {error}") from error


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Ray puts a handler of its own in the place of the program's for SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
