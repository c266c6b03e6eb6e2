"""Where compiled code is kept: in the user's cache, or else with temporary files."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
from functools import cache
from pathlib import Path

from zorl.common.errors import ConfigurationError

log = logging.getLogger("zorl")


def user_cache() -> Path:
    """The user's folder for what can be made again: zorl in $XDG_CACHE_HOME, or ~/.cache/zorl.

    Raises:
        OSError: the user has no home.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zorl"
    except RuntimeError as error:  # HOME is not set, and the system does not know the user
        raise OSError(str(error)) from error


def kernel_folder() -> Path:
    """Where kernels are kept: $ZORL_CACHE, or zorl in $XDG_CACHE_HOME, or ~/.cache/zorl.

    Raises:
        OSError: the user has no home.
    """
    base = Path(os.environ["ZORL_CACHE"]) if "ZORL_CACHE" in os.environ else user_cache()
    return base / "kernels"


def writable_folder() -> Path:
    """The folder for kernels, made where it is missing; one of the system's where it cannot be.

    Raises:
        ConfigurationError: neither can be written.
    """
    try:
        return _made(kernel_folder())
    except OSError as error:
        problem = error
    user = os.getuid() if hasattr(os, "getuid") else "user"  # Windows has one folder for each
    try:
        folder = _made(Path(tempfile.gettempdir()) / f"zorl-kernels-{user}")
    except OSError as error:
        raise ConfigurationError(
            f"there is no folder to keep compiled kernels in ({error}); set ZORL_CACHE to one"
        ) from error
    _say_once(str(folder), str(problem))
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    foreign = hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()
    if foreign or not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} is not this user's")  # code is run from there
    return folder


@cache
def _say_once(folder: str, problem: str) -> None:
    if multiprocessing.parent_process() is None:  # workers would say it again
        log.warning(
            "compiled code is kept in %s, for there is no better folder (%s): ZORL_CACHE names "
            "another",
            folder,
            problem,
        )
