"""A connection to Ray that leaves nothing behind: to a cluster, or to a Ray started here."""

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
from dataclasses import dataclass
from typing import Any

from zorl.common.errors import ConfigurationError
from zorl.common.subprocesses import available_cores


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


@dataclass
class _Instance:
    """The Ray that zorl connected this process to; Ray allows one per process.

    Attributes:
        users: open `Cluster`s that use it; 0: zorl has not connected, or no longer is.
        folder: of its temporary files, if zorl started it; else "".
    """

    users: int = 0
    folder: str = ""


_INSTANCE = _Instance()


class Cluster:
    """A connection to Ray: the program's own, to a cluster's address, or to one started here.

    Args:
        ray: the module.
        address: of a cluster; None: that of RAY_ADDRESS, or else a Ray started here.
        workers: CPUs that a Ray started here offers at least.
        instance: what this process is connected to already.

    Raises:
        ConfigurationError: there is no cluster at the address.
    """

    def __init__(
        self,
        ray: Any,
        address: str | None,
        workers: int | None,
        instance: _Instance = _INSTANCE,
    ) -> None:
        self._ray = ray
        self._instance = instance
        self._ours = False
        if ray.is_initialized():
            if instance.users:
                self._ours = True
                instance.users += 1
            return
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        _check_address(address)
        options: dict[str, Any] = {"address": address}
        if address == "local":
            # Its logs are removed with it.
            instance.folder = tempfile.mkdtemp(prefix="ray")
            options["_temp_dir"] = instance.folder
            options["num_cpus"] = max(workers or 1, available_cores())
            options["include_dashboard"] = False
            options["_system_config"] = {"worker_niceness": 0}  # Ray's 15 is for shared clusters
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody was asked
        try:
            with _kept_signals():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, ValueError) as error:
            raise ConfigurationError(f"no Ray cluster at {address!r}: {error}") from error
        self._ours = True
        instance.users = 1

    def close(self) -> None:
        """Disconnect; the last one to leave ends the Ray that was started here."""
        if not self._ours:
            return
        self._ours = False
        instance = self._instance
        instance.users -= 1
        if instance.users == 0 and self._ray.is_initialized():
            with _kept_signals():
                self._ray.shutdown()
            if instance.folder:
                shutil.rmtree(instance.folder, ignore_errors=True)
                instance.folder = ""


def _check_address(address: str) -> None:
    """Refuse an address that Ray would try to reach for more than a minute."""
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
    """Restore the program's handler for SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
